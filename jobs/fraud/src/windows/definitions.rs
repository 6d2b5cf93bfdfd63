//! The text in which windows are defined, for instance:
//!
//! ```text
//! window card_count_10m = count by token over 10m including current
//! window merchants_1h = distinct(merchant_id) by token over 1h
//! window big_sum_7d = sum(amount_minor) by token where amount_minor > 100_00 over 7d
//! window terminal_risk_7d = mean(fraud) by terminal_id over 7d delayed 7d
//! window pair_last = since_last by token, merchant_id over 30d
//! ```
//!
//! A window is the payments of the same key (`by`, one field or several) for which a condition holds (`where`, in the
//! language of [`crate::expression`]), of a time before the payment (`over`) that ends when it does or earlier
//! (`delayed`). The payment itself is in it only where that is said (`including current`).
//!
//! Functions: `count`, `sum`, `mean`, `stddev` (of the population), `min`, `max`, `last`, `previous`, `distinct`,
//! `since_first` and `since_last` (microseconds).
//!
//! It may depend on the parser of expressions. It refuses fields whose values are no whole numbers where exactness is
//! promised.

use std::fmt;

use crate::expression::parser::Parser;
use crate::expression::{Expression, ParseError, Token};
use crate::fields::{Field, FieldType, Fields};
use crate::lists::Lists;
use crate::names::{is_name, nearest};

use super::{Definition, Function, REACH_US_MAX, WINDOWS_MAX};

/// Begins a definition.
const WINDOW: &str = "window";
/// Functions without a field.
const PLAIN: [&str; 3] = ["count", "since_first", "since_last"];
/// Functions of a field.
const OF_FIELD: [&str; 8] = ["sum", "mean", "stddev", "min", "max", "last", "previous", "distinct"];

/// Parses a text of definitions. Names of windows are not names of fields.
///
/// # Errors
/// Everything that is wrong with it, one error a definition at most.
pub fn parse(text: &str, fields: &Fields) -> Result<Vec<Definition>, Vec<ParseError>> {
    let mut reader = Reader { text, parser: Parser::new(text), fields };
    let (mut definitions, mut errors) = (Vec::<Definition>::new(), Vec::new());
    while *reader.parser.peek() != Token::End {
        let start = reader.parser.peek_span().start;
        match reader.definition() {
            Ok(found) if definitions.iter().any(|other| other.name == found.name) => {
                let message = format!("there is another window {}", found.name);
                errors.push(ParseError::new(start..reader.parser.end(), message));
            }
            Ok(_) if definitions.len() >= WINDOWS_MAX => {
                errors.push(ParseError::new(start..reader.parser.end(), format!("more than {WINDOWS_MAX} windows")));
                break;
            }
            Ok(found) => definitions.push(found),
            Err(found) => {
                errors.extend(found);
                reader.skip();
            }
        }
    }
    if errors.is_empty() { Ok(definitions) } else { Err(errors) }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a>,
    fields: &'a Fields,
}

impl Reader<'_> {
    /// Goes on to where the next definition begins.
    fn skip(&mut self) {
        while !matches!(self.parser.peek(), Token::End | Token::Word(WINDOW)) {
            self.parser.take();
        }
    }

    fn definition(&mut self) -> Result<Definition, Vec<ParseError>> {
        let one = |error: ParseError| vec![error];
        self.word(WINDOW, "`window`").map_err(one)?;
        let name = self.name().map_err(one)?;
        self.sign("=").map_err(one)?;
        let function = self.function().map_err(one)?;
        self.word("by", "`by` and the fields of the key").map_err(one)?;
        let mut key = vec![self.key_field().map_err(one)?];
        while self.parser.take_sign(",") {
            key.push(self.key_field().map_err(one)?);
        }
        let filter = if self.parser.take_word("where") { Some(self.filter()?) } else { None };
        self.word("over", "`over` and a duration such as 7d").map_err(one)?;
        let length_at = self.parser.peek_span();
        let length_us = self.duration().map_err(one)?;
        let delay_us = if self.parser.take_word("delayed") { self.duration().map_err(one)? } else { 0 };
        let span = self.parser.peek_span();
        let includes_current = self.parser.take_word("including");
        if includes_current {
            self.word("current", "`current`").map_err(one)?;
        }
        if includes_current && delay_us > 0 {
            let message = "a window that ends before the payment cannot include it";
            return Err(one(ParseError::new(span.start..self.parser.end(), message)));
        }
        if length_us.saturating_add(delay_us) > REACH_US_MAX {
            let message = format!("length and delay together are more than {} days", REACH_US_MAX / super::DAY_US);
            return Err(one(ParseError::new(length_at, message)));
        }
        Ok(Definition { name, function, key, filter, length_us, delay_us, includes_current })
    }

    fn word(&mut self, word: &'static str, what: &str) -> Result<(), ParseError> {
        if self.parser.take_word(word) { Ok(()) } else { Err(self.parser.expected(what, &[word])) }
    }

    fn sign(&mut self, sign: &'static str) -> Result<(), ParseError> {
        if self.parser.take_sign(sign) { Ok(()) } else { Err(self.parser.expected(&format!("`{sign}`"), &[])) }
    }

    fn name(&mut self) -> Result<String, ParseError> {
        let span = self.parser.peek_span();
        let name = match *self.parser.peek() {
            Token::Word(word) if is_name(word) => word.to_string(),
            _ => return Err(self.parser.expected("the name of the window (a to z, digits and _)", &[])),
        };
        self.parser.take();
        if self.fields.get(&name).is_some() {
            return Err(ParseError::new(span, format!("{name} is the name of a field")));
        }
        Ok(name)
    }

    fn function(&mut self) -> Result<Function, ParseError> {
        let span = self.parser.peek_span();
        let Token::Word(word) = *self.parser.peek() else {
            return Err(self.parser.expected("a function such as `count` or `sum(...)`", &[]));
        };
        self.parser.take();
        match word {
            "count" => return Ok(Function::Count),
            "since_first" => return Ok(Function::SinceFirst),
            "since_last" => return Ok(Function::SinceLast),
            _ => {}
        }
        if !OF_FIELD.contains(&word) {
            let known = PLAIN.into_iter().chain(OF_FIELD);
            let error = ParseError::new(span, format!("there is no function {word}"));
            return Err(error.or_nearest(nearest(word, known)));
        }
        self.sign("(")?;
        let span = self.parser.peek_span();
        let field = self.field("the field that it is about")?;
        let (name, field_type) = (field.name().to_string(), field.field_type());
        let fits = match (word, field_type) {
            (_, FieldType::Number) | ("sum" | "mean" | "stddev", FieldType::Time) => false,
            (word, FieldType::Text) => word == "distinct",
            _ => true,
        };
        if !fits {
            let message = format!("{name} is {field_type}, of which there is no exact {word}");
            return Err(ParseError::new(span, message));
        }
        self.sign(")")?;
        Ok(match word {
            "sum" => Function::Sum(name),
            "mean" => Function::Mean(name),
            "stddev" => Function::Stddev(name),
            "min" => Function::Min(name),
            "max" => Function::Max(name),
            "last" => Function::Last(name),
            "previous" => Function::Previous(name),
            _ => Function::Distinct(name),
        })
    }

    fn field(&mut self, what: &str) -> Result<Field, ParseError> {
        let span = self.parser.peek_span();
        let Token::Word(word) = *self.parser.peek() else { return Err(self.parser.expected(what, &[])) };
        self.parser.take();
        let unknown =
            || ParseError::new(span, format!("there is no field {word}")).or_nearest(self.fields.nearest(word));
        self.fields.get(word).cloned().ok_or_else(unknown)
    }

    fn key_field(&mut self) -> Result<String, ParseError> {
        let span = self.parser.peek_span();
        let field = self.field("a field of the key")?;
        if matches!(field.field_type(), FieldType::Number | FieldType::Time) {
            return Err(ParseError::new(span, format!("{} is {}, which is no key", field.name(), field.field_type())));
        }
        Ok(field.name().to_string())
    }

    fn filter(&mut self) -> Result<Expression, Vec<ParseError>> {
        let start = self.parser.peek_span().start;
        self.parser.expression().map_err(|error| vec![error])?;
        if matches!(self.parser.peek(), Token::Wrong(_)) {
            return Err(vec![self.parser.trailing()]);
        }
        let end = self.parser.end();
        let moved = |error: ParseError| ParseError { span: start + error.span.start..start + error.span.end, ..error };
        let condition = Expression::parse(&self.text[start..end], self.fields, &Lists::default())
            .map_err(|errors| errors.into_iter().map(moved).collect::<Vec<_>>())?;
        if condition.field_type() != FieldType::Boolean {
            return Err(vec![ParseError::new(
                start..end,
                format!("this is {}, not a condition", condition.field_type()),
            )]);
        }
        Ok(condition)
    }

    fn duration(&mut self) -> Result<i64, ParseError> {
        match *self.parser.peek() {
            Token::Duration(duration_us) if duration_us > 0 => {
                self.parser.take();
                // What is longer than any window is refused with its length.
                Ok(i64::try_from(duration_us).unwrap_or(i64::MAX))
            }
            _ => Err(self.parser.expected("a duration such as 30s, 10m, 2h or 7d", &[])),
        }
    }
}

/// Parses back to the same definition.
impl fmt::Display for Definition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "window {} = {} by {}", self.name, self.function, self.key.join(", "))?;
        if let Some(filter) = &self.filter {
            write!(formatter, " where {filter}")?;
        }
        write!(formatter, " over {}", Duration(self.length_us))?;
        if self.delay_us > 0 {
            write!(formatter, " delayed {}", Duration(self.delay_us))?;
        }
        if self.includes_current { formatter.write_str(" including current") } else { Ok(()) }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Count => "count",
            Self::SinceFirst => "since_first",
            Self::SinceLast => "since_last",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Stddev(_) => "stddev",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::Last(_) => "last",
            Self::Previous(_) => "previous",
            Self::Distinct(_) => "distinct",
        };
        match self.field() {
            Some(field) => write!(formatter, "{name}({field})"),
            None => formatter.write_str(name),
        }
    }
}

/// Microseconds in the largest unit that says them exactly; definitions have whole seconds.
struct Duration(i64);

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, i64); 3] = [("d", 86_400), ("h", 3_600), ("m", 60)];
        let seconds = self.0 / 1_000_000;
        let unit = UNITS.into_iter().find(|(_, unit_s)| seconds % unit_s == 0);
        let (name, unit_s) = unit.unwrap_or(("s", 1));
        write!(formatter, "{}{name}", seconds / unit_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields::new([
            ("token", FieldType::Text),
            ("merchant_id", FieldType::Text),
            ("amount_minor", FieldType::Integer),
            ("fraud", FieldType::Boolean),
            ("received_at", FieldType::Time),
            ("weight", FieldType::Number),
        ])
        .unwrap()
    }

    fn wrong(text: &str) -> Vec<String> {
        let errors = parse(text, &fields()).unwrap_err();
        errors.iter().map(|error| error.marked(text)).collect()
    }

    #[test]
    fn definitions_are_read_and_written() {
        let text = "# of cards\nwindow a = count by token over 10m including current\n\
            window b = sum(amount_minor) by token where amount_minor > 100_00 and fraud over 7d\n\
            window c = mean(fraud)\n  by merchant_id over 90s delayed 7d window d = distinct(token) by merchant_id, token \
            over 24h window e = since_last by token over 731d window f = max(received_at) by token over 1d";
        let definitions = parse(text, &fields()).unwrap();
        let written: Vec<String> = definitions.iter().map(Definition::to_string).collect();
        assert_eq!(written[0], "window a = count by token over 10m including current");
        assert_eq!(written[2], "window c = mean(fraud) by merchant_id over 90s delayed 7d");
        assert_eq!(written[3], "window d = distinct(token) by merchant_id, token over 1d");
        assert_eq!(parse(&written.join("\n"), &fields()).unwrap(), definitions);
    }

    #[test]
    fn every_wrong_definition_is_said_with_its_place() {
        let text = "window a = cuont by token over 1d\n\
            window b = sum(amount_mino) by token over 1d\n\
            window c = sum(weight) by token over 1d\n\
            window d = count by received_at over 1d\n\
            window e = count by token where amount_minor over 1d\n\
            window f = count by token over 7\n\
            window g = count by token over 1d delayed 1d including current\n\
            window h = count by token over 800d\n\
            window token = count by token over 1d\n\
            window h2 = count by token where token <> 'a' over 1d\n\
            window i = count by token where amount_minr > 5 over 1d\n\
            window j = count by token over 1d\nwindow j = count by token over 2d\nwindw";
        let wrong = wrong(text);
        let starts = [
            "line 1: there is no function cuont; did you mean `count`?",
            "line 2: there is no field amount_mino; did you mean `amount_minor`?",
            "line 3: weight is a number, of which there is no exact sum",
            "line 4: received_at is a time, which is no key",
            "line 5: this is an integer, not a condition",
            "line 6: a duration such as 30s, 10m, 2h or 7d should stand here",
            "line 7: a window that ends before the payment cannot include it",
            "line 8: length and delay together are more than 731 days",
            "line 9: token is the name of a field",
            "line 10: unequal is written `!=`",
            "line 11: there is no field amount_minr; did you mean `amount_minor`?",
            "line 13: there is another window j",
            "line 14: `window` should stand here; did you mean `window`?",
        ];
        assert_eq!(wrong.len(), starts.len(), "{wrong:#?}");
        for (found, start) in wrong.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}\ninstead of\n{start}");
        }
    }
}
