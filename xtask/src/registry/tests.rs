use std::path::Path;

use super::standing::{KIND, up_in};
use super::*;

/// Sends a request and gives the answer's head and body.
fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{method} {INTERFACE}{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let about = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(format!("{head}{about}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A registration of a record with one field of this type.
fn schema(field_type: &str) -> String {
    let text =
        format!(r#"{{\"type\":\"record\",\"name\":\"R\",\"fields\":[{{\"name\":\"a\",\"type\":\"{field_type}\"}}]}}"#);
    format!(r#"{{"schema":"{text}"}}"#)
}

/// Fails if the registry takes whatever it is given, as it does without the rule, or if it listens to other machines.
#[test]
fn a_registry_numbers_schemas_and_refuses_incompatible_ones() {
    if !can_start("a_registry_numbers_schemas_and_refuses_incompatible_ones") {
        return;
    }
    let registry = Registry::start().unwrap();
    let url = registry.url();
    let address = url.strip_prefix("http://").unwrap().strip_suffix(INTERFACE).unwrap().to_string();
    let versions = "/subjects/x-value/versions";
    let first = ask(&address, "POST", versions, &schema("string"));
    assert!(first.starts_with("HTTP/1.1 200") && first.contains(r#"{"id":"#), "{first}");
    let other = ask(&address, "POST", versions, &schema("long"));
    assert!(other.starts_with("HTTP/1.1 409"), "{other}");
    let (process, folder) = (registry.process(), registry.held.folder().to_path_buf());
    registry.stop().unwrap();
    assert!(!Path::new(&format!("/proc/{process}")).exists() && !folder.exists());
    assert!(TcpStream::connect(&address).is_err());
}

/// Stops the registry of a test that failed.
struct StopsStanding<'a>(&'a Path);

impl Drop for StopsStanding<'_> {
    fn drop(&mut self) {
        let _ = KIND.down(self.0);
    }
}

#[test]
fn a_standing_registry_is_found_and_stopped() {
    if !can_start("a_standing_registry_is_found_and_stopped") {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let _stops = StopsStanding(cache.path());
    let port = crate::service::launch::free_port().unwrap();
    let (up, url) = up_in(cache.path(), port, None).unwrap();
    assert_eq!(url, format!("http://127.0.0.1:{port}{INTERFACE}"));
    assert_eq!(KIND.status(cache.path()).as_ref(), Some(&up));
    assert!(ask(&up.address, "GET", "/config", "").contains("BACKWARD"));
    let again = up_in(cache.path(), port, None).unwrap_err().to_string();
    assert_eq!(again, format!("a registry stands at {}; `cargo xtask registry down` stops it", up.address));
    assert_eq!(KIND.down(cache.path()).unwrap().as_ref(), Some(&up));
    assert!(KIND.status(cache.path()).is_none() && TcpStream::connect(&up.address).is_err());
}
