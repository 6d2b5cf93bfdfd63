//! Frauds that were found beside those that truly were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use jiff::Timestamp;
use lake::Session;
use serde::{Deserialize, Serialize};

use super::{read, texts};
use crate::failure::Failure;

/// A card of a fraud is rightly suspected so long before and after it, microseconds: an hour.
const NEAR_US: i64 = 3_600_000_000;

/// What was found of each kind: payments with a rule or a reason of this name, or with an alert that they were far from
/// their courier.
const FOUND: &str = "
    SELECT what, payment_id, token, event_time FROM (
        SELECT split_part(split_part(rule, ': ', 1), ' ', 2) AS what, payment_id, token, event_time
        FROM (SELECT unnest(fired_rules) AS rule, payment_id, token, event_time FROM decisions)
        UNION ALL
        SELECT reason, payment_id, token, event_time FROM (
            SELECT unnest(findings) AS reason, payment_id, token, event_time FROM decisions
            WHERE kind = 'authorization' AND NOT repeat)
        WHERE reason IN ('replayed_counter', 'reader_of_other_merchant')
        UNION ALL
        SELECT reason, payment_id, token, event_time FROM courier_alerts_current WHERE state = 'raised')
    ORDER BY 1, 2, 4";

/// By what each scenario is found.
const SIGNS: [(&str, &str); 8] = [
    ("spree", "fast_spending"),
    ("impossible_travel", "impossible_travel"),
    ("far_reader", "far_from_courier"),
    ("cloned_reader", "replayed_counter"),
    ("cloned_reader_other_merchant", "reader_of_other_merchant"),
    ("card_testing", "card_testing"),
    ("refund_abuse", "refund_abuse"),
    ("bust_out", "bust_out"),
];

/// How well frauds of a scenario were found.
#[derive(Debug, PartialEq, Serialize)]
pub struct FraudScore {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Frauds that there were.
    pub incidents: usize,
    /// Those of which at least one payment was found.
    pub found: usize,
    /// Payments that were found.
    pub hits: usize,
    /// Those of them that belong to such a fraud, or are another payment of its card within an hour.
    pub right: usize,
}

/// A line of the truth about frauds.
#[derive(Deserialize)]
struct Incident {
    scenario: String,
    tokens: BTreeSet<String>,
    payment_ids: BTreeSet<String>,
    started_at: Timestamp,
    ended_at: Timestamp,
}

/// A payment that was found.
struct Hit {
    payment_id: String,
    token: String,
    at_us: i64,
}

impl Incident {
    fn has(&self, hit: &Hit) -> bool {
        let near = self.started_at.as_microsecond() - NEAR_US..=self.ended_at.as_microsecond() + NEAR_US;
        self.payment_ids.contains(&hit.payment_id) || (self.tokens.contains(&hit.token) && near.contains(&hit.at_us))
    }
}

/// Compares the lake with the truth in a folder. Empty where there is none.
pub async fn of(session: &Session, truth: &Path) -> Result<Vec<FraudScore>, Failure> {
    let path = truth.join("frauds.ndjson");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let incidents = read::<Incident>(&path)?;
    let mut found: BTreeMap<String, Vec<Hit>> = BTreeMap::new();
    for batch in session.collect(FOUND).await? {
        let [what, payments, tokens] = [texts(&batch, 0)?, texts(&batch, 1)?, texts(&batch, 2)?];
        let times = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let text =
                |texts: &StringArray| if texts.is_valid(row) { texts.value(row).to_string() } else { String::new() };
            let hit = Hit { payment_id: text(&payments), token: text(&tokens), at_us: times.value(row) };
            found.entry(text(&what)).or_default().push(hit);
        }
    }
    Ok(SIGNS
        .iter()
        .map(|(scenario, sign)| score(scenario, &incidents, found.get(*sign).map_or(&[], Vec::as_slice)))
        .collect())
}

fn score(scenario: &'static str, incidents: &[Incident], hits: &[Hit]) -> FraudScore {
    let incidents: Vec<&Incident> = incidents.iter().filter(|incident| incident.scenario == scenario).collect();
    FraudScore {
        scenario,
        incidents: incidents.len(),
        found: incidents.iter().filter(|incident| hits.iter().any(|hit| incident.has(hit))).count(),
        hits: hits.len(),
        right: hits.iter().filter(|hit| incidents.iter().any(|incident| incident.has(hit))).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_right_on_a_payment_of_the_fraud_or_its_card_near_it() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let set = |text: &str| BTreeSet::from([text.to_string()]);
        let incident = |scenario: &str, payment: &str, start_s: i64| Incident {
            scenario: scenario.to_string(),
            tokens: set("card"),
            payment_ids: set(payment),
            started_at: at(start_s),
            ended_at: at(start_s + 60),
        };
        let incidents = [incident("spree", "p1", 0), incident("spree", "p2", 90_000), incident("bust_out", "p3", 0)];
        let hit = |payment: &str, token: &str, second: i64| Hit {
            payment_id: payment.to_string(),
            token: token.to_string(),
            at_us: second * 1_000_000,
        };
        let hits =
            [hit("p1", "", 9_000_000), hit("other", "card", 3_660), hit("other", "card", 3_661), hit("p3", "", 0)];
        let found = score("spree", &incidents, &hits);
        assert_eq!(found, FraudScore { scenario: "spree", incidents: 2, found: 1, hits: 4, right: 2 });
    }
}
