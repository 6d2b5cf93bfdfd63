//! A written-out day, compared with the file that people read in review.

use std::fmt::Write;

use schemas::bundles::{CardList, ListedCard, Policy};
use schemas::topics::kind;

use crate::AuthorizeUnit;
use crate::testing::{Line, Row, account, bundle, control, feed, later, of, swipe, tick, token};

fn the_day() -> Vec<Row> {
    let (coffee, lunch, shoes) = (swipe(0, 1, 450, 101), swipe(60, 2, 1_250, 102), swipe(600, 1, 8_900, 103));
    let (twice, stolen, closed) = (swipe(95, 2, 1_250, 104), swipe(700, 4, 5_000, 105), swipe(710, 3, 990, 106));
    let refund = |amount, at_s| Row { amount_minor: Some(amount), ..later(kind::REFUND, at_s, &shoes) };
    vec![
        coffee.clone(),
        Row { repeat: true, ..swipe(2, 1, 450, 101) },
        later(kind::ANSWERED, 3, &coffee),
        later(kind::SIGNATURE, 20, &coffee),
        Row { chip: true, ..lunch.clone() },
        later(kind::ANSWERED, 61, &lunch),
        twice.clone(),
        later(kind::ANSWERED, 96, &twice),
        later(kind::SIGNATURE, 110, &twice),
        tick(180, 0),
        tick(211, 0),
        later(kind::SIGNATURE, 212, &lunch),
        shoes.clone(),
        later(kind::ANSWERED, 601, &shoes),
        later(kind::SIGNATURE, 630, &shoes),
        stolen.clone(),
        later(kind::ANSWERED, 701, &stolen),
        Row { card: None, findings: vec!["replayed_counter", "cannot_decrypt"], ..closed },
        refund(3_000, 3_600),
        refund(9_000, 3_700),
        later(kind::CANCEL, 3_800, &twice),
        swipe(4_000, 1, 99_000, 107),
        Row { label: Some("fraud"), ..later(kind::DISPOSITION, 5_000, &coffee) },
        later(kind::CHARGEBACK, 6_000, &shoes),
        later(kind::REFUND, 7_000, &swipe(0, 9, 1, 999)),
    ]
}

fn table(lines: &[Line], output: &str, columns: &[&str]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(ToString::to_string).collect()];
    rows[0].insert(0, "offset".into());
    for line in of(lines, output) {
        let cells = columns.iter().map(|column| match line.get(column) {
            "" => "-".to_string(),
            text => text.replace("2027-01-01T", "").replace(' ', "_"),
        });
        rows.push(std::iter::once(line.offset.to_string()).chain(cells).collect());
    }
    let mut text = format!("{output}\n");
    for row in &rows {
        for (place, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[place].len()).max().unwrap_or_default();
            write!(text, "{cell:<width$}  ").unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[test]
fn a_day_reads_as_it_should() {
    let mut unit = AuthorizeUnit::new();
    let lists = vec![ListedCard { token: token(4).to_hex(), list: CardList::Stolen, until_us: None }];
    let cards = (1..=4).map(|card| account(card, 100_000)).collect();
    control(&mut unit, &bundle(Policy::default(), cards, lists)).unwrap();
    let lines = feed(&mut unit, 0, &the_day());
    let columns = "event_time stan kind repeat state response_code reason findings amount_minor held_minor \
                   captured_minor approval_code rrn signature_deadline";
    let mut text = table(&lines, "decisions", &columns.split_whitespace().collect::<Vec<_>>());
    text += "\nanswers\n";
    for line in of(&lines, "decisions") {
        writeln!(text, "{} {}", line.offset, line.get("answer")).unwrap();
    }
    text += "\n";
    text += &table(&lines, "alerts", &["event_time", "reason", "group_id", "group_number"]);
    for line in of(&lines, "alerts") {
        writeln!(text, "{} {}", line.offset, line.get("sentence")).unwrap();
    }
    text += "\n";
    text += &table(&lines, "labels", &["payment_id", "label", "label_source", "event_time", "known_at"]);
    writeln!(text, "\n{:?}", unit.totals()).unwrap();
    insta::assert_snapshot!(text);
}
