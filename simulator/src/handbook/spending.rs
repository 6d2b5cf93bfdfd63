//! What a customer spends: how often, when, how much and at which terminal, all genuine.
//!
//! It may depend on profiles and on streams; it refuses frauds.

use rand::RngExt;
use rand_distr::{Distribution, Poisson};

use crate::handbook::profiles::Customer;
use crate::handbook::{HandbookPlan, SECONDS_PER_DAY, Transaction};
use crate::streams::{self, Stream};

/// Mean time of day of a transaction, seconds: noon.
const TIME_MEAN_S: f64 = 43_200.0;
/// Standard deviation of the time of day, seconds.
const TIME_DEVIATION_S: f64 = 20_000.0;
/// A customer's amounts deviate by this share of their mean.
const SPENDING_DEVIATION_SHARE: f64 = 0.5;
/// What a negative amount is replaced by is drawn below so many means.
const SPENDING_REDRAWN_MEANS: f64 = 2.0;
/// Cents of a euro.
const CENTS_IN_EURO: f64 = 100.0;

/// Appends all transactions of a customer, day by day. Without a terminal in reach there are none.
pub(super) fn spend(plan: &HandbookPlan, customer: &Customer, reach: &[u32], transactions: &mut Vec<Transaction>) {
    // A rate of zero has no distribution and no transactions.
    let Ok(count) = Poisson::new(customer.transactions_per_day) else { return };
    if reach.is_empty() {
        return;
    }
    let mut stream = streams::stream(plan.seed, "handbook spending", u64::from(customer.number), 0);
    for day in 0..plan.days {
        let drawn = count.sample(&mut stream) as u32;
        for _ in 0..drawn {
            let Some(second) = second_of_day(&mut stream) else { continue };
            let amount_minor = amount_minor(&mut stream, customer.spending_mean);
            let terminal = *streams::pick(&mut stream, reach);
            let time_s = day * SECONDS_PER_DAY + second;
            transactions.push(Transaction { amount_minor, time_s, customer: customer.number, terminal, scenario: 0 });
        }
    }
}

/// A whole second of the day; nothing where the draw lies on another day or on midnight: that transaction is dropped.
fn second_of_day(stream: &mut Stream) -> Option<u32> {
    let second = (TIME_MEAN_S + TIME_DEVIATION_S * streams::normal(stream)) as i64;
    u32::try_from(second).ok().filter(|second| (1..SECONDS_PER_DAY).contains(second))
}

/// Euro cents, rounded once from euros.
fn amount_minor(stream: &mut Stream, mean: f64) -> i64 {
    let mut euros = mean + mean * SPENDING_DEVIATION_SHARE * streams::normal(stream);
    if euros < 0.0 {
        euros = stream.random_range(0.0..mean * SPENDING_REDRAWN_MEANS);
    }
    (euros * CENTS_IN_EURO).round_ties_even() as i64
}
