//! No card data anywhere: everything that a demo writes outside of its input and truth, and everything that commands
//! print, is searched for the demo's own card numbers, tracks, names and encrypted frames in every usual spelling.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Demo, Ended, command, files_below, ndjson, one_day, query, text, till};
use needles::Needles;
use scan::scan;

mod needles;
mod plants;
mod scan;

/// Holder's names shorter than this could stand anywhere by chance.
const NAME_LENGTH_MIN: usize = 6;

fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What must not be found of a demo's cards and frames.
fn secrets_of(demo: &Demo) -> Needles {
    let mut needles = Needles::default();
    let cards = demo.truth("cards.ndjson");
    assert!(cards.len() >= 100);
    for card in &cards {
        needles.add_digits("card number", word(&card["number"]));
        needles.add_text("track 1", word(&card["track1"]).as_bytes());
        let (_, rest) = word(&card["track2"]).split_once('=').unwrap();
        needles.add_digits("expiry, service code and discretionary data", rest.split_once('?').unwrap().0);
        // The words that stand on cards without a name are configuration: they lie in the bundles.
        if card["meant"] != "no_name" && word(&card["name"]).len() >= NAME_LENGTH_MIN {
            needles.add_text("holder's name", word(&card["name"]).as_bytes());
        }
    }
    let frames = frames_of(&demo.input());
    assert!(frames.len() >= 100);
    frames.iter().for_each(|frame| needles.add_frame(frame));
    needles
}

/// Every frame of the transactions topic.
fn frames_of(input: &Path) -> BTreeSet<Vec<u8>> {
    let mut frames = BTreeSet::new();
    for file in files_below(&input.join("transactions")) {
        let content = fs::read_to_string(file).unwrap();
        let records = content.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        frames.extend(records.filter_map(|record| hex::decode(record["frame"].as_str()?).ok()));
    }
    frames
}

/// Everything that a demo wrote, without what it wrote for the pipeline to read and for tests to compare with.
fn written_by(demo: &Demo) -> Vec<PathBuf> {
    let mut files = files_below(&demo.dir);
    files.retain(|path| !path.starts_with(demo.dir.join("input")) && !path.starts_with(demo.dir.join("truth")));
    files
}

#[test]
fn nothing_that_a_demo_writes_or_prints_holds_card_data() {
    let demo = one_day();
    let needles = secrets_of(demo);
    let files = written_by(demo);
    for part in ["payments", "_delta_log", "_state/snapshots", "_state/bundles", "reports"] {
        assert!(files.iter().any(|path| text(path).contains(part)), "nothing of {part} was looked at");
    }
    let mut findings: Vec<String> = files.iter().flat_map(|path| scan(path, &needles)).collect();
    let lake = demo.lake();
    let run = ["run", "--input", text(&demo.input()), "--lake", text(&lake), "--json"].map(str::to_string);
    let sql = ["sql", "--lake", text(&lake), "--format", "csv", "SELECT * FROM payments; SELECT * FROM dead_letters"];
    // A run that goes on at the end writes nothing, so it may share the demo.
    for arguments in [run.each_ref().map(String::as_str).to_vec(), sql.to_vec()] {
        findings.extend(printed(&till(&arguments).with_exit(0), &needles));
    }
    findings.extend(printed(&demo.ended, &needles));
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

fn printed(ended: &Ended, needles: &Needles) -> Vec<String> {
    let output = [ended.stdout.as_bytes(), ended.stderr.as_bytes()].concat();
    needles.found_in(&output).into_iter().map(|what| format!("printed: {what}")).collect()
}

/// With every log line that there is, and with frames that do not open, since errors quote what they are about.
#[test]
fn the_log_at_its_most_talkative_holds_no_card_data() {
    let demo = one_day();
    let lake = tempfile::tempdir().unwrap();
    let mut run = command(&["run", "--input", text(&demo.input()), "--lake", text(lake.path())]);
    let ended = Ended::from(run.env("TILL_LOG", "trace").output().unwrap()).with_exit(0);
    assert!(!ended.stderr.is_empty());
    assert_eq!(printed(&ended, &secrets_of(demo)), [""; 0]);
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// What somebody without the key can compute of a card number: plain hashes and hashes under keys that anybody knows,
/// whole and cut at either end to a token's length.
fn guesses(number: &str) -> Vec<String> {
    let published = decode::keys::PUBLISHED_BASE_KEY;
    let twice = [published, published].concat();
    let keys: [&[u8]; 5] = [b"", &[0; 16], &[0; 32], &published, &twice];
    let mut digests: Vec<[u8; 32]> = keys.iter().map(|key| hmac_sha256(key, number.as_bytes())).collect();
    digests.push(Sha256::digest(number).into());
    digests.push(Sha256::digest(Sha256::digest(number)).into());
    digests.iter().flat_map(|digest| [&digest[..], &digest[..16], &digest[16..]].map(hex::encode)).collect()
}

/// The tokens under the demo's own key are found by the same comparison, so it can find some.
#[test]
fn no_token_is_a_hash_that_anybody_could_compute() {
    let demo = one_day();
    let tokens: BTreeSet<String> = ["payments", "decisions", "alerts"]
        .iter()
        .flat_map(|table| query(&demo.lake(), &format!("SELECT DISTINCT token FROM {table} WHERE token IS NOT NULL")))
        .map(|row| word(&row["token"]).to_string())
        .collect();
    let keys = &ndjson_of_keys(&demo.input())["token_keys"][0]["key"];
    let key = hex::decode(word(keys)).unwrap();
    let mut under_own_key = 0;
    for card in ndjson(&demo.dir.join("truth/cards.ndjson")) {
        let number = word(&card["number"]);
        for guess in guesses(number) {
            assert!(!tokens.contains(&guess), "the token of card {} is a guessable hash", card["token"]);
        }
        under_own_key += usize::from(tokens.contains(&hex::encode(&hmac_sha256(&key, number.as_bytes())[..16])));
    }
    assert_eq!(under_own_key, tokens.len(), "every token is one of a card of the demo under its key");
    assert!(under_own_key > 50);
}

fn ndjson_of_keys(input: &Path) -> Value {
    serde_json::from_slice(&fs::read(input.join("keys/keys.json")).unwrap()).unwrap()
}
