use std::io::Write;

use super::*;

fn records(content: &[u8], quotes: Quotes) -> Vec<(Found, Vec<u8>)> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let mut lines = Lines::open(file.path(), quotes, Prefix::default()).unwrap();
    let mut records = Vec::new();
    let mut buffer = Vec::new();
    while let Some(found) = lines.next(&mut buffer).unwrap() {
        records.push((found, std::mem::take(&mut buffer)));
    }
    assert_eq!(lines.read.bytes, content.len() as u64);
    assert_eq!(
        lines.read.open_end,
        !content.is_empty() && (!content.ends_with(b"\n") || records.last().unwrap().0 == Found::Unclosed)
    );
    records
}

fn texts(content: &[u8], quotes: Quotes) -> Vec<String> {
    let records = records(content, quotes).into_iter();
    records
        .map(|(found, text)| match found {
            Found::Record => String::from_utf8(text).unwrap(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn lines_end_in_lf_or_cr_lf_or_with_the_file() {
    assert_eq!(texts(b"a\nb\r\n\n\r\nc", Quotes::Plain), ["a", "b", "", "", "c"]);
    assert_eq!(texts(b"\"a\nb\"", Quotes::Plain), ["\"a", "b\""]);
    assert!(texts(b"", Quotes::Plain).is_empty());
}

#[test]
fn quoted_fields_hold_line_ends_and_a_quote_inside_a_field_opens_nothing() {
    assert_eq!(texts(b"\"a\nb\",c\nd\n", Quotes::Csv), ["\"a\nb\",c", "d"]);
    assert_eq!(texts(b"\"a\"\"\nb\"\nd\n", Quotes::Csv), ["\"a\"\"\nb\"", "d"]);
    assert_eq!(texts(b"5\" pipe,x\nd\n", Quotes::Csv), ["5\" pipe,x", "d"]);
    assert_eq!(texts(b"a\n\"b\nc\n", Quotes::Csv), ["a", "Unclosed"]);
}

#[test]
fn long_records_are_skipped_up_to_their_end() {
    let long = "x".repeat(RECORD_BYTES_MAX);
    assert_eq!(texts(format!("{long}\r\n{long}x\nb\n").as_bytes(), Quotes::Plain), [long.as_str(), "TooLong", "b"]);
    let quoted = format!("\"{long}\n\n{long}\",1\nb\n");
    assert_eq!(texts(quoted.as_bytes(), Quotes::Csv), ["TooLong", "b"]);
}
