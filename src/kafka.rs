//! How this program speaks to brokers: the client's settings from the configuration.

use log::kafka::{Admin, Settings};

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;

/// Units that keep their offsets in groups and read control records, with their input topics, in the order of the flow.
pub const UNIT_INPUTS: [(&str, &str); 3] = [("decode", "transactions"), ("authorize", "payments"), ("trips", "pings")];

/// The client's settings for this configuration, under a name for this process.
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
        format: kafka.format,
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
