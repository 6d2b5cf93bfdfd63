//! A certificate for a broker and an authority that vouches for it, made by Java's own `keytool`. The authority's key
//! is thrown away with it: it vouches for nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServiceError;
use super::options::KEY_STORE;
use crate::service::launch::run;

/// Password of the key store, which lies beside the settings that hold this password: it keeps nobody out.
pub(super) const STORE_PASSWORD: &str = "tillstream";

/// Where the authority's certificate lies in a broker's folder.
pub(super) fn ca_pem(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// Makes the key store and the authority's certificate, unless the folder has them.
pub(super) fn make(folder: &Path) -> Result<(), ServiceError> {
    let ca_pem = ca_pem(folder);
    if ca_pem.exists() {
        return Ok(());
    }
    let keytool = |command: &str, alias: &str, more: &[&str]| {
        let mut keytool = Command::new("keytool");
        keytool.arg(command).args(["-alias", alias, "-keystore"]).arg(folder.join(KEY_STORE));
        keytool.args(["-storetype", "PKCS12", "-storepass", STORE_PASSWORD]).args(more);
        run(&mut keytool)
    };
    let key = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"];
    let of_authority = [&key[..], &["-dname", "CN=tillstream test authority", "-ext", "bc:c=ca:true"]].concat();
    let of_server =
        [&key[..], &["-dname", "CN=localhost", "-ext", "san=dns:localhost,ip:127.0.0.1", "-signer", "ca"]].concat();
    keytool("-genkeypair", "ca", &of_authority)?;
    keytool("-genkeypair", "server", &of_server)?;
    let exported = ca_pem.with_extension("pem.partial");
    keytool("-exportcert", "ca", &["-rfc", "-file", &exported.to_string_lossy()])?;
    // With two keys in the store the broker might show the authority's.
    keytool("-delete", "ca", &[])?;
    std::fs::rename(&exported, &ca_pem).map_err(ServiceError::files(&ca_pem))
}
