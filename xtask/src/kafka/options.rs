//! What a broker is asked to be, and the `server.properties` that say so. Text only: nothing is read or written here.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// How to start a broker. The default is a plaintext one on a free port with a temporary folder.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where its data, settings and logs lie. `None` is a temporary folder, gone with the broker. A folder that a
    /// broker has used before is used again with all its topics.
    pub folder: Option<PathBuf>,
    /// Port for clients on 127.0.0.1; `None` is a free one.
    pub port: Option<u16>,
    /// Further lines for `server.properties`, `key=value`. They win over the lines made here.
    pub properties: Vec<String>,
    /// How clients connect.
    pub security: Security,
    /// Whether it starts slower and works faster after that: for benches.
    pub is_tuned: bool,
}

/// How clients connect.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// In clear and without a name.
    #[default]
    Plaintext,
    /// `security.protocol=SASL_SSL` with `sasl.mechanism=SCRAM-SHA-512`, and a certificate for `localhost` and
    /// 127.0.0.1 by an authority made for this broker, `Broker::ca_pem`. The name and password are made when the folder is
    /// first used; a folder keeps those it has.
    SaslTls {
        /// Name of the one user.
        user: String,
        /// Its password. It is seen in the list of processes while the folder is made: no real one.
        password: String,
    },
}

/// What the text of the settings needs to know besides the options.
pub(super) struct Place<'a> {
    /// The broker's folder; it must not hold `\`, which the format takes as an escape.
    pub folder: &'a Path,
    pub ports: &'a Ports,
    /// Password of the key store in the folder, if clients connect by TLS.
    pub store_password: &'a str,
}

/// Ports on 127.0.0.1.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    pub clients: u16,
    pub controller: u16,
    /// The broker's own connections, where clients connect by TLS.
    pub inside: u16,
}

/// Settings of every broker. One node must not wait for replicas; few partitions of the internal topics and no wait for
/// more group members make starts and joins quick; sessions may be as short as tests need them. A killed broker may come
/// back only when its own session is over: 3 s instead of 9 s.
const ALWAYS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
";

/// Name of the key store with the broker's certificate in its folder.
pub(super) const KEY_STORE: &str = "server.p12";

/// The text of `server.properties`.
pub(super) fn server_properties(options: &Options, place: &Place) -> String {
    let mut text = ALWAYS.to_string();
    let Place { folder, ports, store_password } = place;
    let Ports { clients, controller, inside } = ports;
    let mut line = |key: &str, value: &str| {
        writeln!(text, "{key}={value}").expect("writing to a string does not fail");
    };
    line("log.dirs", &folder.join("data").to_string_lossy());
    line("controller.quorum.bootstrap.servers", &format!("127.0.0.1:{controller}"));
    let mut listeners = match &options.security {
        Security::Plaintext => format!("PLAINTEXT://127.0.0.1:{clients}"),
        Security::SaslTls { .. } => format!("PLAINTEXT://127.0.0.1:{inside},SASL_SSL://127.0.0.1:{clients}"),
    };
    line("advertised.listeners", &listeners);
    listeners.push_str(&format!(",CONTROLLER://127.0.0.1:{controller}"));
    line("listeners", &listeners);
    line("inter.broker.listener.name", "PLAINTEXT");
    line("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT");
    if let Security::SaslTls { .. } = &options.security {
        line("sasl.enabled.mechanisms", "SCRAM-SHA-512");
        line(
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        );
        line("ssl.keystore.type", "PKCS12");
        line("ssl.keystore.location", &folder.join(KEY_STORE).to_string_lossy());
        line("ssl.keystore.password", store_password);
    }
    for extra in &options.properties {
        text.push_str(extra);
        text.push('\n');
    }
    text
}
