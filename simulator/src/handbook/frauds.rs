//! The three published scenarios of fraud. A later scenario overwrites the label of an earlier one, and the last day
//! starts no fraud.
//!
//! 1. An amount above 220 is a fraud: what any detector should find.
//! 2. Each day two terminals are compromised, and all their transactions of 28 days from that day on are frauds.
//! 3. Each day three customers are compromised; of their transactions of 14 days from that day on, taken together, a
//!    third is multiplied by five. A transaction that is hit on several days is multiplied each time.
//!
//! It may depend on streams; it refuses to make or to move transactions.

use std::collections::BTreeSet;
use std::ops::Range;

use rand::RngExt;

use crate::handbook::{HandbookPlan, HandbookProgress, HandbookStep, SECONDS_PER_DAY, Transaction};
use crate::streams::{self, Stream};

/// Scenario 1: amounts above this are frauds, euro cents.
pub(super) const AMOUNT_MINOR_GENUINE_MAX: i64 = 22_000;
/// Scenario 2: terminals compromised each day.
pub(super) const TERMINALS_PER_DAY: u32 = 2;
/// Scenario 2: days that a terminal stays compromised, its first included.
pub(super) const TERMINAL_DAYS: u32 = 28;
/// Scenario 3: customers compromised each day.
pub(super) const CUSTOMERS_PER_DAY: u32 = 3;
/// Scenario 3: days that a customer stays compromised, the first included.
pub(super) const CUSTOMER_DAYS: u32 = 14;
/// Scenario 3: one of so many transactions of compromised customers is a fraud.
pub(super) const CUSTOMER_FRAUD_ONE_OF: u32 = 3;
/// Scenario 3: frauds are so many times the genuine amount. After [`CUSTOMER_DAYS`] times it still fits easily.
pub(super) const AMOUNT_FACTOR: i64 = 5;

/// Labels transactions that are in the order of time, and multiplies the amounts of scenario 3.
pub(super) fn commit(
    plan: &HandbookPlan,
    transactions: &mut [Transaction],
    progress: &mut dyn FnMut(HandbookProgress),
) {
    for transaction in transactions.iter_mut().filter(|found| found.amount_minor > AMOUNT_MINOR_GENUINE_MAX) {
        transaction.scenario = 1;
    }
    // All days of scenario 2 come before the first of scenario 3: of two labels the later scenario's stays.
    let total = 2 * u64::from(plan.days - 1);
    let mut done = 0;
    for scenario in [compromise_terminals, compromise_customers] {
        for day in 0..plan.days - 1 {
            scenario(plan, day, transactions);
            done += 1;
            progress(HandbookProgress { step: HandbookStep::Frauds, done, total });
        }
    }
}

fn compromise_terminals(plan: &HandbookPlan, day: u32, transactions: &mut [Transaction]) {
    let compromised = compromised_terminals(plan, day);
    for transaction in of_days(transactions, day..day + TERMINAL_DAYS) {
        if compromised.contains(&transaction.terminal) {
            transaction.scenario = 2;
        }
    }
}

fn compromise_customers(plan: &HandbookPlan, day: u32, transactions: &mut [Transaction]) {
    let compromised = compromised_customers(plan, day);
    let possible = of_days(transactions, day..day + CUSTOMER_DAYS).iter_mut();
    let mut possible: Vec<_> = possible.filter(|found| compromised.contains(&found.customer)).collect();
    for place in misused(plan, day, possible.len() as u32) {
        let transaction = &mut possible[place as usize];
        transaction.amount_minor *= AMOUNT_FACTOR;
        transaction.scenario = 3;
    }
}

/// Terminals whose compromise starts on a day.
pub(super) fn compromised_terminals(plan: &HandbookPlan, day: u32) -> BTreeSet<u32> {
    let mut stream = streams::stream(plan.seed, "handbook compromised terminals", 0, u64::from(day));
    sample(&mut stream, plan.terminals, TERMINALS_PER_DAY)
}

/// Customers whose compromise starts on a day.
pub(super) fn compromised_customers(plan: &HandbookPlan, day: u32) -> BTreeSet<u32> {
    let mut stream = streams::stream(plan.seed, "handbook compromised customers", 0, u64::from(day));
    sample(&mut stream, plan.customers, CUSTOMERS_PER_DAY)
}

/// Which of so many transactions of the customers compromised on a day are frauds: places in the order of time.
pub(super) fn misused(plan: &HandbookPlan, day: u32, possible: u32) -> BTreeSet<u32> {
    let mut stream = streams::stream(plan.seed, "handbook misused transactions", 0, u64::from(day));
    sample(&mut stream, possible, possible / CUSTOMER_FRAUD_ONE_OF)
}

/// So many different numbers below `population`, each set as likely (Bentley and Floyd 1987).
fn sample(stream: &mut Stream, population: u32, count: u32) -> BTreeSet<u32> {
    let mut chosen = BTreeSet::new();
    for last in population - count..population {
        if !chosen.insert(stream.random_range(0..=last)) {
            chosen.insert(last);
        }
    }
    chosen
}

/// The transactions of some days.
fn of_days(transactions: &mut [Transaction], days: Range<u32>) -> &mut [Transaction] {
    let before = |day: u32| transactions.partition_point(|found| found.time_s < day * SECONDS_PER_DAY);
    let places = before(days.start)..before(days.end);
    &mut transactions[places]
}
