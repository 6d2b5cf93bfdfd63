//! The simulated card transactions of the handbook "Reproducible Machine Learning for Credit Card Fraud Detection" (Le
//! Borgne, Siblini, Lebichot and Bontempi, 2022, chapter 3): customers who pay at terminals near them, and three
//! published scenarios of fraud. Windows and models are compared with others on it.
//!
//! It may depend on the crate's streams and on how its writers name files; it refuses the town, real clocks and real
//! randomness. The distributions are the published ones, the draws are not: they follow from the seed through the
//! crate's own streams, so counts agree with the published table as far as chance allows and single rows do not.

use jiff::civil::{Date, date};
use jiff::tz::Offset;

use crate::{DAYS_MAX, SimulatorError};

mod files;
mod frauds;
mod profiles;
mod spending;
#[cfg(test)]
mod tests;

pub use files::schema;

/// Most customers of a plan.
pub const CUSTOMERS_MAX: u32 = 100_000;
/// Fewest customers of a plan: as many are compromised each day.
pub const CUSTOMERS_MIN: u32 = frauds::CUSTOMERS_PER_DAY;
/// Most terminals of a plan: each customer is compared with each.
pub const TERMINALS_MAX: u32 = 100_000;
/// Fewest terminals of a plan: as many are compromised each day.
pub const TERMINALS_MIN: u32 = frauds::TERMINALS_PER_DAY;
/// Most days of all customers together. A customer's day has two transactions in the mean, and each is kept in 24 bytes
/// (36 while they are sorted): some 1.5 GB at most.
pub const CUSTOMER_DAYS_MAX: u64 = 20_000_000;
/// Largest radius, units of the grid: longer than its diagonal.
pub const RADIUS_MAX: f64 = 142.0;

const SECONDS_PER_DAY: u32 = 86_400;

/// Which simulation, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandbookPlan {
    /// Every draw follows from it.
    pub seed: u64,
    /// Customers, [`CUSTOMERS_MIN`] to [`CUSTOMERS_MAX`].
    pub customers: u32,
    /// Terminals, [`TERMINALS_MIN`] to [`TERMINALS_MAX`].
    pub terminals: u32,
    /// Days from `start` on, 1 to [`DAYS_MAX`], and no more than [`CUSTOMER_DAYS_MAX`] for all customers together.
    pub days: u32,
    /// The first day, UTC.
    pub start: Date,
    /// A customer pays at terminals nearer than this; units of a grid of 100 by 100, above 0 and up to [`RADIUS_MAX`].
    pub radius: f64,
}

/// What the handbook publishes: about 1,754,000 transactions, 0.84 % of them frauds.
impl Default for HandbookPlan {
    fn default() -> Self {
        Self { seed: 0, customers: 5_000, terminals: 10_000, days: 183, start: date(2018, 4, 1), radius: 5.0 }
    }
}

impl HandbookPlan {
    /// Start of the first day, microseconds UTC. What is out of bounds is [`SimulatorError::HandbookPlan`].
    fn start_us(&self) -> Result<i64, SimulatorError> {
        let counts = [
            ("customers", self.customers, CUSTOMERS_MIN, CUSTOMERS_MAX),
            ("terminals", self.terminals, TERMINALS_MIN, TERMINALS_MAX),
            ("days", self.days, 1, DAYS_MAX),
        ];
        if let Some((what, found, min, max)) =
            counts.into_iter().find(|(_, found, min, max)| !(min..=max).contains(&found))
        {
            return Err(refused(what, format!("between {min} and {max}"), found));
        }
        let customer_days = u64::from(self.customers) * u64::from(self.days);
        if customer_days > CUSTOMER_DAYS_MAX {
            return Err(refused("customers times days", format!("up to {CUSTOMER_DAYS_MAX}"), customer_days));
        }
        // A radius that is no number is in no range.
        if !(self.radius > 0.0 && self.radius <= RADIUS_MAX) {
            return Err(refused("a radius", format!("above 0 and up to {RADIUS_MAX}"), self.radius));
        }
        let is_in_calendar = |_: &jiff::Timestamp| self.start.checked_add(jiff::Span::new().days(self.days)).is_ok();
        let start = Offset::UTC.to_timestamp(self.start.at(0, 0, 0, 0)).ok().filter(is_in_calendar);
        let start = start.ok_or_else(|| refused("a first day", "well inside the calendar".to_string(), self.start))?;
        Ok(start.as_microsecond())
    }
}

fn refused(what: &'static str, allowed: String, found: impl std::fmt::Display) -> SimulatorError {
    SimulatorError::HandbookPlan { what, allowed, found: found.to_string() }
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandbookStep {
    /// Customers spend; counted in customers.
    Customers,
    /// Frauds happen; counted in days, once for scenario 2 and once for scenario 3.
    Frauds,
    /// A file is written; counted in transactions.
    File,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandbookProgress {
    /// What it is at.
    pub step: HandbookStep,
    /// How much of the step is done, in its unit.
    pub done: u64,
    /// How much there is to do, in the same unit.
    pub total: u64,
}

/// How many transactions there are, and how many of them are frauds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandbookSummary {
    /// All transactions.
    pub transactions: u64,
    /// Frauds of scenarios 1, 2 and 3, each transaction by its last label.
    pub frauds: [u64; 3],
}

/// A transaction; its id is its place in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transaction {
    /// Euro cents.
    amount_minor: i64,
    /// Whole seconds since the start of the first day; [`DAYS_MAX`] days have fewer than 2^27.
    time_s: u32,
    customer: u32,
    terminal: u32,
    /// 0 is genuine.
    scenario: u8,
}

/// All transactions of a plan, in the order of time; those of one second in the order of customers, and a customer's in
/// the order in which they were drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handbook {
    start_us: i64,
    customer_names: Vec<String>,
    terminal_names: Vec<String>,
    transactions: Vec<Transaction>,
}

impl Handbook {
    /// Draws customers, terminals, transactions and frauds.
    ///
    /// `progress` is called after each customer and after each day of frauds. A plan that is out of bounds is
    /// [`SimulatorError::HandbookPlan`].
    pub fn generate(plan: &HandbookPlan, progress: &mut dyn FnMut(HandbookProgress)) -> Result<Self, SimulatorError> {
        let start_us = plan.start_us()?;
        let mut transactions = genuine(plan, progress);
        frauds::commit(plan, &mut transactions, progress);
        let names = |letter: char, count: u32| (0..count).map(|number| format!("{letter}-{number:05}")).collect();
        let (customer_names, terminal_names) = (names('C', plan.customers), names('T', plan.terminals));
        Ok(Self { start_us, customer_names, terminal_names, transactions })
    }

    /// How many transactions and frauds there are.
    pub fn summary(&self) -> HandbookSummary {
        let frauds = [1, 2, 3].map(|scenario| {
            self.transactions.iter().filter(|transaction| transaction.scenario == scenario).count() as u64
        });
        HandbookSummary { transactions: self.transactions.len() as u64, frauds }
    }
}

/// What customers spend, in the order of time.
fn genuine(plan: &HandbookPlan, progress: &mut dyn FnMut(HandbookProgress)) -> Vec<Transaction> {
    let terminals = profiles::terminals(plan);
    let mut transactions = Vec::new();
    for number in 0..plan.customers {
        let customer = profiles::Customer::new(plan.seed, number);
        let reach = customer.reach(&terminals, plan.radius);
        spending::spend(plan, &customer, &reach, &mut transactions);
        let (done, total) = (u64::from(number) + 1, u64::from(plan.customers));
        progress(HandbookProgress { step: HandbookStep::Customers, done, total });
    }
    // The sort is stable, so that customers and their draws keep their order within a second.
    transactions.sort_by_key(|transaction| transaction.time_s);
    transactions
}
