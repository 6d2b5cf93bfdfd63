//! Bodies of Avro records: checked to the last byte, then read into columns.
//!
//! A body comes from outside. It is walked once by its writer's schema before anything of it is taken, so that one that
//! lies about a length, a count or a branch costs its own record and no neighbour. Depth and steps are bounded: neither
//! a type that holds itself nor a list of a billion empty items costs more than its bytes warrant.

use crate::avro::read_long;

use super::rows::Values;
use super::schema::{Shape, Unit, Writer, resolved};

/// Deepest nesting of a body's values; a record of a topic has four levels.
const DEPTH_MAX: usize = 64;
/// Values that any body may hold, whatever its length: room for wide records whose fields are empty.
const STEPS_BASE: usize = 4_096;
/// Values that each byte of a body adds: most take one byte or more, but records and nulls take none.
const STEPS_PER_BYTE: usize = 16;

const ENDS_EARLY: &str = "the record ends inside a value";

/// Checks that the body is exactly one record of the writer; says which field is wrong and why.
pub(super) fn check(writer: &Writer, body: &[u8]) -> Result<(), String> {
    let steps = STEPS_BASE.saturating_add(body.len().saturating_mul(STEPS_PER_BYTE));
    let mut walker = Walker { named: &writer.named, steps };
    let mut body = Body { rest: body };
    for field in &writer.fields {
        walker.pass(&mut body, &field.shape, 0).map_err(|cause| format!("field {}: {cause}", field.name))?;
    }
    match body.rest {
        [] => Ok(()),
        _ => Err("the record goes on after its last value".to_string()),
    }
}

/// Appends a checked body as a row: a value to each column.
pub(super) fn append(writer: &Writer, body: &[u8], columns: &mut [Values]) {
    let mut body = Body { rest: body };
    let mut walker = Walker { named: &writer.named, steps: usize::MAX };
    for field in &writer.fields {
        let taken = match field.column {
            Some(column) => read(&mut body, &field.shape, &writer.named, &mut columns[column]),
            None => walker.pass(&mut body, &field.shape, 0),
        };
        taken.expect("the body was walked to its end before");
    }
    for column in &writer.missing {
        columns[*column].null();
    }
}

/// Reads one value of a shape that fits the column.
fn read(body: &mut Body<'_>, shape: &Shape, named: &[Shape], column: &mut Values) -> Result<(), &'static str> {
    match resolved(shape, named) {
        Shape::Union(branches) => {
            let branch = body.index(branches.len())?;
            return read(body, &branches[branch], named, column);
        }
        Shape::Null => column.null(),
        Shape::Boolean => column.boolean(body.byte()? != 0),
        Shape::Int | Shape::Long => column.integer(body.long()?),
        Shape::Time(unit) => column.time(microseconds(body.long()?, *unit)),
        Shape::Float => column.number(f64::from(f32::from_le_bytes(body.array()?))),
        Shape::Double => column.number(f64::from_le_bytes(body.array()?)),
        Shape::Bytes => column.bytes(body.run()?),
        Shape::Fixed(size) => column.bytes(body.take(*size)?),
        Shape::Text => column.text(body.text()?),
        Shape::Enum(symbols) => column.text(&symbols[body.index(symbols.len())?]),
        Shape::Array(item) => {
            let mut items = Vec::new();
            while let Some(count) = body.block()? {
                for _ in 0..count {
                    items.push(match resolved(item, named) {
                        Shape::Enum(symbols) => symbols[body.index(symbols.len())?].as_str(),
                        _ => body.text()?,
                    });
                }
            }
            column.texts(&items);
        }
        Shape::Map(_) | Shape::Record(_) | Shape::Named(_) => {
            unreachable!("a schema that writes a column so was refused when it came into force")
        }
    }
    Ok(())
}

/// `None` where microseconds cannot count so far. Fractions of a microsecond are cut, to the earlier one.
fn microseconds(count: i64, unit: Unit) -> Option<i64> {
    match unit {
        Unit::Milliseconds => count.checked_mul(1_000),
        Unit::Microseconds => Some(count),
        Unit::Nanoseconds => Some(count.div_euclid(1_000)),
    }
}

/// Walks over values without taking them.
struct Walker<'a> {
    named: &'a [Shape],
    /// Values that it may still meet.
    steps: usize,
}

impl Walker<'_> {
    fn pass(&mut self, body: &mut Body<'_>, shape: &Shape, depth: usize) -> Result<(), &'static str> {
        self.steps = self.steps.checked_sub(1).ok_or("it has more values than its length allows")?;
        if depth > DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        match resolved(shape, self.named) {
            Shape::Null => {}
            Shape::Boolean => {
                if body.byte()? > 1 {
                    return Err("a truth value is neither 0 nor 1");
                }
            }
            Shape::Int => {
                i32::try_from(body.long()?).map_err(|_| "a number has more than 32 bits")?;
            }
            Shape::Long | Shape::Time(_) => {
                body.long()?;
            }
            Shape::Float => body.take(4).map(drop)?,
            Shape::Double => body.take(8).map(drop)?,
            Shape::Bytes => body.run().map(drop)?,
            Shape::Text => body.text().map(drop)?,
            Shape::Fixed(size) => body.take(*size).map(drop)?,
            Shape::Enum(symbols) => body.index(symbols.len()).map(drop)?,
            Shape::Union(branches) => {
                let branch = body.index(branches.len())?;
                self.pass(body, &branches[branch], depth + 1)?;
            }
            Shape::Record(fields) => {
                for (_, field) in fields {
                    self.pass(body, field, depth + 1)?;
                }
            }
            Shape::Array(item) => {
                while let Some(count) = body.block()? {
                    for _ in 0..count {
                        self.pass(body, item, depth + 1)?;
                    }
                }
            }
            Shape::Map(value) => {
                while let Some(count) = body.block()? {
                    for _ in 0..count {
                        body.text()?;
                        self.pass(body, value, depth + 1)?;
                    }
                }
            }
            Shape::Named(_) => unreachable!("a name stands for a shape, not for another name"),
        }
        Ok(())
    }
}

/// What is left of a body.
struct Body<'a> {
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        self.array().map(|[byte]| byte)
    }

    fn long(&mut self) -> Result<i64, &'static str> {
        // Most numbers are branches and lengths of one byte, zigzag.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            let half = i64::from(byte >> 1);
            self.rest = rest;
            return Ok(if byte & 1 == 0 { half } else { -half - 1 });
        }
        read_long(&mut self.rest).map_err(|_| "a number does not end")
    }

    /// Place in a list of this many: a branch of a union or a symbol of an enumeration.
    fn index(&mut self, count: usize) -> Result<usize, &'static str> {
        let index = usize::try_from(self.long()?).ok();
        index.filter(|index| *index < count).ok_or("it names a branch or symbol that its schema does not have")
    }

    /// Bytes after their length.
    fn run(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, &'static str> {
        std::str::from_utf8(self.run()?).map_err(|_| "a text is not UTF-8")
    }

    /// Number of items in the next block of a list or map; `None` after the last. A negative one is followed by the
    /// block's length, which only helps to skip it.
    fn block(&mut self) -> Result<Option<u64>, &'static str> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok((count != 0).then_some(count.unsigned_abs()))
    }
}
