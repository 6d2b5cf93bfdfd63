//! What people say about payments: disposition records on the transactions log, keyed by the payment's merchant like
//! everything about it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use schemas::placement;
use schemas::topics::{self, kind};
use serde::Serialize;
use serde_json::json;

use crate::config::Config;
use crate::control::{PUBLISHED, publishing};
use crate::failure::Failure;
use crate::wiring::start_runtime;
use crate::{append, clock, kafka};

const TOPIC: &str = "transactions";

/// What somebody says about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The payment.
    pub payment_id: String,
    /// Its merchant, by whom the record is keyed.
    pub merchant_id: String,
    /// `fraud` or `legitimate`.
    pub label: String,
    /// Who says so.
    pub source: String,
}

/// Puts verdicts on the log: into a file of an input folder, or on the brokers' topic. Says where.
pub fn send(verdicts: &[Verdict], input: Option<&Path>, config: &Config) -> Result<String, Failure> {
    if let Some(input) = input {
        let record = |verdict: &Verdict| {
            json!({ "kind": kind::DISPOSITION, "payment_id": verdict.payment_id, "merchant_id": verdict.merchant_id,
                "label": verdict.label, "label_source": verdict.source })
        };
        let path = append::to_transactions(input, "verdicts", verdicts.iter().map(record).collect())?;
        return Ok(path.display().to_string());
    }
    let settings = kafka::writing_settings(config, "feedback", &start_runtime()?, &PUBLISHED)?;
    publishing(&settings, |publisher| {
        let partitions = publisher.partitions(TOPIC)?;
        publisher.send(TOPIC, &rows(verdicts), &mut |row| {
            vec![placement::of_key(verdicts[row].merchant_id.as_bytes(), partitions)]
        })
    })?;
    Ok(format!("topic {TOPIC}"))
}

/// The records as rows of the topic.
fn rows(verdicts: &[Verdict]) -> RecordBatch {
    let schema = topics::by_name(TOPIC).expect("transactions are a topic");
    let texts = |text: fn(&Verdict) -> &str| {
        Arc::new(verdicts.iter().map(|verdict| Some(text(verdict))).collect::<StringArray>()) as ArrayRef
    };
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "kind" => texts(|_| kind::DISPOSITION),
        "payment_id" => texts(|verdict| &verdict.payment_id),
        "merchant_id" => texts(|verdict| &verdict.merchant_id),
        "label" => texts(|verdict| &verdict.label),
        "label_source" => texts(|verdict| &verdict.source),
        "received_at" => {
            Arc::new(TimestampMicrosecondArray::from(vec![clock::now_us(); verdicts.len()]).with_timezone("UTC"))
        }
        _ => new_null_array(field.data_type(), verdicts.len()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect())
        .expect("each column has its field's type and a row a verdict")
}
