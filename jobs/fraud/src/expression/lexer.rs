//! Words, numbers, texts and signs of the language. What is none of them becomes a token too ([`Token::Wrong`]), so
//! that the parser can say it in its place and go on with the next rule.
//!
//! It may depend on nothing. It refuses texts and descriptions over several lines: one missing quote must not swallow
//! the rest of a file.

use std::ops::Range;

use crate::expression::scalar::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};

/// A part of the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name or a word of the language, in whatever case.
    Word(&'a str),
    /// A whole number without a sign.
    Integer(u64),
    /// A number with a decimal point, finite.
    Decimal(f64),
    /// Microseconds.
    Duration(u64),
    /// What stands between single quotes, with `''` as `'`.
    Text(String),
    /// What stands between double quotes, as it is.
    Description(&'a str),
    /// `@name`, without the sign.
    List(&'a str),
    /// A sign such as `<=`.
    Sign(&'static str),
    /// None of these, and why.
    Wrong(&'static str),
    /// There is no more.
    End,
}

/// A token and the bytes where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) span: Range<usize>,
}

/// Signs, longer ones before those with which they begin.
const SIGNS: [&str; 14] = ["!=", "<=", ">=", "(", ")", ",", "=", "<", ">", "+", "-", "*", "/", "%"];

/// What other languages write, and what is written here.
const FOREIGN_SIGNS: [(&str, &str); 6] = [
    ("==", "equal is written `=`"),
    ("<>", "unequal is written `!=`"),
    ("&&", "this is written `and`"),
    ("||", "this is written `or`"),
    ("=>", "at least is written `>=`"),
    ("=<", "at most is written `<=`"),
];

/// Reads tokens one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    place: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, place: 0 }
    }

    /// The next token; at the end of the text [`Token::End`] again and again.
    pub(crate) fn next(&mut self) -> Placed<'a> {
        self.skip_blanks();
        let start = self.place;
        let token = self.token();
        Placed { token, span: start..self.place }
    }

    /// Blanks, line ends and comments, which go from `#` to the end of their line.
    fn skip_blanks(&mut self) {
        loop {
            self.take(|sign| sign.is_whitespace());
            if !self.rest().starts_with('#') {
                return;
            }
            self.take(|sign| sign != '\n');
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.place..]
    }

    /// What follows and is of this kind.
    fn take(&mut self, is_meant: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|sign| !is_meant(sign)).unwrap_or(rest.len());
        self.place += length;
        &rest[..length]
    }

    fn token(&mut self) -> Token<'a> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Token::End };
        if first.is_ascii_digit() {
            return self.number();
        }
        if is_of_word(first) {
            return Token::Word(self.take(is_of_word));
        }
        match first {
            '\'' => self.quoted_text(),
            '"' => self.description(),
            '@' => {
                self.place += 1;
                let name = self.take(is_of_word);
                if name.is_empty() { Token::Wrong("after `@` comes the name of a list") } else { Token::List(name) }
            }
            _ => self.sign(first),
        }
    }

    fn sign(&mut self, first: char) -> Token<'a> {
        let rest = self.rest();
        if let Some((written, instead)) = FOREIGN_SIGNS.iter().find(|(written, _)| rest.starts_with(written)) {
            self.place += written.len();
            return Token::Wrong(instead);
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.place += sign.len();
            return Token::Sign(sign);
        }
        self.place += first.len_utf8();
        Token::Wrong(if first == '!' { "this is written `not`" } else { "this sign means nothing here" })
    }

    /// An integer, a decimal or a duration.
    fn number(&mut self) -> Token<'a> {
        let is_digit = |sign: char| sign.is_ascii_digit() || sign == '_';
        let whole = self.take(is_digit);
        let mut after = self.rest().chars();
        let is_decimal = after.next() == Some('.') && after.next().is_some_and(|sign| sign.is_ascii_digit());
        let fraction = is_decimal.then(|| {
            self.place += 1;
            self.take(is_digit)
        });
        let unit = self.take(is_of_word);
        if whole.ends_with('_') || fraction.is_some_and(|fraction| fraction.ends_with('_')) {
            return Token::Wrong("a `_` stands between digits");
        }
        let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
        if let Some(fraction) = fraction {
            let fraction = fraction.replace('_', "");
            return match format!("{digits}.{fraction}").parse() {
                _ if !unit.is_empty() => Token::Wrong("a decimal has no unit; durations are whole, such as 90s"),
                Ok(value) if f64::is_finite(value) => Token::Decimal(value),
                _ => Token::Wrong("this number is too large"),
            };
        }
        let Ok(value) = digits.parse::<u64>() else { return Token::Wrong("this number is too large") };
        let unit_us = match unit {
            "" => return Token::Integer(value),
            "s" => SECOND_US,
            "m" => MINUTE_US,
            "h" => HOUR_US,
            "d" => DAY_US,
            _ => return Token::Wrong("durations end with s, m, h or d; nothing else has letters after its digits"),
        };
        value.checked_mul(unit_us.unsigned_abs()).map_or(Token::Wrong("this duration is too long"), Token::Duration)
    }

    fn quoted_text(&mut self) -> Token<'a> {
        let mut content = String::new();
        loop {
            // The first turn takes the opening quote, a later one the second of `''`.
            self.place += 1;
            content.push_str(self.take(|sign| sign != '\'' && !sign.is_control()));
            if !self.rest().starts_with('\'') {
                return Token::Wrong("this text has no closing quote on its line, or a control character in it");
            }
            self.place += 1;
            if !self.rest().starts_with('\'') {
                return Token::Text(content);
            }
            content.push('\'');
        }
    }

    fn description(&mut self) -> Token<'a> {
        self.place += 1;
        let content = self.take(|sign| sign != '"' && !sign.is_control());
        if !self.rest().starts_with('"') {
            return Token::Wrong("this description has no closing quote on its line, or a control character in it");
        }
        self.place += 1;
        Token::Description(content)
    }
}

/// Letters beyond ASCII are taken together, so that an error is about the whole word.
fn is_of_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}
