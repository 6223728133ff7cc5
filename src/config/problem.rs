//! What is wrong with a document: where, what, and what to write instead. For terminals with the line of the source,
//! for programs as fields.

use std::fmt;
use std::sync::Arc;

/// A text with the name that messages call it by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    name: String,
    text: String,
}

impl Source {
    /// A byte order mark at the beginning is no part of the text.
    pub(crate) fn new(name: &str, text: &str) -> Arc<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Arc::new(Self { name: name.to_owned(), text: text.to_owned() })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A stretch of a source, by its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
    /// In characters; 0 when only the beginning is known.
    pub(crate) length: usize,
}

impl Place {
    /// The very beginning of a source.
    pub(crate) fn start(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), line: 1, column: 1, length: 0 }
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is taken; its author should know this.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong with a document. `Display` shows it with the line of the source that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    pointer: String,
    what: String,
    help: Option<String>,
    place: Place,
}

impl Problem {
    pub(crate) fn new(severity: Severity, place: &Place, pointer: &str, what: impl Into<String>) -> Self {
        Self { severity, pointer: plain(pointer), what: plain(&what.into()), help: None, place: place.clone() }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(|help| plain(&help.into()));
        self
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// Where in the document's structure: a JSON pointer (RFC 6901), empty for the whole document.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is wrong and what to write instead, on one line.
    pub fn detail(&self) -> String {
        match &self.help {
            Some(help) => format!("{}: {help}", self.what),
            None => self.what.clone(),
        }
    }

    /// The name of the text: a file, or an environment variable.
    pub fn source_name(&self) -> &str {
        &self.place.source.name
    }

    /// The line, counted from 1.
    pub const fn line(&self) -> usize {
        self.place.line
    }

    /// The column in characters, counted from 1.
    pub const fn column(&self) -> usize {
        self.place.column
    }
}

/// Longest message: what a document holds is quoted in it, and may be of any length.
const MESSAGE_MAX: usize = 500;

/// A message that cannot write to the terminal it is shown on, nor fill it.
fn plain(message: &str) -> String {
    let shown = |c: char| {
        let escape = if c.is_control() { c.escape_default().to_string() } else { String::new() };
        if escape.is_empty() { c.to_string() } else { escape }
    };
    let mut plain: String = message.chars().take(MESSAGE_MAX).map(shown).collect();
    if message.chars().nth(MESSAGE_MAX).is_some() {
        plain.push('…');
    }
    plain
}

/// Longest stretch of a source line that is shown; a document may be one line of a megabyte.
const SHOWN_MAX: usize = 140;
/// Characters before the marked place that stay visible when a line is cut.
const SHOWN_BEFORE: usize = 40;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.place.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{}: {}", self.severity, self.what)?;
        write!(f, "{gutter}--> {}:{}:{}", self.source_name(), self.place.line, self.place.column)?;
        if self.pointer.is_empty() {
            writeln!(f)?;
        } else {
            writeln!(f, " ({})", self.pointer)?;
        }
        if let Some(line) = self.place.source.text.lines().nth(self.place.line.saturating_sub(1)) {
            let (shown, marks) = self.excerpt(line);
            writeln!(f, "{gutter} |\n{number} | {shown}\n{gutter} | {marks}")?;
        }
        match &self.help {
            Some(help) => writeln!(f, "{gutter} = help: {help}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// The part of the source line around the marked place, and the marks below it. Tabs and control characters are
    /// shown as single blanks, so that a document can neither shift the marks nor write to the terminal.
    fn excerpt(&self, line: &str) -> (String, String) {
        let start = self.place.column.saturating_sub(1);
        let skipped = if line.chars().count() > SHOWN_MAX { start.saturating_sub(SHOWN_BEFORE) } else { 0 };
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = line.chars().skip(skipped).take(SHOWN_MAX).map(visible).collect();
        let shown = shown.trim_end().to_owned();
        let before = start.saturating_sub(skipped);
        let room = shown.chars().count().saturating_sub(before).max(1);
        let marks = " ".repeat(before) + &"^".repeat(self.place.length.clamp(1, room));
        (shown, marks)
    }
}

/// Why a document was refused: every problem that was found, warnings among them. `Display` shows them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentErrors {
    problems: Vec<Problem>,
}

impl DocumentErrors {
    /// All problems, in the order of the document.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Those that the document was refused for.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error)
    }
}

impl From<Problem> for DocumentErrors {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentErrors {}

/// Most problems that are kept: who made more has one cause for them.
const PROBLEMS_MAX: usize = 100;

/// Problems as they are found. A document is read to its end, so that its author sees all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    problems: Vec<Problem>,
}

impl Findings {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The value and its warnings when nothing was wrong, else every problem.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<(T, Vec<Problem>), DocumentErrors> {
        // A refusal comes first when there are too many: warnings must not crowd it out.
        if self.problems.len() > PROBLEMS_MAX {
            self.problems.sort_by_key(|problem| problem.severity);
            self.problems.truncate(PROBLEMS_MAX);
        }
        let order = |problem: &Problem| (problem.place.source.name.clone(), problem.place.line, problem.place.column);
        self.problems.sort_by_cached_key(order);
        let refused = self.problems.iter().any(|problem| problem.severity == Severity::Error);
        match value {
            Some(value) if !refused => Ok((value, self.problems)),
            Some(_) | None => Err(DocumentErrors { problems: self.problems }),
        }
    }
}
