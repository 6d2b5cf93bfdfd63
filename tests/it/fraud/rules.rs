//! Rules in force: from a folder of texts through control records to decisions and alerts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ended, Shop, one_day, query, text, till};

const CARDS: [&str; 2] = ["4111111111111111", "4124939999999990"];
const WINDOWS: &str = "window swipes_10m = count by token over 10m including current\n\
    window cards_10m = distinct(token) by reader_id over 10m including current\n";
const RISKS: &str = "window reader_risk_30d = mean(fraud) by reader_id over 30d\n\
    window card_frauds_30d = sum(fraud) by token over 30d\n";
const REVIEW: &str = "rule often review\n  \"{swipes_10m} swipes of one card in 10 minutes\"\n  when swipes_10m >= 3\n";
const BLOCK: &str = "rule often block\n  when swipes_10m >= 3\n";

struct Site {
    folder: TempDir,
    shop: Shop,
}

impl Site {
    /// A shop with its configuration and no swipes.
    fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let shop = Shop::open(&folder.path().join("input"));
        shop.write_transactions("2026-03-02.ndjson", &shop.controls());
        Self { folder, shop }
    }

    fn rules(&self, rules: &str) -> PathBuf {
        self.rules_over(WINDOWS, rules)
    }

    fn rules_over(&self, windows: &str, rules: &str) -> PathBuf {
        let folder = self.folder.path().join("rules");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("windows.txt"), windows).unwrap();
        fs::write(folder.join("rules.txt"), rules).unwrap();
        folder
    }

    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// Runs a command on the shop's input and lake.
    fn till(&self, arguments: &[&str]) -> Ended {
        let lake = self.lake();
        till(&[arguments, &["--input", text(&self.shop.input), "--lake", text(&lake)]].concat())
    }

    fn publish(&self, rules: &str) {
        self.till(&["rules", "publish", text(&self.rules(rules))]).with_exit(0);
    }

    /// Swipes of these cards, ten seconds apart, in a file that is read next.
    fn swipe(&self, name: &str, first: u32, cards: &[&str]) {
        let swipes: Vec<Value> = cards
            .iter()
            .zip(first..)
            .map(|(card, number)| {
                let mut swipe = self.shop.swipe(number * 10, &self.shop.frame(card, number));
                // The same amount twice would look like a duplicate.
                swipe["amount_minor"] = (1_000 + number).into();
                swipe
            })
            .collect();
        self.shop.write_transactions(name, &swipes);
    }

    fn run(&self) {
        self.till(&["run"]).with_exit(0);
    }

    fn decisions(&self) -> Vec<Value> {
        query(
            &self.lake(),
            "SELECT reason, features, fired_rules, rules_bundle FROM decisions WHERE kind = 'authorization' ORDER BY event_time",
        )
    }
}

fn reasons(decisions: &[Value]) -> Vec<&str> {
    decisions.iter().map(|decision| decision["reason"].as_str().unwrap()).collect()
}

/// Fails if rules do not come into force behind what was read, a restart forgets windows, or a decision does not say why.
#[test]
fn rules_decide_from_where_they_come_into_force() {
    let site = Site::open();
    site.publish(REVIEW);
    site.swipe("2026-03-03.ndjson", 1, &[CARDS[0], CARDS[0], CARDS[1]]);
    site.run();
    site.swipe("2026-03-04.ndjson", 4, &[CARDS[0]]);
    site.run();
    let decisions = site.decisions();
    assert_eq!(reasons(&decisions), ["approved"; 4]);
    assert_eq!(decisions[3]["fired_rules"][0], "review often: swipes_10m = 3 >= 3");
    assert_eq!(decisions[2]["features"], serde_json::json!(["cards_10m = 2", "swipes_10m = 1"]));
    let alerts = query(&site.lake(), "SELECT reason, sentence FROM alerts");
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["reason"], "risk_review");
    assert_eq!(alerts[0]["sentence"], "3 swipes of one card in 10 minutes; now 10.04 EUR at M-1.");

    site.publish(BLOCK);
    site.swipe("2026-03-05.ndjson", 5, &[CARDS[0]]);
    site.run();
    site.till(&["rules", "rollback"]).with_exit(0);
    site.swipe("2026-03-06.ndjson", 6, &[CARDS[0]]);
    site.run();
    let decisions = site.decisions();
    assert_eq!(reasons(&decisions)[4..], ["risk_blocked", "approved"]);
    assert_ne!(decisions[4]["rules_bundle"], decisions[5]["rules_bundle"]);
    assert_eq!(decisions[3]["rules_bundle"], decisions[5]["rules_bundle"]);
    // The windows went on under other rules.
    assert_eq!(decisions[5]["fired_rules"][0], "review often: swipes_10m = 5 >= 3");
}

/// Fails if a verdict does not reach the labels, or the rules' quality does not know of it.
#[test]
fn a_verdict_becomes_a_label_and_counts_for_the_rule() {
    let site = Site::open();
    site.publish(&format!("{REVIEW}rule never review when swipes_10m > 100\n"));
    site.swipe("2026-03-03.ndjson", 1, &[CARDS[0]; 4]);
    site.run();
    let lake = site.lake();
    let list = |more: &[&str]| {
        till(&[&["alerts", "list", "--json", "--lake", text(&lake)], more].concat()).with_exit(0).json()
    };
    let open = list(&[]);
    assert_eq!((open[0]["alerts"].as_i64(), open[0]["payments"].as_i64()), (Some(2), Some(2)));
    let alert = open[0]["alert_id"].as_str().unwrap();
    let shown = till(&["alerts", "show", alert, "--lake", text(&lake)]).with_exit(0).stdout;
    assert!(
        shown.contains("4 swipes of one card in 10 minutes") && shown.contains("review often: swipes_10m = 4 >= 3"),
        "{shown}"
    );

    site.till(&["alerts", "confirm", alert, "--by", "ann"]).with_exit(0);
    site.run();
    let labels = query(&lake, "SELECT label, label_source FROM labels");
    assert_eq!(labels, [serde_json::json!({"label": "fraud", "label_source": "ann"})]);
    assert_eq!(list(&[]), serde_json::json!([]), "nothing waits for a word");
    assert_eq!(list(&["--all"])[0]["labelled"], 1);
    let quality = till(&["rules", "quality", "--json", "--lake", text(&lake)]).with_exit(0).json();
    let rules = quality["rules"].as_array().unwrap();
    let of = |name: &str| rules.iter().find(|rule| rule["rule"] == name).unwrap();
    assert_eq!((of("often")["hits"]["payments"].as_i64(), of("often")["hits"]["frauds"].as_i64()), (Some(2), Some(1)));
    assert_eq!(of("never")["hits"]["payments"], 0);
    let ended =
        till(&["alerts", "dismiss", "nothing", "--lake", text(&lake), "--input", text(&site.shop.input)]).with_exit(2);
    assert!(ended.stderr.contains("there is no alert"), "{ended}");
}

/// Fails if a snoozed rule is still heard of, one that is not snoozed is no more, an alert gets lost by it, or it never ends.
#[test]
fn a_snoozed_rule_is_not_heard_of_for_a_while() {
    let site = Site::open();
    site.publish(&format!("{REVIEW}rule large review when amount_minor >= 1006\n"));
    site.swipe("2026-03-03.ndjson", 1, &[CARDS[0]; 3]);
    site.run();
    let lake = site.lake();
    let place = ["--lake", text(&lake)];
    let heard = |more: &[&str]| -> Vec<i64> {
        let groups = till(&[&["alerts", "list", "--json"], more, &place].concat()).with_exit(0).json();
        groups.as_array().unwrap().iter().map(|group| group["alerts"].as_i64().unwrap()).collect()
    };
    let groups = || till(&[&["job", "alert-groups"], &place[..]].concat()).with_exit(0);
    let alert = query(&lake, "SELECT alert_id FROM alerts")[0]["alert_id"].as_str().unwrap().to_string();
    let snooze = |more: &[&str]| till(&[&["alerts", "snooze", &alert], more, &place].concat());
    let said = snooze(&["--for", "15s", "--json"]).with_exit(0).json();
    assert_eq!((&said["causes"], &said["reader_id"]), (&serde_json::json!(["often"]), &Value::Null));
    snooze(&["--rule", "large"]).with_exit(2).complains("large did not raise this alert");
    assert_eq!(heard(&[]), [1], "what was there is heard of");

    // The next of this card is snoozed; the one after it has another cause too, and the one after that comes later.
    site.swipe("2026-03-04.ndjson", 4, &[CARDS[0]]);
    site.run();
    assert_eq!((heard(&[]), heard(&["--all"])), (vec![1], vec![2]));
    groups();
    assert_eq!(heard(&["--by", "reader"]), [1]);
    let snoozed = query(&lake, "SELECT a.event_time FROM alerts_snoozed JOIN alerts a USING (alert_id)");
    assert!(snoozed.len() == 1 && snoozed[0]["event_time"].as_str().unwrap().contains("00:40"), "{snoozed:?}");
    let last = query(&lake, "SELECT alert_id FROM alerts ORDER BY event_time DESC");
    let shown = till(&[&["alerts", "show", last[0]["alert_id"].as_str().unwrap()], &place[..]].concat());
    assert!(shown.stdout.contains("snoozed: such alerts until"), "{shown}");
    snooze(&["--for", "1h"]).with_exit(0);
    site.swipe("2026-03-05.ndjson", 5, &[CARDS[0]]);
    site.run();
    assert_eq!(heard(&[]), [1]);
    snooze(&["--for", "0s"]).with_exit(0);
    site.swipe("2026-03-06.ndjson", 7, &[CARDS[0]]);
    site.run();
    assert_eq!(heard(&[]), [2], "it has ended, and what was snoozed meanwhile stays so");
    groups();
    assert_eq!(heard(&["--by", "reader"]), [2]);
    assert_eq!(query(&lake, "SELECT alert_id FROM alerts").len(), 4, "nothing is lost");
}

/// Fails if a backtest sees other values than the live rules did, or counts what it cannot know.
#[test]
fn a_backtest_says_what_the_rules_in_force_said() {
    let demo = one_day();
    let lake = demo.lake();
    let in_force = query(&lake, "SELECT DISTINCT rules_bundle FROM decisions WHERE rules_bundle IS NOT NULL");
    let hash = in_force[0]["rules_bundle"].as_str().unwrap();
    let bundle = fs::read(demo.input().join(format!("bundles/{hash}.json"))).unwrap();
    let bundle: schemas::bundles::RulesBundle = serde_json::from_slice(&bundle).unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("windows.txt"), &bundle.windows).unwrap();
    let more = format!("{}\nrule much review when amount_minor > 100000\n", bundle.rules);
    fs::write(folder.path().join("rules.txt"), more).unwrap();
    let command = ["rules", "backtest", text(folder.path()), "--lake", text(&lake)];
    let report = till(&[&command[..], &["--json"]].concat()).with_exit(0).json();
    let fired = query(
        &lake,
        "SELECT split_part(split_part(fired, ': ', 1), ' ', 2) AS rule, count(*) AS hits FROM \
         (SELECT unnest(fired_rules) AS fired FROM decisions WHERE kind = 'authorization') GROUP BY 1 ORDER BY 1",
    );
    assert!(fired.len() >= 4, "{fired:?}");
    let rules = report["as_written"]["rules"].as_array().unwrap();
    for live in &fired {
        let again = rules.iter().find(|rule| rule["rule"] == live["rule"]).unwrap();
        assert_eq!(again["hits"]["payments"], live["hits"], "{live}");
    }
    let testing = rules.iter().find(|rule| rule["rule"] == "card_testing").unwrap();
    let of = |what: &str| testing["hits"][what].as_u64().unwrap();
    assert!(of("unknowable") > 10 && of("frauds") > 0, "{testing}");
    assert_eq!(
        of("unknowable") + of("frauds"),
        of("payments"),
        "all were refused, and somebody spoke of some: {testing}"
    );
    let table = till(&command).with_exit(0).stdout;
    assert!(table.contains("card_testing") && table.contains("unknowable"), "{table}");
}

/// Fails if a verdict does not reach the windows of both sides, reaches payments before it, or cannot be computed again.
#[test]
fn a_verdict_counts_in_the_next_risk_of_its_reader() {
    let site = Site::open();
    let folder = site.rules_over(&format!("{WINDOWS}{RISKS}"), REVIEW);
    site.till(&["rules", "publish", text(&folder)]).with_exit(0);
    site.swipe("2026-03-03.ndjson", 1, &[CARDS[0]; 4]);
    site.run();
    let lake = site.lake();
    let open = till(&["alerts", "list", "--json", "--lake", text(&lake)]).with_exit(0).json();
    site.till(&["alerts", "confirm", open[0]["alert_id"].as_str().unwrap()]).with_exit(0);
    site.run();
    site.swipe("2026-03-04.ndjson", 5, &[CARDS[1], CARDS[0]]);
    site.run();
    let risks = |row: usize| -> Vec<String> {
        let features = site.decisions()[row]["features"].clone();
        let features = features.as_array().unwrap().iter().map(|feature| feature.as_str().unwrap().to_string());
        features.filter(|feature| feature.contains("_30d")).collect()
    };
    assert_eq!(risks(3), ["reader_risk_30d = 0", "card_frauds_30d = 0"]);
    assert_eq!(risks(4), ["reader_risk_30d = 0.25", "card_frauds_30d = 0"]);
    assert_eq!(risks(5), ["reader_risk_30d = 0.2", "card_frauds_30d = 1"]);
    assert_eq!(super::replay::follows(&lake, &site.shop.input).len(), 6);
}

/// Fails if a file is taken in part, a payment that nobody knows gets a label, or labels do not come through.
#[test]
fn labels_of_a_file_are_taken_whole_or_not_at_all() {
    let site = Site::open();
    site.swipe("2026-03-03.ndjson", 1, &[CARDS[0], CARDS[1]]);
    site.run();
    let lake = site.lake();
    let payments = query(&lake, "SELECT payment_id FROM payments WHERE kind = 'swipe' ORDER BY event_time");
    let [one, two] = [0, 1].map(|row| payments[row]["payment_id"].as_str().unwrap().to_string());
    let import = |content: &str| {
        let file = site.folder.path().join("labels.csv");
        fs::write(&file, content).unwrap();
        site.till(&["labels", "import", text(&file), "--json"])
    };
    let before = transactions(&site.shop.input);
    let unknown = "00000000000000000000000000aa";
    let ended = import(&format!("payment_id,label,merchant_id\n{one},1,\n{unknown},0,\n{two},0,M-2\n")).with_exit(2);
    assert!(ended.stderr.contains("line 3: no payment"), "{ended}");
    assert!(ended.stderr.contains("line 4: payment") && ended.stderr.contains("of merchant M-1, not M-2"), "{ended}");
    assert_eq!(transactions(&site.shop.input), before, "nothing was written");
    let said = import(&format!("payment_id,label,source\n{one},1,bank\n{two},legitimate,\n")).with_exit(0).json();
    assert_eq!((said["labels"].as_i64(), said["frauds"].as_i64()), (Some(2), Some(1)));
    site.run();
    let labels = query(&lake, "SELECT payment_id, label, label_source FROM labels ORDER BY label");
    let label = |id: &str, label: &str, source: &str| serde_json::json!({ "payment_id": id, "label": label, "label_source": source });
    assert_eq!(labels, [label(&one, "fraud", "bank"), label(&two, "legitimate", "import")]);
}

#[test]
fn wrong_and_odd_rules_are_said_with_their_line() {
    let site = Site::open();
    let lint = |rules: &str| till(&["rules", "lint", text(&site.rules(rules))]);
    let ended = lint(REVIEW).with_exit(0);
    assert!(ended.stdout.contains("1 rules, 1 windows of the merchant's side, 1 of the card's"), "{ended}");
    let wrong = REVIEW.replace("when swipes_10m", "when swipe_10m");
    let ended = lint(&wrong).with_exit(4);
    assert!(ended.stdout.contains("line 3") && ended.stdout.contains("did you mean `swipes_10m`?"), "{ended}");
    let ended = lint(&format!("{REVIEW}rule again review when swipes_10m >= 3\n")).with_exit(4);
    assert!(ended.stdout.contains("again"), "{ended}");
    let folder = site.rules(&wrong);
    let ended = site.till(&["rules", "publish", text(&folder)]).with_exit(2);
    assert!(ended.stderr.contains("nothing was published"), "{ended}");
    assert_eq!(transactions(&site.shop.input), 1, "nothing was appended");
}

fn transactions(input: &Path) -> usize {
    fs::read_dir(input.join("transactions")).unwrap().count()
}
