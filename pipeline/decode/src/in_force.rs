//! The merchants' bundle in force, checked and indexed.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use schemas::bundles::{Assignment, DecodeBundle, Merchant, NumberRange, Reader};
use schemas::ids::ContentHash;
use schemas::unit::UnitError;

use crate::columns::{TIME_US_MAX, is_printable};
use crate::error::not_loadable;

/// Most merchants, readers and assignments of one bundle, each: about a gigabyte.
const ENTRIES_MAX: usize = 2_000_000;
/// Most number ranges and placeholder names, each: every swipe runs through all of them.
const RANGES_MAX: usize = 10_000;
/// Digits that a number range may start with.
const RANGE_DIGITS_MAX: usize = 19;

/// A bundle in force. The maps are only looked up, never listed, so that their order decides nothing.
pub(crate) struct InForce {
    /// The bundle's hash in hexadecimal, as every row quotes it.
    pub(crate) hash_text: String,
    /// The bundle itself.
    pub(crate) bundle: DecodeBundle,
    merchants: HashMap<String, (usize, TimeZone)>,
    readers: HashMap<String, usize>,
    /// Assignments by reader, in the order of the bundle.
    carriers: HashMap<String, Vec<usize>>,
}

impl InForce {
    /// Reads and checks a bundle.
    pub(crate) fn read(hash: ContentHash, content: &[u8]) -> Result<Self, UnitError> {
        let hash_text = hash.to_hex();
        let refuse = |reason: String| not_loadable(format!("bundle {hash_text}"), reason);
        let bundle: DecodeBundle = serde_json::from_slice(content).map_err(|error| refuse(error.to_string()))?;
        for (list, length, length_max) in [
            ("merchants", bundle.merchants.len(), ENTRIES_MAX),
            ("readers", bundle.readers.len(), ENTRIES_MAX),
            ("assignments", bundle.assignments.len(), ENTRIES_MAX),
            ("number_ranges", bundle.number_ranges.len(), RANGES_MAX),
            ("placeholder_names", bundle.placeholder_names.len(), RANGES_MAX),
        ] {
            if length > length_max {
                return Err(refuse(format!("{list} has {length} entries; at most {length_max} are taken")));
            }
        }
        let merchants = index_merchants(&bundle.merchants).map_err(refuse)?;
        let readers = index_readers(&bundle.readers, &merchants).map_err(refuse)?;
        let carriers = index_assignments(&bundle.assignments, &merchants).map_err(refuse)?;
        check_ranges(&bundle.number_ranges).map_err(refuse)?;
        Ok(Self { hash_text, bundle, merchants, readers, carriers })
    }

    /// A merchant and its time zone.
    pub(crate) fn merchant(&self, id: &str) -> Option<(&Merchant, &TimeZone)> {
        let (place, zone) = self.merchants.get(id)?;
        Some((&self.bundle.merchants[*place], zone))
    }

    /// A reader.
    pub(crate) fn reader(&self, id: &str) -> Option<&Reader> {
        self.readers.get(id).map(|place| &self.bundle.readers[*place])
    }

    /// Who carries a merchant's reader at a time: of several, whose assignment began last.
    pub(crate) fn carrier(&self, merchant_id: &str, reader_id: &str, at_us: i64) -> Option<&str> {
        let assignments = self.carriers.get(reader_id)?.iter().map(|place| &self.bundle.assignments[*place]);
        let valid = assignments.filter(|assignment| {
            let has_ended = assignment.valid_to_us.is_some_and(|end_us| end_us <= at_us);
            assignment.merchant_id == merchant_id && assignment.valid_from_us <= at_us && !has_ended
        });
        valid.max_by_key(|assignment| assignment.valid_from_us).map(|assignment| assignment.courier_id.as_str())
    }
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InForce").field("hash", &self.hash_text).finish_non_exhaustive()
    }
}

fn check_id(place: &str, id: &str) -> Result<(), String> {
    if is_printable(id) { Ok(()) } else { Err(format!("{place} is not 1 to 64 printable ASCII characters")) }
}

fn index_merchants(merchants: &[Merchant]) -> Result<HashMap<String, (usize, TimeZone)>, String> {
    let mut zones: BTreeMap<&str, TimeZone> = BTreeMap::new();
    let mut index = HashMap::with_capacity(merchants.len());
    for (place, merchant) in merchants.iter().enumerate() {
        check_id(&format!("merchants[{place}].id"), &merchant.id)?;
        if merchant.mcc.len() != 4 || !merchant.mcc.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(format!("merchants[{place}].mcc is not four digits (ISO 18245)"));
        }
        if merchant.payment_minor_max < 0 || merchant.day_minor_max < 0 {
            return Err(format!("merchants[{place}] has a negative limit"));
        }
        let zone = match zones.get(merchant.zone.as_str()) {
            Some(zone) => zone.clone(),
            None => TimeZone::get(&merchant.zone)
                .map_err(|_| format!("merchants[{place}].zone {:?} is no IANA time zone", merchant.zone))?,
        };
        zones.entry(&merchant.zone).or_insert_with(|| zone.clone());
        if index.insert(merchant.id.clone(), (place, zone)).is_some() {
            return Err(format!("merchants[{place}].id {:?} is there twice", merchant.id));
        }
    }
    Ok(index)
}

fn index_readers(
    readers: &[Reader],
    merchants: &HashMap<String, (usize, TimeZone)>,
) -> Result<HashMap<String, usize>, String> {
    let mut index = HashMap::with_capacity(readers.len());
    for (place, reader) in readers.iter().enumerate() {
        check_id(&format!("readers[{place}].id"), &reader.id)?;
        if !merchants.contains_key(&reader.merchant_id) {
            return Err(format!("readers[{place}].merchant_id {:?} is no merchant of the bundle", reader.merchant_id));
        }
        if index.insert(reader.id.clone(), place).is_some() {
            return Err(format!("readers[{place}].id {:?} is there twice", reader.id));
        }
    }
    Ok(index)
}

fn index_assignments(
    assignments: &[Assignment],
    merchants: &HashMap<String, (usize, TimeZone)>,
) -> Result<HashMap<String, Vec<usize>>, String> {
    let mut carriers: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, assignment) in assignments.iter().enumerate() {
        check_id(&format!("assignments[{place}].courier_id"), &assignment.courier_id)?;
        if !merchants.contains_key(&assignment.merchant_id) {
            let merchant_id = &assignment.merchant_id;
            return Err(format!("assignments[{place}].merchant_id {merchant_id:?} is no merchant of the bundle"));
        }
        let (start_us, end_us) = (assignment.valid_from_us, assignment.valid_to_us.unwrap_or(TIME_US_MAX));
        if start_us < 0 || end_us < start_us || end_us > TIME_US_MAX {
            return Err(format!("assignments[{place}] does not run forward between the years 1970 and 9999"));
        }
        if let Some(reader_id) = &assignment.reader_id {
            carriers.entry(reader_id.clone()).or_default().push(place);
        }
    }
    Ok(carriers)
}

fn check_ranges(ranges: &[NumberRange]) -> Result<(), String> {
    for (place, range) in ranges.iter().enumerate() {
        let is_prefix = |digits: &str| {
            (1..=RANGE_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
        };
        if !is_prefix(&range.from) || !is_prefix(&range.to) || range.from.len() != range.to.len() {
            return Err(format!("number_ranges[{place}] needs from and to of equally many digits, 1 to 19"));
        }
        if range.from > range.to {
            return Err(format!("number_ranges[{place}].from is above its to"));
        }
        check_id(&format!("number_ranges[{place}].scheme"), &range.scheme)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assignment, bundle, merchant, reader};

    fn read(change: impl FnOnce(&mut DecodeBundle)) -> Result<InForce, UnitError> {
        let mut changed = bundle();
        change(&mut changed);
        let content = serde_json::to_vec(&changed).unwrap();
        InForce::read(ContentHash::of(&content), &content)
    }

    type Change = fn(&mut DecodeBundle);

    /// Fails when any of the checks is left out.
    #[test]
    fn a_bundle_that_makes_no_sense_is_not_loadable_and_says_where() {
        let cases: [(Change, &str); 14] = [
            (|bundle| bundle.merchants.push(merchant("M1", "UTC")), "merchants[2].id \"M1\" is there twice"),
            (|bundle| bundle.merchants[0].id = String::new(), "merchants[0].id"),
            (|bundle| bundle.merchants[0].zone = "Mars/Olympus".into(), "merchants[0].zone \"Mars/Olympus\""),
            (|bundle| bundle.merchants[0].mcc = "581".into(), "merchants[0].mcc"),
            (|bundle| bundle.merchants[1].day_minor_max = -1, "merchants[1] has a negative limit"),
            (|bundle| bundle.readers.push(reader("R1", "M2")), "readers[2].id \"R1\" is there twice"),
            (|bundle| bundle.readers[0].id = "R\n".into(), "readers[0].id"),
            (|bundle| bundle.readers[1].merchant_id = "M9".into(), "readers[1].merchant_id \"M9\""),
            (|bundle| bundle.assignments[0].merchant_id = "M9".into(), "assignments[0].merchant_id \"M9\""),
            (|bundle| bundle.assignments[0].valid_to_us = Some(-1), "assignments[0]"),
            (|bundle| bundle.number_ranges[0].to = "40".into(), "number_ranges[0]"),
            (|bundle| bundle.number_ranges[0].from = "x".into(), "number_ranges[0]"),
            (|bundle| bundle.number_ranges[0].from = "5".into(), "number_ranges[0].from"),
            (|bundle| bundle.number_ranges[0].scheme = "x".repeat(65), "number_ranges[0].scheme"),
        ];
        for (change, place) in cases {
            let error = read(change).unwrap_err();
            assert!(matches!(error, UnitError::NotLoadable { .. }));
            assert!(error.to_string().contains(place), "{error}");
        }
        let error = InForce::read(ContentHash::of(b"{"), b"{").unwrap_err();
        assert!(error.to_string().contains("bundle 021fb596"), "{error}");
    }

    #[test]
    fn the_last_valid_assignment_of_the_merchants_own_reader_names_the_carrier() {
        let in_force = read(|bundle| {
            bundle.assignments = vec![
                assignment("C1", "M1", "R1", 10, Some(20)),
                assignment("C2", "M1", "R1", 15, None),
                assignment("C3", "M2", "R1", 12, None),
            ];
        })
        .unwrap();
        let carrier = |at_us| in_force.carrier("M1", "R1", at_us);
        assert_eq!([carrier(9), carrier(10), carrier(14)], [None, Some("C1"), Some("C1")]);
        assert_eq!([carrier(15), carrier(20)], [Some("C2"); 2]);
        assert_eq!(in_force.carrier("M1", "R2", 15), None);
    }
}
