//! A schema registry, as its HTTP interface gives schemas by their number (`GET /schemas/ids/{id}`). It is asked when a
//! schema is published to the units, and never while records are read.

use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::failure::Failure;

/// Longest wait for the registry.
const WAIT: Duration = Duration::from_secs(10);
/// Kind of schema that the units read; a registry leaves it out for this one.
const AVRO: &str = "AVRO";

/// What a registry answers.
#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
}

/// The text of the schema with this number.
pub fn schema(runtime: &Runtime, registry: &str, id: u32) -> Result<String, Failure> {
    let address = format!("{}/schemas/ids/{id}", registry.trim_end_matches('/'));
    let failed = |reason: String| {
        Failure::failed(format!("{address}: {reason}"))
            .with_help("nothing was published; check the registry's address and the schema's number")
    };
    let answer = runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(WAIT).build()?;
        let response = client.get(&address).send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    });
    let (status, body) = answer.map_err(|error| failed(error.to_string()))?;
    if !status.is_success() {
        return Err(failed(format!("it answers {status}")));
    }
    let answer: Answer = serde_json::from_str(&body).map_err(|error| failed(error.to_string()))?;
    match answer.kind.as_deref() {
        None | Some(AVRO) => Ok(answer.schema),
        Some(other) => Err(failed(format!("the schema is of kind {other}; units read {AVRO}"))),
    }
}
