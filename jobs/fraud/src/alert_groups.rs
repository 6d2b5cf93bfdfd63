//! Alerts that belong together: rows of the table `alert_groups`.
//!
//! The alerts of a reader under its merchant, in the order of their times and then of their identities, make groups: one is
//! opened by its first alert and takes those that come at most 30 min after the previous one and at most 24 h after the
//! first. Cards have such groups already, which authorize keeps: an alert of a known card names its
//! own.
//!
//! What a group is follows from the alerts alone, not from when they are read: one that is read late may join two groups
//! or open another, and one that is withdrawn leaves its group. A group that changes gets a further row, and one that is no
//! more an empty one. Nobody is told twice of the first alert, the tenth or the hundredth, whatever the group is called.
//!
//! It may depend on Arrow and `schemas`. It refuses clocks and to read tables.

mod read;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

pub use read::{Alert, Written};

/// An alert joins its group at most so long after the previous one: half an hour, microseconds.
pub const QUIET_US_MAX: i64 = 30 * 60 * 1_000_000;
/// A group takes alerts for at most so long: a day, microseconds.
pub const GROUP_US_MAX: i64 = 24 * 3600 * 1_000_000;
/// Somebody is told of a group when it has so many alerts.
pub const NOTIFIED: [i64; 3] = [1, 10, 100];

/// What the alerts of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The card: the identity of the group that authorize has made.
    Card(String),
    /// The merchant and the reader.
    Reader(Option<String>, String),
}

/// Subjects with an alert that is new, each with the time of its earliest one, microseconds UTC.
pub type Touched = BTreeMap<Subject, i64>;

/// The subjects of alerts that are new: columns `token`, `merchant_id`, `reader_id`, `group_id` and
/// `event_time`.
///
/// # Errors
/// Fails where a column is missing or has another type.
pub fn touched(new: &[RecordBatch]) -> Result<Touched, ArrowError> {
    let mut touched = Touched::new();
    for (subjects, at_us) in read::subjects(new)? {
        for subject in subjects {
            touched.entry(subject).and_modify(|first_us| *first_us = at_us.min(*first_us)).or_insert(at_us);
        }
    }
    Ok(touched)
}

/// From where on groups of the touched subjects have to be made again, microseconds UTC: from the first alert of the last
/// written group that began at or before the new one, if that can have taken it.
pub fn since(touched: &Touched, written: &[Written]) -> Touched {
    let mut since = touched.clone();
    for group in written.iter().filter(|group| group.alerts > 0) {
        let (Some(new_us), Some(start_us)) = (touched.get(&group.subject), since.get_mut(&group.subject)) else {
            continue;
        };
        let is_whole = matches!(group.subject, Subject::Card(_));
        if is_whole || (group.first_us <= *new_us && *new_us <= group.newest_us.saturating_add(QUIET_US_MAX)) {
            *start_us = group.first_us.min(*start_us);
        }
    }
    since
}

/// The rows that the table lacks, by time and identity of the groups.
///
/// `alerts` are all that are not withdrawn, from the times on that `since` says; `written` the newest rows of groups.
///
/// # Errors
/// Fails where the columns do not fit.
pub fn alert_groups(since: &Touched, alerts: &[Alert], written: &[Written]) -> Result<RecordBatch, ArrowError> {
    let mut by_subject: BTreeMap<Subject, Vec<&Alert>> = BTreeMap::new();
    for alert in alerts {
        for subject in alert.subjects() {
            if since.get(&subject).is_some_and(|since_us| alert.at_us >= *since_us) {
                by_subject.entry(subject).or_default().push(alert);
            }
        }
    }
    let mut found: Vec<Group<'_>> = Vec::new();
    for (subject, mut alerts) in by_subject {
        alerts.sort_by(|one, other| (one.at_us, &one.alert_id).cmp(&(other.at_us, &other.alert_id)));
        found.extend(groups_of(&subject, &alerts));
    }
    let of_this_run = |group: &&Written| since.get(&group.subject).is_some_and(|since_us| group.first_us >= *since_us);
    let written: BTreeMap<&str, &Written> =
        written.iter().filter(of_this_run).map(|group| (group.group_id.as_str(), group)).collect();
    let names: BTreeSet<String> = found.iter().map(|group| group.group_id.clone()).collect();
    let gone: Vec<&Written> = written.values().copied().filter(|group| !names.contains(&group.group_id)).collect();
    let said = found.into_iter().filter_map(|group| rows::said(group, &written, &gone));
    let emptied = gone.iter().filter(|group| group.alerts > 0).map(|group| rows::emptied(group));
    let mut said: Vec<rows::Said<'_>> = said.chain(emptied).collect();
    said.sort_by(|one, other| one.order().cmp(&other.order()));
    rows::batch(&said)
}

/// Alerts that belong together.
struct Group<'a> {
    subject: Subject,
    group_id: String,
    alerts: Vec<&'a Alert>,
}

/// The groups of a subject's alerts, which come in order.
fn groups_of<'a>(subject: &Subject, alerts: &[&'a Alert]) -> Vec<Group<'a>> {
    let mut groups: Vec<Vec<&Alert>> = Vec::new();
    for alert in alerts {
        let takes = |group: &Vec<&Alert>| match (subject, group.first(), group.last()) {
            (Subject::Card(_), ..) => true,
            (_, Some(first), Some(last)) => {
                alert.at_us - last.at_us <= QUIET_US_MAX && alert.at_us - first.at_us <= GROUP_US_MAX
            }
            _ => false,
        };
        match groups.last_mut().filter(|group| takes(group)) {
            Some(group) => group.push(alert),
            None => groups.push(vec![alert]),
        }
    }
    let name = |alerts: Vec<&'a Alert>| {
        let group_id = alerts.first().map(|first| rows::group_id(subject, first)).unwrap_or_default();
        Group { subject: subject.clone(), group_id, alerts }
    };
    groups.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests;
