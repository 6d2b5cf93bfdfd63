//! How this program speaks to brokers: the client's settings from the configuration.

use std::collections::BTreeMap;

use log::kafka::{Admin, Settings};
use log::wire::Formats;
use tokio::runtime::Runtime;

use crate::config::{BrokerFlags, Config, LakeFlags, RecordFormat, StateFlags};
use crate::failure::Failure;
use crate::registry::numbers;

/// Units that keep their offsets in groups and read control records, with their input topics, in the order of the flow.
pub const UNIT_INPUTS: [(&str, &str); 3] = [("decode", "transactions"), ("authorize", "payments"), ("trips", "pings")];

/// The client's settings for a process that also writes to these topics.
pub fn writing_settings(
    config: &Config,
    instance: &str,
    runtime: &Runtime,
    topics: &[&'static str],
) -> Result<Settings, Failure> {
    let mut settings = settings(config, instance)?;
    if let Formats::Registry(numbers) = &mut settings.formats {
        *numbers = numbers::numbers(config, runtime, topics)?;
    }
    Ok(settings)
}

/// The client's settings for this configuration, under a name for this process. With a registry's format they are for
/// reading alone, since that needs no numbers of schemas.
pub fn settings(config: &Config, instance: &str) -> Result<Settings, Failure> {
    let kafka = &config.kafka;
    let brokers = kafka.brokers.clone().ok_or_else(|| {
        Failure::usage("no brokers are named")
            .with_help("name them with --brokers host:port, or as kafka.brokers in till.toml")
    })?;
    Ok(Settings {
        brokers,
        properties: kafka.properties.clone(),
        instance: instance.to_string(),
        call_timeout: kafka.call,
        session_timeout: kafka.session,
        transaction_timeout: kafka.transaction,
        formats: match kafka.format {
            RecordFormat::Json => Formats::Json,
            RecordFormat::Avro => Formats::Avro,
            RecordFormat::Registry => Formats::Registry(BTreeMap::new()),
        },
        prefix: if kafka.prefix.is_empty() { "till".to_string() } else { kafka.prefix.clone() },
        topic_prefix: if kafka.prefix.is_empty() { String::new() } else { format!("{}.", kafka.prefix) },
    })
}

/// A connection for a command that looks at topics and groups.
pub fn admin(lake: &LakeFlags, brokers: &BrokerFlags) -> Result<(Config, Admin), Failure> {
    let config = Config::resolve_with(lake, &StateFlags::default(), brokers)?;
    let admin = Admin::connect(&settings(&config, "admin")?)?;
    Ok((config, admin))
}
