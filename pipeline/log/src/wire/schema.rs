//! Avro schemas of writers: parsed (Avro specification 1.12, "Schema Declaration") and resolved to a topic's columns.
//!
//! Resolution is the specification's, by the fields' exact names, narrowed to what keeps a value what it was: integers
//! go into integers and numbers, texts and enumerations into texts, bytes into bytes, times into times only where the
//! schema says their unit. Fields that the topic does not have are passed over. Defaults of readers are all null.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use serde_json::Value;

/// How a value is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    /// A long that counts these since the epoch, UTC.
    Time(Unit),
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    /// Symbols.
    Enum(Vec<String>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    /// Names and shapes of fields.
    Record(Vec<(String, Shape)>),
    /// The named shape with this index; the only way in which a shape can hold itself.
    Named(usize),
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// A schema with which records are written, resolved to a topic.
#[derive(Debug)]
pub(super) struct Writer {
    /// In the order in which they are written.
    pub(super) fields: Vec<WrittenField>,
    /// Columns that the schema does not have.
    pub(super) missing: Vec<usize>,
    pub(super) named: Vec<Shape>,
}

/// A field of the writer.
#[derive(Debug)]
pub(super) struct WrittenField {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// The topic's column that takes it.
    pub(super) column: Option<usize>,
}

impl Writer {
    /// Parses and resolves; the error says in words what cannot be read and why.
    pub(super) fn new(text: &str, topic: &Schema) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let mut parser = Parser { named: Vec::new(), indexes: BTreeMap::new() };
        let root = parser.shape(&json, "")?;
        let named = parser.named;
        let Shape::Record(fields) = resolved(&root, &named).clone() else {
            return Err(format!("it is {}, and a record of the topic is needed", described(&root, &named)));
        };
        let column_of = |name: &str| topic.index_of(name).ok();
        let fields = fields.into_iter().map(|(name, shape)| WrittenField { column: column_of(&name), name, shape });
        let fields: Vec<WrittenField> = fields.collect();
        for field in &fields {
            let Some(column) = field.column.map(|index| topic.field(index)) else { continue };
            if !fits(&field.shape, column.data_type(), &named) {
                let (written, wanted) = (described(&field.shape, &named), column.data_type());
                return Err(format!("column {} is written as {written}, which does not fit {wanted}", field.name));
            }
        }
        let is_written = |index: &usize| fields.iter().any(|field| field.column == Some(*index));
        let missing: Vec<usize> = (0..topic.fields().len()).filter(|index| !is_written(index)).collect();
        match missing.iter().map(|index| topic.field(*index)).find(|column| !column.is_nullable()) {
            Some(column) => Err(format!("column {} is needed in each record, and no field writes it", column.name())),
            None => Ok(Self { fields, missing, named }),
        }
    }

    /// Whether each value of a field but null is one of this type, save for its range. A field without values has none.
    pub(super) fn fits(&self, field: &WrittenField, data_type: &DataType) -> bool {
        *resolved(&field.shape, &self.named) != Shape::Null && fits(&field.shape, data_type, &self.named)
    }
}

/// The shape itself, where it stands under its name.
pub(super) fn resolved<'a>(shape: &'a Shape, named: &'a [Shape]) -> &'a Shape {
    match shape {
        Shape::Named(index) => &named[*index],
        other => other,
    }
}

/// Whether each value of the shape but null is a value of the column's type, save for its range.
fn fits(shape: &Shape, column: &DataType, named: &[Shape]) -> bool {
    match (resolved(shape, named), column) {
        (Shape::Union(branches), _) => branches.iter().all(|branch| fits(branch, column, named)),
        (Shape::Null, _)
        | (Shape::Boolean, DataType::Boolean)
        | (Shape::Int | Shape::Long, DataType::Int32 | DataType::Int64 | DataType::Float64)
        | (Shape::Float | Shape::Double, DataType::Float64)
        | (Shape::Time(_), DataType::Timestamp(..))
        | (Shape::Bytes | Shape::Fixed(_), DataType::Binary)
        | (Shape::Text | Shape::Enum(_), DataType::Utf8) => true,
        (Shape::Array(item), DataType::List(column_item)) => {
            matches!(resolved(item, named), Shape::Text | Shape::Enum(_)) && *column_item.data_type() == DataType::Utf8
        }
        _ => false,
    }
}

fn described(shape: &Shape, named: &[Shape]) -> String {
    let name = match resolved(shape, named) {
        Shape::Null => "null",
        Shape::Boolean => "boolean",
        Shape::Int => "int",
        Shape::Long => "long",
        Shape::Time(Unit::Milliseconds) => "timestamp-millis",
        Shape::Time(Unit::Microseconds) => "timestamp-micros",
        Shape::Time(Unit::Nanoseconds) => "timestamp-nanos",
        Shape::Float => "float",
        Shape::Double => "double",
        Shape::Bytes => "bytes",
        Shape::Text => "string",
        Shape::Fixed(_) => "fixed",
        Shape::Enum(_) => "enum",
        Shape::Array(item) => return format!("array of {}", described(item, named)),
        Shape::Map(_) => "map",
        Shape::Union(branches) => {
            let names: Vec<String> = branches.iter().map(|branch| described(branch, named)).collect();
            return format!("union of {}", names.join(", "));
        }
        Shape::Record(_) => "record",
        Shape::Named(_) => "a name",
    };
    name.to_string()
}

struct Parser {
    named: Vec<Shape>,
    /// Full names.
    indexes: BTreeMap<String, usize>,
}

impl Parser {
    /// Recursion is as deep as the JSON, which its parser bounds.
    fn shape(&mut self, json: &Value, namespace: &str) -> Result<Shape, String> {
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.shape(branch, namespace));
                Ok(Shape::Union(branches.collect::<Result<_, _>>()?))
            }
            Value::Object(_) => match json.get("type") {
                Some(Value::String(kind)) => self.complex(kind, json, namespace),
                Some(inner) => self.shape(inner, namespace),
                None => Err("a part of it has no type".to_string()),
            },
            _ => Err("a part of it is neither a name nor an object nor a union".to_string()),
        }
    }

    fn complex(&mut self, kind: &str, json: &Value, namespace: &str) -> Result<Shape, String> {
        let part = |name: &str| json.get(name).ok_or_else(|| format!("a part of type {kind} has no {name}"));
        match kind {
            "array" => Ok(Shape::Array(Box::new(self.shape(part("items")?, namespace)?))),
            "map" => Ok(Shape::Map(Box::new(self.shape(part("values")?, namespace)?))),
            "record" | "error" => {
                let (index, inner) = self.declare(json, namespace)?;
                let fields = part("fields")?.as_array().ok_or("the fields of a record are no list")?;
                let mut shapes: Vec<(String, Shape)> = Vec::new();
                for field in fields {
                    let name = field.get("name").and_then(Value::as_str).ok_or("a field has no name")?;
                    if shapes.iter().any(|(other, _)| other == name) {
                        return Err(format!("two fields are called {name}"));
                    }
                    let shape = field.get("type").ok_or_else(|| format!("field {name} has no type"))?;
                    shapes.push((name.to_string(), self.shape(shape, &inner)?));
                }
                self.named[index] = Shape::Record(shapes);
                Ok(Shape::Named(index))
            }
            "enum" => {
                let (index, _) = self.declare(json, namespace)?;
                let symbols = part("symbols")?.as_array().ok_or("the symbols of an enum are no list")?;
                let symbols = symbols.iter().map(|symbol| symbol.as_str().map(str::to_string)).collect::<Option<_>>();
                self.named[index] = Shape::Enum(symbols.ok_or("a symbol of an enum is no text")?);
                Ok(Shape::Named(index))
            }
            "fixed" => {
                let (index, _) = self.declare(json, namespace)?;
                let size = part("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                self.named[index] = Shape::Fixed(size.ok_or("the size of a fixed is no number of bytes")?);
                Ok(Shape::Named(index))
            }
            "long" => Ok(match json.get("logicalType").and_then(Value::as_str) {
                Some("timestamp-millis") => Shape::Time(Unit::Milliseconds),
                Some("timestamp-micros") => Shape::Time(Unit::Microseconds),
                Some("timestamp-nanos") => Shape::Time(Unit::Nanoseconds),
                _ => Shape::Long,
            }),
            other => self.by_name(other, namespace),
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Result<Shape, String> {
        Ok(match name {
            "null" => Shape::Null,
            "boolean" => Shape::Boolean,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "float" => Shape::Float,
            "double" => Shape::Double,
            "bytes" => Shape::Bytes,
            "string" => Shape::Text,
            _ => match self.indexes.get(&full_name(name, namespace)) {
                Some(index) => Shape::Named(*index),
                None => return Err(format!("type {name} is not defined before it is used")),
            },
        })
    }

    /// Gives a named type its place, so that its own parts can refer to it; also the namespace of those parts.
    fn declare(&mut self, json: &Value, namespace: &str) -> Result<(usize, String), String> {
        let name = json.get("name").and_then(Value::as_str).ok_or("a record, enum or fixed has no name")?;
        let own = json.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(name, own);
        let inner = full.rsplit_once('.').map_or("", |(space, _)| space).to_string();
        let index = self.named.len();
        if self.indexes.insert(full, index).is_some() {
            return Err(format!("type {name} is defined twice"));
        }
        self.named.push(Shape::Null);
        Ok((index, inner))
    }
}

/// A name with dots is full already.
fn full_name(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_string(),
        false => format!("{namespace}.{name}"),
    }
}
