//! What phones and their gateway do, as a function of the time: they swipe, wait, repeat what was not answered, give up,
//! tell the log that an answer has arrived, and send the signature.
//!
//! It has no clock and no broker: the caller says what time it is and what was decided, and gets what is to be appended.

use std::collections::{BTreeMap, BTreeSet};

/// How patient phones are, microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A swipe without an answer is sent again after this time, and again.
    pub retry_us: i64,
    /// After this time the gateway withdraws it.
    pub give_up_us: i64,
    /// Time that a cardholder takes to sign.
    pub sign_us: i64,
    /// One cardholder in so many goes away without signing.
    pub unsigned_one_in: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retry_us: 10_000_000, give_up_us: 30_000_000, sign_us: 3_000_000, unsigned_one_in: 20 }
    }
}

/// The swipe of a row of the input: reader and STAN tell it from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SwipeKey {
    /// The reader.
    pub reader_id: String,
    /// The phone's number of it.
    pub stan: i32,
}

/// What the gateway appends to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// The swipe of this row, once more.
    Again(usize),
    /// The phone has the decision.
    Answered(usize, String),
    /// The cardholder signed.
    Signature(usize, String),
    /// There was no answer in time.
    Withdraw(usize),
}

/// Where a swipe stands with its phone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Swiped then, next due then.
    Waiting {
        sent_us: i64,
        due_us: i64,
    },
    Signing,
    Done,
    GivenUp,
}

/// What phones saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// Swipes.
    pub swipes: u64,
    /// Swipes that were sent again.
    pub retries: u64,
    /// Approvals that arrived in time.
    pub approved: u64,
    /// Refusals that arrived in time.
    pub declined: u64,
    /// Swipes without an answer in time.
    pub given_up: u64,
    /// Answers that came after the phone had given up.
    pub late: u64,
    /// Signatures sent.
    pub signed: u64,
}

/// All phones of a run.
#[derive(Debug, Default)]
pub struct Phones {
    patience: Patience,
    states: Vec<State>,
    rows: BTreeMap<SwipeKey, usize>,
    /// What is due when: retry, withdrawal or signature of a row.
    due: BTreeSet<(i64, usize)>,
    payments: BTreeMap<usize, String>,
    signed: BTreeSet<usize>,
    seen: Seen,
    waits_us: Vec<i64>,
}

impl Phones {
    /// Phones of this patience, which have swiped nothing.
    pub fn new(patience: Patience) -> Self {
        Self { patience, ..Self::default() }
    }

    /// A swipe goes to the log at this time. Rows are numbered from 0 in the order of their swipes.
    pub fn swipe(&mut self, key: SwipeKey, now_us: i64) -> usize {
        let row = self.states.len();
        self.rows.insert(key, row);
        let due_us = now_us + self.patience.retry_us;
        self.states.push(State::Waiting { sent_us: now_us, due_us });
        self.due.insert((due_us, row));
        self.seen.swipes += 1;
        row
    }

    /// A decision about a swipe has arrived.
    pub fn decided(&mut self, key: &SwipeKey, payment_id: &str, approved: bool, now_us: i64) -> Option<Append> {
        let row = *self.rows.get(key)?;
        let State::Waiting { sent_us, due_us } = self.states[row] else {
            self.seen.late += u64::from(self.states[row] == State::GivenUp);
            return None;
        };
        self.due.remove(&(due_us, row));
        self.waits_us.push(now_us - sent_us);
        self.states[row] = State::Done;
        if approved {
            self.seen.approved += 1;
            if row % self.patience.unsigned_one_in != self.patience.unsigned_one_in - 1 {
                self.states[row] = State::Signing;
                self.payments.insert(row, payment_id.to_string());
                self.due.insert((now_us + self.patience.sign_us, row));
            }
        } else {
            self.seen.declined += 1;
        }
        Some(Append::Answered(row, payment_id.to_string()))
    }

    /// What has become due.
    pub fn due(&mut self, now_us: i64) -> Vec<Append> {
        let mut appends = Vec::new();
        while let Some((due_us, row)) = self.due.first().copied().filter(|(due_us, _)| *due_us <= now_us) {
            self.due.remove(&(due_us, row));
            match self.states[row] {
                State::Waiting { sent_us, .. } if now_us - sent_us >= self.patience.give_up_us => {
                    self.states[row] = State::GivenUp;
                    self.seen.given_up += 1;
                    appends.push(Append::Withdraw(row));
                }
                State::Waiting { sent_us, .. } => {
                    let next_us = (due_us + self.patience.retry_us).min(sent_us + self.patience.give_up_us);
                    self.states[row] = State::Waiting { sent_us, due_us: next_us };
                    self.due.insert((next_us, row));
                    self.seen.retries += 1;
                    appends.push(Append::Again(row));
                }
                State::Signing => {
                    self.states[row] = State::Done;
                    self.seen.signed += 1;
                    self.signed.insert(row);
                    let payment_id = self.payments.remove(&row).expect("a row that is being signed has a payment id");
                    appends.push(Append::Signature(row, payment_id));
                }
                State::Done | State::GivenUp => {}
            }
        }
        appends
    }

    /// Whether nothing is awaited any more.
    pub fn are_done(&self) -> bool {
        self.due.is_empty()
    }

    /// What they saw so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Time from swipe to answer of every answered swipe, microseconds, sorted.
    pub fn waits_us(&self) -> Vec<i64> {
        let mut waits = self.waits_us.clone();
        waits.sort_unstable();
        waits
    }

    /// How each swipe ended for its phone, one JSON object a line.
    pub fn ends(&self) -> String {
        let end = |(key, row): (&SwipeKey, &usize)| {
            let end = match self.states[*row] {
                State::Waiting { .. } | State::Signing => "open",
                State::Done if self.signed.contains(row) => "signed",
                State::Done => "answered",
                State::GivenUp => "given_up",
            };
            serde_json::json!({ "reader_id": key.reader_id, "stan": key.stan, "end": end }).to_string() + "\n"
        };
        self.rows.iter().map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn key(stan: i32) -> SwipeKey {
        SwipeKey { reader_id: "r".to_string(), stan }
    }

    #[test]
    fn an_approval_is_acknowledged_and_then_signed() {
        let mut phones = Phones::new(Patience::default());
        phones.swipe(key(1), 0);
        assert_eq!(phones.due(SECOND), []);
        let answered = phones.decided(&key(1), "p", true, 2 * SECOND);
        assert_eq!(answered, Some(Append::Answered(0, "p".to_string())));
        assert_eq!(phones.due(4 * SECOND), []);
        assert_eq!(phones.due(5 * SECOND), [Append::Signature(0, "p".to_string())]);
        assert!(phones.are_done());
        assert_eq!(phones.waits_us(), [2 * SECOND]);
        assert_eq!(*phones.seen(), Seen { swipes: 1, approved: 1, signed: 1, ..Seen::default() });
    }

    #[test]
    fn without_an_answer_a_swipe_is_repeated_and_withdrawn_once() {
        let mut phones = Phones::new(Patience::default());
        phones.swipe(key(1), 0);
        assert_eq!(phones.due(10 * SECOND), [Append::Again(0)]);
        assert_eq!(phones.due(20 * SECOND), [Append::Again(0)]);
        assert_eq!(phones.due(40 * SECOND), [Append::Withdraw(0)]);
        assert_eq!(phones.decided(&key(1), "p", true, 41 * SECOND), None);
        assert!(phones.are_done());
        assert_eq!(phones.ends(), "{\"end\":\"given_up\",\"reader_id\":\"r\",\"stan\":1}\n");
        assert_eq!(*phones.seen(), Seen { swipes: 1, retries: 2, given_up: 1, late: 1, ..Seen::default() });
    }

    #[test]
    fn a_refusal_is_acknowledged_and_repeats_of_an_answer_are_not() {
        let mut phones = Phones::new(Patience::default());
        phones.swipe(key(1), 0);
        assert!(phones.decided(&key(1), "p", false, SECOND).is_some());
        assert_eq!(phones.decided(&key(1), "p", false, SECOND), None);
        assert!(phones.are_done());
        assert_eq!(phones.decided(&key(2), "q", true, SECOND), None);
    }
}
