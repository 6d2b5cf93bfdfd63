use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::options::{Place, Ports, server_properties};
use super::standing::{self, KIND, Standing};
use super::*;
use crate::service::keeper::Keeper;
use crate::service::maven::java_major;

/// Set for the process that `a_killed_test_leaves_nothing_behind` starts: the folder to hold.
const HELD_FOLDER: &str = "TILL_TEST_HELD_FOLDER";

/// Whether a process runs; one that has ended and was not waited for has no command.
fn runs(process: u32) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// Whether the condition holds within ten seconds.
fn soon(condition: impl Fn() -> bool) -> bool {
    (0..200).any(|_| {
        let holds = condition();
        if !holds {
            std::thread::sleep(Duration::from_millis(50));
        }
        holds
    })
}

fn state(process: u32) -> char {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    text.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn answers(bootstrap: &str) -> bool {
    TcpStream::connect(bootstrap).is_ok()
}

/// A process that sleeps, in a folder of its own.
fn sleeper(folder: &Path) -> Keeper {
    let command = ["sleep", "600"].map(OsStr::new);
    Keeper::start(&command, &folder.join("log"), Some(folder)).unwrap()
}

fn properties(options: &Options) -> String {
    let ports = Ports { clients: 1, controller: 2, inside: 3 };
    server_properties(options, &Place { folder: Path::new("/a b"), ports: &ports, store_password: "word" })
}

#[test]
fn settings_say_what_the_options_ask_for() {
    let plain = properties(&Options { properties: vec!["node.id=7".to_string()], ..Options::default() });
    for line in [
        "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2",
        "advertised.listeners=PLAINTEXT://127.0.0.1:1",
        "controller.quorum.bootstrap.servers=127.0.0.1:2",
        "log.dirs=/a b/data",
        "auto.create.topics.enable=false",
    ] {
        assert!(plain.lines().any(|found| found == line), "{line} is not in\n{plain}");
    }
    assert!(plain.ends_with("\nnode.id=7\n"), "what is asked for must come last to win:\n{plain}");
    assert!(!plain.contains("ssl.") && !plain.contains("sasl."), "{plain}");
    let security = Security::SaslTls { user: "till".to_string(), password: "of the user".to_string() };
    let secure = properties(&Options { security, ..Options::default() });
    for line in [
        "listeners=PLAINTEXT://127.0.0.1:3,SASL_SSL://127.0.0.1:1,CONTROLLER://127.0.0.1:2",
        "advertised.listeners=PLAINTEXT://127.0.0.1:3,SASL_SSL://127.0.0.1:1",
        "inter.broker.listener.name=PLAINTEXT",
        "sasl.enabled.mechanisms=SCRAM-SHA-512",
        "ssl.keystore.location=/a b/server.p12",
        "ssl.keystore.password=word",
    ] {
        assert!(secure.lines().any(|found| found == line), "{line} is not in\n{secure}");
    }
    assert!(!secure.contains("of the user"), "{secure}");
}

#[test]
fn the_version_of_java_is_read() {
    assert_eq!(java_major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
    assert_eq!(java_major("openjdk version \"25\" 2025-09-16"), Some(25));
    assert_eq!(java_major("openjdk version \"22-ea\" 2024-03-19"), Some(22));
    assert_eq!(java_major("java version \"1.8.0_402\""), Some(8));
    assert_eq!(java_major("command not found"), None);
}

/// Fails if the keeper's shell ends with its process (without the loop that reads on after the end).
#[test]
fn a_keeper_outlives_its_process_and_knows_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = sleeper(folder.path());
    // While a process becomes another program it has no command for a moment.
    assert!(soon(|| runs(keeper.process())) && !keeper.has_ended_within(Duration::ZERO));
    keeper.signal("STOP").unwrap();
    assert!(soon(|| state(keeper.process()) == 'T'));
    keeper.signal("CONT").unwrap();
    assert!(soon(|| state(keeper.process()) == 'S'));
    keeper.signal("KILL").unwrap();
    assert!(keeper.has_ended_within(Duration::from_secs(10)) && !runs(keeper.process()));
    keeper.signal("KILL").unwrap();
    assert!(folder.path().exists(), "the folder is needed for a restart");
    keeper.keep_folder().unwrap();
    assert!(folder.path().exists());
}

#[test]
fn a_dropped_keeper_takes_a_paused_process_and_the_folder_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = sleeper(folder.path());
    let process = keeper.process();
    keeper.signal("STOP").unwrap();
    drop(keeper);
    assert!(!runs(process) && !folder.path().exists());
}

/// Fails if any word to the shell keeps the folder.
#[test]
fn a_signal_that_comes_too_late_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::start(&[OsStr::new("true")], &folder.path().join("log"), Some(folder.path())).unwrap();
    assert!(soon(|| !runs(keeper.process())));
    std::thread::sleep(Duration::from_millis(100));
    keeper.signal("TERM").unwrap();
    assert!(keeper.has_ended_within(Duration::from_secs(10)) && folder.path().exists());
    drop(keeper);
    assert!(!folder.path().exists());
}

/// Not a test: the process that `a_killed_test_leaves_nothing_behind` kills.
#[test]
#[ignore = "holds a process until it is killed, for another test"]
fn hold_a_process() {
    let Some(folder) = std::env::var_os(HELD_FOLDER) else { return };
    let keeper = sleeper(Path::new(&folder));
    println!("\nholds {}", keeper.process());
    std::thread::sleep(Duration::from_secs(600));
}

/// Fails if the process is started without the keeper's shell, or the shell dies of writing to nobody (without its
/// `trap`).
#[test]
fn a_killed_test_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "kafka::tests::hold_a_process", "--ignored", "--nocapture"]);
    let mut test = test.env(HELD_FOLDER, folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
    let held = lines.filter_map(|line| line.strip_prefix("holds ")?.parse::<u32>().ok()).next().unwrap();
    assert!(soon(|| runs(held)));
    test.kill().unwrap();
    test.wait().unwrap();
    assert!(soon(|| !runs(held)), "process {held} outlived the test that started it");
    assert!(soon(|| !folder.path().exists()), "{} is left", folder.path().display());
}

/// Fails if `down` trusts the number alone: then this test's own process would get the signal.
#[test]
fn a_number_that_belongs_to_another_process_is_no_broker() {
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(KIND.status(cache.path()), None);
    let write = |process: u32| {
        let text = format!("{process}\n127.0.0.1:9092\n/a/server.properties\n");
        fs::write(KIND.note(cache.path()), text).unwrap();
    };
    write(std::process::id());
    assert_eq!(KIND.status(cache.path()), None);
    assert_eq!(KIND.down(cache.path()).unwrap(), None);
    write(u32::MAX);
    assert_eq!(KIND.down(cache.path()).unwrap(), None);
    fs::write(KIND.note(cache.path()), "what\n").unwrap();
    assert_eq!(KIND.status(cache.path()), None);
}

#[test]
fn a_broker_stops_dies_pauses_and_comes_back_with_its_data() {
    if !can_start("a_broker_stops_dies_pauses_and_comes_back_with_its_data") {
        return;
    }
    let mut broker = Broker::start(&Options::default()).unwrap();
    let (bootstrap, first) = (broker.bootstrap().to_string(), broker.process());
    let identity = fs::read_to_string(broker.folder().join("data/meta.properties")).unwrap();
    assert!(answers(&bootstrap) && runs(first));
    assert!(matches!(broker.restart(), Err(ServiceError::Refused(_))), "a running broker must not be started twice");
    broker.pause().unwrap();
    assert!(soon(|| state(first) == 'T'));
    broker.resume().unwrap();
    assert!(soon(|| state(first) != 'T'));
    broker.kill().unwrap();
    assert!(!runs(first) && !answers(&bootstrap));
    // What Kafka leaves behind when it was shut down in order.
    let in_order = broker.folder().join("data/.kafka_cleanshutdown");
    assert!(!in_order.exists(), "it was not killed");
    broker.restart().unwrap();
    let second = broker.process();
    assert!(second != first && answers(&bootstrap) && broker.bootstrap() == bootstrap);
    broker.pause().unwrap();
    broker.stop().unwrap();
    assert!(!runs(second) && !answers(&bootstrap));
    assert!(in_order.exists(), "it was not stopped in order");
    broker.restart().unwrap();
    let data = fs::read_to_string(broker.folder().join("data/meta.properties")).unwrap();
    assert_eq!(data, identity);
    let (third, folder) = (broker.process(), broker.folder().to_path_buf());
    drop(broker);
    assert!(!runs(third) && !answers(&bootstrap) && !folder.exists());
}

/// What clients do with it is tested where clients are; here, that the listener shows a certificate that the authority
/// vouches for, that it has no other key, and that the user exists.
#[test]
fn a_broker_with_tls_keeps_its_folder() {
    if !can_start("a_broker_with_tls_keeps_its_folder") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let security = Security::SaslTls { user: "till".to_string(), password: "secret".to_string() };
    let options = Options { folder: Some(folder.path().join("broker")), security, ..Options::default() };
    let authority = {
        let broker = Broker::start(&options).unwrap();
        assert!(answers(broker.bootstrap()));
        fs::read_to_string(broker.ca_pem().unwrap()).unwrap()
    };
    let broker = Broker::start(&options).unwrap();
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"), "{authority}");
    assert_eq!(fs::read_to_string(broker.ca_pem().unwrap()).unwrap(), authority);
    let shown =
        Command::new("keytool").args(["-printcert", "-rfc", "-sslserver", broker.bootstrap()]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let chain: Vec<&str> = shown.split_inclusive("-----END CERTIFICATE-----").map(str::trim).collect();
    assert!(chain.len() >= 2 && chain[1] == authority.trim(), "{shown}");
    let kept = broker.folder().to_path_buf();
    drop(broker);
    assert!(kept.join("data/meta.properties").exists());
}

/// Stops the broker of a test that failed.
struct StopsStanding<'a>(&'a Path);

impl Drop for StopsStanding<'_> {
    fn drop(&mut self) {
        let _ = KIND.down(self.0);
    }
}

#[test]
fn a_standing_broker_is_found_and_stopped() {
    if !can_start("a_standing_broker_is_found_and_stopped") {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let _stops = StopsStanding(cache.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = standing::up_in(cache.path(), port, None).unwrap_err().to_string();
    assert_eq!(refused, format!("port {port} is taken: choose another one"));
    drop(taken);
    let up: Standing = standing::up_in(cache.path(), port, None).unwrap();
    assert_eq!(up.address, format!("127.0.0.1:{port}"));
    assert!(answers(&up.address) && runs(up.process));
    assert_eq!(KIND.status(cache.path()).as_ref(), Some(&up));
    let again = standing::up_in(cache.path(), port, None).unwrap_err().to_string();
    assert!(again.starts_with(&format!("a broker stands at {}", up.address)), "{again}");
    assert_eq!(KIND.down(cache.path()).unwrap().as_ref(), Some(&up));
    assert!(!runs(up.process) && KIND.status(cache.path()).is_none());
    assert!(up.folder().join("data/meta.properties").exists());
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    if !can_start("a_broker_that_cannot_start_says_why") {
        return;
    }
    let properties = vec!["num.network.threads=none".to_string()];
    let error = Broker::start(&Options { properties, ..Options::default() }).err().unwrap().to_string();
    assert!(error.contains("num.network.threads"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let comma = Options { folder: Some(folder.path().join("a,b")), ..Options::default() };
    assert!(matches!(Broker::start(&comma), Err(ServiceError::Refused(_))));
}

#[test]
fn tests_of_a_process_share_a_broker() {
    let Some(broker) = shared("tests_of_a_process_share_a_broker") else { return };
    assert!(answers(broker.bootstrap()));
    let again = shared("tests_of_a_process_share_a_broker").unwrap();
    assert!(std::ptr::eq(broker, again));
}
