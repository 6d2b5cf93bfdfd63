//! The course of a simulation, hour by hour: people are planned at each civil midnight, the gateway plays what is due,
//! phones are read out, and each day's files are closed when the day is over.

use rand::RngExt;

use crate::clock::{self, HOUR_US, MINUTE_US};
use crate::fixes::{Defect, Phone, Ping};
use crate::movement;
use crate::payments::Gateway;
use crate::records::Record;
use crate::writer::{Output, PingRow};
use crate::{Progress, SimulatorError, World, streams, visits};

/// Most rows of the pings topic that wait for their hour, buffered uploads included.
const PINGS_WAITING_MAX: usize = 20_000_000;

/// What a run counted.
pub(crate) struct Counts {
    pub(crate) swipes: u64,
    pub(crate) pings: u64,
    pub(crate) in_flight_max: usize,
}

/// People and machines in motion.
struct Town<'world> {
    world: &'world World,
    gateway: Gateway<'world>,
    phones: Vec<Phone>,
    waiting: Vec<PingRow>,
    days_planned: u32,
}

/// Plays so many days. `day_closed` is told each day whose files are complete.
pub(crate) fn run(
    world: &World,
    days: u32,
    controls: Vec<Record>,
    output: &mut Output,
    day_closed: &mut dyn FnMut(u32) -> Result<(), SimulatorError>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Counts, SimulatorError> {
    let gateway = Gateway::new(world, clock::FIRST_US)?;
    let mut town = Town { world, gateway, phones: Vec::new(), waiting: Vec::new(), days_planned: 0 };
    for day in 0..days {
        output.open(day)?;
        if day == 0 {
            for control in &controls {
                output.transaction(&control.clone().line(clock::FIRST_US))?;
            }
        }
        for hour in 0..24 {
            town.play_hour(clock::day_start_us(day) + hour * HOUR_US, output)?;
            progress(Progress {
                hours_done: day * 24 + hour as u32 + 1,
                hours: days * 24,
                swipes: town.gateway.counts().0,
                pings: output.pings(),
            });
        }
        output.close()?;
        day_closed(day)?;
    }
    let (swipes, in_flight_max) = town.gateway.counts();
    Ok(Counts { swipes, pings: output.pings(), in_flight_max })
}

/// Phones of everybody whose shift starts on this civil day.
pub(crate) fn phones_of_day(world: &World, day: u32) -> Vec<Phone> {
    let phone = |carrier: usize| {
        let shift = movement::shift(world.seed, carrier, day, &world.town, &world.business)?;
        let stream = streams::stream(world.seed, "phone", carrier as u64, u64::from(day));
        Some(Phone::new(carrier, world.is_taxi(carrier), shift, stream))
    };
    (0..world.business.carriers.len()).filter_map(phone).collect()
}

impl Town<'_> {
    fn play_hour(&mut self, start_us: i64, output: &mut Output) -> Result<(), SimulatorError> {
        let end_us = start_us + HOUR_US;
        let midnight_us = clock::midnight_us(self.days_planned);
        if midnight_us < end_us {
            self.plan_day(self.days_planned, midnight_us)?;
            self.days_planned += 1;
        }
        self.gateway.play_until(end_us, output)?;
        self.read_phones(start_us, end_us, output)
    }

    fn plan_day(&mut self, day: u32, midnight_us: i64) -> Result<(), SimulatorError> {
        let world = self.world;
        let mut phones = phones_of_day(world, day);
        let visits = visits::of_day(world, day, &phones);
        let mut stream = streams::stream(world.seed, "defects", 0, u64::from(day));
        if !phones.is_empty() {
            for defect in Defect::ALL {
                for _ in 0..=phones.len() / 40 {
                    let index = stream.random_range(0..phones.len());
                    phones[index].spoil(&mut stream, defect);
                }
            }
        }
        self.phones.append(&mut phones);
        self.gateway.plan(day, midnight_us, visits)
    }

    fn read_phones(&mut self, start_us: i64, end_us: i64, output: &mut Output) -> Result<(), SimulatorError> {
        let mut pings: Vec<Ping> = Vec::new();
        for phone in &mut self.phones {
            phone.read_until(end_us, &mut pings);
            let carrier = phone.carrier();
            for leg in phone.legs_until(end_us) {
                output.truth.leg(self.world, carrier, leg)?;
            }
            for ride in phone.rides_until(end_us) {
                output.truth.ride(self.world, carrier, ride)?;
            }
        }
        self.phones.retain(|phone| !phone.is_done());
        self.waiting.extend(pings.into_iter().map(PingRow::Fix));
        self.waiting.extend((0..60).map(|minute| PingRow::Tick(start_us + minute * MINUTE_US)));
        if self.waiting.len() > PINGS_WAITING_MAX {
            return Err(SimulatorError::TooManyInFlight { max: PINGS_WAITING_MAX });
        }
        self.waiting.sort_by_key(PingRow::key);
        let due = self.waiting.partition_point(|row| row.key().0 < end_us);
        let rows: Vec<PingRow> = self.waiting.drain(..due).collect();
        output.ping_rows(&rows)
    }
}
