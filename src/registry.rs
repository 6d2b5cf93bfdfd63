//! A schema registry by its HTTP interface (Confluent's, which others offer too): it gives schemas by their number, and
//! gives a writer's schema its number. It is asked when a schema is published to the units and when a writer starts, and
//! never while records are read.

pub mod numbers;

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::failure::Failure;

/// Longest wait for an answer.
const WAIT: Duration = Duration::from_secs(10);
/// Longest answer that is read; a schema is a few kilobytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Characters of a registry's own words that an error repeats.
const WORDS_MAX: usize = 600;
/// Kind of schema that the units read and write; a registry leaves it out for this one.
const AVRO: &str = "AVRO";
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A registry that can be asked.
pub struct Registry {
    /// Where its interface begins, as requests need it: it may hold a name and a password.
    address: Url,
    client: reqwest::Client,
}

/// A registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There was no answer, or one that says that it cannot work now.
    #[error("the schema registry at {address} cannot be asked: {reason}")]
    Absent {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The schema breaks the subject's compatibility rule.
    #[error(
        "the schema registry refuses the schema of subject {subject} as incompatible with those before it ({address}): {reason}"
    )]
    Incompatible {
        /// Where.
        address: String,
        /// Name under which the schema is kept.
        subject: String,
        /// The registry's words.
        reason: String,
    },
    /// It answers with anything else than was asked for.
    #[error("{address}: {reason}")]
    Answer {
        /// What was asked.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Schema {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Trouble {
    message: String,
}

impl Registry {
    /// The registry at an address, which is not asked yet.
    pub fn at(address: &str) -> Result<Self, Failure> {
        let wrong = |reason: String| {
            Failure::usage(format!("{:?} is no address of a schema registry: {reason}", shown(address)))
                .with_help("give it as http://host:port, with the path of its interface where it has one")
        };
        let url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong("it must begin with http:// or https://".to_string()));
        }
        let client = reqwest::Client::builder().timeout(WAIT).build().map_err(Failure::failed)?;
        Ok(Self { address: url, client })
    }

    /// The registry that the configuration names.
    pub fn of(config: &Config) -> Result<Self, Failure> {
        match &config.kafka.registry {
            Some(address) => Self::at(address),
            None => Err(Failure::usage("no schema registry is named")
                .with_help("name it as kafka.registry in till.toml, or in TILL_KAFKA_REGISTRY")),
        }
    }

    /// Its address for people.
    pub fn address(&self) -> String {
        shown(self.address.as_str()).trim_end_matches('/').to_string()
    }

    /// The text of the schema with this number.
    pub fn schema(&self, runtime: &Runtime, id: u32) -> Result<String, RegistryError> {
        let number = id.to_string();
        let (url, body) = self.ask(runtime, Method::GET, &["schemas", "ids", &number], None)?;
        let answer: Schema = parsed(&url, &body)?;
        match answer.kind.as_deref() {
            None | Some(AVRO) => Ok(answer.schema),
            Some(other) => Err(RegistryError::Answer {
                address: shown(url.as_str()),
                reason: format!("the schema is of kind {other}; units read {AVRO}"),
            }),
        }
    }

    /// Keeps a schema under a subject, unless it is there already; its number.
    pub fn register(&self, runtime: &Runtime, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let path = ["subjects", subject, "versions"];
        let body = json!({ "schema": schema }).to_string();
        let (url, body) = self.ask(runtime, Method::POST, &path, Some((subject, body)))?;
        parsed::<Registered>(&url, &body).map(|answer| answer.id)
    }

    /// What it answers to a request, if that is what was asked for.
    fn ask(
        &self,
        runtime: &Runtime,
        method: Method,
        path: &[&str],
        sent: Option<(&str, String)>,
    ) -> Result<(Url, String), RegistryError> {
        let mut url = self.address.clone();
        url.path_segments_mut().expect("an address that is no base was refused").pop_if_empty().extend(path);
        let absent = |reason: String| RegistryError::Absent { address: self.address(), reason };
        let (subject, body) = sent.unzip();
        let mut request = self.client.request(method, url.clone());
        if let Some(body) = body {
            request = request.header("Content-Type", CONTENT_TYPE).body(body);
        }
        let answer = runtime.block_on(async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((response.status(), body))
        });
        let (status, body) = answer.map_err(|error| absent(causes(&error)))?;
        let refused = |reason| RegistryError::Answer { address: shown(url.as_str()), reason };
        if body.len() > ANSWER_BYTES_MAX {
            return Err(refused(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        match (status, subject) {
            _ if status.is_success() => Ok((url, body)),
            (StatusCode::CONFLICT, Some(subject)) => {
                let (address, subject) = (self.address(), subject.to_string());
                Err(RegistryError::Incompatible { address, subject, reason: words(&body) })
            }
            _ if status.is_server_error() => Err(absent(format!("it answers {status}: {}", words(&body)))),
            _ => Err(refused(format!("it answers {status}: {}", words(&body)))),
        }
    }
}

fn parsed<'a, T: Deserialize<'a>>(url: &Url, body: &'a str) -> Result<T, RegistryError> {
    let failed = |error: serde_json::Error| RegistryError::Answer {
        address: shown(url.as_str()),
        reason: format!("its answer is not a registry's: {error}"),
    };
    serde_json::from_str(body).map_err(failed)
}

/// An address as people may see it: without the name and password that it may hold.
pub fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_string() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => address.to_string(),
    }
}

/// An error with its causes, which the client keeps apart, and without the address that was asked.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    let mut deepest = cause.to_string();
    while let Some(next) = cause.source() {
        cause = next;
        deepest = cause.to_string();
    }
    if error.is_timeout() { format!("no answer in {} s", WAIT.as_secs()) } else { deepest }
}

/// What a registry says about a refusal.
fn words(body: &str) -> String {
    let said =
        serde_json::from_str::<Trouble>(body).map_or_else(|_| body.trim().to_string(), |trouble| trouble.message);
    match said.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{} ...", &said[..end]),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sees_the_password_of_an_address() {
        for (address, expected) in [
            ("http://registry:8081/a", "http://registry:8081/a"),
            ("https://user:p@ss@registry/a@b", "https://registry/a@b"),
            ("http://user@registry", "http://registry"),
            ("registry", "registry"),
        ] {
            assert_eq!(shown(address), expected);
        }
        let registry = Registry::at("http://user:secret@registry:8081/apis/").unwrap();
        assert_eq!(registry.address(), "http://registry:8081/apis");
    }

    #[test]
    fn what_is_no_address_is_told() {
        for address in ["", "registry:8081", "ftp://registry", "http://"] {
            let failure = Registry::at(address).err().unwrap();
            assert_eq!(failure.exit(), crate::failure::Exit::Usage, "{address}");
        }
    }

    #[test]
    fn a_registrys_words_are_repeated_within_bounds() {
        assert_eq!(words(r#"{"error_code":409,"message":"no"}"#), "no");
        assert_eq!(words(" <html> "), "<html>");
        assert_eq!(words(&"é".repeat(1_000)), format!("{} ...", "é".repeat(WORDS_MAX)));
    }
}
