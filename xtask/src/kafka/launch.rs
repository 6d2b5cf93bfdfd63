//! From options to a broker that can be started: its folder with settings, certificates and formatted storage, and its
//! command.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::ServiceError;
use super::certificates;
use super::options::{Options, Place, Ports, Security, server_properties};
use crate::service::launch::{JAVA_ARGUMENTS, Launch, free_port, port, run, service_folder};

/// The cluster's identifier, 16 bytes in URL-safe Base64. It is the same for all: no two of these brokers ever meet.
const CLUSTER: &str = "tillstreamtestkafka00A";

/// Bound of the broker's memory.
const HEAP: &str = "-Xmx512m";

/// For a broker that is measured: all of the compiler, which pays after half a minute of work, and more memory.
const TUNED: [&str; 3] = ["-XX:+UseSerialGC", "-Xms1g", "-Xmx1g"];

/// What a broker writes when all of it runs.
const STARTED: &str = "Kafka Server started";

/// Name of its log in its folder.
pub(super) const LOG: &str = "kafka.log";

/// Writes settings and certificates into the folder and formats its storage, if that was not done before.
pub fn prepare(options: &Options, folder: &Path, libraries: &Path) -> Result<Launch, ServiceError> {
    let folder = service_folder(folder, "Kafka")?;
    let clients = port(options.port)?;
    let ports = Ports { clients, controller: free_port()?, inside: free_port()? };
    if let Security::SaslTls { .. } = options.security {
        certificates::make(&folder)?;
    }
    let settings = folder.join("server.properties");
    let place = Place { folder: &folder, ports: &ports, store_password: certificates::STORE_PASSWORD };
    fs::write(&settings, server_properties(options, &place)).map_err(ServiceError::files(&settings))?;
    let mut classes = libraries.as_os_str().to_owned();
    classes.push("/*");
    if !folder.join("data/meta.properties").exists() {
        format_storage(options, &classes, &settings)?;
    }
    let mut command: Vec<OsString> = vec!["java".into()];
    let [compiler, collector] = JAVA_ARGUMENTS;
    let java = if options.is_tuned { TUNED } else { [compiler, collector, HEAP] };
    command.extend(java.map(OsString::from));
    command.extend(["-cp".into(), classes, "kafka.Kafka".into(), settings.clone().into()]);
    Ok(Launch {
        name: "the broker",
        address: format!("127.0.0.1:{clients}"),
        settings,
        log: folder.join(LOG),
        command,
        started: STARTED,
    })
}

/// Makes the storage, and in it the user with whose name clients connect.
fn format_storage(options: &Options, classes: &OsStr, settings: &Path) -> Result<(), ServiceError> {
    let mut java = Command::new("java");
    java.args(JAVA_ARGUMENTS).args([HEAP, "-cp"]).arg(classes);
    java.args(["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", CLUSTER, "--config"]).arg(settings);
    if let Security::SaslTls { user, password } = &options.security {
        java.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name={user},password={password}]"));
    }
    run(&mut java)
}
