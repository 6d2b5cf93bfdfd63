//! What is true about each fraud, gathered while its payments arrive: a fraud of a day is over before the day is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::World;
use crate::records::{Record, Time};
use crate::scenarios::{Role, Scenario};
use crate::visits::Visit;

/// A fraud. `merchant_id` and `reader_id` are those of all of its payments, or missing where these differ.
#[derive(Debug, Serialize)]
pub(crate) struct Incident {
    scenario: &'static str,
    merchant_id: Option<String>,
    reader_id: Option<String>,
    /// Of the cards, each once, in the order of their first payment.
    tokens: Vec<String>,
    payment_ids: Vec<String>,
    /// When the gateway received the first and the last of its records: swipes, or refunds of payments given back.
    started_at: Time,
    ended_at: Time,
}

impl Incident {
    fn of(scenario: Scenario, record: &Record, at_us: i64) -> Self {
        Self {
            scenario: scenario.name(),
            merchant_id: record.merchant_id.clone(),
            reader_id: record.reader_id.clone(),
            tokens: Vec::new(),
            payment_ids: Vec::new(),
            started_at: Time(at_us),
            ended_at: Time(at_us),
        }
    }

    fn add(&mut self, record: &Record, token: String, payment_id: String, at_us: i64) {
        self.merchant_id.take_if(|merchant_id| Some(&*merchant_id) != record.merchant_id.as_ref());
        self.reader_id.take_if(|reader_id| Some(&*reader_id) != record.reader_id.as_ref());
        if !self.tokens.contains(&token) {
            self.tokens.push(token);
        }
        self.payment_ids.push(payment_id);
        self.started_at = Time(self.started_at.0.min(at_us));
        self.ended_at = Time(self.ended_at.0.max(at_us));
    }
}

/// Frauds under way by day and number.
#[derive(Default)]
pub(crate) struct Incidents {
    open: BTreeMap<(u32, u32), (usize, Option<Incident>)>,
}

impl Incidents {
    /// Counts how many payments each fraud of a day has.
    pub(crate) fn plan(&mut self, visits: &[Visit]) {
        for visit in visits {
            if let Some(part) = visit.part {
                self.open.entry((visit.number.0, part.incident)).or_default().0 += 1;
            }
        }
    }

    /// A swipe arrived, which counts unless nothing became of it; gives the fraud of which it was the last one.
    pub(crate) fn arrived(
        &mut self,
        world: &World,
        visit: &Visit,
        record: &Record,
        received_us: i64,
        payment_id: Option<String>,
    ) -> Option<Incident> {
        let part = visit.part?;
        let key = (visit.number.0, part.incident);
        let (left, incident) = self.open.get_mut(&key)?;
        *left -= 1;
        if let Some(payment_id) = payment_id {
            let at_us = match part.role {
                Role::GivenBack { at_us } => at_us,
                Role::Thief { .. } | Role::Copy { .. } => received_us,
            };
            let token = world.cards.all[visit.card].token.to_hex();
            incident
                .get_or_insert_with(|| Incident::of(part.scenario, record, at_us))
                .add(record, token, payment_id, at_us);
        }
        if *left > 0 {
            return None;
        }
        self.open.remove(&key).and_then(|(_, incident)| incident)
    }
}
