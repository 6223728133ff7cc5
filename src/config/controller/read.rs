//! From the laid-over trees to settings. All keys are there: the defaults lie below.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::problem::Findings;
use crate::config::reader::{At, Fields, Later};
use crate::config::tree::BYTES_MAX;
use crate::domain::time::Span;

use super::{
    AwsSettings, Database, Limits, LogFormat, LogLevel, LogSettings, MetricProviderChoice, Settings,
    TrafficRouterChoice,
};

const FIELDS: &[&str] = &[
    "listen",
    "database",
    "tick_interval",
    "health_interval",
    "traffic_router",
    "metric_provider",
    "owner",
    "claim_rules",
    "aws",
    "limits",
    "log",
    "shutdown_timeout",
];

const LATER: &[Later] = &[
    ("auth", "remove it; until then only a loopback address is listened on"),
    ("notifications", "remove it"),
    ("freeze_windows", "remove it; use `schedule` in the rollouts"),
];

/// Longest owner: AWS's longest tag value.
const OWNER_MAX: usize = 256;
/// Rollouts are looked at one after another within a tick; more than this has not been tried.
const ROLLOUTS_MAX: u32 = 10_000;
/// Calls: far above what AWS grants an account.
const CALLS_MAX: u32 = 1000;

pub(super) fn settings(at: &At<'_>, out: &mut Findings) -> Option<Settings> {
    let fields = at.fields("the controller's file", FIELDS, LATER, out)?;
    let listen = setting(&fields, "listen", out, listen);
    let database = setting(&fields, "database", out, database);
    let tick = duration(&fields, "tick_interval", Span::from_millis(100), Span::from_mins(1), out);
    let health = duration(&fields, "health_interval", Span::from_secs(1), Span::from_hours(1), out);
    let routers = [("alb", TrafficRouterChoice::Alb), ("memory", TrafficRouterChoice::Memory)];
    let router = setting(&fields, "traffic_router", out, |at, out| at.word("`traffic_router`", &routers, out));
    let providers = [("cloudwatch", MetricProviderChoice::Cloudwatch), ("memory", MetricProviderChoice::Memory)];
    let provider = setting(&fields, "metric_provider", out, |at, out| at.word("`metric_provider`", &providers, out));
    let owner = setting(&fields, "owner", out, owner);
    let claim_rules = setting(&fields, "claim_rules", out, |at, out| at.flag("`claim_rules`", out));
    let aws = setting(&fields, "aws", out, aws);
    let limits = setting(&fields, "limits", out, limits);
    let log = setting(&fields, "log", out, log);
    let shutdown = duration(&fields, "shutdown_timeout", Span::from_secs(1), Span::from_mins(5), out);
    Some(Settings {
        listen: listen?,
        database: database?,
        tick_interval: tick?,
        health_interval: health?,
        traffic_router: router?,
        metric_provider: provider?,
        owner: owner?,
        claim_rules: claim_rules?,
        aws: aws?,
        limits: limits?,
        log: log?,
        shutdown_timeout: shutdown?,
    })
}

/// Reads a key, which is there at least by its default.
fn setting<'n, T>(
    fields: &Fields<'n>,
    name: &str,
    out: &mut Findings,
    read: impl FnOnce(&At<'n>, &mut Findings) -> Option<T>,
) -> Option<T> {
    let at = fields.require(name, "…", out)?;
    read(at, out)
}

fn duration(fields: &Fields<'_>, name: &str, min: Span, max: Span, out: &mut Findings) -> Option<Span> {
    setting(fields, name, out, |at, out| {
        let what = format!("`{name}`");
        let read = at.parse(&what, "a duration such as `10s`", out, Span::parse)?;
        let fits = (min..=max).contains(&read);
        if !fits {
            at.error(out, format!("{what} must be from {min} to {max}, and this is {read}"), None::<String>);
        }
        fits.then_some(read)
    })
}

fn count(fields: &Fields<'_>, name: &str, max: u32, out: &mut Findings) -> Option<u32> {
    setting(fields, name, out, |at, out| at.count(&format!("`{name}`"), 1..=max, out))
}

fn listen(at: &At<'_>, out: &mut Findings) -> Option<SocketAddr> {
    let text = at.text("`listen`", out)?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let help = "write an address and a port: `127.0.0.1:8080` or `[::1]:8080`";
        at.error(out, format!("`{text}` is not an address to listen on"), Some(help));
        return None;
    };
    if !address.ip().is_loopback() {
        let what = format!("`{text}` can be reached from elsewhere, and there is no authentication yet");
        let help = "write `127.0.0.1:8080`, with an authenticating reverse proxy in front of it if need be";
        at.error(out, what, Some(help));
        return None;
    }
    Some(address)
}

fn database(at: &At<'_>, out: &mut Findings) -> Option<Database> {
    let text = at.text("`database`", out)?;
    match text.split_once(':') {
        None if text == "memory" => return Some(Database::Memory),
        Some(("sqlite", path)) if !path.is_empty() && !path.starts_with("//") && !path.contains(['?', '\0']) => {
            return Some(Database::Sqlite(PathBuf::from(path)));
        }
        Some(("postgres" | "postgresql", _)) => {
            at.error(out, "PostgreSQL is not supported in this version", Some("write `sqlite:greenshift.db`"));
        }
        None | Some(_) => {
            let help = "write `sqlite:` and a path, as `sqlite:/var/lib/greenshift/greenshift.db`, or `memory`";
            at.error(out, format!("`{text}` is not a database"), Some(help));
        }
    }
    None
}

fn owner(at: &At<'_>, out: &mut Findings) -> Option<String> {
    let text = at.text("`owner`", out)?;
    // What AWS takes in the value of a tag.
    let inner = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    let good = (1..=OWNER_MAX).contains(&text.chars().count()) && text.trim() == text && text.chars().all(inner);
    if !good {
        let help = format!("use 1 to {OWNER_MAX} letters, digits, blanks and `_.:/=+-@`");
        at.error(out, format!("`{text}` cannot be the value of a tag"), Some(help));
    }
    good.then(|| text.to_owned())
}

fn aws(at: &At<'_>, out: &mut Findings) -> Option<AwsSettings> {
    let known = [
        "connect_timeout",
        "read_timeout",
        "attempt_timeout",
        "operation_timeout",
        "modify_per_second",
        "modify_burst",
        "describe_per_second",
        "describe_burst",
    ];
    let fields = at.fields("`aws`", &known, &[], out)?;
    let timeout =
        |name: &str, out: &mut Findings| duration(&fields, name, Span::from_millis(100), Span::from_mins(5), out);
    let (connect, read) = (timeout("connect_timeout", out), timeout("read_timeout", out));
    let (attempt, operation) = (timeout("attempt_timeout", out), timeout("operation_timeout", out));
    let modify = (count(&fields, "modify_per_second", CALLS_MAX, out), count(&fields, "modify_burst", CALLS_MAX, out));
    let describe =
        (count(&fields, "describe_per_second", CALLS_MAX, out), count(&fields, "describe_burst", CALLS_MAX, out));
    let pairs = [
        ("connect_timeout", connect, "attempt_timeout", attempt),
        ("read_timeout", read, "attempt_timeout", attempt),
        ("attempt_timeout", attempt, "operation_timeout", operation),
    ];
    for (part, shorter, whole, longer) in pairs {
        let (Some(shorter), Some(longer)) = (shorter, longer) else { continue };
        if shorter > longer {
            let what = format!("`{part}`, {shorter}, is longer than `{whole}`, {longer}, of which it is a part");
            fields.get(part).unwrap_or(at).error(out, what, Some(format!("raise `{whole}` or lower `{part}`")));
        }
    }
    Some(AwsSettings {
        connect_timeout: connect?,
        read_timeout: read?,
        attempt_timeout: attempt?,
        operation_timeout: operation?,
        modify_per_second: modify.0?,
        modify_burst: modify.1?,
        describe_per_second: describe.0?,
        describe_burst: describe.1?,
    })
}

fn limits(at: &At<'_>, out: &mut Findings) -> Option<Limits> {
    let fields = at.fields("`limits`", &["active_rollouts", "body"], &[], out)?;
    let active = count(&fields, "active_rollouts", ROLLOUTS_MAX, out);
    let body = setting(&fields, "body", out, |at, out| at.parse("`body`", "a size such as `1MiB`", out, size));
    Some(Limits { active_rollouts: active?, body_bytes: body? })
}

/// Reads `64KiB`, `1MiB`.
fn size(text: &str) -> Result<usize, String> {
    let bad = || format!("`{text}` is not a size: write a number with its unit, `64KiB` up to `1MiB`");
    let (number, unit) = if let Some(number) = text.strip_suffix("KiB") {
        (number, 1024)
    } else {
        (text.strip_suffix("MiB").ok_or_else(bad)?, 1024 * 1024)
    };
    let number = number.trim_end();
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let bytes = digits.then(|| number.parse::<usize>().ok()).flatten().and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| (1024..=BYTES_MAX).contains(bytes)).ok_or_else(bad)
}

fn log(at: &At<'_>, out: &mut Findings) -> Option<LogSettings> {
    let fields = at.fields("`log`", &["format", "level"], &[], out)?;
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = setting(&fields, "format", out, |at, out| at.word("`format`", &formats, out));
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let levels = levels.map(|level| (level.as_str(), level));
    let level = setting(&fields, "level", out, |at, out| at.word("`level`", &levels, out));
    Some(LogSettings { format: format?, level: level? })
}
