//! The rules of the repository, checked over every file of the checkout, so that nobody has to remember them.

mod edges;
mod rules;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use rules::CodeRule;
use scan::Code;
use toml::{Table, Value};

/// Folders that are not the project's own: what builds, runs and tools leave behind.
const PASSED_OVER: [&str; 6] = ["target", ".git", "till-data", ".venv", "__pycache__", "node_modules"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file by its path from the root, `/` between its parts.
struct Tree(BTreeMap<String, String>);

impl Tree {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_dir() {
                    if !PASSED_OVER.contains(&name.as_str()) {
                        folders.push(path);
                    }
                } else if let Ok(text) = String::from_utf8(fs::read(entry.path()).unwrap()) {
                    files.insert(path.to_string_lossy().replace('\\', "/"), text);
                }
            }
        }
        Self(files)
    }

    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Code that runs outside tests and benches, without what only tests compile.
    fn productive(&self) -> Vec<(&str, &str, Code)> {
        let mut tests = BTreeSet::new();
        for (path, text) in self.rust() {
            let folder = module_folder(path);
            let code = Code::of(text);
            tests.extend(code.test_modules().into_iter().map(|module| format!("{folder}/{module}")));
        }
        let is_test = |path: &str| {
            let beside =
                |folder: &str| path.starts_with(&format!("{folder}/")) || path.contains(&format!("/{folder}/"));
            let under =
                |module: &String| path.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']));
            beside("tests") || beside("benches") || tests.iter().any(under)
        };
        let files = self.rust().filter(|(path, _)| !is_test(path));
        files.map(|(path, text)| (path, text, Code::of(text).without_tests())).collect()
    }

    fn manifest(&self, folder: &str) -> Table {
        self.0[&format!("{folder}/Cargo.toml")].parse().unwrap()
    }
}

/// Where the files of a file's modules lie.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or_default();
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_string(),
        _ => path.trim_end_matches(".rs").to_string(),
    }
}

fn crate_folders(root_manifest: &Table) -> Vec<String> {
    let members = root_manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_string()).collect()
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

fn check_productive(rule: CodeRule) {
    let tree = Tree::read();
    let productive = tree.productive();
    assert!(productive.len() > 50, "the walk found only {} files", productive.len());
    assert_none(&productive.iter().flat_map(|(path, _, code)| rule(path, code)).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_are_short() {
    let tree = Tree::read();
    let findings = tree.rust().flat_map(|(path, text)| {
        let functions = rules::long_functions(path, &Code::of(text));
        rules::long_file(path, text).into_iter().chain(functions)
    });
    assert_none(&findings.collect::<Vec<_>>());
}

#[test]
fn modules_open_with_what_they_are_for() {
    let tree = Tree::read();
    assert_none(&tree.rust().flat_map(|(path, text)| rules::module_docs(path, text)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unwrapped_without_a_reason() {
    let tree = Tree::read();
    let findings =
        tree.productive().iter().flat_map(|(path, text, code)| rules::unwraps(path, code, text)).collect::<Vec<_>>();
    assert_none(&findings);
}

#[test]
fn there_is_one_clock() {
    check_productive(rules::clocks);
}

#[test]
fn no_code_holds_money_in_floating_point() {
    check_productive(rules::floating_money);
}

/// What the names of the code say is checked above; here the columns, whose types are texts to the compiler.
#[test]
fn no_column_holds_money_in_floating_point() {
    let tables = schemas::tables::all().into_iter().map(|table| (table.name, table.schema));
    let findings =
        schemas::topics::all().into_iter().chain(tables).flat_map(|(name, schema)| floating_columns(name, &schema));
    assert_none(&findings.collect::<Vec<_>>());
}

fn floating_columns(table: &str, schema: &Schema) -> Vec<String> {
    let is_floating = |data_type: &DataType| data_type.is_floating();
    let columns =
        schema.fields().iter().filter(|field| rules::says_money(field.name()) && is_floating(field.data_type()));
    columns.map(|field| format!("{table}.{}: floating-point money", field.name())).collect()
}

#[test]
fn pure_crates_reach_nothing_outside() {
    let tree = Tree::read();
    let folders = crate_folders(&tree.0["Cargo.toml"].parse().unwrap());
    let pure: Vec<&String> = folders.iter().filter(|folder| edges::is_pure(folder)).collect();
    assert!(pure.len() >= 5, "{pure:?}");
    let productive = tree.productive();
    let inside =
        productive.iter().filter(|(path, ..)| pure.iter().any(|folder| path.starts_with(&format!("{folder}/"))));
    assert_none(&inside.flat_map(|(path, _, code)| rules::outside_world(path, code)).collect::<Vec<_>>());
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let tree = Tree::read();
    let root_manifest: Table = tree.0["Cargo.toml"].parse().unwrap();
    let crates = edges::workspace_crates(&root_manifest);
    let folders = crate_folders(&root_manifest);
    assert!(folders.len() >= 9, "{folders:?}");
    let findings = folders.iter().flat_map(|folder| edges::findings(folder, &tree.manifest(folder), &crates));
    assert_none(&findings.collect::<Vec<_>>());
}

/// The compiler refuses `unsafe` and warns about missing docs only in crates that ask for it.
#[test]
fn crates_take_the_lints_of_the_workspace() {
    let tree = Tree::read();
    let folders = crate_folders(&tree.0["Cargo.toml"].parse().unwrap());
    let has_lints = |manifest: &Table| {
        manifest.get("lints").and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true))
    };
    let without = folders.iter().filter(|folder| !has_lints(&tree.manifest(folder)));
    assert_none(&without.map(|folder| format!("{folder}/Cargo.toml: no lints.workspace = true")).collect::<Vec<_>>());
}

#[test]
fn card_numbers_are_published_ones() {
    let tree = Tree::read();
    // Hashes in the one, positions in the other.
    let is_ours = |path: &str| path != "Cargo.lock" && !(path.starts_with("tests/data/") && path.ends_with(".csv"));
    let files = tree.0.iter().filter(|(path, _)| is_ours(path));
    assert_none(&files.flat_map(|(path, text)| rules::card_numbers(path, text)).collect::<Vec<_>>());
}

#[test]
fn nothing_names_a_folder_of_one_machine() {
    let tree = Tree::read();
    assert_none(&tree.0.iter().flat_map(|(path, text)| rules::machine_paths(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_table_and_column_says_what_it_means() {
    let findings = schemas::tables::all().into_iter().flat_map(|table| {
        let nameless = table.comment.trim().is_empty().then(|| format!("{}: no comment", table.name));
        nameless.into_iter().chain(uncommented(table.name, &table.schema)).collect::<Vec<_>>()
    });
    let views = schemas::views::ALL.iter().filter(|view| view.comment.trim().is_empty());
    assert_none(&findings.chain(views.map(|view| format!("{}: no comment", view.name))).collect::<Vec<_>>());
}

fn uncommented(table: &str, schema: &Schema) -> Vec<String> {
    let silent = schema
        .fields()
        .iter()
        .filter(|field| field.metadata().get("comment").is_none_or(|text| text.trim().is_empty()));
    silent.map(|field| format!("{table}.{}: no comment", field.name())).collect()
}

mod planted {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn columns_without_comment_and_with_floating_money_are_found() {
        let commented =
            |field: Field, comment: &str| field.with_metadata([("comment".to_string(), comment.to_string())].into());
        let schema = Schema::new(vec![
            commented(Field::new("amount_minor", DataType::Float64, false), "amount"),
            commented(Field::new("lat", DataType::Float64, false), " "),
            Field::new("lon", DataType::Float64, false),
        ]);
        assert_eq!(floating_columns("a", &schema), ["a.amount_minor: floating-point money"]);
        assert_eq!(uncommented("a", &schema), ["a.lat: no comment", "a.lon: no comment"]);
    }

    #[test]
    fn tests_are_told_from_code_that_runs() {
        let files = [
            ("a/src/lib.rs", "#[cfg(test)]\nmod testing;\nmod b;"),
            ("a/src/testing.rs", ""),
            ("a/src/testing/more.rs", ""),
            ("a/src/testing_ground.rs", ""),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;"),
            ("a/src/b/tests.rs", ""),
            ("a/src/b/c.rs", ""),
            ("a/benches/d.rs", ""),
            ("tests/it/main.rs", ""),
        ];
        let tree = Tree(files.map(|(path, text)| (path.to_string(), text.to_string())).into());
        let paths: Vec<&str> = tree.productive().into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, ["a/src/b.rs", "a/src/b/c.rs", "a/src/lib.rs", "a/src/testing_ground.rs"]);
    }
}
