//! From the swipe to the last record about it: phones, the gateway, and what the simulator expects the pipeline to
//! answer, from its own model of accounts and key counters.

use decode::dukpt::Ksn;
use decode::idtech::{FrameFormat, Stripe, build};
use rand::RngExt;
use schemas::findings::Findings;
use schemas::ids::{PaymentId, Route};
use schemas::reasons::{APPROVED, APPROVED_CODE, Reason};
use schemas::topics::kind;

use crate::clock::{HOUR_US, SECOND_US};
use crate::counters::Readers;
use crate::fixes::position_of_swipe;
use crate::incidents::Incidents;
use crate::merchants::CURRENCY;
use crate::queue::Queue;
use crate::records::{BadLine, Record, Time};
use crate::scenarios::Role;
use crate::story::{Later, Story, WITHDRAW_US, withdraw};
use crate::streams::{self, Stream};
use crate::truth::{LaterTruth, PaymentTruth};
use crate::visits::{Meant, Visit};
use crate::writer::Output;
use crate::{SimulatorError, World};

/// Ticks of the gateway's clock on the transactions topic.
const TICK_US: i64 = 10 * SECOND_US;
/// A merchant that is in no bundle.
const UNKNOWN_MERCHANT: &str = "M-9999";

/// What happens at a moment.
enum Event {
    /// A card is drawn through a reader.
    Swipe(Visit),
    /// The gateway gets a swipe for the first time.
    Arrival(Box<Swiped>),
    /// The gateway appends a record; money goes back to a card.
    Later(Box<Later>),
    /// The gateway appends a line that is broken.
    Broken(BadLine),
    /// Time passes.
    Tick,
}

/// A swipe on its way to the gateway.
struct Swiped {
    visit: Visit,
    record: Record,
    payment_id: PaymentId,
    ksn: Ksn,
}

/// Everything that the gateway will put on the log.
pub(crate) struct Gateway<'world> {
    world: &'world World,
    queue: Queue<Event>,
    readers: Readers<'world>,
    incidents: Incidents,
    available_minor: Vec<i64>,
    swipes: u64,
}

impl<'world> Gateway<'world> {
    /// The gateway at the start of the first day.
    pub(crate) fn new(world: &'world World, start_us: i64) -> Result<Self, SimulatorError> {
        let available_minor = world.cards.all.iter().map(|card| card.opening_minor).collect();
        let mut queue = Queue::new();
        queue.schedule(start_us, Event::Tick)?;
        let (readers, incidents) = (Readers::new(world), Incidents::default());
        Ok(Self { world, queue, readers, incidents, available_minor, swipes: 0 })
    }

    /// Adds a civil day's visits and its broken lines.
    pub(crate) fn plan(&mut self, day: u32, midnight_us: i64, visits: Vec<Visit>) -> Result<(), SimulatorError> {
        let mut stream = streams::stream(self.world.seed, "broken lines", 0, u64::from(day));
        for sort in BadLine::ALL {
            for _ in 0..=self.world.business.merchants.len() / 40 {
                // The first 22 hours, so that a day of 23 has them too.
                let at_us = midnight_us + stream.random_range(0..22 * HOUR_US);
                self.queue.schedule(at_us, Event::Broken(sort))?;
            }
        }
        let copied = visits.iter().filter(|visit| visit.copy_at().is_some()).map(|visit| visit.reader);
        self.readers.copy(day, copied);
        self.incidents.plan(&visits);
        visits.into_iter().try_for_each(|visit| self.queue.schedule(visit.at_us, Event::Swipe(visit)))
    }

    /// Plays everything before this moment.
    pub(crate) fn play_until(&mut self, until_us: i64, output: &mut Output) -> Result<(), SimulatorError> {
        while let Some((at_us, event)) = self.queue.next_before(until_us) {
            match event {
                Event::Swipe(visit) => self.swipe(visit)?,
                Event::Arrival(swiped) => self.arrival(at_us, *swiped, output)?,
                Event::Later(later) => {
                    self.available_minor[later.card] += later.returned_minor;
                    if let Some(record) = later.record {
                        output.transaction(&record.line(at_us))?;
                    }
                }
                Event::Broken(sort) => {
                    let row = output.transaction(&sort.line(at_us))?;
                    output.broken("transactions", row, sort.name(), "dead_letter")?;
                }
                Event::Tick => {
                    output.transaction(&Record::tick().line(at_us))?;
                    self.queue.schedule(at_us + TICK_US, Event::Tick)?;
                }
            }
        }
        Ok(())
    }

    /// Swipes that arrived so far, and the most events in flight at once.
    pub(crate) fn counts(&self) -> (u64, usize) {
        (self.swipes, self.queue.in_flight_max())
    }

    /// The reader makes its frame, the phone sends it.
    fn swipe(&mut self, visit: Visit) -> Result<(), SimulatorError> {
        let mut stream = self.stream("swipe", &visit);
        let is_copy = visit.copy_at().is_some();
        let (ksn, stan) = self.readers.count_on(&mut stream, visit.reader, is_copy)?;
        let position = position_of_swipe(&mut self.stream("position", &visit), visit.place);
        let world = self.world;
        let reader = &world.business.readers[visit.reader];
        let card = &world.cards.all[visit.card];
        let track1 = (visit.meant != Meant::NameUnknown).then_some(card.track1.as_bytes());
        let stripe = Stripe { track1, track2: Some(card.track2.as_bytes()) };
        let mut frame = build(FrameFormat::IdTechEnhanced, world.base_key(), ksn, stripe)
            .expect("tracks are made no longer than the standard allows");
        if visit.meant == Meant::BrokenFrame {
            let place = stream.random_range(3..frame.len());
            frame[place] ^= stream.random_range(1..=255);
        }
        let stan = if visit.meant == Meant::LongStan { 1_000_000 + stan } else { stan };
        let route = Route::of_card(&world.routing_key, card.number.as_bytes());
        let merchant = visit.merchant(world).map_or(UNKNOWN_MERCHANT, |index| &world.business.merchants[index].id);
        let carrier = reader.carrier.filter(|_| !is_copy);
        let record = Record {
            kind: Some(kind::SWIPE),
            merchant_id: Some(merchant.to_string()),
            reader_id: Some(reader.id.clone()),
            stan: Some(stan),
            terminal_time: Some(Time(visit.at_us + reader.clock_ahead_us)),
            amount_minor: Some(if visit.meant == Meant::NegativeAmount { -5 } else { visit.amount_minor }),
            currency: Some(CURRENCY.code()),
            frame: Some(hex::encode(frame)),
            courier_id: carrier.map(|carrier| world.business.carriers[carrier].id.clone()),
            app_version: Some(reader.app_version),
            lat: position.map(|(lat, _)| lat),
            lon: position.map(|(_, lon)| lon),
            ..Record::default()
        };
        let payment_id = PaymentId::derive(route, &reader.id, &ksn.bytes(), stan);
        let delay_us = match visit.meant {
            Meant::Late => streams::wait_us(&mut stream, 60_000..480_000),
            Meant::WithdrawnEarly => WITHDRAW_US + streams::wait_us(&mut stream, 2_000..40_000),
            _ => streams::wait_us(&mut stream, 80..900),
        };
        if visit.meant == Meant::WithdrawnEarly {
            let at_us = visit.at_us + WITHDRAW_US;
            self.later(Later { at_us, record: Some(withdraw(&record)), card: visit.card, returned_minor: 0 })?;
        }
        let at_us = visit.at_us + delay_us;
        self.queue.schedule(at_us, Event::Arrival(Box::new(Swiped { visit, record, payment_id, ksn })))
    }

    /// The gateway puts the swipe on the log; what follows depends on the answer to expect.
    fn arrival(&mut self, at_us: i64, swiped: Swiped, output: &mut Output) -> Result<(), SimulatorError> {
        let Swiped { visit, record, payment_id, ksn } = swiped;
        let row = output.transaction(&record.clone().line(at_us))?;
        self.swipes += 1;
        let mut stream = self.stream("arrival", &visit);
        if visit.meant == Meant::Retransmitted {
            let again_us = at_us + streams::wait_us(&mut stream, 3_000..15_000);
            let again = Later { at_us: again_us, record: Some(record.clone()), card: visit.card, returned_minor: 0 };
            self.later(again)?;
        }
        let refusal = self.refusal(&visit, ksn);
        let (later, state) = match refusal {
            Some(_) => (Vec::new(), "declined"),
            None => {
                self.available_minor[visit.card] -= visit.amount_minor;
                let (seed, stream) = (self.world.seed, &mut stream);
                let all = Vec::new();
                Story { seed, stream, visit: &visit, swipe: &record, payment_id, all }.tell(at_us)
            }
        };
        let code = refusal.map_or(APPROVED_CODE, Reason::response_code);
        if visit.meant.is_broken() {
            output.broken("transactions", row, visit.meant.name(), code)?;
        }
        let is_named = !matches!(visit.meant, Meant::BrokenFrame | Meant::LongStan);
        // What was refused is not given back.
        let part = visit.part.filter(|part| refusal.is_none() || !matches!(part.role, Role::GivenBack { .. }));
        let scenario = part.map(|part| part.scenario.name());
        let truth = PaymentTruth {
            payment_id: is_named.then(|| payment_id.to_hex()),
            scenario,
            row,
            received_us: at_us,
            ksn: ksn.to_hex(),
            expected_code: code,
            expected_reason: refusal.map_or(APPROVED, Reason::name),
            expected_state: state,
            later: later.iter().filter_map(LaterTruth::of).collect(),
        };
        output.truth.payment(self.world, &visit, &record, &truth)?;
        let id = truth.payment_id.filter(|_| scenario.is_some());
        if let Some(incident) = self.incidents.arrived(self.world, &visit, &record, at_us, id) {
            output.truth.fraud(&incident)?;
        }
        later.into_iter().try_for_each(|later| self.later(later))
    }

    /// Why the swipe will be refused: of several reasons the one with the highest priority.
    fn refusal(&mut self, visit: &Visit, ksn: Ksn) -> Option<Reason> {
        let owner = self.world.business.readers[visit.reader].merchant;
        let merchant = visit.merchant(self.world);
        let is_foreign = merchant.is_some_and(|merchant| merchant != owner);
        // Only a frame that opens for the reader's own merchant moves its counter.
        let counts = merchant == Some(owner) && visit.meant != Meant::BrokenFrame;
        let is_replayed = counts && self.readers.see(visit.reader, ksn);
        let is_short = visit.amount_minor > self.available_minor[visit.card];
        let reasons = [
            visit.meant.refusal(),
            is_foreign.then_some(Reason::ReaderOfOtherMerchant),
            is_replayed.then_some(Reason::ReplayedCounter),
            is_short.then_some(Reason::InsufficientFunds),
        ];
        reasons.into_iter().flatten().collect::<Findings>().refusal()
    }

    fn later(&mut self, later: Later) -> Result<(), SimulatorError> {
        self.queue.schedule(later.at_us, Event::Later(Box::new(later)))
    }

    fn stream(&self, purpose: &str, visit: &Visit) -> Stream {
        streams::stream(self.world.seed, purpose, visit.number.1, u64::from(visit.number.0))
    }
}
