//! `till labels`: what others know of payments, such as an issuer's list of frauds, put on the log as verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use clap::{Args, Subcommand};
use lake::{Session, open_session};
use schemas::ids::PaymentId;
use schemas::topics::label::{FRAUD, LEGITIMATE};
use serde_json::json;

use crate::append::Place;
use crate::failure::Failure;
use crate::feedback::{self, Verdict};
use crate::lake_rows::{quoted, rows, text};
use crate::output;
use crate::wiring::start_runtime;

const PAYMENT_ID: &str = "payment_id";
const LABEL: &str = "label";
const SOURCE: &str = "source";
const MERCHANT_ID: &str = "merchant_id";
/// Most labels of a file: what fits memory without a thought.
const LABELS_MAX: usize = 1_000_000;
/// Payments that are looked up at once.
const LOOKED_UP: usize = 1_000;
/// Most errors that are shown.
const SHOWN_MAX: usize = 20;
/// Longest source, bytes: decode takes no longer text.
const SOURCE_BYTES_MAX: usize = 64;

/// What others know of payments: labels from a file.
#[derive(Args)]
pub struct LabelsArgs {
    #[command(subcommand)]
    command: LabelsCommand,
}

#[derive(Subcommand)]
enum LabelsCommand {
    /// Say of each payment of a file whether it is fraud. Where a line is wrong nothing is said.
    Import(ImportArgs),
}

#[derive(Args)]
struct ImportArgs {
    /// CSV with the columns payment_id, label (fraud or 1, legitimate or 0) and, if wanted, source and merchant_id.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who says so, where the file does not.
    #[arg(long, value_name = "NAME", default_value = "import")]
    by: String,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &LabelsArgs) -> Result<(), Failure> {
    let LabelsCommand::Import(args) = &args.command;
    let config = args.place.config()?;
    let refuse = |problems: Vec<String>| refusal(&args.file, &problems);
    let content = std::fs::read(&args.file).map_err(|error| refuse(vec![error.to_string()]))?;
    let lines = parse(&content, &args.by).map_err(refuse)?;
    let merchants = start_runtime()?.block_on(async {
        let session = open_session(&config.lake).await?;
        merchants_of(&session, &lines).await
    })?;
    let verdicts = lines.into_iter().map(|line| line.verdict(&merchants)).collect::<Vec<_>>();
    let (verdicts, problems): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(Result::is_ok);
    let problems: Vec<String> = problems.into_iter().filter_map(Result::err).collect();
    if !problems.is_empty() {
        return Err(refuse(problems));
    }
    let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
    let frauds = verdicts.iter().filter(|verdict| verdict.label == FRAUD).count();
    let place = feedback::send(&verdicts, args.place.input.as_deref(), &config)?;
    if args.json {
        return output::print_json(&json!({ "labels": verdicts.len(), "frauds": frauds, "sent": place }));
    }
    output::print(&format!("{} payments are labelled, {frauds} of them as fraud: {place}", verdicts.len()))
}

/// Says what is wrong, line by line; many are cut short.
fn refusal(file: &Path, problems: &[String]) -> Failure {
    let mut shown = problems.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("\n");
    if problems.len() > SHOWN_MAX {
        shown += &format!("\nand {} more", problems.len() - SHOWN_MAX);
    }
    Failure::usage(format!("{}: nothing was written\n{shown}", file.display())).with_help(
        "labels are CSV with the columns payment_id, label (fraud, legitimate, 1 or 0) and, if wanted, source and \
         merchant_id, a line a payment",
    )
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: usize,
    payment_id: String,
    label: &'static str,
    source: String,
    merchant_id: Option<String>,
}

impl Line {
    /// The verdict, keyed by the merchant whom the lake knows.
    fn verdict(self, merchants: &BTreeMap<String, String>) -> Result<Verdict, String> {
        let Self { number, payment_id, label, source, merchant_id } = self;
        let known = merchants.get(&payment_id).ok_or_else(|| format!("line {number}: no payment {payment_id}"))?;
        if let Some(other) = merchant_id.filter(|said| said != known) {
            return Err(format!("line {number}: payment {payment_id} is of merchant {known}, not {other}"));
        }
        Ok(Verdict { payment_id, merchant_id: known.clone(), label: label.to_string(), source })
    }
}

/// Merchants of payments, by their identity.
async fn merchants_of(session: &Session, lines: &[Line]) -> Result<BTreeMap<String, String>, Failure> {
    let mut merchants = BTreeMap::new();
    for part in lines.chunks(LOOKED_UP) {
        let ids: Vec<String> = part.iter().map(|line| quoted(&line.payment_id)).collect();
        let sql = format!(
            "SELECT payment_id, merchant_id FROM payments WHERE kind = 'swipe' AND NOT repeat AND payment_id IN ({})",
            ids.join(", ")
        );
        let found = rows(session, &sql).await?;
        merchants
            .extend(found.iter().map(|row| (text(row, PAYMENT_ID).to_string(), text(row, MERCHANT_ID).to_string())));
    }
    Ok(merchants)
}

/// The lines of a file, or everything that is wrong with them.
fn parse(content: &[u8], by: &str) -> Result<Vec<Line>, Vec<String>> {
    let rows = read(content).map_err(|problem| vec![problem])?;
    let column = |name: &str| rows.column_by_name(name).map(|column| column.as_string::<i32>());
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for row in 0..rows.num_rows() {
        // The first line is the head.
        let number = row + 2;
        let said = |name: &str| column(name).and_then(|column| value(column, row)).map(str::to_string);
        let source = said(SOURCE).unwrap_or_else(|| by.to_string());
        match (payment_id(said(PAYMENT_ID)), label(said(LABEL)), checked_source(&source)) {
            (Ok(payment_id), ..) if !seen.insert(payment_id.clone()) => {
                problems.push(format!("line {number}: payment {payment_id} is there twice"));
            }
            (Ok(payment_id), Ok(label), Ok(())) => {
                lines.push(Line { number, payment_id, label, source, merchant_id: said(MERCHANT_ID) });
            }
            (payment_id, label, source) => {
                let wrong = [payment_id.err(), label.err(), source.err()];
                problems.extend(wrong.into_iter().flatten().map(|problem| format!("line {number}: {problem}")));
            }
        }
    }
    if lines.is_empty() && problems.is_empty() {
        problems.push("it holds no labels".to_string());
    }
    if problems.is_empty() { Ok(lines) } else { Err(problems) }
}

/// The columns of a file as texts.
fn read(content: &[u8]) -> Result<RecordBatch, String> {
    let csv = |error: arrow::error::ArrowError| error.to_string();
    let format = Format::default().with_header(true);
    let (inferred, _) = format.infer_schema(Cursor::new(content), Some(0)).map_err(csv)?;
    let names: Vec<&str> = inferred.fields().iter().map(|field| field.name().trim()).collect();
    if let Some(missing) = [PAYMENT_ID, LABEL].into_iter().find(|name| !names.contains(name)) {
        return Err(format!("there is no column {missing}"));
    }
    if let Some(unknown) = names.iter().find(|name| ![PAYMENT_ID, LABEL, SOURCE, MERCHANT_ID].contains(*name)) {
        return Err(format!("column {unknown:?} is unknown"));
    }
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let reader = ReaderBuilder::new(schema.clone()).with_format(format).build(Cursor::new(content)).map_err(csv)?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(csv)?;
    let rows = concat_batches(&schema, &batches).map_err(csv)?;
    let many = || format!("{} labels are more than {LABELS_MAX}; split the file", rows.num_rows());
    if rows.num_rows() <= LABELS_MAX { Ok(rows) } else { Err(many()) }
}

/// A value that says something.
fn value(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row).trim()).filter(|text| !text.is_empty())
}

fn payment_id(said: Option<String>) -> Result<String, String> {
    let said = said.ok_or_else(|| "payment_id is empty".to_string())?;
    let id = PaymentId::from_hex(&said).ok_or_else(|| format!("payment_id {said:?} is not 28 hexadecimal digits"))?;
    Ok(id.to_hex())
}

fn label(said: Option<String>) -> Result<&'static str, String> {
    match said.as_deref() {
        Some(FRAUD | "1") => Ok(FRAUD),
        Some(LEGITIMATE | "0") => Ok(LEGITIMATE),
        Some(other) => Err(format!("label is {other:?}, not {FRAUD}, {LEGITIMATE}, 1 or 0")),
        None => Err("label is empty".to_string()),
    }
}

fn checked_source(source: &str) -> Result<(), String> {
    let is_printable =
        (1..=SOURCE_BYTES_MAX).contains(&source.len()) && source.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_printable {
        Ok(())
    } else {
        Err(format!("source {source:?} is not 1 to {SOURCE_BYTES_MAX} characters of ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_refused_by_their_lines() {
        let [one, two] = ["00000000000000000000000000aa", "00000000000000000000000000bb"];
        let content = format!("label,payment_id,source\n1,{one},bank\nlegitimate, {two} ,\n");
        let lines = parse(content.as_bytes(), "ann").unwrap();
        let said: Vec<(usize, &str, &str)> =
            lines.iter().map(|line| (line.number, line.label, line.source.as_str())).collect();
        assert_eq!(said, [(2, FRAUD, "bank"), (3, LEGITIMATE, "ann")]);
        let wrong = format!("payment_id,label\n{one},yes\nabc,0\n{two},1\n{two},0\n");
        let problems = parse(wrong.as_bytes(), "ann").unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, expected) in problems.iter().zip([
            "line 2: label is \"yes\", not fraud, legitimate, 1 or 0",
            "line 3: payment_id \"abc\" is not 28",
            "line 5: payment 00000000000000000000000000bb is there twice",
        ]) {
            assert!(problem.contains(expected), "{problem}");
        }
        assert!(parse(b"payment_id\n", "ann").unwrap_err()[0].contains("no column label"));
        assert!(parse(b"payment_id,label\n", "ann").unwrap_err()[0].contains("no labels"));
        assert!(parse(b"payment_id,label,why\n", "ann").unwrap_err()[0].contains("column \"why\" is unknown"));
    }
}
