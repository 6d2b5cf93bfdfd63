//! A believable town from a seed: merchants, card readers that really encrypt, cards with accounts, couriers and taxis
//! with GPS, and everything that goes wrong with them, frauds included. It writes an input folder for the pipeline and,
//! into another folder, the truth that tests compare with. It may depend on `schemas` for what travels and on `decode` for
//! what a reader's firmware does (key derivation, frames); it refuses real clocks, real randomness and network, and it
//! never reads what the pipeline makes.
//!
//! The same seed gives the same bytes, a longer run starts with the bytes of a shorter one, and memory holds the state of
//! people and machines and the events in flight, however many days are simulated.
//!
//! Read on in this order: `run` plays the hours; `visits`, `scenarios` and `movement` say what people and thieves do,
//! `payments`, `counters`, `story` and `fixes` what gateway, readers and phones make of it, `folder`, `writer`, `truth` and
//! `incidents` what is written.
//! `handbook` stands apart: published fraud scenarios as a table of transactions, without a town.

mod cards;
mod clock;
mod counters;
mod districts;
mod error;
mod fixes;
mod folder;
pub mod handbook;
mod incidents;
mod merchants;
mod movement;
mod payments;
mod queue;
mod records;
mod run;
mod scenarios;
mod story;
mod streams;
#[cfg(test)]
mod tests;
mod town;
mod truth;
mod visits;
mod writer;

use std::path::Path;

use decode::dukpt::TdesKey;
use decode::keys::{KeyRing, PUBLISHED_ID_TECH};
use schemas::ids::hmac_sha256;

pub use error::SimulatorError;
pub use queue::IN_FLIGHT_MAX;

/// Most days of a plan: readers have key counters for more.
pub const DAYS_MAX: u32 = 1_000;
/// Most merchants of a plan.
pub const MERCHANTS_MAX: u32 = 10_000;
/// Cards for each merchant.
const CARDS_PER_MERCHANT: usize = 75;

/// Which town, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Every choice follows from it.
    pub seed: u64,
    /// Days from 2026-03-02 on, UTC, 1 to [`DAYS_MAX`].
    pub days: u32,
    /// Merchants, 1 to [`MERCHANTS_MAX`]; five have every trade, 40 make some 4,000 swipes and 150,000 pings a day.
    pub merchants: u32,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Simulated hours played.
    pub hours_done: u32,
    /// Simulated hours in all.
    pub hours: u32,
    /// Swipes so far, retransmissions not counted.
    pub swipes: u64,
    /// Pings so far.
    pub pings: u64,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Days that lie in the input folder now.
    pub days: u32,
    /// Days of them that this run wrote.
    pub days_written: u32,
    /// Swipes of all days, retransmissions not counted; 0 where nothing had to be done.
    pub swipes: u64,
    /// Pings of all days; 0 where nothing had to be done.
    pub pings: u64,
    /// Most events that waited for their time at once.
    pub in_flight_max: usize,
}

/// Writes the plan's town into the folder `input` and what is true about it into the folder `truth`.
///
/// Where `input` holds the first days of the same town already, only the missing ones are written (none if it holds
/// more than asked for); the truth is written anew. Another seed, number of merchants or version there is
/// [`SimulatorError::OtherPlan`]. `progress` is called after each simulated hour.
pub fn simulate(
    plan: &Plan,
    input: &Path,
    truth: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SimulatorError> {
    let bounds = [("days", plan.days, DAYS_MAX), ("merchants", plan.merchants, MERCHANTS_MAX)];
    if let Some((what, found, max)) = bounds.into_iter().find(|(_, found, max)| !(1..=*max).contains(found)) {
        return Err(SimulatorError::Plan { what, found, max });
    }
    let days_there = folder::days_there(plan, input)?;
    let days = plan.days.max(days_there);
    if days == days_there && truth::Truth::is_in(truth) {
        return Ok(Summary { days, days_written: 0, swipes: 0, pings: 0, in_flight_max: 0 });
    }
    let world = World::new(plan.seed, plan.merchants);
    folder::create(input)?;
    folder::note_days(plan, days_there, input)?;
    let controls = folder::equip(&world, input)?;
    let mut truth = truth::Truth::create(truth)?;
    truth.cards(&world)?;
    let mut output = writer::Output::new(&world, input, days_there, truth);
    // The last day is noted only when the truth is complete, so that an interrupted run is finished by the next.
    let mut day_closed = |day: u32| match day + 1 {
        complete if complete > days_there && complete < days => folder::note_days(plan, complete, input),
        _ => Ok(()),
    };
    let counts = run::run(&world, days, controls, &mut output, &mut day_closed, progress)?;
    output.truth.finish()?;
    folder::note_days(plan, days, input)?;
    Ok(Summary {
        days,
        days_written: days - days_there,
        swipes: counts.swipes,
        pings: counts.pings,
        in_flight_max: counts.in_flight_max,
    })
}

/// The plan of the town that an input folder holds; nothing where no simulation wrote into it.
pub fn plan_in(input: &Path) -> Result<Option<Plan>, SimulatorError> {
    folder::plan_in(input)
}

/// What does not change from day to day.
pub(crate) struct World {
    seed: u64,
    town: town::Town,
    business: merchants::Business,
    cards: cards::Cards,
    ring: KeyRing,
    routing_key: [u8; 32],
}

impl World {
    fn new(seed: u64, merchants: u32) -> Self {
        let [token_key, routing_key] = [b"token key".as_slice(), b"routing key"].map(|purpose| demo_key(seed, purpose));
        let town = town::Town::new(seed);
        let business = merchants::Business::new(seed, merchants, &town);
        let ring = KeyRing::published()
            .with_token_key(folder::KEY_NAME, token_key)
            .expect("the published ring has no token key")
            .with_routing_key(folder::KEY_NAME, routing_key);
        let cards = cards::Cards::new(seed, merchants as usize * CARDS_PER_MERCHANT, &token_key);
        Self { seed, town, business, cards, ring, routing_key }
    }

    fn base_key(&self) -> &TdesKey {
        self.ring.key_set(PUBLISHED_ID_TECH).expect("the ring holds the published keys").base_key()
    }

    fn is_taxi(&self, carrier: usize) -> bool {
        self.business.carriers[carrier].vehicle == merchants::Vehicle::Taxi
    }
}

/// A key of the demo: anyone who knows the seed knows it.
fn demo_key(seed: u64, purpose: &[u8]) -> [u8; 32] {
    let mut master = [0; 32];
    master[..8].copy_from_slice(&seed.to_be_bytes());
    hmac_sha256(&master, purpose)
}
