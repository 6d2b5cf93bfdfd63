//! The card's side: its windows, places, the model's score and the rules, over the payments rows of a partition.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use geo::{Distance, Haversine, Point};
use schemas::ids::ContentHash;
use schemas::judgement::{Judgement, Outcome};
use schemas::topics::kind;

use super::definitions::{PLACE_US, SCORE, placeholders};
use super::merchant::{text_of, travelled};
use super::rows::{GEO_FIELDS, LAT_E6, LON_E6, beside};
use super::side::{Content, Side};
use super::{Definitions, LiveError};
use crate::expression::{Columns, ColumnsRow, Expression, Row};
use crate::fields::{FieldType, Fields};
use crate::lists::Lists;
use crate::model::{Contribution, Model};
use crate::rules::{Class, Rule};
use crate::windows::{Definition, Function, WindowSet};

/// Windows of places, behind those of the definitions.
const PLACE_WINDOWS: usize = 3;
/// Most contributions of a judgement.
const CONTRIBUTIONS_MAX: usize = 5;

/// What is seen of payments before rules are asked.
struct Seen<'a> {
    places: UInt32Array,
    /// All fields.
    payments: RecordBatch,
    /// Windows and places alone.
    features: RecordBatch,
    definitions: &'a Definitions,
    model: Option<Scored<'a>>,
}

/// The card's side of a partition.
#[derive(Default)]
pub struct CardSide {
    side: Side,
    definitions: Option<Definitions>,
}

impl CardSide {
    /// Hash of the bundle in force.
    pub fn bundle(&self) -> Option<ContentHash> {
        self.side.bundle()
    }

    /// Brings a bundle into force at this time, microseconds UTC, behind the rows that were read: see
    /// [`Windows::succeeded`](crate::windows::Windows::succeeded).
    ///
    /// # Errors
    /// Fails where the bundle is wrong; what was in force stays so.
    pub fn accept(&mut self, hash: ContentHash, content: &[u8], at_us: i64) -> Result<(), LiveError> {
        let definitions = Definitions::of_content(content)?;
        self.side.accept(hash, with_places(&definitions), at_us)?;
        self.definitions = Some(definitions);
        Ok(())
    }

    /// What is said about payments rows, which follow those before: nothing about rows that are not judged, and nothing at
    /// all where no bundle is in force.
    ///
    /// # Errors
    /// Fails where the rows are no payments.
    pub fn judge(&mut self, rows: &RecordBatch) -> Result<Vec<Option<Judgement>>, LiveError> {
        let mut judgements = vec![None; rows.num_rows()];
        let Some(Seen { places, payments, features, definitions, model }) = self.seen(rows)? else {
            return Ok(judgements);
        };
        let Definitions { fields, rules, .. } = definitions;
        // All fields are bound, for conditions and to fill them in.
        let values = Columns::bind(&payments, fields.iter())?;
        let verdicts = rules.evaluate_bound(&values);
        let kinds = fields.get("kind").expect("payments have a kind");
        let mut contributions = model.as_ref().map(Scored::contributions).transpose()?.unwrap_or_default().into_iter();
        for (row, place) in places.values().iter().enumerate() {
            let said = values.row(row);
            let is_swipe = said.text(kinds) == Some(kind::SWIPE);
            let fired = verdicts.fired_in(row).map(|index| &rules.rules()[index]);
            let fired: Vec<&Rule> = fired.filter(|rule| is_swipe || rule.reads(kinds)).collect();
            judgements[*place as usize] = Some(Judgement {
                features: texts(&features, row),
                score: model.as_ref().map(|scored| scored.scores[row]),
                contributions: contributions.next().unwrap_or_default(),
                ..verdict(definitions, &fired, &said)
            });
        }
        Ok(judgements)
    }

    /// Everything that rules may read of payments rows, which follow those before, for who tries other rules over them: one
    /// row for each that is judged, and their places. Nothing where there is none.
    ///
    /// # Errors
    /// Fails where the rows are no payments.
    pub fn fields_of(&mut self, rows: &RecordBatch) -> Result<Option<(RecordBatch, UInt32Array)>, LiveError> {
        Ok(self.seen(rows)?.map(|seen| (seen.payments, seen.places)))
    }

    fn seen(&mut self, rows: &RecordBatch) -> Result<Option<Seen<'_>>, LiveError> {
        let (Some((judged, values)), Some(definitions)) = (self.side.process(rows)?, &self.definitions) else {
            return Ok(None);
        };
        if judged.places.is_empty() {
            return Ok(None);
        }
        let (own, places) = values.columns().split_at(values.num_columns() - PLACE_WINDOWS);
        let Definitions { merchant, card, model, .. } = definitions;
        let merchant = named(merchant, travelled(rows, &judged, definitions)?, judged.places.len())?;
        let own = named(card, own.to_vec(), judged.places.len())?;
        let features = beside(&[&merchant, &own, &geography(&judged.payments, places)?])?;
        let payments = beside(&[&judged.payments, &features])?;
        let model = model.as_ref().map(|model| Scored::of(model, &payments)).transpose()?;
        let scores: ArrayRef = match &model {
            Some(scored) => Arc::new(Float64Array::from(scored.scores.clone())),
            None => Arc::new(Float64Array::new_null(payments.num_rows())),
        };
        let scores = batch(vec![Field::new(SCORE, DataType::Float64, true)], vec![scores])?;
        let payments = beside(&[&payments, &scores])?;
        Ok(Some(Seen { places: judged.places, payments, features, definitions, model }))
    }

    /// The state as bytes: equal ones after equal rows.
    ///
    /// # Errors
    /// Fails where it cannot be written down.
    pub fn save(&self) -> Result<Vec<u8>, LiveError> {
        self.side.save()
    }

    /// The state of saved bytes, or of rows that nobody noted. `content` gives a bundle's bytes by its hash.
    ///
    /// # Errors
    /// Fails where they are damaged, or their bundle is not there or wrong.
    pub fn restore(bytes: Option<&[u8]>, content: Content<'_>) -> Result<Self, LiveError> {
        let mut read = None;
        let side = Side::restore(bytes, |hash| {
            let definitions = Definitions::of_content(&content(hash).map_err(LiveError::Bundle)?)?;
            let set = with_places(&definitions);
            read = Some(definitions);
            Ok(set)
        })?;
        Ok(Self { side, definitions: read })
    }
}

/// What follows from the rules that fired.
fn verdict(definitions: &Definitions, fired: &[&Rule], said: &ColumnsRow<'_>) -> Judgement {
    let class = fired.iter().map(|rule| rule.class()).min();
    let outcome = match class {
        Some(Class::Block) => Some(Outcome::Block),
        Some(Class::Review) => Some(Outcome::Review),
        Some(Class::Allow) | None => None,
    };
    let text = |rule: &&Rule| format!("{} {}: {}", rule.class(), rule.name(), rule.filled_in(said));
    let decides = fired.iter().find(|rule| outcome.is_some() && Some(rule.class()) == class);
    let sentence = decides.map_or_else(String::new, |rule| sentence(&definitions.fields, rule, said));
    Judgement { outcome, fired: fired.iter().map(text).collect(), sentence, ..Judgement::default() }
}

/// A rule's description with values for the names between braces; without one its condition with its values.
fn sentence(fields: &Fields, rule: &Rule, said: &ColumnsRow<'_>) -> String {
    let Some(description) = rule.description() else {
        return format!("Rule {}: {}", rule.name(), rule.filled_in(said));
    };
    placeholders(description).into_iter().fold(description.to_string(), |text, name| {
        let value = fields.get(name).and_then(|field| match field.field_type() {
            FieldType::Integer => said.integer(field).map(|value| value.to_string()),
            FieldType::Number => said.number(field).map(|value| format!("{value:.0}")),
            FieldType::Text => said.text(field).map(str::to_string),
            FieldType::Boolean => said.boolean(field).map(|value| value.to_string()),
            FieldType::Time => said.time_us(field).map(|value| value.to_string()),
        });
        text.replace(&format!("{{{name}}}"), value.as_deref().unwrap_or("an unknown number of"))
    })
}

/// The card's windows, and behind them those of the place of its swipe before: latitude, longitude and time since.
fn with_places(definitions: &Definitions) -> WindowSet {
    let mut set = definitions.card.clone();
    let filter = Expression::parse("kind = 'swipe' and lat_e6 is not missing", &definitions.fields, &Lists::default());
    let filter = filter.expect("these are fields of payments");
    let functions = [Function::Last(LAT_E6.to_string()), Function::Last(LON_E6.to_string()), Function::SinceLast];
    set.windows.extend(functions.into_iter().enumerate().map(|(number, function)| Definition {
        // No name of the language, so that no window of a bundle has it.
        name: format!("place {number}"),
        function,
        key: vec!["token".to_string()],
        filter: Some(filter.clone()),
        length_us: PLACE_US,
        delay_us: 0,
        includes_current: false,
    }));
    set
}

fn batch(fields: Vec<Field>, columns: Vec<ArrayRef>) -> Result<RecordBatch, LiveError> {
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Values of windows under their names.
fn named(set: &WindowSet, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, LiveError> {
    let schema = Arc::new(set.schema());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// How far each swipe is from the card's swipe before, and how fast that was: great circle on a sphere of the earth's
/// mean radius (6,371,008.8 m). Without a place on either side, or time between them, it is missing.
fn geography(payments: &RecordBatch, places: &[ArrayRef]) -> Result<RecordBatch, LiveError> {
    let whole = |column: Option<&ArrayRef>| column?.as_primitive_opt::<Int64Type>().cloned();
    let value = |column: &Option<Int64Array>, row: usize| {
        column.as_ref().filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row))
    };
    let point = |[lat, lon]: &[Option<Int64Array>; 2], row: usize| {
        Some(Point::new(value(lon, row)? as f64 / 1e6, value(lat, row)? as f64 / 1e6))
    };
    let here = [LAT_E6, LON_E6].map(|name| whole(payments.column_by_name(name)));
    let before = [0, 1].map(|place| whole(places.get(place)));
    let since = whole(places.get(2));
    let (mut distances, mut speeds) = (Vec::new(), Vec::new());
    for row in 0..payments.num_rows() {
        let points = point(&here, row).zip(point(&before, row));
        let distance_m = points.map(|(here, before)| Haversine.distance(before, here));
        let since_us = value(&since, row).filter(|since_us| *since_us > 0);
        distances.push(distance_m);
        speeds.push(distance_m.zip(since_us).map(|(distance_m, since_us)| distance_m / (since_us as f64 / 1e6)));
    }
    let fields = GEO_FIELDS.map(|(name, _)| Field::new(name, DataType::Float64, true)).to_vec();
    batch(fields, vec![Arc::new(Float64Array::from(distances)), Arc::new(Float64Array::from(speeds))])
}

/// Values of a row as `name = value`.
fn texts(features: &RecordBatch, row: usize) -> Vec<String> {
    let schema = features.schema_ref();
    let named = schema.fields().iter().zip(features.columns());
    named.filter_map(|(field, column)| Some(format!("{} = {}", field.name(), text_of(column, row)?))).collect()
}

/// The model's answers for a batch.
struct Scored<'a> {
    model: &'a Model,
    /// By feature; NaN is missing.
    inputs: Vec<Float64Array>,
    scores: Vec<f64>,
}

impl<'a> Scored<'a> {
    fn of(model: &'a Model, payments: &RecordBatch) -> Result<Self, LiveError> {
        let input = |feature: &String| {
            let column = payments.column_by_name(feature);
            let column = column.ok_or_else(|| arrow::error::ArrowError::SchemaError(format!("no field {feature}")))?;
            Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        };
        let inputs = model.features().iter().map(input).collect::<Result<Vec<Float64Array>, LiveError>>()?;
        let mut scores = Vec::with_capacity(payments.num_rows());
        model.predict_columns(&inputs.iter().collect::<Vec<_>>(), &mut scores)?;
        Ok(Self { model, inputs, scores })
    }

    /// What made most of each score, as texts.
    fn contributions(&self) -> Result<Vec<Vec<String>>, LiveError> {
        let columns: Vec<&Float64Array> = self.inputs.iter().collect();
        let tops = self.model.top_contributions_columns(&columns, CONTRIBUTIONS_MAX)?;
        let text = |said: &Contribution<'_>| format!("{} = {:+}", said.feature, said.value);
        Ok(tops.iter().map(|top| top.iter().map(text).collect()).collect())
    }
}
