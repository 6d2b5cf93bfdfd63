use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;

const MINUTE_US: i64 = 60 * 1_000_000;

fn alert(number: usize, reader: u8, minute: i64) -> Alert {
    Alert {
        alert_id: format!("{number:032x}"),
        payment_id: Some(format!("{number:028x}")),
        token: Some(format!("card {}", number % 3)),
        merchant_id: Some("M-1".to_string()),
        reader_id: Some(format!("R-{reader}")),
        reason: "risk_review".to_string(),
        card_group: format!("card group {}", number % 3),
        amount_minor: Some(100),
        currency: Some("EUR".to_string()),
        at_us: minute * MINUTE_US,
        ingest_us: minute * MINUTE_US,
        source: ("transactions".to_string(), 0, number as i64),
    }
}

/// A table while runs add to it.
#[derive(Default)]
struct Table(Vec<Written>, Vec<i64>);

impl Table {
    /// What the job does about alerts that changed, when these are all that stand.
    fn run(&mut self, changed: &[Alert], standing: &[Alert]) {
        let mut touched = Touched::new();
        for alert in changed {
            for subject in alert.subjects() {
                let at_us = touched.entry(subject).or_insert(alert.at_us);
                *at_us = alert.at_us.min(*at_us);
            }
        }
        let since = since(&touched, &self.0);
        let rows = alert_groups(&since, standing, &self.0).unwrap();
        let notifies = rows.column_by_name("notifies").unwrap().as_boolean().clone();
        let alerts = rows.column_by_name("alerts").unwrap().as_primitive::<Int64Type>().clone();
        let kinds = rows.column_by_name("kind").unwrap().as_string::<i32>().clone();
        for row in 0..rows.num_rows() {
            if notifies.value(row) && kinds.value(row) == "reader" {
                self.1.push(alerts.value(row));
            }
        }
        for row in Written::read(&rows).unwrap() {
            match self.0.iter_mut().find(|group| group.group_id == row.group_id) {
                Some(group) => {
                    assert_eq!(row.revision, group.revision + 1);
                    *group = row;
                }
                None => self.0.push(row),
            }
        }
    }

    /// Reader, first and newest minute and number of alerts of each reader's group.
    fn readers(&self) -> Vec<(String, i64, i64, i64)> {
        let of_reader = |group: &Written| match &group.subject {
            Subject::Reader(_, reader) if group.alerts > 0 => {
                Some((reader.clone(), group.first_us / MINUTE_US, group.newest_us / MINUTE_US, group.alerts))
            }
            _ => None,
        };
        let mut found: Vec<_> = self.0.iter().filter_map(of_reader).collect();
        found.sort_unstable();
        found
    }
}

/// The definition, word for word: a group is opened by the first alert and takes those at most 30 min after the previous
/// one, 24 h at most.
fn literal(alerts: &[Alert]) -> Vec<(String, i64, i64, i64)> {
    let mut found = Vec::new();
    let readers: BTreeSet<&String> = alerts.iter().filter_map(|alert| alert.reader_id.as_ref()).collect();
    for reader in readers {
        let mut minutes: Vec<i64> = alerts
            .iter()
            .filter(|alert| alert.reader_id.as_ref() == Some(reader))
            .map(|alert| alert.at_us / MINUTE_US)
            .collect();
        minutes.sort_unstable();
        let mut first = 0;
        for place in 0..minutes.len() {
            let next = minutes.get(place + 1);
            let is_last = next.is_none_or(|next| next - minutes[place] > 30 || next - minutes[first] > 24 * 60);
            if is_last {
                found.push((reader.clone(), minutes[first], minutes[place], (place + 1 - first) as i64));
                first = place + 1;
            }
        }
    }
    found
}

#[test]
fn a_group_says_what_happened_and_notifies_at_1_10_and_100() {
    let alerts: Vec<Alert> = (0..120).map(|number| alert(number, 1, number as i64)).collect();
    let mut table = Table::default();
    for number in 0..alerts.len() {
        table.run(&alerts[number..=number], &alerts[..=number]);
    }
    assert_eq!(table.1, [1, 10, 100]);
    let group = table.0.iter().find(|group| matches!(group.subject, Subject::Reader(..))).unwrap();
    assert_eq!(group.sentence, "120 alerts of 3 cards on reader R-1 at M-1 in 119 min.");
    assert_eq!((group.alerts, group.revision, group.amount_minor), (120, 120, Some(12_000)));
    let card = table.0.iter().find(|group| group.group_id == "card group 1").unwrap();
    assert_eq!(card.sentence, "40 alerts of this card at 1 reader in 117 min.");
    // All at once somebody is told once.
    let mut at_once = Table::default();
    at_once.run(&alerts, &alerts);
    assert_eq!(at_once.1, [120]);
}

/// Fails if the one who waits is told again of what he was told under another name.
#[test]
fn an_alert_that_is_read_late_renames_its_group_and_tells_nobody_again() {
    let (late, known) = (alert(0, 1, 50), alert(1, 1, 60));
    let mut table = Table::default();
    table.run(std::slice::from_ref(&known), std::slice::from_ref(&known));
    let both = [late.clone(), known.clone()];
    table.run(std::slice::from_ref(&late), &both);
    assert_eq!(table.readers(), [("R-1".to_string(), 50, 60, 2)]);
    assert_eq!(table.1, [1]);
    let gone = table.0.iter().filter(|group| group.alerts == 0).count();
    assert_eq!(gone, 1, "the group that the known one had opened");
    // The late one is withdrawn: the group has its first name again.
    table.run(std::slice::from_ref(&late), std::slice::from_ref(&known));
    assert_eq!(table.readers(), [("R-1".to_string(), 60, 60, 1)]);
    assert_eq!(table.1, [1]);
    // The one that opened a group is withdrawn before it ever had another name.
    let pair = [alert(4, 2, 50), alert(5, 2, 60)];
    table.run(&pair, &pair);
    table.run(&pair[..1], &pair[1..]);
    assert_eq!(table.readers(), [("R-1".to_string(), 60, 60, 1), ("R-2".to_string(), 60, 60, 1)]);
    assert_eq!(table.1, [1, 2]);
}

proptest! {
    /// Whatever is read when, groups are what the definition says of the alerts that stand.
    #[test]
    fn groups_are_those_of_the_definition(
        rows in prop::collection::vec((0..2_u8, 0..3_000_i64), 1..80),
        dense in any::<bool>(),
        turns in prop::collection::vec(0..6_usize, 80),
        withdrawn in prop::collection::vec(prop::bool::weighted(0.1), 80),
    ) {
        let spread = |minute: i64| if dense { minute } else { minute / 4 };
        let alerts: Vec<Alert> =
            rows.iter().enumerate().map(|(number, (reader, minute))| alert(number, *reader, spread(*minute))).collect();
        let mut table = Table::default();
        let mut standing: Vec<Alert> = Vec::new();
        for turn in 0..6 {
            let of_turn = |(number, _): &(usize, &Alert)| turns[*number] == turn;
            let new: Vec<Alert> = alerts.iter().enumerate().filter(of_turn).map(|(_, alert)| alert.clone()).collect();
            standing.extend(new.iter().cloned());
            table.run(&new, &standing);
            prop_assert_eq!(table.readers(), literal(&standing));
        }
        let is_withdrawn = |number: usize| withdrawn[number];
        let gone: Vec<Alert> =
            alerts.iter().enumerate().filter(|(number, _)| is_withdrawn(*number)).map(|(_, alert)| alert.clone()).collect();
        standing.retain(|alert| !gone.contains(alert));
        table.run(&gone, &standing);
        prop_assert_eq!(table.readers(), literal(&standing));
    }
}
