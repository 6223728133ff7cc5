//! The only printer. Data goes to standard output, words for people to standard error; colour and cursor moves only
//! where a terminal shows them.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::client::ClientError;
use crate::config::DocumentErrors;
use crate::domain::event::Verdict;
use crate::domain::phase::Phase;

/// Prints data, and a line break behind it. A reader that has gone away (`| head`) wants no more, which is no error.
pub(super) fn data(text: impl Display) {
    let mut out = anstream::stdout().lock();
    let _reader_gone = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line for people.
pub(super) fn note(text: impl Display) {
    let _reader_gone = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints data as indented JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    data(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints data as one line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    data(serde_json::to_string(value)?);
    Ok(())
}

/// Prints data as YAML.
pub(super) fn yaml(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_saphyr::to_string(value)?;
    data(text.trim_end());
    Ok(())
}

/// Prints an error: what went wrong, then every mistake of a document on a line of its own.
pub(super) fn error(error: &anyhow::Error) {
    if let Some(errors) = error.downcast_ref::<DocumentErrors>() {
        note(errors.to_string().trim_end());
        return;
    }
    let label = "error:";
    let bold = style(AnsiColor::Red).bold();
    if let Some(problem) = error.downcast_ref::<ClientError>().and_then(ClientError::problem) {
        note(format!("{bold}{label}{bold:#} {error:#}"));
        for mistake in &problem.errors {
            let place = if mistake.pointer.is_empty() { "the document" } else { &mistake.pointer };
            note(format!("  {place}: {}", mistake.detail));
        }
        return;
    }
    // The message says what to do; of the chain below it only the root says more.
    let root = if error.chain().count() > 1 { format!(" ({})", error.root_cause()) } else { String::new() };
    note(format!("{bold}{label}{bold:#} {error}{root}"));
}

/// Whether standard output is a terminal that can be drawn on.
pub(super) fn can_draw() -> bool {
    std::io::stdout().is_terminal()
}

/// Columns of the terminal.
pub(super) fn width() -> usize {
    Table::new().width().map_or(80, usize::from).max(20)
}

/// A block of lines that is drawn again and again in the same place.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    lines: usize,
}

impl Drawing {
    /// Draws over what was drawn before.
    pub(super) fn draw(&mut self, lines: &[String]) {
        self.draw_below(&[], lines);
    }

    /// Draws over what was drawn before: first lines that stay, then the block that will be drawn over again.
    pub(super) fn draw_below(&mut self, stay: &[String], lines: &[String]) {
        let plain = anstream::stdout().current_choice() == anstream::ColorChoice::Never;
        let mut out = std::io::stdout().lock();
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        let line = |line: &String| {
            if plain { format!("{}\x1b[K\n", anstream::adapter::strip_str(line)) } else { format!("{line}\x1b[K\n") }
        };
        let body: String = stay.iter().chain(lines).map(line).collect();
        let _terminal_gone = write!(out, "\r{up}{body}\x1b[J").and_then(|()| out.flush());
        self.lines = lines.len();
    }
}

/// A line cut to the width of the terminal. Escape sequences take no room.
pub(super) fn cut(line: &str, width: usize) -> String {
    let mut cut = String::new();
    let (mut taken, mut escape) = (0_usize, false);
    for c in line.chars() {
        if c == '\u{1b}' {
            escape = true;
        }
        if !escape {
            taken = taken.saturating_add(1);
            if taken >= width {
                cut.push('…');
                break;
            }
        } else if c == 'm' {
            escape = false;
        }
        cut.push(c);
    }
    format!("{cut}\u{1b}[0m")
}

/// A table without lines, as `kubectl` prints them.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(|title| Cell::new(title).set_alignment(CellAlignment::Left)));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// A phase in its colour.
pub(super) fn phase(phase: Phase) -> String {
    let colour = match phase {
        Phase::Pending | Phase::Preflight => style(AnsiColor::Cyan),
        Phase::Progressing | Phase::Baking => style(AnsiColor::Blue),
        Phase::Paused | Phase::AwaitingApproval => style(AnsiColor::Yellow),
        Phase::RollingBack | Phase::RolledBack | Phase::Aborted | Phase::Halted => style(AnsiColor::Red),
        Phase::Completed => style(AnsiColor::Green),
    };
    format!("{colour}{phase}{colour:#}")
}

/// A verdict in its colour.
pub(super) fn verdict(verdict: Verdict) -> String {
    coloured(verdict_colour(verdict), verdict.as_str())
}

/// The colour of a verdict.
pub(super) const fn verdict_colour(verdict: Verdict) -> AnsiColor {
    match verdict {
        Verdict::Passing => AnsiColor::Green,
        Verdict::Failing => AnsiColor::Red,
        Verdict::Inconclusive => AnsiColor::Yellow,
    }
}

/// A text in a colour.
pub(super) fn coloured(colour: AnsiColor, text: impl Display) -> String {
    let colour = style(colour);
    format!("{colour}{text}{colour:#}")
}

/// Bold, for what stands at the head of something.
pub(super) fn bold(text: impl Display) -> String {
    let bold = Style::new().bold();
    format!("{bold}{text}{bold:#}")
}

/// Dim, for what matters less.
pub(super) fn dim(text: impl Display) -> String {
    let dim = Style::new().dimmed();
    format!("{dim}{text}{dim:#}")
}

const fn style(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}
