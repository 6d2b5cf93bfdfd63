//! The ground truth: what the pipeline must never read. It lies in a folder of its own and is written anew by each run.
//! It holds card numbers, tracks and names in clear, so that tests can look for them where they must not be.
//!
//! Trips are drives from door to door, two of which may follow each other without a stay; stops are all stays, down to
//! 20 s. A payment's expected state is the one after all of its later records, which may lie past the last day. Its answer
//! is the one without any rule that looks for fraud.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::incidents::Incident;
use crate::movement::{Leg, Ride, seconds};
use crate::records::{Record, Time, to_line};
use crate::visits::Visit;
use crate::writer::{PARTIAL, Row};
use crate::{SimulatorError, World};

/// Files of the truth, in the order of [`Truth`]'s writers.
pub(crate) const FILES: [&str; 8] = [
    "cards.ndjson",
    "payments.ndjson",
    "trips.ndjson",
    "stops.ndjson",
    "fares.ndjson",
    "broken.ndjson",
    "jumps.ndjson",
    "frauds.ndjson",
];

/// What a payment's arrival adds to what its visit and record say.
pub(crate) struct PaymentTruth {
    /// Nothing where the record does not say enough to name the payment.
    pub(crate) payment_id: Option<String>,
    /// Name of the pattern of fraud that it is part of.
    pub(crate) scenario: Option<&'static str>,
    pub(crate) row: Row,
    pub(crate) received_us: i64,
    pub(crate) ksn: String,
    pub(crate) expected_code: &'static str,
    pub(crate) expected_reason: &'static str,
    pub(crate) expected_state: &'static str,
    pub(crate) later: Vec<LaterTruth>,
}

/// A later record about a payment.
#[derive(Serialize)]
pub(crate) struct LaterTruth {
    pub(crate) kind: &'static str,
    pub(crate) received_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<&'static str>,
}

#[derive(Serialize)]
struct CardLine<'card> {
    number: &'card str,
    name: &'card str,
    expiry: &'card str,
    service_code: &'card str,
    issuer: &'card str,
    token: String,
    track1: &'card str,
    track2: &'card str,
    opening_minor: i64,
    meant: &'static str,
}

#[derive(Serialize)]
struct PaymentLine<'a> {
    payment_id: Option<&'a str>,
    meant: &'static str,
    scenario: Option<&'static str>,
    merchant_id: Option<&'a str>,
    reader_id: Option<&'a str>,
    courier_id: Option<&'a str>,
    device_id: Option<&'a str>,
    stan: Option<i32>,
    ksn: &'a str,
    token: String,
    amount_minor: Option<i64>,
    currency: Option<&'static str>,
    swiped_at: Time,
    received_at: Time,
    lat: f64,
    lon: f64,
    expected_response_code: &'static str,
    expected_reason: &'static str,
    expected_state: &'static str,
    file: String,
    row: u64,
    later: &'a [LaterTruth],
}

#[derive(Serialize)]
struct TripLine<'a> {
    device_id: &'a str,
    courier_id: &'a str,
    merchant_id: &'a str,
    vehicle: &'static str,
    started_at: Time,
    ended_at: Time,
    start_lat: f64,
    start_lon: f64,
    end_lat: f64,
    end_lon: f64,
    distance_m: f64,
    waiting_s: f64,
    hired: Option<bool>,
    detour: bool,
}

#[derive(Serialize)]
struct StopLine<'a> {
    device_id: &'a str,
    started_at: Time,
    ended_at: Time,
    lat: f64,
    lon: f64,
}

#[derive(Serialize)]
struct FareLine<'a> {
    device_id: &'a str,
    started_at: Time,
    ended_at: Time,
    distance_m: f64,
    waiting_s: f64,
    amount_minor: i64,
}

#[derive(Serialize)]
struct BrokenLine<'a> {
    file: String,
    row: u64,
    what: &'a str,
    expected: &'a str,
}

#[derive(Serialize)]
struct JumpLine<'a> {
    device_id: &'a str,
    time: Time,
    jump_m: f64,
}

/// The truth's files while they are written under temporary names.
pub(crate) struct Truth {
    folder: PathBuf,
    writers: [BufWriter<File>; FILES.len()],
}

impl Truth {
    pub(crate) fn create(folder: &Path) -> Result<Self, SimulatorError> {
        fs::create_dir_all(folder).map_err(SimulatorError::file("create", folder))?;
        let open = |name: &str| {
            let path = folder.join(format!("{name}{PARTIAL}"));
            File::create(&path).map(BufWriter::new).map_err(SimulatorError::file("create", &path))
        };
        let [one, two, three, four, five, six, seven, eight] = FILES;
        let writers =
            [open(one)?, open(two)?, open(three)?, open(four)?, open(five)?, open(six)?, open(seven)?, open(eight)?];
        Ok(Self { folder: folder.to_path_buf(), writers })
    }

    /// Whether a finished truth lies in this folder.
    pub(crate) fn is_in(folder: &Path) -> bool {
        FILES.iter().all(|name| folder.join(name).is_file())
    }

    /// Gives the files their names.
    pub(crate) fn finish(mut self) -> Result<(), SimulatorError> {
        for (writer, name) in self.writers.iter_mut().zip(FILES) {
            let path = self.folder.join(name);
            let partial = self.folder.join(format!("{name}{PARTIAL}"));
            writer.flush().map_err(SimulatorError::file("write", &partial))?;
            fs::rename(&partial, &path).map_err(SimulatorError::file("rename", &partial))?;
        }
        Ok(())
    }

    fn write(&mut self, file: usize, line: &impl Serialize) -> Result<(), SimulatorError> {
        let path = self.folder.join(FILES[file]);
        self.writers[file].write_all(&to_line(line)).map_err(SimulatorError::file("write", &path))
    }

    pub(crate) fn cards(&mut self, world: &World) -> Result<(), SimulatorError> {
        for card in &world.cards.all {
            let line = CardLine {
                number: &card.number,
                name: &card.name,
                expiry: &card.expiry,
                service_code: card.service_code,
                issuer: card.issuer,
                token: card.token.to_hex(),
                track1: &card.track1,
                track2: &card.track2,
                opening_minor: card.opening_minor,
                meant: card.kind.name(),
            };
            self.write(0, &line)?;
        }
        Ok(())
    }

    pub(crate) fn payment(
        &mut self,
        world: &World,
        visit: &Visit,
        record: &Record,
        truth: &PaymentTruth,
    ) -> Result<(), SimulatorError> {
        let carrier = world.business.readers[visit.reader].carrier.filter(|_| visit.copy_at().is_none());
        let (lat, lon) = visit.place.degrees();
        let line = PaymentLine {
            payment_id: truth.payment_id.as_deref(),
            meant: visit.meant.name(),
            scenario: truth.scenario,
            merchant_id: record.merchant_id.as_deref(),
            reader_id: record.reader_id.as_deref(),
            courier_id: record.courier_id.as_deref(),
            device_id: carrier.map(|carrier| world.business.carriers[carrier].device_id.as_str()),
            stan: record.stan,
            ksn: &truth.ksn,
            token: world.cards.all[visit.card].token.to_hex(),
            amount_minor: record.amount_minor,
            currency: record.currency,
            swiped_at: Time(visit.at_us),
            received_at: Time(truth.received_us),
            lat,
            lon,
            expected_response_code: truth.expected_code,
            expected_reason: truth.expected_reason,
            expected_state: truth.expected_state,
            file: truth.row.file_in("transactions"),
            row: truth.row.number,
            later: &truth.later,
        };
        self.write(1, &line)
    }

    /// A drive or a stay of a carrier.
    pub(crate) fn leg(&mut self, world: &World, carrier: usize, leg: &Leg) -> Result<(), SimulatorError> {
        let person = &world.business.carriers[carrier];
        let (started_at, ended_at) = (Time(leg.from_us), Time(leg.to_us));
        let (start_lat, start_lon) = leg.from.degrees();
        if leg.is_stay {
            let stop = StopLine { device_id: &person.device_id, started_at, ended_at, lat: start_lat, lon: start_lon };
            return self.write(3, &stop);
        }
        let (end_lat, end_lon) = leg.to.degrees();
        let trip = TripLine {
            device_id: &person.device_id,
            courier_id: &person.id,
            merchant_id: &world.business.merchants[person.merchant].id,
            vehicle: person.vehicle.name(),
            started_at,
            ended_at,
            start_lat,
            start_lon,
            end_lat,
            end_lon,
            distance_m: centimetres(leg.distance_m),
            waiting_s: seconds(leg.waiting_us),
            hired: world.is_taxi(carrier).then_some(leg.hired),
            detour: leg.detour,
        };
        self.write(2, &trip)
    }

    /// A hired ride.
    pub(crate) fn ride(&mut self, world: &World, carrier: usize, ride: &Ride) -> Result<(), SimulatorError> {
        let line = FareLine {
            device_id: &world.business.carriers[carrier].device_id,
            started_at: Time(ride.from_us),
            ended_at: Time(ride.to_us),
            distance_m: centimetres(ride.distance_m),
            waiting_s: seconds(ride.waiting_us),
            amount_minor: ride.amount_minor,
        };
        self.write(4, &line)
    }

    /// A row of the input that is broken on purpose: `expected` is `dead_letter`, `fault` (pings) or a response code.
    pub(crate) fn broken(&mut self, topic: &str, row: Row, what: &str, expected: &str) -> Result<(), SimulatorError> {
        self.write(5, &BrokenLine { file: row.file_in(topic), row: row.number, what, expected })
    }

    /// A fraud whose payments have all arrived.
    pub(crate) fn fraud(&mut self, incident: &Incident) -> Result<(), SimulatorError> {
        self.write(7, incident)
    }

    /// A fix for which a receiver jumped far off.
    pub(crate) fn jump(
        &mut self,
        world: &World,
        carrier: usize,
        time_us: i64,
        jump_m: f64,
    ) -> Result<(), SimulatorError> {
        let device_id = &world.business.carriers[carrier].device_id;
        self.write(6, &JumpLine { device_id, time: Time(time_us), jump_m: centimetres(jump_m) })
    }
}

fn centimetres(length_m: f64) -> f64 {
    (length_m * 100.0).round() / 100.0
}
