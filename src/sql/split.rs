//! Where a statement ends. The tokens are those of the SQL parser itself, so a semicolon in a text, a quoted name, a
//! comment or a dollar-quoted text separates nothing, and what is split here parses there. A backslash command (`\d`)
//! ends with its line.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

/// A statement or backslash command without its semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'text> {
    /// From its first to its last sign, comments in front left out.
    pub text: &'text str,
    /// Line on which it starts, from 1.
    pub line: u64,
    /// Column at which it starts, in characters from 1.
    pub column: u64,
}

/// A text taken apart.
#[derive(Debug, Default)]
pub struct Split<'text> {
    /// What has its end.
    pub closed: Vec<Statement<'text>>,
    /// What follows the last end, if that is more than comments.
    pub open: Option<Statement<'text>>,
    /// The open part holds something that no continuation can make right.
    pub is_broken: bool,
}

impl<'text> Split<'text> {
    /// Every statement, the last one with or without a semicolon.
    pub fn statements(self) -> Vec<Statement<'text>> {
        self.closed.into_iter().chain(self.open).collect()
    }
}

/// Takes a text apart.
pub fn split(text: &str) -> Split<'_> {
    let mut tokens = Vec::new();
    let problem = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens).err();
    let mut cursor = Cursor { text, offset: 0, line: 1, column: 1 };
    let mut split = Split::default();
    let mut open: Option<(Statement<'_>, usize)> = None;
    for TokenWithSpan { token, span } in &tokens {
        let ends = match token {
            Token::SemiColon => true,
            Token::Whitespace(Whitespace::Newline | Whitespace::SingleLineComment { .. }) => {
                open.is_some_and(|(_, start)| text[start..].starts_with('\\'))
            }
            _ => false,
        };
        if ends {
            let end = cursor.seek(span.start);
            split.closed.extend(open.take().map(|(statement, start)| closed_at(text, statement, start, end)));
        } else if open.is_none() && !matches!(token, Token::Whitespace(_)) {
            open = Some(cursor.start(span.start));
        }
    }
    if problem.is_some() && open.is_none() {
        open = Some(cursor.start(tokens.last().map_or(Location { line: 1, column: 1 }, |token| token.span.end)));
    }
    let rest = open.map(|(statement, start)| closed_at(text, statement, start, text.len()));
    match rest {
        Some(command) if command.text.starts_with('\\') => split.closed.push(command),
        rest => split.open = rest,
    }
    // The tokenizer names what it misses at the end of the text in these words; any other problem lies before it.
    split.is_broken =
        problem.is_some_and(|problem| !problem.message.starts_with("Unterminated") && !problem.message.contains("EOF"));
    split
}

fn closed_at<'text>(text: &'text str, statement: Statement<'text>, start: usize, end: usize) -> Statement<'text> {
    Statement { text: text[start..end].trim(), ..statement }
}

/// Turns the tokenizer's locations, which only grow, into offsets.
struct Cursor<'text> {
    text: &'text str,
    offset: usize,
    line: u64,
    column: u64,
}

impl<'text> Cursor<'text> {
    fn seek(&mut self, to: Location) -> usize {
        for sign in self.text[self.offset..].chars() {
            if (self.line, self.column) >= (to.line, to.column) {
                break;
            }
            self.offset += sign.len_utf8();
            (self.line, self.column) = if sign == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.offset
    }

    fn start(&mut self, at: Location) -> (Statement<'text>, usize) {
        let start = self.seek(at);
        (Statement { text: "", line: at.line, column: at.column }, start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text).statements().into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_semicolon_separates_outside_of_texts_names_and_comments_only() {
        assert_eq!(texts("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(texts("SELECT ';', 'it''s;' ;x"), ["SELECT ';', 'it''s;'", "x"]);
        assert_eq!(texts("SELECT \"a;b\", `c;d`;"), ["SELECT \"a;b\", `c;d`"]);
        assert_eq!(texts("SELECT 1 -- no; end\n+ 2; y"), ["SELECT 1 -- no; end\n+ 2", "y"]);
        assert_eq!(texts("SELECT /* a; /* b; */ c; */ 1; y"), ["SELECT /* a; /* b; */ c; */ 1", "y"]);
        assert_eq!(texts("SELECT $$a;b$$, $t$c;d$t$; y"), ["SELECT $$a;b$$, $t$c;d$t$", "y"]);
        assert_eq!(texts("SELECT E'it\\';s'; y"), ["SELECT E'it\\';s'", "y"]);
    }

    #[test]
    fn what_holds_nothing_is_no_statement() {
        assert_eq!(texts(" ;; -- only; a comment\n ; /* and; */ ;\r\n"), [""; 0]);
    }

    #[test]
    fn a_command_ends_with_its_line() {
        assert_eq!(texts("\\d payments\nSELECT 1;\n\\q"), ["\\d payments", "SELECT 1", "\\q"]);
        assert_eq!(texts("\\d x; \\?"), ["\\d x", "\\?"]);
        assert!(split("\\d").open.is_none());
    }

    #[test]
    fn places_are_those_of_the_first_sign() {
        let places: Vec<_> = split("-- über\nSELECT 'ü\n;'; x;\n\n  y").statements();
        let places: Vec<_> = places.iter().map(|statement| (statement.line, statement.column)).collect();
        assert_eq!(places, [(2, 1), (3, 5), (5, 3)]);
    }

    /// Reading `is_broken` as the mere presence of a problem would end unfinished texts at their first line.
    #[test]
    fn unfinished_is_not_broken() {
        for text in ["SELECT 1", "SELECT 'a;", "SELECT \"a;", "/* a;", "SELECT $$a;", "SELECT $t$a;", "SELECT E'a;"] {
            let split = split(text);
            assert!(split.open.is_some() && !split.is_broken, "{text}");
        }
        let broken = split("SELECT 1; SELECT U&'\\zzzz';");
        assert!(broken.is_broken);
        assert_eq!(broken.open.unwrap().text, "SELECT U&'\\zzzz';");
        assert!(split("SELECT 1; -- done").open.is_none());
    }

    proptest! {
        /// Counting bytes or lines otherwise than the tokenizer does would cut statements at the wrong place.
        #[test]
        fn parts_lie_in_the_text_where_they_say(text in r#"[ aE';"`$\n\r\t/*\-ü\\]{0,40}"#) {
            let mut end = 0;
            for statement in split(&text).statements() {
                let start = statement.text.as_ptr() as usize - text.as_ptr() as usize;
                let before = &text[..start];
                prop_assert!(start >= end && !statement.text.is_empty());
                prop_assert_eq!(statement.line, before.matches('\n').count() as u64 + 1);
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
                prop_assert_eq!(statement.column, column);
                end = start + statement.text.len();
            }
        }

        #[test]
        fn joining_and_splitting_gives_the_statements_back(
            parts in proptest::collection::vec(r#"SELECT ('[a;ü]{0,5}'|"[a;]{1,5}"|/\*[a;]{0,5}\*/ 1|\$\$[a;]{0,5}\$\$)"#, 0..6)
        ) {
            let text = parts.join(";\n");
            prop_assert_eq!(texts(&text), parts);
        }
    }
}
