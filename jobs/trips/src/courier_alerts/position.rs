//! Where a phone was at a moment, by what was known of it: the last fix before, if cleaning keeps it.

use super::FIX_US_MAX;
use crate::clean::{Cleaner, Step};
use crate::reorder::FUTURE_US_MAX;
use crate::sighting::Sighting;

/// The last fix at or before a moment: nothing where it is too old or left out by cleaning. Fixes may come in any order.
pub(super) fn fix_before(known: &[Sighting], at_us: i64) -> Option<Sighting> {
    let mut fixes = known.to_vec();
    fixes.sort_by(Sighting::order);
    fixes.dedup_by(|copy, fix| fix.is_copy_of(copy));
    let last_us = fixes.iter().map(|fix| fix.time_us).filter(|time_us| *time_us <= at_us).max()?;
    if at_us - last_us > FIX_US_MAX {
        return None;
    }
    let mut found = None;
    let mut say = |step| match step {
        Step::Kept(fix, _) if fix.time_us == last_us => found = Some(fix),
        _ => {}
    };
    let mut cleaner = Cleaner::default();
    let is_future =
        |fix: &Sighting| fix.received_us.is_some_and(|received_us| fix.time_us - received_us > FUTURE_US_MAX);
    fixes.into_iter().filter(|fix| !is_future(fix)).for_each(|fix| cleaner.judge(fix, &mut say));
    cleaner.settle(&mut say);
    found
}
