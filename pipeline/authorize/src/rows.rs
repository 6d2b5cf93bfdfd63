//! Writing the outputs: builders for a batch, one struct for a decision so that no column is forgotten.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use schemas::findings::Findings;
use schemas::ids::{CardToken, PaymentId};
use schemas::judgement::Judgement;
use schemas::reasons::{APPROVED, Reason};
use schemas::topics;
use schemas::unit::{Destination, Output, OutputSpec};

use crate::answer::{self, Answer};
use crate::columns::{Record, Senseless};
use crate::error::{Error, UNIT};
use crate::machine::State;

const DECISIONS: &str = "decisions";
const ALERTS: &str = "alerts";
const LABELS: &str = "labels";
const DEAD_LETTERS: &str = "dead_letters";

/// Column `kind` of a decision.
pub(crate) mod kind {
    pub(crate) const AUTHORIZATION: &str = "authorization";
    pub(crate) const CAPTURE: &str = "capture";
    pub(crate) const REVERSAL: &str = "reversal";
    pub(crate) const REFUND: &str = "refund";
    pub(crate) const CHARGEBACK: &str = "chargeback";
    pub(crate) const ACKNOWLEDGEMENT: &str = "acknowledgement";
}

/// What authorize may write.
pub(crate) fn outputs() -> Vec<OutputSpec> {
    let table = |name, schema| OutputSpec { name, schema, destination: Destination::Table };
    vec![
        table(DECISIONS, topics::decisions()),
        table(ALERTS, topics::alerts()),
        table(LABELS, topics::labels()),
        table(DEAD_LETTERS, topics::dead_letters()),
    ]
}

/// One row of decisions; the columns mean what the topic's schema says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision<'a> {
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) kind: &'static str,
    pub(crate) repeat: bool,
    pub(crate) merchant_id: Option<&'a str>,
    pub(crate) reader_id: Option<&'a str>,
    pub(crate) courier_id: Option<&'a str>,
    pub(crate) stan: Option<i32>,
    pub(crate) token: Option<CardToken>,
    pub(crate) state: Option<State>,
    /// None is an approval.
    pub(crate) reason: Option<Reason>,
    pub(crate) findings: Findings,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) currency: Option<&'a str>,
    pub(crate) held_minor: i64,
    pub(crate) captured_minor: i64,
    pub(crate) approval_code: Option<&'a str>,
    pub(crate) rrn: Option<&'a str>,
    pub(crate) deadline_us: Option<i64>,
    pub(crate) decode_bundle: Option<&'a str>,
    pub(crate) origin: u16,
    pub(crate) event_time_us: i64,
    pub(crate) ingest_time_us: i64,
    /// Of a swipe or a refund.
    pub(crate) judgement: Option<&'a Judgement>,
}

impl<'a> Decision<'a> {
    /// A row that a record causes, with what the record itself says and nothing decided.
    pub(crate) fn about(record: &Record<'a>, kind: &'static str) -> Self {
        Self {
            payment_id: record.payment_id,
            kind,
            repeat: false,
            merchant_id: record.merchant_id,
            reader_id: record.reader_id,
            courier_id: record.courier_id,
            stan: record.stan,
            token: record.token,
            state: None,
            reason: None,
            findings: Findings::default(),
            amount_minor: record.amount_minor,
            currency: record.currency,
            held_minor: 0,
            captured_minor: 0,
            approval_code: None,
            rrn: None,
            deadline_us: None,
            decode_bundle: record.decode_bundle,
            origin: record.origin,
            event_time_us: record.received_at_us,
            ingest_time_us: record.ingest_time_us,
            judgement: record.judgement,
        }
    }

    /// The answer as the phone gets it.
    pub(crate) fn answer(&self) -> String {
        Answer {
            amount_minor: self.amount_minor,
            approval_code: self.approval_code,
            currency: self.currency,
            payment_id: self.payment_id.map(PaymentId::to_hex),
            response_code: answer::response_code(self.reason),
            rrn: self.rrn,
            stan: self.stan,
            text: answer::text(self.reason),
        }
        .to_json()
    }
}

/// One row of alerts.
#[derive(Debug)]
pub(crate) struct Alert<'a> {
    pub(crate) alert_id: [u8; 16],
    pub(crate) record: &'a Record<'a>,
    pub(crate) reason: Reason,
    pub(crate) group_id: [u8; 16],
    pub(crate) group_number: i32,
    pub(crate) sentence: &'a str,
}

/// Texts of a row; null where nothing was said.
fn append_texts(builder: &mut ListBuilder<StringBuilder>, texts: Option<&Vec<String>>) {
    texts.into_iter().flatten().for_each(|text| builder.values().append_value(text));
    builder.append(texts.is_some());
}

/// Hashes of what is in force.
struct Bundles {
    authorize: Option<String>,
    rules: Option<String>,
}

fn times() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
}

/// Columns under construction, with the offset that caused each row.
struct Table<B> {
    name: &'static str,
    offsets: Vec<i64>,
    columns: B,
}

impl<B: Default> Table<B> {
    fn new(name: &'static str) -> Self {
        Self { name, offsets: Vec::new(), columns: B::default() }
    }

    fn finish(
        self,
        schema: fn() -> SchemaRef,
        columns: fn(B) -> Vec<ArrayRef>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), Error> {
        if self.offsets.is_empty() {
            return Ok(());
        }
        let rows = RecordBatch::try_new(schema(), columns(self.columns))
            .map_err(|error| Error::Rows { output: self.name, reason: error.to_string() })?;
        outputs.push(Output { name: self.name, offsets: self.offsets, rows });
        Ok(())
    }
}

struct DecisionColumns {
    payment_id: StringBuilder,
    kind: StringBuilder,
    repeat: BooleanBuilder,
    merchant_id: StringBuilder,
    reader_id: StringBuilder,
    courier_id: StringBuilder,
    stan: Int32Builder,
    token: StringBuilder,
    state: StringBuilder,
    response_code: StringBuilder,
    reason: StringBuilder,
    findings: ListBuilder<StringBuilder>,
    amount_minor: Int64Builder,
    currency: StringBuilder,
    held_minor: Int64Builder,
    captured_minor: Int64Builder,
    approval_code: StringBuilder,
    rrn: StringBuilder,
    answer: StringBuilder,
    signature_deadline: TimestampMicrosecondBuilder,
    decode_bundle: StringBuilder,
    authorize_bundle: StringBuilder,
    rules_bundle: StringBuilder,
    score: Float64Builder,
    features: ListBuilder<StringBuilder>,
    fired_rules: ListBuilder<StringBuilder>,
    contributions: ListBuilder<StringBuilder>,
    origin_partition: Int32Builder,
    event_time: TimestampMicrosecondBuilder,
    ingest_time: TimestampMicrosecondBuilder,
}

impl Default for DecisionColumns {
    fn default() -> Self {
        Self {
            payment_id: StringBuilder::new(),
            kind: StringBuilder::new(),
            repeat: BooleanBuilder::new(),
            merchant_id: StringBuilder::new(),
            reader_id: StringBuilder::new(),
            courier_id: StringBuilder::new(),
            stan: Int32Builder::new(),
            token: StringBuilder::new(),
            state: StringBuilder::new(),
            response_code: StringBuilder::new(),
            reason: StringBuilder::new(),
            findings: topics::text_lists(),
            amount_minor: Int64Builder::new(),
            currency: StringBuilder::new(),
            held_minor: Int64Builder::new(),
            captured_minor: Int64Builder::new(),
            approval_code: StringBuilder::new(),
            rrn: StringBuilder::new(),
            answer: StringBuilder::new(),
            signature_deadline: times(),
            decode_bundle: StringBuilder::new(),
            authorize_bundle: StringBuilder::new(),
            rules_bundle: StringBuilder::new(),
            score: Float64Builder::new(),
            features: topics::text_lists(),
            fired_rules: topics::text_lists(),
            contributions: topics::text_lists(),
            origin_partition: Int32Builder::new(),
            event_time: times(),
            ingest_time: times(),
        }
    }
}

impl DecisionColumns {
    fn push(&mut self, decision: &Decision<'_>, answer: &str, bundles: &Bundles) {
        self.payment_id.append_option(decision.payment_id.map(PaymentId::to_hex));
        self.kind.append_value(decision.kind);
        self.repeat.append_value(decision.repeat);
        self.merchant_id.append_option(decision.merchant_id);
        self.reader_id.append_option(decision.reader_id);
        self.courier_id.append_option(decision.courier_id);
        self.stan.append_option(decision.stan);
        self.token.append_option(decision.token.map(CardToken::to_hex));
        self.state.append_option(decision.state.map(State::name));
        self.response_code.append_value(answer::response_code(decision.reason));
        self.reason.append_value(decision.reason.map_or(APPROVED, Reason::name));
        for finding in decision.findings.iter() {
            self.findings.values().append_value(finding.name());
        }
        self.findings.append(true);
        self.amount_minor.append_option(decision.amount_minor);
        self.currency.append_option(decision.currency);
        self.held_minor.append_value(decision.held_minor);
        self.captured_minor.append_value(decision.captured_minor);
        self.approval_code.append_option(decision.approval_code);
        self.rrn.append_option(decision.rrn);
        self.answer.append_value(answer);
        self.signature_deadline.append_option(decision.deadline_us);
        self.decode_bundle.append_option(decision.decode_bundle);
        self.authorize_bundle.append_option(bundles.authorize.as_deref());
        self.rules_bundle.append_option(decision.judgement.and(bundles.rules.as_deref()));
        self.score.append_option(decision.judgement.and_then(|judgement| judgement.score));
        append_texts(&mut self.features, decision.judgement.map(|judgement| &judgement.features));
        append_texts(&mut self.fired_rules, decision.judgement.map(|judgement| &judgement.fired));
        append_texts(&mut self.contributions, decision.judgement.map(|judgement| &judgement.contributions));
        self.origin_partition.append_value(i32::from(decision.origin));
        self.event_time.append_value(decision.event_time_us);
        self.ingest_time.append_value(decision.ingest_time_us);
    }

    /// In the order of [`topics::decisions`].
    fn into_arrays(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.payment_id.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.repeat.finish()),
            Arc::new(self.merchant_id.finish()),
            Arc::new(self.reader_id.finish()),
            Arc::new(self.courier_id.finish()),
            Arc::new(self.stan.finish()),
            Arc::new(self.token.finish()),
            Arc::new(self.state.finish()),
            Arc::new(self.response_code.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.findings.finish()),
            Arc::new(self.amount_minor.finish()),
            Arc::new(self.currency.finish()),
            Arc::new(self.held_minor.finish()),
            Arc::new(self.captured_minor.finish()),
            Arc::new(self.approval_code.finish()),
            Arc::new(self.rrn.finish()),
            Arc::new(self.answer.finish()),
            Arc::new(self.signature_deadline.finish()),
            Arc::new(self.decode_bundle.finish()),
            Arc::new(self.authorize_bundle.finish()),
            Arc::new(self.origin_partition.finish()),
            Arc::new(self.event_time.finish()),
            Arc::new(self.ingest_time.finish()),
            Arc::new(self.rules_bundle.finish()),
            Arc::new(self.score.finish()),
            Arc::new(self.features.finish()),
            Arc::new(self.fired_rules.finish()),
            Arc::new(self.contributions.finish()),
        ]
    }
}

/// Columns of the three smaller outputs: texts in schema order, one number for alerts, times last.
struct SmallColumns {
    texts: [StringBuilder; 8],
    group_number: Int32Builder,
    times: [TimestampMicrosecondBuilder; 3],
}

impl Default for SmallColumns {
    fn default() -> Self {
        Self {
            texts: std::array::from_fn(|_| StringBuilder::new()),
            group_number: Int32Builder::new(),
            times: std::array::from_fn(|_| times()),
        }
    }
}

impl SmallColumns {
    fn push(&mut self, texts: &[Option<&str>], times_us: &[Option<i64>]) {
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            builder.append_option(*text);
        }
        for (builder, time_us) in self.times.iter_mut().zip(times_us) {
            builder.append_option(*time_us);
        }
    }

    fn into_arrays(mut self, texts: usize, times: usize) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(texts + times);
        arrays.extend(self.texts[..texts].iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        arrays.extend(self.times[..times].iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        arrays
    }

    /// In the order of [`topics::alerts`]: the number of the alert stands before its sentence.
    fn into_alerts(mut self) -> Vec<ArrayRef> {
        let number: ArrayRef = Arc::new(self.group_number.finish());
        let mut arrays = self.into_arrays(8, 2);
        arrays.insert(7, number);
        arrays
    }

    /// In the order of [`topics::labels`].
    fn into_labels(self) -> Vec<ArrayRef> {
        self.into_arrays(3, 3)
    }

    /// In the order of [`topics::dead_letters`].
    fn into_dead_letters(self) -> Vec<ArrayRef> {
        self.into_arrays(3, 2)
    }
}

/// The rows of one batch.
pub(crate) struct Rows {
    offset: i64,
    bundles: Bundles,
    decisions: Table<DecisionColumns>,
    alerts: Table<SmallColumns>,
    labels: Table<SmallColumns>,
    dead_letters: Table<SmallColumns>,
}

impl Rows {
    /// No rows yet; decisions will quote these bundles.
    pub(crate) fn new(authorize_bundle: Option<String>, rules_bundle: Option<String>) -> Self {
        Self {
            offset: 0,
            bundles: Bundles { authorize: authorize_bundle, rules: rules_bundle },
            decisions: Table::new(DECISIONS),
            alerts: Table::new(ALERTS),
            labels: Table::new(LABELS),
            dead_letters: Table::new(DEAD_LETTERS),
        }
    }

    /// The rows that follow are caused by the record at this offset.
    pub(crate) fn at(&mut self, offset: i64) {
        self.offset = offset;
    }

    /// A decision with its answer.
    pub(crate) fn decision(&mut self, decision: &Decision<'_>, answer: &str) {
        self.decisions.offsets.push(self.offset);
        self.decisions.columns.push(decision, answer, &self.bundles);
    }

    /// An alert.
    pub(crate) fn alert(&mut self, alert: &Alert<'_>) {
        let record = alert.record;
        let payment_id = record.payment_id.map(PaymentId::to_hex);
        let token = record.token.map(CardToken::to_hex);
        let texts = [
            Some(&*hex::encode(alert.alert_id)),
            payment_id.as_deref(),
            token.as_deref(),
            record.merchant_id,
            record.reader_id,
            Some(alert.reason.name()),
            Some(&*hex::encode(alert.group_id)),
            Some(alert.sentence),
        ];
        self.alerts.offsets.push(self.offset);
        self.alerts.columns.push(&texts, &[Some(record.received_at_us), Some(record.ingest_time_us)]);
        self.alerts.columns.group_number.append_value(alert.group_number);
    }

    /// A label of a payment.
    pub(crate) fn label(&mut self, id: PaymentId, label: &str, source: Option<&str>, record: &Record<'_>) {
        let said_us = Some(record.received_at_us);
        self.labels.offsets.push(self.offset);
        self.labels
            .columns
            .push(&[Some(&id.to_hex()), Some(label), source], &[said_us, said_us, Some(record.ingest_time_us)]);
    }

    /// A row that makes no sense.
    pub(crate) fn dead_letter(&mut self, why: Senseless, event_time_us: Option<i64>, ingest_time_us: i64) {
        self.dead_letters.offsets.push(self.offset);
        self.dead_letters
            .columns
            .push(&[Some(UNIT), Some(why.reason), Some(why.detail)], &[event_time_us, Some(ingest_time_us)]);
    }

    /// Appends one output for each table that got rows.
    pub(crate) fn finish(self, outputs: &mut Vec<Output>) -> Result<(), Error> {
        self.decisions.finish(topics::decisions, DecisionColumns::into_arrays, outputs)?;
        self.alerts.finish(topics::alerts, SmallColumns::into_alerts, outputs)?;
        self.labels.finish(topics::labels, SmallColumns::into_labels, outputs)?;
        self.dead_letters.finish(topics::dead_letters, SmallColumns::into_dead_letters, outputs)
    }
}
