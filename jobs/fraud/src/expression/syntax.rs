//! What a text says, before names and types are looked up. Every part knows where it stands.
//!
//! It may depend on nothing. It refuses trees higher than [`super::DEPTH_MAX`].

use std::ops::Range;

use crate::expression::DEPTH_MAX;
use crate::expression::error::ParseError;
use crate::expression::scalar::Comparison;

/// A sign between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A value that stands in the text itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Boolean(bool),
    Integer(i64),
    /// Microseconds.
    Duration(i64),
    Number(f64),
    Text(String),
}

/// A part of the text.
#[derive(Debug)]
pub(crate) struct Syntax {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    /// Parts on the longest way down, itself included.
    height: usize,
}

/// What a part is.
#[derive(Debug)]
pub(crate) enum Kind {
    Literal(Literal),
    Name(String),
    Not(Box<Syntax>),
    Negate(Box<Syntax>),
    /// Two or more.
    And(Vec<Syntax>),
    /// Two or more.
    Or(Vec<Syntax>),
    Compare(Comparison, Box<Syntax>, Box<Syntax>),
    Arithmetic(Arithmetic, Box<Syntax>, Box<Syntax>),
    /// One or more values, each with its place.
    In(Box<Syntax>, Vec<(Literal, Range<usize>)>),
    /// Name of the list, with its place.
    InList(Box<Syntax>, String, Range<usize>),
    /// Whether it must be missing or must not.
    Missing(Box<Syntax>, bool),
    /// Name of the function, with its place.
    Call(String, Range<usize>, Vec<Syntax>),
}

impl Syntax {
    pub(crate) fn new(kind: Kind, span: Range<usize>) -> Result<Self, ParseError> {
        let below = match &kind {
            Kind::Literal(_) | Kind::Name(_) => 0,
            Kind::Not(inner)
            | Kind::Negate(inner)
            | Kind::In(inner, _)
            | Kind::InList(inner, ..)
            | Kind::Missing(inner, _) => inner.height,
            Kind::Compare(_, left, right) | Kind::Arithmetic(_, left, right) => left.height.max(right.height),
            Kind::And(parts) | Kind::Or(parts) => highest(parts),
            // `min(a, b, c)` becomes a tree of pairs: one level for each value but one.
            Kind::Call(.., parts) => highest(parts) + parts.len().saturating_sub(1),
        };
        if below >= DEPTH_MAX { Err(too_deep(span)) } else { Ok(Self { kind, span, height: below + 1 }) }
    }
}

fn highest(parts: &[Syntax]) -> usize {
    parts.iter().map(|part| part.height).max().unwrap_or_default()
}

/// The error of what is nested too deeply.
pub(crate) fn too_deep(span: Range<usize>) -> ParseError {
    ParseError::new(span, format!("this goes more than {DEPTH_MAX} levels deep; make two rules of it"))
}
