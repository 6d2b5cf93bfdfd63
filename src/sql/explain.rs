//! Errors of statements in plain words: where, what, and what to do next.

use std::io::ErrorKind;
use std::path::PathBuf;

use datafusion::common::DataFusionError;
use lake::QueryError;

use super::answer::AnswerError;
use super::split::Statement;
use crate::failure::Failure;

/// Why a statement did not end.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The lake refused or failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The answer could not be written.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The output file could not be made.
    #[error("cannot write {}: {cause}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A backslash command that does not exist.
    #[error("{0}")]
    NoCommand(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl From<DataFusionError> for StatementError {
    fn from(error: DataFusionError) -> Self {
        Self::Query(QueryError::Failed { problem: error.find_root().strip_backtrace() })
    }
}

impl StatementError {
    /// Whether nobody reads the output any more (`till sql ... | head`), which is no failure.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Answer(AnswerError::Write(error)) if error.kind() == ErrorKind::BrokenPipe)
    }
}

/// The failure that this error of a statement is; `number` is the statement's place among several, from 1.
pub fn explain(error: StatementError, statement: &Statement<'_>, number: Option<usize>) -> Failure {
    let place = number.map(|number| format!("statement {number} (line {}): ", statement.line)).unwrap_or_default();
    let told = |problem: &str| format!("{place}{problem}");
    match &error {
        StatementError::Query(QueryError::UnknownName { problem, nearest }) => {
            let failure = Failure::usage(told(problem));
            match nearest {
                Some(name) => failure.with_help(format!("did you mean {name}?")),
                None => failure.with_help("`till sql '\\d'` lists what there is, `till sql '\\d NAME'` its columns"),
            }
        }
        StatementError::Query(QueryError::Invalid { problem }) => Failure::usage(told(&plain(problem, statement))),
        StatementError::NoCommand(problem) => Failure::usage(told(problem)).with_help("`\\?` lists the commands"),
        StatementError::Answer(AnswerError::SameName(_)) => Failure::usage(told(&error.to_string())),
        StatementError::Query(QueryError::Refused { .. }) => Failure::usage(told(&error.to_string())),
        _ => Failure::failed(told(&error.to_string())),
    }
}

/// The parser's message without its type names, with lines and columns of the whole text instead of the statement's.
fn plain(problem: &str, statement: &Statement<'_>) -> String {
    let Some(problem) = problem.strip_prefix("SQL error: ") else {
        return problem.to_string();
    };
    let inner = problem.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(problem);
    let text = inner.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\").replace("\\n", " ");
    let text = text
        .replace("Unterminated", "unterminated")
        .replace("Expected: ", "expected ")
        .replace(", found: ", ", found ");
    let place = text.rsplit_once(" at Line: ").and_then(|(text, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((text, line.parse::<u64>().ok()?, column.parse::<u64>().ok()?))
    });
    match place {
        Some((text, line, column)) => {
            let column = if line == 1 { column + statement.column - 1 } else { column };
            format!("cannot parse the statement: {text} at line {}, column {column}", line + statement.line - 1)
        }
        None => format!("cannot parse the statement: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Statement<'_> = Statement { text: "", line: 5, column: 3 };

    fn invalid(problem: &str) -> StatementError {
        QueryError::Invalid { problem: problem.to_string() }.into()
    }

    #[test]
    fn parse_errors_say_the_place_in_the_whole_text() {
        let first = r#"SQL error: ParserError("Expected: an expression, found: FROM at Line: 1, Column: 8")"#;
        assert_eq!(
            explain(invalid(first), &SECOND, Some(2)).to_string(),
            "statement 2 (line 5): cannot parse the statement: expected an expression, found FROM at line 5, column 10"
        );
        let later = r#"SQL error: ParserError("Expected: ), found: \"x\" at Line: 3, Column: 8")"#;
        assert_eq!(
            explain(invalid(later), &SECOND, None).to_string(),
            "cannot parse the statement: expected ), found \"x\" at line 7, column 8"
        );
        assert_eq!(explain(invalid("x is ambiguous"), &SECOND, None).to_string(), "x is ambiguous");
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_other_trouble() {
        let error = |kind: ErrorKind| StatementError::Answer(AnswerError::Write(kind.into()));
        assert!(error(ErrorKind::BrokenPipe).is_reader_gone());
        assert!(!error(ErrorKind::StorageFull).is_reader_gone());
    }
}
