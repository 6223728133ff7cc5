//! The vectors: inputs and what the judge must say, to 1e-9.

use std::path::{Path, PathBuf};

use greenshift::judge::{
    Conclusion, Counts, Evidence, Noise, Reading, Reason, Settings, concurrent, historical, promotion,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    defaults: Option<Settings>,
    #[serde(default)]
    increments: Option<Increments>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Increments {
    concurrent: Vec<ConcurrentBet>,
    historical: Vec<HistoricalBet>,
    promotion: Vec<PromotionBet>,
}

#[derive(Deserialize)]
struct ConcurrentBet {
    nb: f64,
    kb: f64,
    ng: f64,
    kg: f64,
    rho: f64,
    delta: f64,
    m: f64,
    beta_g: f64,
    beta_b: f64,
    log_e: f64,
}

#[derive(Deserialize)]
struct HistoricalBet {
    ng: f64,
    kg: f64,
    base: f64,
    m: f64,
    beta: f64,
    log_e: f64,
}

#[derive(Deserialize)]
struct PromotionBet {
    nb: f64,
    kb: f64,
    ng: f64,
    kg: f64,
    rho_p: f64,
    dp: f64,
    a: f64,
    beta_g: f64,
    beta_b: f64,
    log_e: f64,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    config: Value,
    history: Vec<(f64, f64, f64, u32)>,
    script: Vec<Row>,
    expect: Vec<Expect>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Step { step: (f64, Option<f64>) },
    Periods(f64, f64, f64, f64, f64, u32),
}

#[derive(Deserialize)]
struct Expect {
    period: u32,
    log_e_conc: Value,
    log_e_hist: Value,
    log_q: Value,
    log_g_blue: Value,
    log_e_promote: Value,
    #[serde(rename = "F_blue")]
    blue_dispersion: Value,
    #[serde(rename = "F_split")]
    split_dispersion: Value,
    verdict: String,
    reason: String,
}

fn close(actual: f64, expected: &Value) -> bool {
    let expected = if expected.as_str() == Some("-inf") {
        f64::NEG_INFINITY
    } else {
        expected.as_f64().expect("a number or \"-inf\"")
    };
    actual.to_bits() == expected.to_bits() || (actual - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

fn names(reading: &Reading) -> (&'static str, &'static str) {
    let verdict = match reading.conclusion {
        Conclusion::Rollback => "ROLLBACK",
        Conclusion::Hold => "HOLD",
        Conclusion::Advance => "ADVANCE",
        Conclusion::Continue => "CONTINUE",
    };
    let reason = match reading.reason {
        Reason::Silent => "silent",
        Reason::Concurrent => "concurrent",
        Reason::TwoKey => "two_key",
        Reason::Historical => "historical",
        Reason::Ceiling => "ceiling",
        Reason::CommonCause => "common_cause",
        Reason::Suspect => "suspect",
        Reason::Proven => "proven",
        Reason::Undecided => "-",
    };
    (verdict, reason)
}

fn check(reading: &Reading, expect: &Expect) -> Result<(), String> {
    let numbers = [
        ("log_e_conc", reading.log_e_concurrent, &expect.log_e_conc),
        ("log_e_hist", reading.log_e_history, &expect.log_e_hist),
        ("log_q", reading.log_second_key, &expect.log_q),
        ("log_g_blue", reading.log_blue_sick, &expect.log_g_blue),
        ("log_e_promote", reading.log_e_proof, &expect.log_e_promote),
        ("F_blue", reading.blue_dispersion, &expect.blue_dispersion),
        ("F_split", reading.split_dispersion, &expect.split_dispersion),
    ];
    for (name, actual, expected) in numbers {
        if !close(actual, expected) {
            return Err(format!("period {}: {name} is {actual}, expected {expected}", expect.period));
        }
    }
    if names(reading) != (expect.verdict.as_str(), expect.reason.as_str()) {
        return Err(format!(
            "period {}: {:?}, expected {}/{}",
            expect.period,
            names(reading),
            expect.verdict,
            expect.reason
        ));
    }
    Ok(())
}

/// Runs one vector; `restart` writes the evidence down and reads it back after every period.
fn run(vector: &Vector, restart: bool) -> Result<usize, String> {
    let settings: Settings = serde_json::from_value(vector.config.clone()).map_err(|e| e.to_string())?;
    settings.validate().map_err(|e| e.to_string())?;
    let mut evidence = Evidence::new();
    for &(n, k, period_s, times) in &vector.history {
        for _ in 0..times {
            evidence.history(&settings, Counts::new(n, k), period_s);
        }
    }
    let mut expected = vector.expect.iter().peekable();
    let (mut period, mut checked) = (0, 0);
    for row in &vector.script {
        let &(nb, kb, ng, kg, period_s, times) = match row {
            Row::Step { step: (now, next) } => {
                evidence.step(&settings, *now, *next);
                continue;
            }
            Row::Periods(nb, kb, ng, kg, period_s, times) => &(*nb, *kb, *ng, *kg, *period_s, *times),
        };
        for _ in 0..times {
            let reading = evidence.update(&settings, Counts::new(nb, kb), Counts::new(ng, kg), period_s);
            if let Some(expect) = expected.next_if(|e| e.period == period) {
                check(&reading, expect)?;
                checked += 1;
            }
            if restart {
                let stored = serde_json::to_string(&evidence).map_err(|e| e.to_string())?;
                let back: Evidence = serde_json::from_str(&stored).map_err(|e| e.to_string())?;
                assert_eq!(back, evidence, "evidence changed when it was written down: {stored}");
                evidence = back;
            }
            period += 1;
        }
    }
    match expected.next() {
        Some(left) => Err(format!("period {} was never reached", left.period)),
        None => Ok(checked),
    }
}

fn check_increments(increments: &Increments) {
    for x in &increments.concurrent {
        let settings = Settings { delta: x.delta, ..Settings::default() };
        let noise = Noise { green: x.beta_g, blue: x.beta_b };
        let log = concurrent(&settings, x.rho, x.m, Counts::new(x.nb, x.kb), Counts::new(x.ng, x.kg), noise);
        assert!(close(log, &x.log_e.into()), "{log} instead of {}", x.log_e);
    }
    for x in &increments.historical {
        let log = historical(x.base, x.m, Counts::new(x.ng, x.kg), x.beta);
        assert!(close(log, &x.log_e.into()), "{log} instead of {}", x.log_e);
    }
    for x in &increments.promotion {
        let settings = Settings { rho_p: x.rho_p, ..Settings::default() };
        let noise = Noise { green: x.beta_g, blue: x.beta_b };
        let log = promotion(&settings, x.dp, x.a, Counts::new(x.nb, x.kb), Counts::new(x.ng, x.kg), noise);
        assert!(close(log, &x.log_e.into()), "{log} instead of {}", x.log_e);
    }
}

/// Checks every vector of a file; how many periods were compared.
fn check_file(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).expect("a readable file of vectors");
    let file: File = serde_json::from_str(&text).expect("a file of vectors");
    if let Some(defaults) = &file.defaults {
        assert_eq!(*defaults, Settings::default(), "the defaults in {} are others", path.display());
    }
    if let Some(increments) = &file.increments {
        check_increments(increments);
    }
    let mut failures = Vec::new();
    let mut checked = 0;
    for vector in &file.vectors {
        for restart in [false, true] {
            match run(vector, restart) {
                Ok(periods) => checked += periods,
                Err(error) => failures.push(format!("{} (restarts: {restart}): {error}", vector.name)),
            }
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", path.display(), failures.join("\n"));
    assert!(checked > 0, "{} compares nothing", path.display());
    checked
}

#[test]
fn every_vector_is_met_to_nine_digits_also_across_restarts() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judge/vectors.json");
    let checked = check_file(&own);
    assert_eq!(checked, 388, "194 periods, with and without restarts");
}

#[test]
fn every_vector_in_the_folder_named_by_the_environment_is_met() {
    #[expect(clippy::disallowed_methods, reason = "a test may read its own environment")]
    let Ok(folder) = std::env::var("GREENSHIFT_JUDGE_VECTORS") else { return };
    let entries = std::fs::read_dir(&folder).expect("a folder of vectors");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "{folder} has no *.json");
    for file in files {
        check_file(&file);
    }
}
