//! From the swipe to the last record about it: phones, the gateway, and what the simulator expects the pipeline to
//! answer, from its own model of the accounts.

use decode::dukpt::{Ksn, next_counter};
use decode::idtech::{FrameFormat, Stripe, build};
use rand::RngExt;
use schemas::ids::{PaymentId, Route};
use schemas::reasons::{APPROVED, APPROVED_CODE, Reason};
use schemas::topics::kind;

use crate::clock::{HOUR_US, SECOND_US};
use crate::merchants::CURRENCY;
use crate::queue::Queue;
use crate::records::{BadLine, Record, Time};
use crate::story::{Later, Story, WITHDRAW_US, withdraw};
use crate::streams::{self, Stream};
use crate::truth::{LaterTruth, PaymentTruth};
use crate::visits::{Meant, Visit};
use crate::writer::Output;
use crate::{SimulatorError, World};

/// Ticks of the gateway's clock on the transactions topic.
const TICK_US: i64 = 10 * SECOND_US;
/// One swipe of so many is preceded by cancelled ones, which use up counters.
const CANCELLED_SWIPE_EVERY: u32 = 30;
/// First digits of every reader's key serial number, those of the published ID TECH readers.
pub(crate) const KSN_PREFIX: [u8; 4] = [0x62, 0x99, 0x49, 0x01];

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

/// A reader's counters.
#[derive(Clone, Copy)]
struct Counters {
    key: u32,
    stan: i32,
}

/// Everything that the gateway will put on the log.
pub(crate) struct Gateway<'world> {
    world: &'world World,
    queue: Queue<Event>,
    counters: Vec<Counters>,
    available_minor: Vec<i64>,
    swipes: u64,
}

impl<'world> Gateway<'world> {
    /// The gateway at the start of the first day.
    pub(crate) fn new(world: &'world World, start_us: i64) -> Result<Self, SimulatorError> {
        let counters =
            world.business.readers.iter().map(|reader| Counters { key: 0, stan: reader.stan_first }).collect();
        let available_minor = world.cards.all.iter().map(|card| card.opening_minor).collect();
        let mut queue = Queue::new();
        queue.schedule(start_us, Event::Tick)?;
        Ok(Self { world, queue, counters, available_minor, swipes: 0 })
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
        let (ksn, stan) = self.count_on(&mut stream, visit.reader)?;
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
        let merchant = match visit.meant {
            Meant::UnknownMerchant => "M-9999".to_string(),
            Meant::ForeignReader => {
                world.business.merchants[(reader.merchant + 1) % world.business.merchants.len()].id.clone()
            }
            _ => world.business.merchants[reader.merchant].id.clone(),
        };
        let record = Record {
            kind: Some(kind::SWIPE),
            merchant_id: Some(merchant),
            reader_id: Some(reader.id.clone()),
            stan: Some(stan),
            terminal_time: Some(Time(visit.at_us + reader.clock_ahead_us)),
            amount_minor: Some(if visit.meant == Meant::NegativeAmount { -5 } else { visit.amount_minor }),
            currency: Some(CURRENCY.code()),
            frame: Some(hex::encode(frame)),
            courier_id: reader.carrier.map(|carrier| world.business.carriers[carrier].id.clone()),
            app_version: Some(reader.app_version),
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

    /// Next key serial number and STAN of a reader. Cancelled swipes leave gaps in the counter.
    fn count_on(&mut self, stream: &mut Stream, reader: usize) -> Result<(Ksn, i32), SimulatorError> {
        let counters = &mut self.counters[reader];
        let cancelled = if stream.random_ratio(1, CANCELLED_SWIPE_EVERY) { stream.random_range(1..=3) } else { 0 };
        for _ in 0..=cancelled {
            counters.key = next_counter(counters.key).ok_or_else(|| SimulatorError::ReaderWornOut {
                reader_id: self.world.business.readers[reader].id.clone(),
            })?;
        }
        let stan = counters.stan;
        counters.stan = (stan + 1) % 1_000_000;
        // 27 bits of device and 21 of counter follow the prefix.
        let device = ((reader as u64 + 1) << 21).to_be_bytes();
        let mut bytes = [0; Ksn::LENGTH];
        bytes[..4].copy_from_slice(&KSN_PREFIX);
        bytes[4..].copy_from_slice(&device[2..]);
        Ok((Ksn::new(bytes).with_counter(counters.key), stan))
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
        let short = visit.amount_minor > self.available_minor[visit.card];
        let refusal = visit.meant.refusal().or(short.then_some(Reason::InsufficientFunds));
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
        let truth = PaymentTruth {
            payment_id: (!matches!(visit.meant, Meant::BrokenFrame | Meant::LongStan)).then(|| payment_id.to_hex()),
            row,
            received_us: at_us,
            ksn: ksn.to_hex(),
            expected_code: code,
            expected_reason: refusal.map_or(APPROVED, Reason::name),
            expected_state: state,
            later: later.iter().filter_map(LaterTruth::of).collect(),
        };
        output.truth.payment(self.world, &visit, &record, &truth)?;
        later.into_iter().try_for_each(|later| self.later(later))
    }

    fn later(&mut self, later: Later) -> Result<(), SimulatorError> {
        self.queue.schedule(later.at_us, Event::Later(Box::new(later)))
    }

    fn stream(&self, purpose: &str, visit: &Visit) -> Stream {
        streams::stream(self.world.seed, purpose, visit.number.1, u64::from(visit.number.0))
    }
}
