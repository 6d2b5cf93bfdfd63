//! Which crate may depend on which: the architecture, as the manifests of the crates say it.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Folders of the crates with the folders of the crates on which they may depend. A folder that ends with `/` stands
/// for all in it. The root package, which wires them, may depend on every crate.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("schemas", &[]),
    ("pipeline/log", &["schemas"]),
    ("pipeline/decode", &["schemas"]),
    ("pipeline/authorize", &["schemas"]),
    ("pipeline/frontier", &["schemas"]),
    ("pipeline/runner", &["schemas", "pipeline/log", "pipeline/frontier"]),
    ("pipeline/lake", &["schemas"]),
    ("jobs/", &["schemas"]),
    ("simulator", &["schemas", "pipeline/decode"]),
    ("xtask", &[]),
];

/// The same for tests alone.
const ALLOWED_IN_TESTS: [(&str, &[&str]); 1] = [("jobs/", &["simulator"])];

/// Crates without files, network and runtime.
const PURE: [&str; 5] = ["schemas", "pipeline/decode", "pipeline/authorize", "pipeline/frontier", "jobs/"];

/// What pure crates do not build with.
const RUNTIMES: [&str; 8] =
    ["tokio", "futures", "async-std", "rdkafka", "object_store", "deltalake", "datafusion", "reqwest"];

fn covers(pattern: &str, folder: &str) -> bool {
    pattern == folder || pattern.ends_with('/') && folder.starts_with(pattern)
}

/// Whether the crate in this folder is one without files, network and runtime.
pub fn is_pure(folder: &str) -> bool {
    PURE.iter().any(|pattern| covers(pattern, folder))
}

/// Folders of the workspace's crates by the names under which the root manifest offers them.
pub fn workspace_crates(root: &Table) -> BTreeMap<String, String> {
    let offered = root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(Value::as_table);
    let path = |(name, value): (&String, &Value)| Some((name.clone(), value.get("path")?.as_str()?.to_string()));
    offered.into_iter().flatten().filter_map(path).collect()
}

/// What is wrong with the dependencies of the crate in this folder.
pub fn findings(folder: &str, manifest: &Table, crates: &BTreeMap<String, String>) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(pattern, _)| covers(pattern, folder)) else {
        return vec![format!("{folder}: no rule says on what this crate may depend; add one")];
    };
    let in_tests =
        ALLOWED_IN_TESTS.iter().find(|(pattern, _)| covers(pattern, folder)).map_or(&[][..], |found| found.1);
    let mut findings = Vec::new();
    for (section, name, value) in dependencies(manifest) {
        let further = if section == "dev-dependencies" { in_tests } else { &[] };
        let own_path = value.get("path").and_then(Value::as_str);
        let target = crates.get(name).map(String::as_str).filter(|_| own_path.is_none());
        match (target, own_path) {
            (_, Some(path)) => {
                findings.push(format!("{folder}: {name} is taken by the path {path}; use the workspace's"))
            }
            (Some(target), _) if !allowed.iter().chain(further).any(|pattern| covers(pattern, target)) => {
                findings.push(format!("{folder}: may not depend on {target}"));
            }
            (None, _) if section == "dependencies" && is_pure(folder) && RUNTIMES.contains(&name) => {
                findings.push(format!("{folder}: is pure and may not depend on {name}"));
            }
            _ => {}
        }
    }
    findings
}

/// Section, name and value of each dependency, those for one platform only included.
fn dependencies(manifest: &Table) -> Vec<(&str, &str, &Value)> {
    let mut found = Vec::new();
    for (section, value) in manifest {
        let Value::Table(table) = value else { continue };
        match section.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => {
                found.extend(table.iter().map(|(name, value)| (section.as_str(), name.as_str(), value)));
            }
            "target" => found.extend(table.values().filter_map(Value::as_table).flat_map(dependencies)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &str, manifest: &str) -> Vec<String> {
        let root = "[workspace.dependencies]\nschemas = { path = \"schemas\" }\nlog = { path = \"pipeline/log\" }\n\
            lake = { path = \"pipeline/lake\" }\nsimulator = { path = \"simulator\" }\narrow = \"59\"";
        findings(folder, &manifest.parse().unwrap(), &workspace_crates(&root.parse().unwrap()))
    }

    #[test]
    fn planted_edges_are_found() {
        assert!(check("jobs/trips", "[dependencies]\nschemas.workspace = true\narrow.workspace = true").is_empty());
        assert_eq!(
            check("jobs/trips", "[dependencies]\nlog.workspace = true"),
            ["jobs/trips: may not depend on pipeline/log"]
        );
        assert!(check("jobs/trips", "[dev-dependencies]\nsimulator.workspace = true").is_empty());
        assert_eq!(check("jobs/trips", "[dependencies]\nsimulator.workspace = true").len(), 1);
        assert_eq!(check("pipeline/lake", "[dev-dependencies]\nsimulator.workspace = true").len(), 1);
        for section in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let found = check("pipeline/runner", &format!("[{section}]\nlake.workspace = true"));
            assert_eq!(found, ["pipeline/runner: may not depend on pipeline/lake"], "{section}");
        }
        assert_eq!(check("schemas", "[dependencies]\nx = { path = \"../pipeline/log\" }").len(), 1);
        assert_eq!(check("pipeline/decode", "[dependencies]\ntokio.workspace = true").len(), 1);
        assert!(check("pipeline/lake", "[dependencies]\ntokio.workspace = true").is_empty());
        assert_eq!(check("serve/console", "").len(), 1);
    }
}
