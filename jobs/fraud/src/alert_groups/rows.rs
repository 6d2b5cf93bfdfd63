//! The rows of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use schemas::alerting::alert_groups;
use schemas::ids::{PaymentId, alerting_payment, hash_of_parts, hex_of};
use schemas::tables::with_source;
use schemas::topics::text_lists;

use super::{Alert, Group, NOTIFIED, Subject, Written};

const MINUTE_US: i64 = 60 * 1_000_000;

/// A row about a group.
pub(super) struct Said<'a> {
    group_id: String,
    revision: i32,
    subject: Subject,
    alerts: Vec<&'a Alert>,
    first_us: i64,
    newest_us: i64,
    newest_alert_id: String,
    amount: Option<(i64, String)>,
    sentence: String,
    notifies: bool,
    notified: i64,
    ingest_us: i64,
    source: (String, i32, i64),
}

impl Said<'_> {
    pub(super) fn order(&self) -> (i64, &str) {
        (self.newest_us, &self.group_id)
    }

    fn count(&self, of: impl Fn(&Alert) -> Option<&str>) -> i64 {
        distinct(&self.alerts, of)
    }

    fn newest(&self) -> Option<&Alert> {
        self.alerts.last().copied()
    }
}

/// Identity of a group by its first alert; where that has no payment, by the alert.
pub(super) fn group_id(subject: &Subject, first: &Alert) -> String {
    let (merchant_id, reader_id) = match subject {
        Subject::Card(group_id) => return group_id.clone(),
        Subject::Reader(merchant_id, reader_id) => (merchant_id.as_deref().unwrap_or_default(), reader_id),
    };
    let payment = first.payment_id.as_deref().and_then(PaymentId::from_hex).map(alerting_payment);
    let name = payment.unwrap_or_else(|| hash_of_parts(&[b"alert", first.alert_id.as_bytes()]));
    hex_of(&hash_of_parts(&[b"reader", merchant_id.as_bytes(), reader_id.as_bytes(), &name]))
}

/// The row about a group, if the one that is written says something else. `gone` are written groups that are no more.
pub(super) fn said<'a>(group: Group<'a>, written: &BTreeMap<&str, &Written>, gone: &[&Written]) -> Option<Said<'a>> {
    let Group { subject, group_id, alerts } = group;
    let (first, newest) = (*alerts.first()?, *alerts.last()?);
    let before = written.get(group_id.as_str());
    let amount = amount_of(&alerts);
    let sentence = sentence(&subject, &alerts);
    let number = i64::try_from(alerts.len()).unwrap_or(i64::MAX);
    let says_the_same = |before: &&&Written| {
        (before.alerts, before.first_us, before.newest_us) == (number, first.at_us, newest.at_us)
            && before.newest_alert_id == newest.alert_id
            && before.amount_minor == amount.as_ref().map(|(minor, _)| *minor)
            && before.sentence == sentence
    };
    if before.filter(says_the_same).is_some() {
        return None;
    }
    let had_its_alerts = |other: &&&Written| {
        other.subject == subject && other.first_us <= newest.at_us && other.newest_us >= first.at_us
    };
    let told_by = before.into_iter().chain(gone.iter().filter(had_its_alerts));
    let told = told_by.map(|other| other.notified).max().unwrap_or_default();
    let reached = NOTIFIED.into_iter().filter(|alerts| *alerts <= number).max().unwrap_or_default();
    Some(Said {
        revision: before.map_or(1, |before| before.revision.saturating_add(1)),
        first_us: first.at_us,
        newest_us: newest.at_us,
        newest_alert_id: newest.alert_id.clone(),
        amount,
        sentence,
        notifies: reached > told,
        notified: reached.max(told),
        ingest_us: newest.ingest_us,
        source: newest.source.clone(),
        group_id,
        subject,
        alerts,
    })
}

/// The row about a group that is no more.
pub(super) fn emptied(before: &Written) -> Said<'static> {
    Said {
        group_id: before.group_id.clone(),
        revision: before.revision.saturating_add(1),
        subject: before.subject.clone(),
        alerts: Vec::new(),
        first_us: before.first_us,
        newest_us: before.newest_us,
        newest_alert_id: before.newest_alert_id.clone(),
        amount: None,
        sentence: "Its alerts were withdrawn or belong to another group now.".to_string(),
        notifies: false,
        notified: before.notified,
        ingest_us: before.ingest_us,
        source: before.source.clone(),
    }
}

fn distinct(alerts: &[&Alert], of: impl Fn(&Alert) -> Option<&str>) -> i64 {
    let values: BTreeSet<&str> = alerts.iter().filter_map(|alert| of(alert)).collect();
    i64::try_from(values.len()).unwrap_or(i64::MAX)
}

/// Identity of what is paid: several alerts may be about one payment.
fn payment(alert: &Alert) -> Option<&str> {
    Some(alert.payment_id.as_deref().unwrap_or(&alert.alert_id))
}

/// The sum of the payments, each once, where they are of one currency; a refund is another payment's time.
fn amount_of(alerts: &[&Alert]) -> Option<(i64, String)> {
    let paid: BTreeMap<_, _> = alerts
        .iter()
        .filter_map(|alert| Some(((payment(alert)?, alert.at_us), (alert.amount_minor?, alert.currency.as_deref()?))))
        .collect();
    let currency = paid.values().next()?.1;
    let is_one = paid.values().all(|(_, other)| *other == currency);
    let sum = paid.values().try_fold(0_i64, |sum, (minor, _)| sum.checked_add(*minor))?;
    is_one.then(|| (sum, currency.to_string()))
}

fn sentence(subject: &Subject, alerts: &[&Alert]) -> String {
    let counted = |number: i64, one: &str| if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") };
    let number = counted(i64::try_from(alerts.len()).unwrap_or(i64::MAX), "alert");
    let lasts_us = match (alerts.first(), alerts.last()) {
        (Some(first), Some(last)) => last.at_us - first.at_us,
        _ => 0,
    };
    let within =
        if alerts.len() > 1 { format!(" in {} min", (lasts_us + MINUTE_US - 1) / MINUTE_US) } else { String::new() };
    match subject {
        Subject::Card(_) => {
            let readers = distinct(alerts, |alert| alert.reader_id.as_deref());
            format!("{number} of this card at {}{within}.", counted(readers, "reader"))
        }
        Subject::Reader(merchant_id, reader_id) => {
            let merchant = merchant_id.as_deref().unwrap_or("an unnamed merchant");
            match distinct(alerts, |alert| alert.token.as_deref()) {
                0 => format!("{number} on reader {reader_id} at {merchant}{within}."),
                cards => format!("{number} of {} on reader {reader_id} at {merchant}{within}.", counted(cards, "card")),
            }
        }
    }
}

/// The rows in this order.
pub(super) fn batch(said: &[Said<'_>]) -> Result<RecordBatch, ArrowError> {
    let schema = with_source(&alert_groups());
    let text = |value: &dyn Fn(&Said<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(said.iter().map(value).collect::<StringArray>())
    };
    let number = |value: &dyn Fn(&Said<'_>) -> Option<i64>| -> ArrayRef {
        Arc::new(said.iter().map(value).collect::<Int64Array>())
    };
    let small = |value: &dyn Fn(&Said<'_>) -> i32| -> ArrayRef {
        Arc::new(said.iter().map(|said| Some(value(said))).collect::<Int32Array>())
    };
    let time = |value: &dyn Fn(&Said<'_>) -> i64| -> ArrayRef {
        let times: TimestampMicrosecondArray = said.iter().map(|said| Some(value(said))).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let columns = schema.fields().iter().map(|field| {
        Ok(match field.name().as_str() {
            "group_id" => text(&|said| Some(said.group_id.clone())),
            "revision" => small(&|said| said.revision),
            "kind" => text(&|said| Some(kind(&said.subject).to_string())),
            "token" => text(&|said| match &said.subject {
                Subject::Card(_) => said.newest()?.token.clone(),
                Subject::Reader(..) => None,
            }),
            "merchant_id" => text(&|said| match &said.subject {
                Subject::Card(_) => said.newest()?.merchant_id.clone(),
                Subject::Reader(merchant_id, _) => merchant_id.clone(),
            }),
            "reader_id" => text(&|said| match &said.subject {
                Subject::Card(_) => said.newest()?.reader_id.clone(),
                Subject::Reader(_, reader_id) => Some(reader_id.clone()),
            }),
            "alerts" => number(&|said| i64::try_from(said.alerts.len()).ok()),
            "payments" => number(&|said| Some(said.count(payment))),
            "cards" => number(&|said| Some(said.count(|alert| alert.token.as_deref()))),
            "merchants" => number(&|said| Some(said.count(|alert| alert.merchant_id.as_deref()))),
            "readers" => number(&|said| Some(said.count(|alert| alert.reader_id.as_deref()))),
            "amount_minor" => number(&|said| Some(said.amount.as_ref()?.0)),
            "currency" => text(&|said| Some(said.amount.as_ref()?.1.clone())),
            "reasons" => reasons(said),
            "first_at" => time(&|said| said.first_us),
            "newest_at" | "event_time" => time(&|said| said.newest_us),
            "newest_alert_id" => text(&|said| Some(said.newest_alert_id.clone())),
            "sentence" => text(&|said| Some(said.sentence.clone())),
            "notifies" => Arc::new(said.iter().map(|said| Some(said.notifies)).collect::<BooleanArray>()),
            "notified" => number(&|said| Some(said.notified)),
            "ingest_time" => time(&|said| said.ingest_us),
            "source_topic" => text(&|said| Some(said.source.0.clone())),
            "source_partition" => small(&|said| said.source.1),
            "source_offset" => number(&|said| Some(said.source.2)),
            other => return Err(ArrowError::SchemaError(format!("nothing is known of column {other}"))),
        })
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(schema, columns)
}

fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Card(_) => "card",
        Subject::Reader(..) => "reader",
    }
}

fn reasons(said: &[Said<'_>]) -> ArrayRef {
    let mut lists = text_lists();
    for said in said {
        let reasons: BTreeSet<&str> = said.alerts.iter().map(|alert| alert.reason.as_str()).collect();
        lists.append_value(reasons.into_iter().map(Some));
    }
    Arc::new(lists.finish())
}
