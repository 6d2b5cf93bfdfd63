//! What rules and models over payments cost: `cargo bench -p tillstream --profile release --bench rules`.
//!
//! The payments are those of the handbook's simulation, half a year of 5,000 customers (`--days N` for less), the features
//! the handbook's 15. First a backtest of 20 rules over all of them, windows included, beside the same rules row by row.
//! Then what a decision costs: windows, 200 rules and a model of 100 trees that was trained on the first days, beside rules
//! row by row and a model whose trees are boxes. Then the model on one row, and what each feature adds to its score, beside
//! the recursion that has no tables. One core; nothing is asserted about time.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use fraud::backtest::{Backtest, ColumnNames, Plan};
use fraud::expression::Columns;
use fraud::features::{FeatureSet, HANDBOOK, with_derived, with_windows};
use fraud::fields::{FieldType, Fields};
use fraud::lists::Lists;
use fraud::model::train::{Examples, Parameters, train};
use fraud::model::{Child, Model, Test, Tree};
use fraud::rules::RuleSet;
use fraud::windows::{WindowSet, Windows};
use schemas::money::Currency;
use simulator::handbook::{Handbook, HandbookPlan};

const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// Payments that the model learns from.
const LEARNT: usize = 200_000;
/// Payments by which one row's time is measured.
const SINGLE: usize = 200_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut days = std::env::args().skip_while(|argument| argument != "--days").skip(1);
    let days = days.next().map(|days| days.parse()).transpose()?.unwrap_or(HandbookPlan::default().days);
    let handbook = Handbook::generate(&HandbookPlan { days, ..HandbookPlan::default() }, &mut |_| {})?;
    let batches: Vec<RecordBatch> = handbook.batches().collect::<Result<_, _>>()?;
    let payments: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let fields = handbook_fields()?;
    let features = FeatureSet::parse(&HANDBOOK, &fields)?;
    let fields = with_windows(&fields, &features.windows)?;
    println!("{payments} payments of {days} days, {} windows, one core\n", features.windows.len());

    let (took, seen) = timed(|| with_features(&features, &batches));
    let seen = seen?;
    backtests(&seen, &fields, took)?;
    let small = model(&features, &seen, &Parameters::default())?;
    decisions(&features, &batches, &seen, &fields, &small)?;
    single_rows(&features, &seen, &small)?;
    // As Python's LightGBM makes it where nothing else is said: 31 leaves at any depth.
    let larger = Parameters { leaves: 31, depth: 30, ..Parameters::default() };
    single_rows(&features, &seen, &model(&features, &seen, &larger)?)
}

fn handbook_fields() -> Result<Fields, Failure> {
    Ok(Fields::new([
        ("event_time", FieldType::Time),
        ("customer_id", FieldType::Text),
        ("terminal_id", FieldType::Text),
        ("amount_minor", FieldType::Integer),
        ("fraud", FieldType::Boolean),
    ])?)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

fn windows_of(features: &FeatureSet) -> Result<Windows, Failure> {
    let set = WindowSet {
        windows: features.windows.clone(),
        time: "event_time".to_string(),
        lateness_us: DAY_US,
        keys_max: 1_000_000,
        labels_follow: false,
    };
    Ok(Windows::new(set)?)
}

/// The payments with their windows and derived features.
fn with_features(features: &FeatureSet, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, Failure> {
    let mut windows = windows_of(features)?;
    batches.iter().map(|batch| seen(features, &mut windows, batch)).collect()
}

fn seen(features: &FeatureSet, windows: &mut Windows, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let values = windows.process(batch)?;
    let named = batch.schema().fields().iter().chain(values.schema().fields()).cloned().collect::<Vec<_>>();
    let columns = batch.columns().iter().chain(values.columns()).cloned().collect();
    Ok(with_derived(&RecordBatch::try_new(Arc::new(Schema::new(named)), columns)?, &features.derived)?)
}

/// So many rules, each of another threshold.
fn rules(count: usize, fields: &Fields) -> Result<RuleSet, Failure> {
    let mut text = String::new();
    for number in 0..count {
        let (class, amount, payments, risk) =
            (["review", "block"][number % 2], 10_000 + 500 * number, 3 + number % 9, 1 + number % 8);
        let condition = match number % 4 {
            0 => format!("amount_minor > {amount} and customer_count_1d >= {payments}"),
            1 => format!("terminal_risk_7d >= 0.{risk} or amount_minor > 2 * {amount}"),
            2 => format!("amount_minor > {risk} * customer_mean_30d and customer_count_7d > {payments}"),
            _ => format!("not (terminal_count_30d > {payments}) and amount_minor >= {amount}"),
        };
        writeln!(text, "rule rule_{number} {class} when {condition}")?;
    }
    RuleSet::parse(&text, fields, &Lists::default()).map_err(|errors| errors[0].marked(&text).into())
}

fn table(heads: &str) {
    println!("| | {heads} | ratio |\n|---|---:|---:|");
}

/// 20 rules over all payments: counts of a backtest, and the same rules asked row by row.
fn backtests(seen: &[RecordBatch], fields: &Fields, windows: Duration) -> Result<(), Failure> {
    let rules = rules(20, fields)?;
    let named: Vec<RecordBatch> = seen.iter().map(with_identity).collect::<Result<_, _>>()?;
    let (by_row, hits) = timed(|| hits_by_row(&rules, seen));
    let plan = Plan {
        rules,
        live: None,
        columns: ColumnNames {
            label: "fraud".to_string(),
            amount: "amount_minor".to_string(),
            identity: "payment".to_string(),
            refused: None,
        },
        currency: Some(Currency::EUR),
        review_cost_minor: 500,
        examples_max: 5,
        full_rollout: false,
    };
    let mut backtest = Backtest::new(plan)?;
    let (by_column, added) = timed(|| named.iter().try_for_each(|batch| backtest.add(batch)));
    added?;
    let report = backtest.report();
    let counted: u64 = report.as_written.rules.iter().map(|rule| rule.hits.payments).sum();
    if counted != hits? {
        return Err("the two ways do not agree".into());
    }
    println!("a backtest of 20 rules, {counted} hits; the windows before it took {:.2} s\n", windows.as_secs_f64());
    table("seconds");
    for (name, took) in [("row by row", by_row), ("backtest", by_column), ("windows and backtest", windows + by_column)]
    {
        println!("| {name} | {:.2} | {:.1} |", took.as_secs_f64(), by_row.as_secs_f64() / took.as_secs_f64());
    }
    println!();
    Ok(())
}

/// Behind the columns a text by which people find the payment.
fn with_identity(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let identities = cast(&batch["transaction_id"], &DataType::Utf8)?;
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("payment", DataType::Utf8, true)));
    let identities: ArrayRef = Arc::new(identities.as_string::<i32>().iter().collect::<StringArray>());
    let columns = batch.columns().iter().cloned().chain([identities]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn hits_by_row(rules: &RuleSet, seen: &[RecordBatch]) -> Result<u64, Failure> {
    let mut hits = 0;
    for batch in seen {
        let columns = Columns::bind(batch, rules.fields())?;
        hits += (0..batch.num_rows()).map(|row| rules.evaluate_row(&columns.row(row)).fired.len() as u64).sum::<u64>();
    }
    Ok(hits)
}

/// The features of rows as the model reads them.
fn inputs(features: &FeatureSet, batch: &RecordBatch) -> Result<Vec<Float64Array>, Failure> {
    let input = |name: &String| -> Result<Float64Array, Failure> {
        Ok(cast(&batch[name.as_str()], &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    };
    features.names().iter().map(input).collect()
}

fn row_of(inputs: &[Float64Array], row: usize, values: &mut [f64]) {
    for (value, column) in values.iter_mut().zip(inputs) {
        *value = if column.is_valid(row) { column.value(row) } else { f64::NAN };
    }
}

/// 100 trees that learnt from the first payments.
fn model(features: &FeatureSet, seen: &[RecordBatch], parameters: &Parameters) -> Result<Model, Failure> {
    let names = features.names();
    let mut columns = vec![Vec::new(); names.len()];
    let mut labels = Vec::new();
    for batch in seen {
        let inputs = inputs(features, batch)?;
        for (column, input) in columns.iter_mut().zip(&inputs) {
            column.extend(input.iter().map(|value| value.unwrap_or(f64::NAN)));
        }
        labels.extend(batch["fraud"].as_boolean().iter().flatten());
        if labels.len() >= LEARNT {
            break;
        }
    }
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    Ok(train(&Examples { features: &names, columns: &columns, labels: &labels }, parameters)?)
}

/// Windows, 200 rules and the model, in columns and row by row.
fn decisions(
    features: &FeatureSet,
    batches: &[RecordBatch],
    seen_before: &[RecordBatch],
    fields: &Fields,
    model: &Model,
) -> Result<(), Failure> {
    let rules = rules(200, fields)?;
    let (ours, check) = timed(|| -> Result<(u64, f64), Failure> {
        let (mut windows, mut fired, mut scores) = (windows_of(features)?, 0, Vec::new());
        for batch in batches {
            let seen = seen(features, &mut windows, batch)?;
            let verdicts = rules.evaluate_columns(&seen)?;
            fired += verdicts.fired().iter().map(|fired| fired.true_count() as u64).sum::<u64>();
            let inputs = inputs(features, &seen)?;
            model.predict_columns(&inputs.iter().collect::<Vec<_>>(), &mut scores)?;
        }
        Ok((fired, scores.iter().sum()))
    });
    let check = check?;
    // The baseline is given its windows.
    let boxed = Boxed::of(model);
    let (plain, plain_check) = timed(|| -> Result<(u64, f64), Failure> {
        let (mut fired, mut sum, mut values) = (0, 0.0, vec![0.0; features.names().len()]);
        for batch in seen_before {
            let (columns, inputs) = (Columns::bind(batch, rules.fields())?, inputs(features, batch)?);
            for row in 0..batch.num_rows() {
                fired += rules.evaluate_row(&columns.row(row)).fired.len() as u64;
                row_of(&inputs, row, &mut values);
                sum += boxed.predict(&values);
            }
        }
        Ok((fired, sum))
    });
    if check != plain_check? {
        return Err("the two ways do not agree".into());
    }
    let payments: usize = batches.iter().map(RecordBatch::num_rows).sum();
    println!("12 windows, 200 rules ({} fired), {} trees\n", check.0, model.trees().len());
    table("payments a second");
    for (name, took) in
        [("rules row by row, boxed trees, windows given", plain), ("ours in columns, windows too", ours)]
    {
        let ratio = plain.as_secs_f64() / took.as_secs_f64();
        println!("| {name} | {:.0} | {ratio:.2} |", payments as f64 / took.as_secs_f64());
    }
    println!();
    Ok(())
}

/// Trees as one would write them down first.
enum Boxed {
    Leaf(f64),
    Split { feature: usize, threshold: f64, missing_left: bool, left: Box<Boxed>, right: Box<Boxed> },
}

/// The boxed trees of a model.
struct BoxedModel<'a> {
    model: &'a Model,
    trees: Vec<Boxed>,
}

impl Boxed {
    fn of(model: &Model) -> BoxedModel<'_> {
        BoxedModel { model, trees: model.trees().iter().map(|tree| Self::child(tree, tree.root())).collect() }
    }

    fn child(tree: &Tree, child: Child) -> Self {
        match child {
            Child::Leaf(leaf) => Self::Leaf(tree.leaves()[leaf].value),
            Child::Split(split) => {
                let split = &tree.splits()[split];
                let Test::Numerical { threshold, default_left, .. } = &split.test else {
                    unreachable!("trained models have thresholds only")
                };
                Self::Split {
                    feature: split.feature,
                    threshold: *threshold,
                    missing_left: *default_left,
                    left: Box::new(Self::child(tree, split.left)),
                    right: Box::new(Self::child(tree, split.right)),
                }
            }
        }
    }

    fn value(&self, row: &[f64]) -> f64 {
        match self {
            Self::Leaf(value) => *value,
            Self::Split { feature, threshold, missing_left, left, right } => {
                let value = row[*feature];
                let goes_left = if value.is_nan() { *missing_left } else { value <= *threshold };
                if goes_left { left.value(row) } else { right.value(row) }
            }
        }
    }
}

impl BoxedModel<'_> {
    fn predict(&self, row: &[f64]) -> f64 {
        self.model.objective().prediction(self.trees.iter().map(|tree| tree.value(row)).sum())
    }
}

/// One row at a time: median, 99 and 99.9 %, the reading of the clock included.
fn single_rows(features: &FeatureSet, seen: &[RecordBatch], model: &Model) -> Result<(), Failure> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for batch in seen {
        let inputs = inputs(features, batch)?;
        for row in (0..batch.num_rows()).take(SINGLE - rows.len().min(SINGLE)) {
            let mut values = vec![0.0; inputs.len()];
            row_of(&inputs, row, &mut values);
            rows.push(values);
        }
    }
    let boxed = Boxed::of(model);
    let leaves = model.trees().iter().map(|tree| tree.leaves().len()).max().unwrap_or_default();
    let depth = model.trees().iter().map(Tree::depth).max().unwrap_or_default();
    println!("one row, {} trees of {leaves} leaves, at most {depth} splits deep\n", model.trees().len());
    println!("| | p50 | p99 | p99.9 |\n|---|---:|---:|---:|");
    let latency_of = |rows: &[Vec<f64>], name: &str, predict: &dyn Fn(&[f64]) -> f64| {
        let mut took: Vec<u128> = Vec::with_capacity(rows.len());
        for row in rows {
            let start = Instant::now();
            black_box(predict(black_box(row)));
            took.push(start.elapsed().as_nanos());
        }
        took.sort_unstable();
        let [p50, p99, p999] = [500, 990, 999].map(|part| took[(took.len() - 1) * part / 1_000]);
        println!("| {name} | {p50} ns | {p99} ns | {p999} ns |");
    };
    let latency = |name: &str, predict: &dyn Fn(&[f64]) -> f64| latency_of(&rows, name, predict);
    latency("boxed trees", &|row| boxed.predict(row));
    latency("model", &|row| model.predict_row(row).unwrap_or(f64::NAN));
    // Of fewer rows, as it takes its time.
    latency_of(&rows[..rows.len() / 10], "what each feature adds, by recursion", &|row| {
        model.contributions_by_recursion(row).map_or(f64::NAN, |found| found.values[0])
    });
    latency("what each feature adds", &|row| model.contributions(row).map_or(f64::NAN, |found| found.values[0]));
    latency("the five that add most", &|row| model.top_contributions(row, 5).map_or(f64::NAN, |top| top.len() as f64));
    in_columns(&rows, model)?;
    let text = model.to_text();
    let (took, again) = timed(|| Model::parse(&text));
    println!("reading the model: {:.1} ms, tables of {} KiB\n", took.as_secs_f64() * 1e3, again?.table_bytes() / 1024);
    Ok(())
}

/// What a row costs among others of a batch.
fn in_columns(rows: &[Vec<f64>], model: &Model) -> Result<(), Failure> {
    let column = |place: usize| rows.iter().map(|row| row[place]).collect::<Float64Array>();
    let columns: Vec<Float64Array> = (0..model.features().len()).map(column).collect();
    let columns: Vec<&Float64Array> = columns.iter().collect();
    let (scored, done) = timed(|| model.predict_columns(&columns, &mut Vec::new()));
    done?;
    let (explained, tops) = timed(|| model.top_contributions_columns(&columns, 5));
    let rows = tops?.len() as f64;
    let [scored_ns, explained_ns] = [scored, explained].map(|took| took.as_secs_f64() * 1e9 / rows);
    println!("\nin columns: {scored_ns:.0} ns a row for the score, {explained_ns:.0} ns for the five that add most");
    Ok(())
}
