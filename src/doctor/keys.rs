//! Checks of the key file.

use std::path::Path;

use decode::keys::KeySet;
use jiff::civil::Date;

use super::Finding;
use crate::wiring::load_keys;

const CHECK: &str = "keys";
/// Days before the end of a key's cryptoperiod from which replacing it is due.
const NOTICE_DAYS: i32 = 30;

/// The key file can be read, no key's cryptoperiod ends soon, and published keys are there in a demo only.
pub fn keys(folder: &Path, is_demo: bool, today: Date) -> Vec<Finding> {
    let file = folder.join("keys.json");
    let ring = match load_keys(folder) {
        Ok(ring) => ring,
        Err(failure) => {
            let text = failure.to_string();
            let (problem, fix) = text.split_once("; ").unwrap_or((&text, "repair the file, or restore it"));
            return vec![Finding::error(CHECK, file.display(), problem, fix)];
        }
    };
    let mut findings = Vec::new();
    if ring.is_demo() && !is_demo {
        let (problem, fix) = if file.exists() {
            ("the keys are those of a demo, which everybody knows", "put the keys of your readers there")
        } else {
            ("there is no key file, so only published test keys would be used", "put the keys of your readers there")
        };
        let fix = format!("{fix}; for a demo say --demo-keys");
        findings.push(Finding::error(CHECK, file.display(), problem, fix));
    }
    let published = ring.key_sets().iter().filter(|key_set| key_set.is_test() && !ring.is_demo() && !is_demo);
    findings.extend(published.map(|key_set| {
        let fix = "take it out of keys.json: whoever knows the key can forge swipes";
        Finding::error(CHECK, format!("key set {:?}", key_set.id()), "its key is a published one", fix)
    }));
    findings.extend(ring.key_sets().iter().filter_map(|key_set| ending(key_set, today)));
    findings
}

fn ending(key_set: &KeySet, today: Date) -> Option<Finding> {
    let last = key_set.not_after()?;
    let days = today.until(last).map_or(i32::MAX, |span| span.get_days());
    (days < NOTICE_DAYS).then(|| {
        let problem = format!("its cryptoperiod ends on {last}, in {days} days; then no process starts with it");
        let fix = "have the readers injected with a new key, add it to keys.json, and publish its control record";
        Finding::warning(CHECK, format!("key set {:?}", key_set.id()), problem, fix)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use decode::keys::KeyRing;

    use super::*;
    use crate::doctor::Severity;

    const LAST: &str = "2031-05-31";

    /// A key file with one key set whose cryptoperiod ends on [`LAST`].
    fn folder(demo: bool) -> tempfile::TempDir {
        let mut file: serde_json::Value = serde_json::from_slice(&KeyRing::published().to_json()).unwrap();
        file["demo"] = demo.into();
        for key_set in file["key_sets"].as_array_mut().unwrap() {
            key_set["test"] = demo.into();
        }
        file["key_sets"][0]["not_after"] = LAST.into();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys.json"), file.to_string()).unwrap();
        folder
    }

    #[test]
    fn the_end_of_a_cryptoperiod_is_told_a_month_ahead() {
        let folder = folder(false);
        let last: Date = LAST.parse().unwrap();
        let days_before = |days: i32| last.checked_sub(jiff::Span::new().days(days)).unwrap();
        assert_eq!(keys(folder.path(), false, days_before(NOTICE_DAYS)), []);
        for days in [0, 1, NOTICE_DAYS - 1] {
            let [finding] = keys(folder.path(), false, days_before(days)).try_into().unwrap();
            assert!(finding.problem.contains(&format!("in {days} days")), "{finding:?}");
            assert_eq!(finding.severity, Severity::Warning);
        }
    }

    #[test]
    fn published_keys_are_for_demos() {
        let long_before: Date = "2030-01-01".parse().unwrap();
        for folder in [folder(true), tempfile::tempdir().unwrap()] {
            assert_eq!(keys(folder.path(), true, long_before), []);
            let [finding] = keys(folder.path(), false, long_before).try_into().unwrap();
            assert_eq!(finding.severity, Severity::Error);
        }
    }

    #[test]
    fn a_published_key_among_real_ones_is_found() {
        let folder = folder(false);
        let path = folder.path().join("keys.json");
        let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        file["key_sets"][1]["test"] = true.into();
        fs::write(&path, file.to_string()).unwrap();
        let [finding] = keys(folder.path(), false, "2030-01-01".parse().unwrap()).try_into().unwrap();
        assert_eq!(finding.problem, "its key is a published one");
    }

    #[test]
    fn a_file_that_holds_no_keys_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys.json"), "{}").unwrap();
        assert_eq!(keys(folder.path(), false, "2030-01-01".parse().unwrap())[0].check, "keys");
    }
}
