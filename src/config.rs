//! The configuration: one list of keys, each with its default and its meaning, and for each value where it came from.
//! A flag goes before the environment, that before the configuration file, that before the default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::Table;
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::{output, registry};

/// Read where no `--config` is given.
const FILE_NAME: &str = "till.toml";

/// A key of the configuration. Its environment variable is `TILL_` and its name in capitals, dots as underscores.
struct Key {
    name: &'static str,
    default: &'static str,
    doc: &'static str,
}

const KEYS: [Key; 19] = [
    Key { name: "lake", default: "till-data/lake", doc: "folder of the Delta tables" },
    Key { name: "state", default: "", doc: "folder of snapshots, bundles and locks; empty: _state in the lake" },
    Key { name: "instance", default: "", doc: "name of this process in the state folder; empty: first free number" },
    Key { name: "run.batch_rows_max", default: "8192", doc: "largest number of records decoded at once" },
    Key { name: "run.commit_rows", default: "65536", doc: "records between two commits; they wait in memory" },
    Key { name: "run.snapshot_rows", default: "65536", doc: "records between two snapshots: what a crash replays" },
    Key { name: "maintenance.small_file_bytes", default: "33554432", doc: "files below this size are merged" },
    Key { name: "maintenance.files_min", default: "8", doc: "small files from which merging is worth a commit" },
    Key {
        name: "maintenance.keep_versions_s",
        default: "604800",
        doc: "seconds for which old versions of tables stay readable (1 to 30 days)",
    },
    Key { name: "kafka.brokers", default: "", doc: "addresses of brokers, host:port with commas between" },
    Key {
        name: "kafka.prefix",
        default: "",
        doc: "start of the names of topics and groups, for several systems on a cluster",
    },
    Key {
        name: "kafka.format",
        default: "avro",
        doc: "what is written to topics: avro (single object), json, or registry (frames of a schema registry)",
    },
    Key {
        name: "kafka.registry",
        default: "",
        doc: "address of the schema registry that numbers the schemas of kafka.format registry, http://host:port",
    },
    Key {
        name: "kafka.commit_ms",
        default: "20",
        doc: "milliseconds between a unit's commits under load; a record after a pause is committed at once",
    },
    Key { name: "kafka.lake_commit_ms", default: "2000", doc: "milliseconds between the lake's commits to tables" },
    Key { name: "kafka.snapshot_ms", default: "60000", doc: "milliseconds between two snapshots of a partition" },
    Key { name: "kafka.session_ms", default: "10000", doc: "silence after which a process loses its partitions" },
    Key {
        name: "kafka.transaction_ms",
        default: "15000",
        doc: "after it the broker aborts a dead process's transaction",
    },
    Key { name: "kafka.call_ms", default: "30000", doc: "longest wait for a broker's answer" },
];

/// Keys under it go to the Kafka client as they are: `[kafka.properties]` with `"security.protocol" = "SASL_SSL"`.
const PROPERTIES: &str = "kafka.properties.";
/// Parts of the names of properties whose values are shown to nobody.
const SECRETS: [&str; 3] = ["password", "secret", "key.pem"];

/// Where the lake lies, for every command that reads or writes tables.
#[derive(Args, Clone, Default)]
pub struct LakeFlags {
    /// Folder of the Delta tables [env: TILL_LAKE; default: till-data/lake].
    #[arg(long, value_name = "DIR", global = true)]
    pub lake: Option<PathBuf>,
    /// Configuration file [env: TILL_CONFIG; default: till.toml, if there is one].
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// Where snapshots lie, for every command that runs units.
#[derive(Args, Clone, Default)]
pub struct StateFlags {
    /// Folder of snapshots, bundles and locks [env: TILL_STATE; default: _state in the lake].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Name of this process in the state folder [env: TILL_INSTANCE; default: first free number].
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
}

/// Where the brokers are, for every command that needs them.
#[derive(Args, Clone, Default)]
pub struct BrokerFlags {
    /// Kafka brokers, host:port with commas between [env: TILL_KAFKA_BROKERS].
    #[arg(long, value_name = "LIST")]
    pub brokers: Option<String>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A key with the value in force.
#[derive(Debug)]
struct Value {
    key: String,
    value: String,
    origin: Origin,
    doc: &'static str,
}

/// What is written to topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFormat {
    /// JSON objects.
    Json,
    /// Avro single objects.
    Avro,
    /// Frames by schemas that a registry numbers.
    Registry,
}

/// What is configured about Kafka.
#[derive(Debug)]
pub struct KafkaConfig {
    /// Addresses of brokers.
    pub brokers: Option<String>,
    /// Start of the names of topics, groups and transactions.
    pub prefix: String,
    /// What is written to topics.
    pub format: RecordFormat,
    /// Address of the schema registry, if one is named.
    pub registry: Option<String>,
    /// Between a unit's commits.
    pub commit: Duration,
    /// Between the lake's commits.
    pub lake_commit: Duration,
    /// Between two snapshots of a partition.
    pub snapshot: Duration,
    /// Silence after which a process loses its partitions.
    pub session: Duration,
    /// After it a dead process's transaction is aborted.
    pub transaction: Duration,
    /// Longest wait for a broker's answer.
    pub call: Duration,
    /// What goes to the client as it is.
    pub properties: Vec<(String, String)>,
}

/// What is configured.
#[derive(Debug)]
pub struct Config {
    /// Folder of the tables.
    pub lake: PathBuf,
    /// Folder of snapshots, bundles and locks.
    pub state: PathBuf,
    /// Name of this process, if one was given.
    pub instance: Option<String>,
    /// Bounds of a run.
    pub settings: runner::Settings,
    /// When maintenance does what.
    pub policy: lake::MaintenancePolicy,
    /// How brokers are spoken to.
    pub kafka: KafkaConfig,
    values: Vec<Value>,
}

impl Config {
    /// The configuration that these flags, the environment and the configuration file make.
    pub fn resolve(lake: &LakeFlags, state: &StateFlags) -> Result<Self, Failure> {
        Self::resolve_with(lake, state, &BrokerFlags::default())
    }

    /// The same for a command that may need brokers.
    pub fn resolve_with(lake: &LakeFlags, state: &StateFlags, brokers: &BrokerFlags) -> Result<Self, Failure> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("lake", path(&lake.lake)),
            ("state", path(&state.state)),
            ("instance", state.instance.clone()),
            ("kafka.brokers", brokers.brokers.clone()),
        ];
        let file = read_file(lake.config.as_deref())?;
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of(values(&flags, &environment, file.as_ref()))
    }

    /// Refuses to go on where there is no lake yet, for commands that would make none.
    pub fn require_lake(&self) -> Result<(), Failure> {
        if self.lake.is_dir() {
            return Ok(());
        }
        Err(Failure::usage(format!("there is no lake in {}", self.lake.display()))
            .with_help("name one with --lake, or make one with `till demo`"))
    }

    fn of(values: Vec<Value>) -> Result<Self, Failure> {
        let text = |name: &str| {
            let found = values.iter().find(|value| value.key == name);
            found.map(|value| value.value.clone()).filter(|value| !value.is_empty())
        };
        let lake = PathBuf::from(text("lake").unwrap_or_default());
        let settings = runner::Settings {
            batch_rows_max: number(&values, "run.batch_rows_max", 1)? as usize,
            commit_rows: number(&values, "run.commit_rows", 1)? as i64,
            snapshot_rows: number(&values, "run.snapshot_rows", 1)? as i64,
        };
        let policy = lake::MaintenancePolicy {
            small_file_bytes: number(&values, "maintenance.small_file_bytes", 0)?,
            files_min: number(&values, "maintenance.files_min", 2)? as usize,
            keep_versions_s: number(&values, "maintenance.keep_versions_s", lake::KEEP_VERSIONS_S_MIN)?,
            ..lake::MaintenancePolicy::default()
        };
        let state = text("state").map_or_else(|| lake.join("_state"), PathBuf::from);
        let instance = text("instance");
        let kafka = KafkaConfig::of(&values)?;
        Ok(Self { lake, state, instance, settings, policy, kafka, values })
    }
}

impl KafkaConfig {
    fn of(values: &[Value]) -> Result<Self, Failure> {
        let milliseconds = |name: &str| number(values, name, 1).map(Duration::from_millis);
        let text = |name: &str| values.iter().find(|value| value.key == name).map(|value| value.value.as_str());
        let given = |name: &str| text(name).filter(|value| !value.is_empty()).map(str::to_string);
        let format = match text("kafka.format") {
            Some("json") => RecordFormat::Json,
            Some("avro") | None => RecordFormat::Avro,
            Some("registry") => RecordFormat::Registry,
            Some(other) => {
                return Err(
                    Failure::usage(format!("kafka.format is {other:?}")).with_help("it must be avro, json or registry")
                );
            }
        };
        let properties = values
            .iter()
            .filter_map(|value| value.key.strip_prefix(PROPERTIES).map(|name| (name.to_string(), value.value.clone())));
        Ok(Self {
            brokers: given("kafka.brokers"),
            registry: given("kafka.registry"),
            prefix: text("kafka.prefix").unwrap_or_default().to_string(),
            format,
            commit: milliseconds("kafka.commit_ms")?,
            lake_commit: milliseconds("kafka.lake_commit_ms")?,
            snapshot: milliseconds("kafka.snapshot_ms")?,
            session: milliseconds("kafka.session_ms")?,
            transaction: milliseconds("kafka.transaction_ms")?,
            call: milliseconds("kafka.call_ms")?,
            properties: properties.collect(),
        })
    }
}

/// Largest number that a key takes: what a signed 32-bit counter holds is more than any of them needs.
const NUMBER_MAX: u64 = i32::MAX as u64;

fn number(values: &[Value], name: &str, min: u64) -> Result<u64, Failure> {
    let value = values.iter().find(|value| value.key == name).expect("every key has a value, if only its default");
    let parsed = value.value.parse().ok().filter(|number| (min..=NUMBER_MAX).contains(number));
    parsed.ok_or_else(|| {
        Failure::usage(format!("{name} is {:?} (from {})", value.value, value.origin))
            .with_help(format!("it must be a whole number from {min} to {NUMBER_MAX}: {}", value.doc))
    })
}

/// A configuration file: its keys with their values as text.
struct ConfigFile {
    path: PathBuf,
    entries: Vec<(String, String)>,
}

fn values(
    flags: &[(&str, Option<String>)],
    environment: &dyn Fn(&str) -> Option<String>,
    file: Option<&ConfigFile>,
) -> Vec<Value> {
    let value = |key: &Key| {
        let variable = variable(key.name);
        let flag = flags.iter().find(|(name, _)| *name == key.name).and_then(|(_, value)| value.clone());
        let in_file = file.and_then(|file| {
            let (_, value) = file.entries.iter().find(|(name, _)| name == key.name)?;
            Some((value.clone(), Origin::File(file.path.clone())))
        });
        let (value, origin) = flag
            .map(|value| (value, Origin::Flag(format!("--{}", key.name))))
            .or_else(|| environment(&variable).map(|value| (value, Origin::Environment(variable))))
            .or(in_file)
            .unwrap_or_else(|| (key.default.to_string(), Origin::Default));
        Value { key: key.name.to_string(), value, origin, doc: key.doc }
    };
    let passed_on = file.into_iter().flat_map(|file| {
        file.entries.iter().filter(|(name, _)| name.starts_with(PROPERTIES)).map(|(name, value)| Value {
            key: name.clone(),
            value: value.clone(),
            origin: Origin::File(file.path.clone()),
            doc: "passed on to the Kafka client",
        })
    });
    KEYS.iter().map(value).chain(passed_on).collect()
}

/// A value as people may see it.
fn shown(value: &Value) -> String {
    match SECRETS.iter().any(|secret| value.key.contains(secret)) {
        true => "(secret)".to_string(),
        false => registry::shown(&value.value),
    }
}

fn variable(name: &str) -> String {
    format!("TILL_{}", name.to_uppercase().replace('.', "_"))
}

fn read_file(given: Option<&Path>) -> Result<Option<ConfigFile>, Failure> {
    let variable = std::env::var_os("TILL_CONFIG").map(PathBuf::from);
    let (path, is_asked_for) = match given.map(Path::to_path_buf).or(variable) {
        Some(path) => (path, true),
        None => (PathBuf::from(FILE_NAME), false),
    };
    let content = match std::fs::read_to_string(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_asked_for => return Ok(None),
        Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
    };
    let entries = entries(&content).map_err(|problem| {
        let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        Failure::usage(format!("{}: {problem}", path.display())).with_help(format!("keys: {}", known.join(", ")))
    })?;
    Ok(Some(ConfigFile { path, entries }))
}

/// The keys of a file with their values as text.
fn entries(content: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = content.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut entries = Vec::new();
    collect("", &table, &mut entries)?;
    let is_known = |name: &str| name.starts_with(PROPERTIES) || KEYS.iter().any(|key| key.name == name);
    match entries.iter().find(|(name, _)| !is_known(name)) {
        Some((name, _)) => Err(format!("there is no key {name}")),
        None => Ok(entries),
    }
}

fn collect(prefix: &str, table: &toml::Table, entries: &mut Vec<(String, String)>) -> Result<(), String> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value {
            toml::Value::Table(table) => collect(&format!("{name}."), table, entries)?,
            toml::Value::String(text) => entries.push((name, text.clone())),
            toml::Value::Integer(number) => entries.push((name, number.to_string())),
            other => return Err(format!("key {name} has a value of type {}", other.type_str())),
        }
    }
    Ok(())
}

/// Show the configuration.
#[derive(Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Show each key with its value and where the value came from.
    Explain(ExplainArgs),
}

#[derive(Args)]
struct ExplainArgs {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// Shows the configuration.
pub fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let ConfigCommand::Explain(args) = &args.command;
    let config = Config::resolve(&args.lake, &args.state)?;
    if args.json {
        let document = config
            .values
            .iter()
            .map(|value| json!({ "key": value.key, "value": shown(value), "origin": value.origin, "doc": value.doc }));
        return output::print_json(&document.collect::<Vec<_>>());
    }
    let mut table = output::table(["key", "value", "from", "meaning"]);
    for value in &config.values {
        table.add_row([value.key.as_str(), &shown(value), &value.origin.to_string(), value.doc]);
    }
    output::print(&Table::to_string(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(values: &'a [Value], key: &str) -> (&'a str, &'a Origin) {
        values.iter().find(|value| value.key == key).map(|value| (value.value.as_str(), &value.origin)).unwrap()
    }

    #[test]
    fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
        let content = "lake = \"f\"\nstate = \"f\"\n[run]\ncommit_rows = 7";
        let file = ConfigFile { path: "till.toml".into(), entries: entries(content).unwrap() };
        let environment = |name: &str| (name == "TILL_LAKE" || name == "TILL_STATE").then(|| "e".to_string());
        let found = values(&[("lake", Some("flag".into())), ("state", None)], &environment, Some(&file));
        assert_eq!(find(&found, "lake"), ("flag", &Origin::Flag("--lake".into())));
        assert_eq!(find(&found, "state"), ("e", &Origin::Environment("TILL_STATE".into())));
        assert_eq!(find(&found, "run.commit_rows"), ("7", &Origin::File("till.toml".into())));
        assert_eq!(find(&found, "run.snapshot_rows"), ("65536", &Origin::Default));
        let config = Config::of(found).unwrap();
        assert_eq!((config.lake, config.state, config.settings.commit_rows), ("flag".into(), "e".into(), 7));
    }

    #[test]
    fn defaults_are_those_of_the_crates() {
        let config = Config::of(values(&[], &|_| None, None)).unwrap();
        let settings = runner::Settings::default();
        assert_eq!(config.settings.batch_rows_max, settings.batch_rows_max);
        assert_eq!(config.settings.commit_rows, settings.commit_rows);
        assert_eq!(config.settings.snapshot_rows, settings.snapshot_rows);
        let policy = lake::MaintenancePolicy::default();
        assert_eq!(config.policy.small_file_bytes, policy.small_file_bytes);
        assert_eq!(config.policy.files_min, policy.files_min);
        assert_eq!(config.policy.keep_versions_s, policy.keep_versions_s);
        assert_eq!(config.state, PathBuf::from("till-data/lake/_state"));
    }

    #[test]
    fn what_the_client_is_told_comes_from_the_file_and_secrets_stay_hidden() {
        let content = "[kafka]\nregistry = \"http://till:hidden@registry/\"\n[kafka.properties]\n\"sasl.password\" = \
            \"hidden\"\nsasl.mechanism = \"PLAIN\"";
        let file = ConfigFile { path: "till.toml".into(), entries: entries(content).unwrap() };
        let found = values(&[], &|_| None, Some(&file));
        let password = found.iter().find(|value| value.key.ends_with("sasl.password")).unwrap();
        assert_eq!(shown(password), "(secret)");
        let registry = found.iter().find(|value| value.key == "kafka.registry").unwrap();
        assert_eq!(shown(registry), "http://registry/");
        let kafka = Config::of(found).unwrap().kafka;
        assert_eq!(kafka.registry.as_deref(), Some("http://till:hidden@registry/"));
        let properties = kafka.properties;
        let expected = [("sasl.mechanism", "PLAIN"), ("sasl.password", "hidden")];
        assert_eq!(properties, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(entries("lakes = \"x\"").unwrap_err(), "there is no key lakes");
        assert_eq!(entries("lake = true").unwrap_err(), "key lake has a value of type boolean");
        let zero = |name: &str| (name == "TILL_RUN_COMMIT_ROWS").then(|| "0".to_string());
        let failure = Config::of(values(&[], &zero, None)).unwrap_err();
        assert_eq!(failure.to_string(), "run.commit_rows is \"0\" (from environment TILL_RUN_COMMIT_ROWS)");
    }
}
