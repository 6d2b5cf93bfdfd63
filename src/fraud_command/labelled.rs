//! Files of transactions with labels, with features for a model, whatever their columns are called.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use clap::{Args, ValueEnum};
use fraud::evaluate::{Columns, Transactions, TransactionsReader};
use fraud::features::{FeatureError, FeatureSet, FeatureText, HANDBOOK, OURS, with_derived};
use fraud::fields::{FieldType, Fields};
use fraud::windows::{WindowSet, Windows};

use super::transactions::{self, Decimals, plain};
use super::{KEYS_MAX, SECOND_US};
use crate::failure::Failure;
use crate::progress::Bars;

/// Names under which features speak of the columns that have a meaning.
const TIME: &str = "event_time";
const CUSTOMER: &str = "customer_id";
const TERMINAL: &str = "terminal_id";
const AMOUNT: &str = "amount_minor";
const LABEL: &str = "fraud";
const SCENARIO: &str = "scenario";

/// Features that come ready made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadyMade {
    /// The 15 features of the handbook "Reproducible Machine Learning for Credit Card Fraud Detection".
    Handbook,
    /// These, and what is usual for a customer and known of a terminal.
    Ours,
}

/// Which columns mean what, and what a model is to see.
#[derive(Debug, Args)]
pub struct LabelledArgs {
    /// Column with the time.
    #[arg(long, value_name = "COLUMN", default_value = TIME)]
    time: String,
    /// Column with the customer, one card each.
    #[arg(long, value_name = "COLUMN", default_value = CUSTOMER)]
    customer: String,
    /// Column with the terminal.
    #[arg(long, value_name = "COLUMN", default_value = TERMINAL)]
    terminal: String,
    /// Column with the amount, whole minor units; see --decimals.
    #[arg(long, value_name = "COLUMN", default_value = AMOUNT)]
    amount: String,
    /// Column that says whether it was fraud: 1 and 0, or true and false.
    #[arg(long, value_name = "COLUMN", default_value = LABEL)]
    label: String,
    /// Column with the kind of fraud, 0 for none [default: scenario, where there is one].
    #[arg(long, value_name = "COLUMN")]
    scenario: Option<String>,
    /// Column of decimals that become whole numbers, with how many digits follow the point: amount=2 makes cents.
    #[arg(long, value_name = "COLUMN=DIGITS")]
    decimals: Vec<Decimals>,
    /// Ready-made features.
    #[arg(long, value_name = "SET", default_value = "ours", conflicts_with_all = ["windows", "derived", "columns"])]
    features: ReadyMade,
    /// Features of one's own: windows, as text. The columns above are called event_time, customer_id, terminal_id,
    /// amount_minor and fraud there.
    #[arg(long, value_name = "FILE")]
    windows: Option<PathBuf>,
    /// Features of one's own: lines such as `feature night = hour(event_time) <= 6`.
    #[arg(long, value_name = "FILE")]
    derived: Option<PathBuf>,
    /// Columns of the file that are features as they are.
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    columns: Vec<String>,
    /// Seconds that a transaction may be older than the newest of its key; one that is older has no features.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    lateness_s: u32,
}

impl LabelledArgs {
    /// Reads a file and computes its features.
    pub fn read(&self, path: &Path) -> Result<(Transactions, FeatureSet), Failure> {
        let file = transactions::Transactions::open(path, &self.time, &self.decimals)?;
        let names = self.names(&file);
        let fields = fields(file.fields(), &names)?;
        if fields.get(AMOUNT).is_some_and(|field| field.field_type() != FieldType::Integer) {
            return Err(Failure::usage(format!("{}: column {} is no whole number", path.display(), self.amount))
                .with_help(format!("--decimals {}=2 makes cents of decimals", self.amount)));
        }
        let features = self.feature_set(&fields)?;
        let set = WindowSet {
            windows: features.windows.clone(),
            time: TIME.to_string(),
            lateness_us: i64::from(self.lateness_s) * SECOND_US,
            keys_max: KEYS_MAX,
            labels_follow: false,
        };
        let mut windows = Windows::new(set).map_err(Failure::usage)?;
        let has_scenario = names.iter().any(|(_, meaning)| *meaning == SCENARIO);
        let columns = self.columns.iter().map(|column| renamed(&plain(column), &names).to_string());
        let mut reader = TransactionsReader::new(Columns {
            time: TIME.to_string(),
            customer: CUSTOMER.to_string(),
            terminal: TERMINAL.to_string(),
            amount: AMOUNT.to_string(),
            label: LABEL.to_string(),
            scenario: has_scenario.then(|| SCENARIO.to_string()),
            features: features.names().into_iter().chain(columns).collect(),
        });
        let refused = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        let bar = Bars::default().bar("features", file.rows());
        for batch in file {
            let rows = with_meanings(&batch?, &names).map_err(|problem| refused(&problem))?;
            let values = windows.process(&rows).map_err(Failure::failed)?;
            let rows = beside(&rows, &values)?;
            let rows = with_derived(&rows, &features.derived).map_err(Failure::failed)?;
            reader.push(&rows).map_err(|error| refused(&error))?;
            bar.inc(rows.num_rows() as u64);
        }
        bar.finish();
        Ok((reader.finish().map_err(|error| refused(&error))?, features))
    }

    /// Which columns of a file have which meaning.
    fn names(&self, file: &transactions::Transactions) -> Vec<(String, &'static str)> {
        let stated = [
            (&self.time, TIME),
            (&self.customer, CUSTOMER),
            (&self.terminal, TERMINAL),
            (&self.amount, AMOUNT),
            (&self.label, LABEL),
        ];
        let has_scenario = file.schema().field_with_name(SCENARIO).is_ok();
        let scenario = self.scenario.as_deref().or(has_scenario.then_some(SCENARIO));
        let stated = stated.map(|(name, meaning)| (plain(name), meaning));
        stated.into_iter().chain(scenario.map(|name| (plain(name), SCENARIO))).collect()
    }

    fn feature_set(&self, fields: &Fields) -> Result<FeatureSet, Failure> {
        let read = |path: &Option<PathBuf>| match path {
            Some(path) => fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()))),
            None => Ok(String::new()),
        };
        let is_own = self.windows.is_some() || self.derived.is_some() || !self.columns.is_empty();
        let (windows, derived) = (read(&self.windows)?, read(&self.derived)?);
        let text = match self.features {
            _ if is_own => FeatureText { windows: &windows, derived: &derived },
            ReadyMade::Handbook => HANDBOOK,
            ReadyMade::Ours => OURS,
        };
        FeatureSet::parse(&text, fields).map_err(|error| {
            let (text, path, errors) = match &error {
                FeatureError::Windows(errors) => (text.windows, &self.windows, errors),
                FeatureError::Derived(errors) => (text.derived, &self.derived, errors),
                FeatureError::Fields(_) => return Failure::usage(error),
            };
            let marked: Vec<String> = errors.iter().map(|error| error.marked(text)).collect();
            let place = path.as_ref().map_or("the ready-made features".to_string(), |path| path.display().to_string());
            Failure::usage(format!("{place}: {}", marked.join("\n")))
        })
    }
}

/// What a column of the file is called among the features.
fn renamed<'a>(name: &'a str, names: &'a [(String, &'static str)]) -> &'a str {
    names.iter().find(|(column, _)| column == name).map_or(name, |(_, meaning)| *meaning)
}

/// What features may speak of.
fn fields(file: &Fields, names: &[(String, &'static str)]) -> Result<Fields, Failure> {
    let missing = names.iter().find(|(column, _)| file.get(column).is_none());
    if let Some((column, meaning)) = missing {
        let known: Vec<&str> = file.iter().map(fraud::fields::Field::name).collect();
        return Err(Failure::usage(format!("the transactions have no column {column} for {meaning}"))
            .with_help(format!("they have {}", known.join(", "))));
    }
    let typed = file.iter().map(|field| {
        let name = renamed(field.name(), names);
        (name, if name == LABEL { FieldType::Boolean } else { field.field_type() })
    });
    Fields::new(typed).map_err(Failure::usage)
}

/// A batch whose columns have the names of their meaning; labels are true or false.
fn with_meanings(batch: &RecordBatch, names: &[(String, &'static str)]) -> Result<RecordBatch, String> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = renamed(field.name(), names);
        let column = if name == LABEL { labels(column, field.name())? } else { column.clone() };
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| error.to_string())
}

fn labels(column: &ArrayRef, name: &str) -> Result<ArrayRef, String> {
    if *column.data_type() == DataType::Boolean {
        return Ok(column.clone());
    }
    let numbers = cast(column, &DataType::Int64).map_err(|error| format!("column {name}: {error}"))?;
    let numbers = numbers.as_primitive::<Int64Type>();
    match numbers.iter().flatten().find(|label| !(0..=1).contains(label)) {
        Some(label) => Err(format!("column {name} is {label}, neither 0 nor 1")),
        None => Ok(Arc::new(numbers.iter().map(|label| label.map(|label| label == 1)).collect::<BooleanArray>())),
    }
}

/// Two batches of the same rows side by side.
fn beside(rows: &RecordBatch, values: &RecordBatch) -> Result<RecordBatch, Failure> {
    let schema = super::with_features(rows.schema_ref(), values.schema_ref());
    let columns = rows.columns().iter().chain(values.columns()).cloned().collect();
    RecordBatch::try_new(schema, columns).map_err(Failure::failed)
}
