//! Day files of the input folder: NDJSON of the transactions topic and Parquet of the pings topic, each written under a
//! temporary name and renamed when its day is complete. Days that lie there already are counted, not written.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use schemas::topics::{self, kind};

use crate::clock;
use crate::fixes::Ping;
use crate::truth::Truth;
use crate::{SimulatorError, World};

/// End of the name of a file that is not complete.
pub(crate) const PARTIAL: &str = ".partial";
/// Rows of a row group of a pings file; so much of it waits in memory.
const ROW_GROUP_ROWS: usize = 65_536;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    day: u32,
    /// From 0 in its file.
    pub(crate) number: u64,
}

impl Row {
    /// Path of the file in the input folder.
    pub(crate) fn file_in(self, topic: &str) -> String {
        let end = if topic == "pings" { "parquet" } else { "ndjson" };
        format!("{topic}/{}.{end}", clock::day_name(self.day))
    }
}

/// A row of the pings topic.
pub(crate) enum PingRow {
    /// A fix.
    Fix(Ping),
    /// Time passes; microseconds UTC.
    Tick(i64),
}

impl PingRow {
    /// Gateway order; the rest of the key only makes it total.
    pub(crate) fn key(&self) -> (i64, usize, Option<i64>) {
        match self {
            Self::Fix(ping) => (ping.received_us, ping.carrier + 1, ping.time_us),
            Self::Tick(at_us) => (*at_us, 0, None),
        }
    }

    fn fix(&self) -> Option<&Ping> {
        match self {
            Self::Fix(ping) => Some(ping),
            Self::Tick(_) => None,
        }
    }
}

/// Where everything goes: the input's day files and the truth.
pub(crate) struct Output<'world> {
    world: &'world World,
    input: PathBuf,
    /// Days that lie in the input folder already.
    days_there: u32,
    open: Option<OpenDay>,
    pub(crate) truth: Truth,
    pings: u64,
}

struct OpenDay {
    day: u32,
    lines: u64,
    ping_rows: u64,
    files: Option<Files>,
}

struct Files {
    transactions: BufWriter<File>,
    pings: ArrowWriter<File>,
}

impl<'world> Output<'world> {
    pub(crate) fn new(world: &'world World, input: &Path, days_there: u32, truth: Truth) -> Self {
        Self { world, input: input.to_path_buf(), days_there, open: None, truth, pings: 0 }
    }

    /// Rows of the pings topic so far, without ticks.
    pub(crate) fn pings(&self) -> u64 {
        self.pings
    }

    fn path(&self, topic: &str, day: u32) -> PathBuf {
        self.input.join(Row { day, number: 0 }.file_in(topic))
    }

    /// Starts a day.
    pub(crate) fn open(&mut self, day: u32) -> Result<(), SimulatorError> {
        let files = if day < self.days_there { None } else { Some(self.create(day)?) };
        self.open = Some(OpenDay { day, lines: 0, ping_rows: 0, files });
        Ok(())
    }

    fn create(&self, day: u32) -> Result<Files, SimulatorError> {
        let create = |path: &Path| File::create(path).map_err(SimulatorError::file("create", path));
        let transactions = BufWriter::new(create(&partial(&self.path("transactions", day)))?);
        let path = partial(&self.path("pings", day));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let pings = ArrowWriter::try_new(create(&path)?, topics::pings(), Some(properties))
            .map_err(|source| SimulatorError::Parquet { path, source })?;
        Ok(Files { transactions, pings })
    }

    fn day(&mut self) -> &mut OpenDay {
        self.open.as_mut().expect("the run opens each day before its first record")
    }

    /// Appends a line of the transactions topic.
    pub(crate) fn transaction(&mut self, line: &[u8]) -> Result<Row, SimulatorError> {
        let open = self.day();
        let row = Row { day: open.day, number: open.lines };
        open.lines += 1;
        if let Some(files) = &mut open.files {
            let written = files.transactions.write_all(line);
            written.map_err(|source| SimulatorError::File {
                doing: "write",
                path: self.path("transactions", row.day),
                source,
            })?;
        }
        Ok(row)
    }

    /// Appends rows of the pings topic, in gateway order.
    pub(crate) fn ping_rows(&mut self, rows: &[PingRow]) -> Result<(), SimulatorError> {
        let (day, first) = (self.day().day, self.day().ping_rows);
        self.day().ping_rows += rows.len() as u64;
        for (number, ping) in rows.iter().enumerate().filter_map(|(number, row)| Some((number, row.fix()?))) {
            self.pings += 1;
            if let Some(defect) = ping.defect {
                self.broken("pings", Row { day, number: first + number as u64 }, defect.name(), "fault")?;
            }
            if let (Some(jump_m), Some(time_us)) = (ping.jump_m, ping.time_us) {
                self.truth.jump(self.world, ping.carrier, time_us, jump_m)?;
            }
        }
        let world = self.world;
        let path = self.path("pings", day);
        if let Some(files) = &mut self.day().files {
            let written = files.pings.write(&batch(world, rows));
            written.map_err(|source| SimulatorError::Parquet { path, source })?;
        }
        Ok(())
    }

    /// Notes a row that is broken on purpose.
    pub(crate) fn broken(&mut self, topic: &str, row: Row, what: &str, expected: &str) -> Result<(), SimulatorError> {
        self.truth.broken(topic, row, what, expected)
    }

    /// Completes the day: its files get their names.
    pub(crate) fn close(&mut self) -> Result<(), SimulatorError> {
        let Some(OpenDay { day, files: Some(files), .. }) = self.open.take() else { return Ok(()) };
        let Files { mut transactions, pings } = files;
        let (transactions_path, pings_path) = (self.path("transactions", day), self.path("pings", day));
        transactions.flush().map_err(SimulatorError::file("write", &transactions_path))?;
        pings.close().map_err(|source| SimulatorError::Parquet { path: pings_path.clone(), source })?;
        rename(&transactions_path)?;
        rename(&pings_path)
    }
}

/// Temporary name of a file.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(PARTIAL);
    name.into()
}

/// Gives a complete file its name.
pub(crate) fn rename(path: &Path) -> Result<(), SimulatorError> {
    fs::rename(partial(path), path).map_err(SimulatorError::file("rename", path))
}

/// Writes a whole file under a temporary name and renames it.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), SimulatorError> {
    fs::write(partial(path), content).map_err(SimulatorError::file("write", path))?;
    rename(path)
}

fn batch(world: &World, rows: &[PingRow]) -> RecordBatch {
    let numbers = |value: fn(&Ping) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.fix().and_then(value)).collect::<Float64Array>())
    };
    let times = |value: fn(&PingRow) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let kinds = rows.iter().map(|row| matches!(row, PingRow::Tick(_)).then_some(kind::TICK));
    let devices = rows.iter().map(|row| Some(world.business.carriers[row.fix()?.carrier].device_id.as_str()));
    let hired = rows.iter().map(|row| row.fix().and_then(|ping| ping.hired));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(kinds.collect::<StringArray>()),
        Arc::new(devices.collect::<StringArray>()),
        times(|row| row.fix().and_then(|ping| ping.time_us)),
        numbers(|ping| ping.lat),
        numbers(|ping| ping.lon),
        numbers(|ping| Some(ping.accuracy_m)),
        numbers(|ping| Some(ping.speed_mps)),
        numbers(|ping| ping.bearing_deg),
        Arc::new(hired.collect::<BooleanArray>()),
        times(|row| Some(row.key().0)),
    ];
    let schema = topics::pings();
    for field in &schema.fields()[columns.len()..] {
        columns.push(new_null_array(field.data_type(), rows.len()));
    }
    RecordBatch::try_new(schema, columns).expect("the columns above are the schema's, in its order")
}
