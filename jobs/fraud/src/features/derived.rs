//! Features that follow from the columns of one row, as text and as columns.
//!
//! A text has one definition after the other, `feature NAME = EXPRESSION`; comments start with `#`. It may depend on the
//! parser of expressions. It refuses features that another one is made of: each follows from columns that are there.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};

use crate::expression::parser::Parser;
use crate::expression::{EvaluateError, Expression, ParseError, Token};
use crate::fields::{FIELDS_MAX, FieldType, Fields};
use crate::lists::Lists;
use crate::names::is_name;

/// Begins a definition.
const FEATURE: &str = "feature";

/// A feature that follows from the other columns of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// Name of its column.
    pub name: String,
    /// What it is: a number, an integer or a condition.
    pub expression: Expression,
}

/// Parses back to the same feature.
impl fmt::Display for Derived {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{FEATURE} {} = {}", self.name, self.expression)
    }
}

/// Parses a text of features. Names of features are not names of fields.
///
/// # Errors
/// Everything that is wrong with it, definition by definition.
pub fn parse(text: &str, fields: &Fields) -> Result<Vec<Derived>, Vec<ParseError>> {
    let mut parser = Parser::new(text);
    let (mut features, mut errors) = (Vec::<Derived>::new(), Vec::new());
    while *parser.peek() != Token::End {
        let start = parser.peek_span().start;
        match definition(text, &mut parser, fields) {
            Ok(found) if features.iter().any(|other| other.name == found.name) => {
                let message = format!("there is another feature {}", found.name);
                errors.push(ParseError::new(start..parser.end(), message));
            }
            Ok(_) if features.len() >= FIELDS_MAX => {
                errors.push(ParseError::new(start..parser.end(), format!("more than {FIELDS_MAX} features")));
                break;
            }
            Ok(found) => features.push(found),
            Err(found) => {
                errors.extend(found);
                while !matches!(parser.peek(), Token::End | Token::Word(FEATURE)) {
                    parser.take();
                }
            }
        }
    }
    if errors.is_empty() { Ok(features) } else { Err(errors) }
}

fn definition(text: &str, parser: &mut Parser<'_>, fields: &Fields) -> Result<Derived, Vec<ParseError>> {
    let expected = |parser: &Parser<'_>, what: &str, words: &[&'static str]| vec![parser.expected(what, words)];
    if !parser.take_word(FEATURE) {
        return Err(expected(parser, "`feature`", &[FEATURE]));
    }
    let span = parser.peek_span();
    let name = match *parser.peek() {
        Token::Word(word) if is_name(word) => word.to_string(),
        _ => return Err(expected(parser, "the name of the feature (a to z, digits and _)", &[])),
    };
    if fields.get(&name).is_some() {
        return Err(vec![ParseError::new(span, format!("{name} is the name of a field"))]);
    }
    parser.take();
    if !parser.take_sign("=") {
        return Err(expected(parser, "`=`", &[]));
    }
    let start = parser.peek_span().start;
    parser.expression().map_err(|error| vec![error])?;
    let end = parser.end();
    let moved = |error: ParseError| ParseError { span: start + error.span.start..start + error.span.end, ..error };
    let expression = Expression::parse(&text[start..end], fields, &Lists::default())
        .map_err(|errors| errors.into_iter().map(moved).collect::<Vec<_>>())?;
    match expression.field_type() {
        FieldType::Integer | FieldType::Number | FieldType::Boolean => Ok(Derived { name, expression }),
        found => Err(vec![ParseError::new(start..end, format!("this is {found}, which is no feature"))]),
    }
}

/// The rows with a further column for each of these features.
///
/// # Errors
/// Fails where the rows have no such columns as the expressions read.
pub fn with_derived(rows: &RecordBatch, derived: &[Derived]) -> Result<RecordBatch, EvaluateError> {
    let mut fields = rows.schema().fields().to_vec();
    let mut columns = rows.columns().to_vec();
    for feature in derived {
        let column = feature.expression.evaluate_columns(rows)?;
        fields.push(Arc::new(Field::new(&feature.name, column.data_type().clone(), true)));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .expect("every expression gives a value for each row"))
}
