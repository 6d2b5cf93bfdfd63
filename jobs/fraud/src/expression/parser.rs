//! From tokens to [`Syntax`]: a Pratt parser. What binds tightest comes last: `or`, `and`, `not`, comparisons with `in`
//! and `is missing`, `+ -`, `* /`, a sign before a value. Comparisons do not chain.
//!
//! It may depend on nothing. It refuses to go on after an error within one expression; the next rule is read anyway.

use std::ops::Range;

use crate::expression::error::ParseError;
use crate::expression::lexer::{Lexer, Placed, Token};
use crate::expression::scalar::Comparison;
use crate::expression::syntax::{Arithmetic, Kind, Literal, Syntax, too_deep};
use crate::expression::{DEPTH_MAX, LIST_VALUES_MAX};
use crate::names::nearest;

/// How tightly things bind.
pub(crate) mod power {
    pub(crate) const OR: u8 = 1;
    pub(crate) const AND: u8 = 2;
    pub(crate) const NOT: u8 = 3;
    pub(crate) const COMPARE: u8 = 4;
    pub(crate) const ADD: u8 = 5;
    pub(crate) const MULTIPLY: u8 = 6;
    pub(crate) const SIGN: u8 = 7;
    pub(crate) const VALUE: u8 = 8;
}

/// Words that may follow a value.
const WORDS_AFTER: [&str; 4] = ["and", "or", "in", "is"];

/// What may stand behind a value.
#[derive(Clone, Copy)]
enum Operator {
    Or,
    And,
    Compare(Comparison),
    In,
    Is,
    Arithmetic(Arithmetic),
}

impl Operator {
    fn of(token: &Token<'_>) -> Option<Self> {
        Some(match token {
            Token::Word("or") => Self::Or,
            Token::Word("and") => Self::And,
            Token::Word("in") => Self::In,
            Token::Word("is") => Self::Is,
            Token::Sign("+") => Self::Arithmetic(Arithmetic::Add),
            Token::Sign("-") => Self::Arithmetic(Arithmetic::Subtract),
            Token::Sign("*") => Self::Arithmetic(Arithmetic::Multiply),
            Token::Sign("/") => Self::Arithmetic(Arithmetic::Divide),
            Token::Sign(sign) => Self::Compare(Comparison::ALL.into_iter().find(|kind| kind.sign() == *sign)?),
            _ => return None,
        })
    }

    fn power(self) -> u8 {
        match self {
            Self::Or => power::OR,
            Self::And => power::AND,
            Self::Compare(_) | Self::In | Self::Is => power::COMPARE,
            Self::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => power::ADD,
            Self::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide) => power::MULTIPLY,
        }
    }
}

/// Reads expressions, and for a rule file what stands around them.
pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    next: Placed<'a>,
    /// Where the last token that was taken ends.
    end: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut lexer = Lexer::new(text);
        let next = lexer.next();
        Self { lexer, next, end: 0, depth: 0 }
    }

    pub(crate) fn peek(&self) -> &Token<'a> {
        &self.next.token
    }

    pub(crate) fn peek_span(&self) -> Range<usize> {
        self.next.span.clone()
    }

    /// Where the last token that was taken ends.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    pub(crate) fn take(&mut self) -> Placed<'a> {
        self.end = self.next.span.end;
        std::mem::replace(&mut self.next, self.lexer.next())
    }

    /// Takes the next token if it is this word.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let is_it = *self.peek() == Token::Word(word);
        if is_it {
            self.take();
        }
        is_it
    }

    /// Takes the next token if it is this sign.
    pub(crate) fn take_sign(&mut self, sign: &'static str) -> bool {
        let is_it = *self.peek() == Token::Sign(sign);
        if is_it {
            self.take();
        }
        is_it
    }

    /// The error that something else should stand here; of these words the nearest is named.
    pub(crate) fn expected(&self, what: &str, words: &[&str]) -> ParseError {
        let span = self.peek_span();
        match self.peek() {
            Token::Wrong(reason) => ParseError::new(span, *reason),
            Token::End => ParseError::new(span, format!("{what} should follow, but the text ends here")),
            Token::Word(word) => {
                let error = ParseError::new(span, format!("{what} should stand here"));
                error.or_nearest(nearest(word, words.iter().copied()))
            }
            _ => ParseError::new(span, format!("{what} should stand here")),
        }
    }

    /// A whole expression; what follows it is left.
    pub(crate) fn expression(&mut self) -> Result<Syntax, ParseError> {
        self.depth = 0;
        self.operand(power::OR)
    }

    /// The error about what follows a whole expression and cannot belong to it.
    pub(crate) fn trailing(&self) -> ParseError {
        match self.peek() {
            Token::Word("not") => ParseError::new(self.peek_span(), "`not` stands before all of it: `not x in (...)`"),
            _ => self.expected("`and`, `or`, a comparison or the end", &WORDS_AFTER),
        }
    }

    /// An operand of what binds less tightly than this.
    fn operand(&mut self, power_min: u8) -> Result<Syntax, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep(self.peek_span()));
        }
        self.depth += 1;
        let mut left = self.prefix(power_min)?;
        while let Some(operator) = Operator::of(self.peek()).filter(|operator| operator.power() >= power_min) {
            left = self.infix(left, operator)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn infix(&mut self, left: Syntax, operator: Operator) -> Result<Syntax, ParseError> {
        let start = left.span.start;
        let kind = match operator {
            Operator::Or => Kind::Or(self.chain(left, "or", power::AND)?),
            Operator::And => Kind::And(self.chain(left, "and", power::NOT)?),
            Operator::Arithmetic(arithmetic) => {
                self.take();
                let right = self.operand(operator.power() + 1)?;
                Kind::Arithmetic(arithmetic, Box::new(left), Box::new(right))
            }
            Operator::Compare(comparison) => {
                self.take();
                let right = self.operand(power::ADD)?;
                Kind::Compare(comparison, Box::new(left), Box::new(right))
            }
            Operator::In => self.membership(left)?,
            Operator::Is => {
                self.take();
                let is_wanted = !self.take_word("not");
                if !self.take_word("missing") {
                    return Err(self.expected("`missing` or `not missing`", &["missing", "not"]));
                }
                Kind::Missing(Box::new(left), is_wanted)
            }
        };
        if operator.power() == power::COMPARE
            && Operator::of(self.peek()).is_some_and(|next| next.power() == power::COMPARE)
        {
            let message = "comparisons do not chain; join two with `and`, or put the first in parentheses";
            return Err(ParseError::new(self.peek_span(), message));
        }
        Syntax::new(kind, start..self.end)
    }

    /// What is joined by one word, as one part however long: only nesting makes a tree high.
    fn chain(&mut self, first: Syntax, word: &str, power_min: u8) -> Result<Vec<Syntax>, ParseError> {
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(self.operand(power_min)?);
        }
        Ok(parts)
    }

    fn prefix(&mut self, power_min: u8) -> Result<Syntax, ParseError> {
        let start = self.peek_span().start;
        let kind = match self.peek() {
            Token::Word("not") if power_min > power::NOT => {
                return Err(ParseError::new(self.peek_span(), "put this `not` and what it is about in parentheses"));
            }
            Token::Word("not") => {
                self.take();
                Kind::Not(Box::new(self.operand(power::NOT)?))
            }
            Token::Sign("-") => {
                self.take();
                match self.peek() {
                    Token::Integer(_) | Token::Decimal(_) | Token::Duration(_) => Kind::Literal(self.literal(true)?),
                    _ => Kind::Negate(Box::new(self.operand(power::SIGN)?)),
                }
            }
            Token::Sign("(") => {
                self.take();
                let mut inner = self.operand(power::OR)?;
                if !self.take_sign(")") {
                    return Err(self.expected("`)`, `and`, `or` or a comparison", &WORDS_AFTER));
                }
                inner.span = start..self.end;
                return Ok(inner);
            }
            Token::Word(word) if !matches!(*word, "true" | "false") && crate::names::is_reserved(word) => {
                return Err(self.expected("a value", &[]));
            }
            Token::Word(word) if !matches!(*word, "true" | "false") => {
                let name = (*word).to_string();
                self.take();
                let name_span = start..self.end;
                if self.take_sign("(") { Kind::Call(name, name_span, self.arguments()?) } else { Kind::Name(name) }
            }
            _ => Kind::Literal(self.literal(false)?),
        };
        Syntax::new(kind, start..self.end)
    }

    /// What stands between the parentheses of a function, which are taken.
    fn arguments(&mut self) -> Result<Vec<Syntax>, ParseError> {
        let mut arguments = Vec::new();
        if self.take_sign(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.operand(power::OR)?);
            if arguments.len() > LIST_VALUES_MAX {
                return Err(ParseError::new(self.peek_span(), format!("more than {LIST_VALUES_MAX} values")));
            }
            if self.take_sign(")") {
                return Ok(arguments);
            }
            if !self.take_sign(",") {
                return Err(self.expected("`,` or `)`", &WORDS_AFTER));
            }
        }
    }

    fn literal(&mut self, is_negative: bool) -> Result<Literal, ParseError> {
        let too_large = |span| ParseError::new(span, "this is beyond 64 bits with a sign");
        let signed = |magnitude: u64| {
            if is_negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
        };
        let literal = match self.peek() {
            Token::Integer(value) => Literal::Integer(signed(*value).ok_or_else(|| too_large(self.peek_span()))?),
            Token::Duration(value) => Literal::Duration(signed(*value).ok_or_else(|| too_large(self.peek_span()))?),
            // Zero has no sign here.
            Token::Decimal(value) => Literal::Number(if is_negative { 0.0 - *value } else { *value }),
            Token::Text(content) if !is_negative => Literal::Text(content.clone()),
            Token::Word("true") if !is_negative => Literal::Boolean(true),
            Token::Word("false") if !is_negative => Literal::Boolean(false),
            Token::Description(_) => {
                return Err(ParseError::new(self.peek_span(), "a text stands between single quotes"));
            }
            Token::List(_) => return Err(ParseError::new(self.peek_span(), "a list stands behind `in`")),
            _ => return Err(self.expected("a value", &["true", "false", "not"])),
        };
        self.take();
        Ok(literal)
    }

    /// `in (...)` or `in @list`, from `in` on.
    fn membership(&mut self, left: Syntax) -> Result<Kind, ParseError> {
        self.take();
        if let Token::List(name) = *self.peek() {
            let Placed { span, .. } = self.take();
            return Ok(Kind::InList(Box::new(left), name.to_string(), span));
        }
        if !self.take_sign("(") {
            return Err(self.expected("`(` with values or a list such as `@trusted`", &[]));
        }
        let mut values = Vec::new();
        loop {
            let start = self.peek_span().start;
            let is_negative = self.take_sign("-");
            let literal = self.literal(is_negative)?;
            values.push((literal, start..self.end));
            if values.len() > LIST_VALUES_MAX {
                let message = format!("more than {LIST_VALUES_MAX} values; make a list of them");
                return Err(ParseError::new(self.peek_span(), message));
            }
            if self.take_sign(")") {
                return Ok(Kind::In(Box::new(left), values));
            }
            if !self.take_sign(",") {
                return Err(self.expected("`,` or `)`", &[]));
            }
        }
    }
}
