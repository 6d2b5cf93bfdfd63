//! Numbers that a registry gave to the schemas of topics: asked when a writer starts, and kept in the state folder.
//!
//! A number belongs to registry, subject and text of a schema, and never changes. Kept ones let a writer start while the
//! registry is away, since payments must not wait for it; a schema that never had a number does need an answer. What the
//! registry answers goes before what is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schemas::ids::ContentHash;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::{Registry, RegistryError};
use crate::config::Config;
use crate::failure::Failure;
use crate::wiring::write_durably;

/// A number that is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    registry: String,
    subject: String,
    id: u32,
}

/// Number of the schema of each of these topics.
pub fn numbers(
    config: &Config,
    runtime: &Runtime,
    topics: &[&'static str],
) -> Result<BTreeMap<&'static str, u32>, Failure> {
    let mut numbers = Numbers { config, registry: Registry::of(config)?, absent: None };
    topics.iter().map(|topic| Ok((*topic, numbers.number(runtime, topic)?))).collect()
}

struct Numbers<'a> {
    config: &'a Config,
    registry: Registry,
    /// Why the registry is not asked any more.
    absent: Option<String>,
}

impl Numbers<'_> {
    /// The number of a topic's schema of today.
    fn number(&mut self, runtime: &Runtime, topic: &str) -> Result<u32, Failure> {
        let schema = schemas::avro::versions_of(topic).pop();
        let schema = schema.ok_or_else(|| Failure::failed(format!("no topic is called {topic}")))?;
        let subject = subject(&self.config.kafka.prefix, topic);
        let path = self.path(&subject, &schema);
        if self.absent.is_none() {
            match self.registry.register(runtime, &subject, &schema) {
                Ok(id) => return self.keep(&path, Note { registry: self.registry.address(), subject, id }),
                Err(error @ RegistryError::Absent { .. }) => self.absent = Some(error.to_string()),
                Err(error) => return Err(failure(error)),
            }
        }
        let absent = self.absent.clone().unwrap_or_default();
        match fs::read(&path).ok().and_then(|content| serde_json::from_slice::<Note>(&content).ok()) {
            Some(note) => {
                tracing::warn!(target: "till::registry", subject, id = note.id, "{absent}; its last answer is used");
                Ok(note.id)
            }
            None => Err(Failure::failed(absent).with_help(format!(
                "the schema of {subject} has no number yet, which frames need: start the registry, or mend kafka.registry; \
                 once it has answered, later starts do without it"
            ))),
        }
    }

    fn path(&self, subject: &str, schema: &str) -> PathBuf {
        let hash = ContentHash::of(format!("{}\n{subject}\n{schema}", self.registry.address()).as_bytes());
        self.config.state.join("registry").join(format!("{}.json", hash.to_hex()))
    }

    fn keep(&self, path: &Path, note: Note) -> Result<u32, Failure> {
        let failed =
            |error: std::io::Error| Failure::failed(format!("cannot keep a number in {}: {error}", path.display()));
        let content = serde_json::to_vec_pretty(&note).map_err(Failure::failed)?;
        if fs::read(path).is_ok_and(|kept| kept == content) {
            return Ok(note.id);
        }
        fs::create_dir_all(self.config.state.join("registry")).map_err(failed)?;
        write_durably(path, &content).map_err(failed)?;
        Ok(note.id)
    }
}

/// Name under which a registry keeps the schemas of a topic's records, as clients choose it unless told otherwise.
fn subject(prefix: &str, topic: &str) -> String {
    match prefix {
        "" => format!("{topic}-value"),
        _ => format!("{prefix}.{topic}-value"),
    }
}

fn failure(error: RegistryError) -> Failure {
    match error {
        RegistryError::Incompatible { ref subject, .. } => {
            let help = format!(
                "nothing was written: others could not read it. Somebody has registered other schemas under {subject}; \
                 take them back there, or give this system a kafka.prefix of its own"
            );
            Failure::refused(error).with_help(help)
        }
        RegistryError::Absent { .. } | RegistryError::Answer { .. } => Failure::failed(error)
            .with_help("nothing was written; check kafka.registry, and what this program may do there"),
    }
}
