//! Rules in shadow, in part of the cards, and a model trained on a lake.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{SEED, all_rows, assert_same_rows, one_day, query, text, till, two_days};

/// The demo's rules as a folder.
fn rules_of_demo(folder: &Path) -> PathBuf {
    let demo = one_day();
    let hashes = query(&demo.lake(), "SELECT DISTINCT rules_bundle FROM decisions WHERE rules_bundle IS NOT NULL");
    let hash = hashes[0]["rules_bundle"].as_str().unwrap();
    let bundle = fs::read(demo.input().join(format!("bundles/{hash}.json"))).unwrap();
    let bundle: schemas::bundles::RulesBundle = serde_json::from_slice(&bundle).unwrap();
    let rules = folder.join("rules");
    fs::create_dir_all(&rules).unwrap();
    fs::write(rules.join("windows.txt"), &bundle.windows).unwrap();
    fs::write(rules.join("rules.txt"), &bundle.rules).unwrap();
    rules
}

fn shadow_rows(lake: &Path) -> Vec<Value> {
    query(lake, "SELECT * FROM shadow_decisions ORDER BY shadow_bundle, source_offset")
}

/// Fails if anything that is decided depends on what is in shadow, if shadow sees other features than live did, or if its
/// rows depend on when the job ran.
#[test]
fn shadow_says_what_live_said_and_changes_nothing() {
    let copy = one_day().copy();
    let lake = copy.path().join("lake");
    let rules = rules_of_demo(copy.path());
    let shadow = |more: &[&str]| till(&[&["rules", "shadow", "--lake", text(&lake)], more].concat()).with_exit(0);
    shadow(&[text(&rules)]);
    // A challenger that would block everything.
    let other = copy.path().join("other");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("windows.txt"), "").unwrap();
    fs::write(other.join("rules.txt"), "rule everything block when kind = 'swipe'\n").unwrap();
    let ended = shadow(&[text(&other), "--json"]).json();
    let blocks = ended["shadow"].as_str().unwrap().to_string();
    let job =
        || till(&["job", "shadow-decisions", "--lake", text(&lake), "--json"]).with_exit(0).json()[0]["rows"].clone();
    let first = job().as_u64().unwrap();
    assert!(first > 100);
    assert_eq!(job(), 0);

    let command = ["demo", "--dir", text(copy.path()), "--seed", SEED, "--merchants", "5", "--days", "2"];
    till(&command).with_exit(0);
    assert_same_rows(&all_rows(&lake), &two_days().rows, "with rules in shadow");
    job();
    let in_two = shadow_rows(&lake);
    assert!(in_two.len() as u64 > first);
    let differs = "SELECT count(*) AS differs FROM decisions d JOIN shadow_decisions s ON s.source_offset = d.source_offset \
        AND s.payment_id = d.payment_id WHERE d.rules_bundle IS NOT NULL AND d.score IS NULL AND NOT d.repeat";
    let live = query(&lake, &format!("{differs} AND s.shadow_bundle <> '{blocks}'"));
    assert_eq!(live[0]["differs"].as_u64().unwrap() * 2, in_two.len() as u64, "a row for each that was judged");
    let live = query(
        &lake,
        &format!(
            "{differs} AND s.shadow_bundle <> '{blocks}' AND (d.features <> s.features OR d.fired_rules <> s.fired_rules)"
        ),
    );
    assert_eq!(live[0]["differs"], 0);
    let found = shadow(&["--json"]).json();
    let of_blocks = found.as_array().unwrap().iter().find(|found| found["hash"] == blocks.as_str()).unwrap();
    let swipes =
        format!("SELECT count(*) AS swipes FROM shadow_decisions WHERE shadow_bundle = '{blocks}' AND kind = 'swipe'");
    assert_eq!(of_blocks["found"]["would_block"], query(&lake, &swipes)[0]["swipes"], "{found}");
    assert!(of_blocks["found"]["blocks_approved"].as_u64().unwrap() > 100, "{found}");
    assert!(shadow(&[]).stdout.contains("lets blocked go"));

    // At once instead of day by day.
    fs::remove_dir_all(lake.join("shadow_decisions")).unwrap();
    till(&["sql", "--lake", text(&lake), "SELECT 1"]).with_exit(0);
    job();
    assert_eq!(shadow_rows(&lake), in_two);
    shadow(&["--end", &blocks]);
    assert_eq!(shadow(&["--json"]).json().as_array().unwrap().len(), 1);
}

/// Fails if the share does not reach the rules in force, or a wrong one changes the folder.
#[test]
fn a_rule_is_rolled_out_in_the_folder_and_in_force() {
    let copy = one_day().copy();
    let (lake, input) = (copy.path().join("lake"), copy.path().join("input"));
    let rules = rules_of_demo(copy.path());
    let place = ["--input", text(&input), "--lake", text(&lake)];
    let rollout =
        |rule: &str, share: &str| till(&[&["rules", "rollout", text(&rules), rule, share], &place[..]].concat());
    let before = fs::read_to_string(rules.join("rules.txt")).unwrap();
    for (rule, share, said) in [("card_testing", "250%", "0.01% to 100%"), ("unknown", "5%", "card_testing")] {
        let ended = rollout(rule, share).with_exit(2);
        assert!(ended.stderr.contains(said), "{ended}");
    }
    assert_eq!(fs::read_to_string(rules.join("rules.txt")).unwrap(), before);
    rollout("card_testing", "12.5%").with_exit(0);
    let after = fs::read_to_string(rules.join("rules.txt")).unwrap();
    assert!(after.contains(" rollout 12.5%") && after.len() == before.len() + " rollout 12.5%".len());
    till(&[&["run"], &place[..]].concat()).with_exit(0);
    let published = fs::read_to_string(lake.join("_state/rules.ndjson")).unwrap();
    let published: Value = serde_json::from_str(published.lines().last().unwrap()).unwrap();
    let bundle = input.join(format!("bundles/{}.json", published["hash"].as_str().unwrap()));
    let bundle: Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    assert_eq!(bundle["rules"], json!(after));
}

/// Fails if the model learns from what was not known, is not written in a form that rules read, or changes without its
/// payments changing.
#[test]
fn a_lakes_labels_become_a_model_that_scores() {
    let folder = TempDir::new().unwrap();
    let rules = rules_of_demo(folder.path());
    let lake = two_days().lake();
    let days = ["--training-days", "1", "--delay-days", "0", "--test-days", "1", "--folds", "1"];
    let command = ["fraud", "train", text(&rules), "--lake", text(&lake)];
    let trained = till(&[&command[..], &days, &["--json"]].concat()).with_exit(0).json();
    let manifest = &trained["manifest"];
    let frauds = query(
        &lake,
        "SELECT count(DISTINCT l.payment_id) AS frauds FROM labels l JOIN decisions d ON d.payment_id = l.payment_id \
         WHERE l.label = 'fraud' AND d.kind = 'authorization' AND d.response_code = '00' AND NOT d.repeat \
         AND l.known_at <= (SELECT max(event_time) FROM payments WHERE kind = 'swipe')",
    );
    assert_eq!(manifest["frauds"], frauds[0]["frauds"], "{manifest}");
    assert!(manifest["rows"].as_u64() > Some(100) && manifest["left_out"] == 0, "{manifest}");
    let features = manifest["features"].as_array().unwrap();
    assert!(features.iter().any(|feature| { feature["name"] == "amount_minor" && feature["definition"].is_null() }));
    assert!(
        features.iter().any(|feature| feature["definition"].as_str().is_some_and(|text| text.starts_with("window ")))
    );
    let model = fs::read_to_string(rules.join("model.txt")).unwrap();
    till(&[&command[..], &days].concat()).with_exit(0);
    assert_eq!(fs::read_to_string(rules.join("model.txt")).unwrap(), model);

    // A day earlier less was known.
    let until =
        query(&lake, "SELECT to_char(min(event_time) + INTERVAL '1 day', '%Y-%m-%dT%H:%M:%SZ') AS at FROM payments");
    let until = until[0]["at"].as_str().unwrap();
    let earlier = till(&[&command[..], &days, &["--until", until, "--json"]].concat());
    let earlier = earlier.with_exit(0).json()["manifest"].clone();
    assert!(earlier["frauds"].as_u64() < manifest["frauds"].as_u64(), "{earlier}");

    // In shadow it scores, and what scores follows the labels.
    fs::write(rules.join("model.txt"), model).unwrap();
    let copy = two_days().copy();
    let lake = copy.path().join("lake");
    till(&["rules", "shadow", text(&rules), "--lake", text(&lake)]).with_exit(0);
    till(&["job", "shadow-decisions", "--lake", text(&lake)]).with_exit(0);
    let scores = query(
        &lake,
        "SELECT avg(s.score) FILTER (WHERE l.label = 'fraud') AS frauds, avg(s.score) FILTER (WHERE l.label IS NULL) AS others \
         FROM shadow_decisions s LEFT JOIN labels l ON l.payment_id = s.payment_id",
    );
    assert!(scores[0]["frauds"].as_f64().unwrap() > 2.0 * scores[0]["others"].as_f64().unwrap(), "{scores:?}");
}
