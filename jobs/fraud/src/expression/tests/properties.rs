//! Random expressions over random batches.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Texts of expressions of each type, of one height.
#[derive(Clone)]
struct Texts {
    condition: BoxedStrategy<String>,
    integer: BoxedStrategy<String>,
    number: BoxedStrategy<String>,
    text: BoxedStrategy<String>,
    time: BoxedStrategy<String>,
}

fn one_of(texts: &[&str]) -> BoxedStrategy<String> {
    select(texts.iter().map(ToString::to_string).collect::<Vec<_>>()).boxed()
}

fn leaves() -> Texts {
    Texts {
        condition: one_of(&["contactless", "abroad", "true", "false"]),
        integer: prop_oneof![
            3 => one_of(&["amount_minor", "card_count_1h"]),
            1 => one_of(&["0", "1", "-1", "7", "2m", "-30s", "9_223_372_036_854_775_807", "-9223372036854775808"]),
            1 => any::<i64>().prop_map(|value| value.to_string()),
        ]
        .boxed(),
        number: prop_oneof![
            3 => one_of(&["score", "risk"]),
            1 => one_of(&["0.0", "-0.0", "1.5", "-2.25", "9007199254740992.0", "9223372036854775808.0", "0.1"]),
        ]
        .boxed(),
        text: one_of(&["currency", "merchant_id", "token", "'a'", "''", "'it''s'", "'Ä # ß'", "'tok_1'"]),
        time: one_of(&["received_at", "card_last_at"]),
    }
}

fn two(
    left: &BoxedStrategy<String>,
    signs: &'static [&'static str],
    right: &BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    let parts = (left.clone(), select(signs), right.clone(), any::<bool>());
    parts
        .prop_map(|(left, sign, right, is_bare)| {
            // Without parentheses the text means another tree, which must hold the same properties where it has types.
            if is_bare { format!("{left} {sign} {right}") } else { format!("({left}) {sign} ({right})") }
        })
        .boxed()
}

fn call(
    names: &'static [&'static str],
    arguments: &BoxedStrategy<String>,
    count: std::ops::Range<usize>,
) -> BoxedStrategy<String> {
    (select(names), prop::collection::vec(arguments.clone(), count))
        .prop_map(|(name, arguments)| format!("{name}({})", arguments.join(", ")))
        .boxed()
}

fn around(before: &'static str, inner: &BoxedStrategy<String>, after: &'static str) -> BoxedStrategy<String> {
    inner.clone().prop_map(move |inner| format!("{before}{inner}{after}")).boxed()
}

const ORDERS: &[&str] = &["=", "!=", "<", "<=", ">", ">="];

fn higher(below: &Texts) -> Texts {
    let Texts { condition, integer, number, text, time } = below;
    Texts {
        condition: prop_oneof![
            condition.clone(),
            two(condition, &["and", "or", "and false or"], condition),
            around("not (", condition, ")"),
            around("not ", condition, ""),
            two(condition, &["=", "!="], condition),
            two(integer, ORDERS, integer),
            two(integer, ORDERS, number),
            two(number, ORDERS, integer),
            two(number, ORDERS, number),
            two(text, ORDERS, text),
            two(time, ORDERS, time),
            around("(", integer, ") in (7, -1, 0, 7, 120000000, 1h)"),
            around("(", number, ") in (0.0, 1.5, 7, -2.25)"),
            around("(", text, ") in ('a', 'A', '', 'ä # ß')"),
            around("", text, " in ('1', '2', '3', '4', '5', '6', '7', 'a', 'tok_1', 'm_1')"),
            around("", text, " in @stolen"),
            around("(", integer, ") is missing"),
            around("", number, " is not missing"),
            around("(", condition, ") is missing"),
            around("", text, " is missing"),
            around("", time, " is not missing"),
        ]
        .boxed(),
        integer: prop_oneof![
            integer.clone(),
            two(integer, &["+", "-", "*"], integer),
            two(time, &["-"], time),
            call(&["abs"], integer, 1..2),
            call(&["min", "max"], integer, 2..4),
            call(&["hour", "weekday"], time, 1..2),
            around("-", integer, ""),
            around("-(", integer, ")"),
        ]
        .boxed(),
        number: prop_oneof![
            number.clone(),
            two(number, &["+", "-", "*", "/"], number),
            two(integer, &["/"], integer),
            two(integer, &["+", "-", "*", "/"], number),
            two(number, &["+", "-", "*", "/"], integer),
            call(&["abs"], number, 1..2),
            call(&["min", "max"], &prop_oneof![integer.clone(), number.clone()].boxed(), 2..4),
            around("-(", number, ")"),
        ]
        .boxed(),
        text: prop_oneof![text.clone(), call(&["lower"], text, 1..2)].boxed(),
        time: prop_oneof![
            time.clone(),
            two(time, &["+", "-"], integer),
            two(integer, &["+"], time),
            call(&["min", "max"], time, 2..4),
        ]
        .boxed(),
    }
}

fn of_height(height: usize) -> Texts {
    (0..height).fold(leaves(), |below, _| higher(&below))
}

pub(crate) fn any_condition() -> BoxedStrategy<String> {
    of_height(3).condition
}

fn any_text() -> BoxedStrategy<String> {
    let Texts { condition, integer, number, text, time } = of_height(3);
    prop_oneof![4 => condition, 1 => integer, 1 => number, 1 => text, 1 => time].boxed()
}

pub(crate) type AnyRow =
    ([Option<i64>; 2], [Option<f64>; 2], [Option<&'static str>; 3], [Option<bool>; 2], [Option<i64>; 2]);

fn any_row() -> impl Strategy<Value = AnyRow> {
    let integer = || {
        let edges = select(&[i64::MIN, i64::MIN + 1, -1, 0, 1, 7, (1 << 53) + 1, i64::MAX - 1, i64::MAX]);
        prop::option::weighted(0.8, prop_oneof![edges, any::<i64>(), -10..10i64])
    };
    let number = || {
        let edges = select(&[
            0.0,
            -0.0,
            1.5,
            -2.25,
            7.0,
            9_007_199_254_740_992.0,
            9_223_372_036_854_775_808.0,
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ]);
        prop::option::weighted(0.8, prop_oneof![edges, any::<f64>()])
    };
    let text =
        || prop::option::weighted(0.8, select(&["", "a", "A", "it's", "Ä # ß", "ΑΣ", "İ", "tok_1", "tok_2", "m_1"]));
    let boolean = || prop::option::weighted(0.7, any::<bool>());
    let time = || {
        let edges = select(&[i64::MIN, -1, 0, 9_999_999, 10_000_000, 1_795_907_700_000_000, i64::MAX]);
        prop::option::weighted(0.8, edges)
    };
    ([integer(), integer()], [number(), number()], [text(), text(), text()], [boolean(), boolean()], [time(), time()])
}

pub(crate) fn any_rows() -> impl Strategy<Value = Vec<AnyRow>> {
    // Over two words of a bitmap.
    prop::collection::vec(any_row(), 0..140)
}

fn batch(rows: &[AnyRow]) -> RecordBatch {
    let integers = |index: usize| Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0[index]))) as ArrayRef;
    let numbers = |index: usize| Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1[index]))) as ArrayRef;
    let texts = |index: usize| Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2[index]))) as ArrayRef;
    let booleans = |index: usize| Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.3[index]))) as ArrayRef;
    let times = |index: usize| {
        let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.4[index]));
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    RecordBatch::try_from_iter_with_nullable([
        ("amount_minor", integers(0), true),
        ("card_count_1h", integers(1), true),
        ("score", numbers(0), true),
        ("risk", numbers(1), true),
        ("currency", texts(0), true),
        ("merchant_id", texts(1), true),
        ("token", texts(2), true),
        ("contactless", booleans(0), true),
        ("abroad", booleans(1), true),
        ("received_at", times(0), true),
        ("card_last_at", times(1), true),
    ])
    .unwrap()
}

/// A batch that begins within the buffers of a longer one, and its rows.
pub(crate) fn sliced(rows: &[AnyRow], first: usize) -> (RecordBatch, &[AnyRow]) {
    let first = first.min(rows.len());
    (batch(rows).slice(first, rows.len() - first), &rows[first..])
}

/// A row by itself, which shares nothing with columns.
pub(crate) fn values(any_row: &AnyRow) -> FieldValues {
    use FieldValue::{Boolean, Integer, Number, Text, Time};
    let (integers, numbers, texts, booleans, times) = any_row;
    let named = [
        ("amount_minor", integers[0].map(Integer)),
        ("card_count_1h", integers[1].map(Integer)),
        ("score", numbers[0].map(Number)),
        ("risk", numbers[1].map(Number)),
        ("currency", texts[0].map(|text| Text(text.into()))),
        ("merchant_id", texts[1].map(|text| Text(text.into()))),
        ("token", texts[2].map(|text| Text(text.into()))),
        ("contactless", booleans[0].map(Boolean)),
        ("abroad", booleans[1].map(Boolean)),
        ("received_at", times[0].map(Time)),
        ("card_last_at", times[1].map(Time)),
    ];
    row(named.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

fn array_value(array: &dyn Array, field_type: FieldType, row: usize) -> Option<FieldValue> {
    array.is_valid(row).then(|| match field_type {
        FieldType::Integer => FieldValue::Integer(array.as_primitive::<Int64Type>().value(row)),
        FieldType::Number => FieldValue::Number(array.as_primitive::<Float64Type>().value(row)),
        FieldType::Text => FieldValue::Text(array.as_string::<i32>().value(row).to_string()),
        FieldType::Boolean => FieldValue::Boolean(array.as_boolean().value(row)),
        FieldType::Time => FieldValue::Time(array.as_primitive::<TimestampMicrosecondType>().value(row)),
    })
}

/// Some of the texts mean another tree than the one they were made of, or none.
fn tried(text: &str) -> Option<Expression> {
    Expression::parse(text, &fields(), &lists()).ok()
}

/// A text with some characters taken out, doubled or replaced.
fn mutated(text: &str, edits: &[(prop::sample::Index, u8, char)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (place, kind, character) in edits {
        if characters.is_empty() {
            break;
        }
        let place = place.index(characters.len());
        match kind % 3 {
            0 => drop(characters.remove(place)),
            1 => characters.insert(place, *character),
            _ => characters[place] = *character,
        }
    }
    characters.into_iter().collect()
}

/// A pattern of what the grammar knows, in any order.
const WORDS: &str = "(and|or|not|in|is|missing|min|\\(|\\)|,|'|\"|@|-|=|1|5m|score| |\n){0,60}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn columns_equal_rows(text in any_text(), rows in any_rows(), first in 0usize..70) {
        let Some(expression) = tried(&text) else { return Ok(()) };
        let (batch, rows) = sliced(&rows, first);
        let array = expression.evaluate_columns(&batch).unwrap();
        prop_assert_eq!(array.len(), rows.len());
        let columns = Columns::bind(&batch, &expression.fields()).unwrap();
        for (index, row) in rows.iter().enumerate() {
            let of_columns = array_value(&array, expression.field_type(), index);
            let alone = values(row);
            prop_assert_eq!(&of_columns, &expression.evaluate_row(&alone), "{} row {}", &expression, index);
            let of_row = expression.evaluate_row(&columns.row(index));
            prop_assert_eq!(&of_columns, &of_row, "{} row {}", &expression, index);
            if let Some(FieldValue::Number(number)) = of_columns {
                prop_assert!(number.is_finite());
            }
            prop_assert_eq!(expression.filled_in(&alone), expression.filled_in(&columns.row(index)));
        }
    }

    #[test]
    fn texts_parse_back(text in any_text()) {
        let Some(expression) = tried(&text) else { return Ok(()) };
        let written = expression.to_string();
        let again = Expression::parse(&written, &fields(), &lists());
        prop_assert_eq!(again.as_ref(), Ok(&expression), "{} became {}", text, written);
        prop_assert_eq!(again.unwrap().to_string(), written);
    }

    /// Fails if the generators stop making texts that parse.
    #[test]
    fn most_texts_parse(texts in prop::collection::vec(any_text(), 50)) {
        let right = texts.iter().filter(|text| tried(text).is_some()).count();
        prop_assert!(right * 2 > texts.len(), "only {} of {}: {:?}", right, texts.len(), texts);
    }

    #[test]
    fn no_mutated_text_panics(
        text in any_text(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), prop_oneof![
            select(vec!['(', ')', '\'', '"', '@', '#', '\n', '-', '_', '.', '%', 'x', '0', ' ', '=', '!', 'ä']),
            any::<char>(),
        ]), 0..8),
    ) {
        let text = mutated(&text, &edits);
        if let Err(errors) = Expression::parse(&text, &fields(), &lists()) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                prop_assert!(text.get(error.span.clone()).is_some());
                let _ = error.marked(&text);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), words in WORDS) {
        for text in [String::from_utf8_lossy(&bytes).into_owned(), words] {
            if let Err(errors) = Expression::parse(&text, &fields(), &lists()) {
                errors.iter().for_each(|error| drop(error.marked(&text)));
            }
        }
    }
}
