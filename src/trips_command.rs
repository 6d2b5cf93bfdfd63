//! `till trips`: any file of pings in, stops and trips out, in tables, files and a picture. It touches no lake and keeps
//! no state: the same file gives the same answer.

mod document;
mod files;
mod method;
mod read;
mod tables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use trips::histogram::Histogram;
use trips::picture::Picture;
use trips::recording::Tracks;
use trips::{Found, StopEnded, TripEnded, words};

use crate::failure::Failure;
use crate::output;
use crate::progress::Bars;
use files::{Kind, Output, Rows};
use method::{Chosen, MethodFlags};
use read::{BadRows, read};

/// Find stops and trips in a file of GPS pings of one or many devices.
///
/// Reads the file, finds where each device stood and what it drove, prints both with the fixes and rows that could not
/// be used, and writes them to files and a picture where asked to. It touches no lake.
#[derive(Args)]
#[command(
    after_long_help = "Pings: a file ending in .csv, .parquet, .ndjson or .avro has the columns device_id (or device, \
    vehicle_id, id), time (timestamp, event_time, datetime; RFC 3339, UTC where no zone is said), lat (latitude) and lon \
    (lng, long, longitude), and may have accuracy_m (accuracy), speed_mps (speed) and hired; others are passed over. In \
    a .gpx file (1.0 or 1.1) each trk is a device named after its name, else \"track N\"; waypoints and routes are passed \
    over. Rows that cannot be a ping are counted by reason and the first are shown.\n\n\
    Profiles: `default` is our own, which cleans each track first; its fixes are taken in the order of the file, and one \
    that is older than what was kept when it came is late. `traccar`, `scikit-mobility` and `movingpandas` are those \
    programs' detectors of stops with their own defaults, over all fixes in order of time. They know stops only: a trip \
    is then what lies between two stops, or between a stop and an end of the track, and its length is the sum of its \
    legs on the ellipsoid.\n\n\
    Files: trips go to --out and stops to --stops, by their endings: .parquet (GeoParquet 1.1), .csv, .json or .ndjson \
    (one object a line) and .geojson, where --out holds both, trips as lines and stops as points. In CSV and JSON a \
    trip's path is hexadecimal WKB. Each file is there whole or not at all.\n\n\
    The file is held in memory by column: some 50 bytes for each ping, and up to 80 more for each of the device that \
    is looked at; ten million pings of a thousand devices take half a gigabyte. The picture has maps of \
    the first 9 devices. Tables show 50 rows."
)]
pub struct TripsArgs {
    /// File of pings: .csv, .gpx, .parquet, .ndjson or .avro.
    #[arg(long, value_name = "FILE")]
    pings: PathBuf,
    #[command(flatten)]
    method: MethodFlags,
    /// File for trips, by its ending .parquet, .csv, .json, .ndjson or .geojson.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for stops, of the same kinds.
    #[arg(long, value_name = "FILE")]
    stops: Option<PathBuf>,
    /// File for a picture of tracks, trips and stops, and of how long trips last (.svg).
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// One JSON document with everything but the trips' paths.
    #[arg(long)]
    json: bool,
}

/// What was found about one device. The lines of its trips have been written and are not kept.
pub struct DeviceTrips {
    /// Its name.
    pub device: String,
    /// Its trips in order.
    pub trips: Vec<TripEnded>,
    /// Its stops in order.
    pub stops: Vec<StopEnded>,
}

/// Everything that was found.
pub struct Account {
    /// Name of the file.
    pub pings: String,
    /// How it was looked at.
    pub chosen: Chosen,
    /// Rows of the file.
    pub rows: u64,
    /// Rows that are ticks or control records.
    pub other_rows: u64,
    /// Rows that cannot be a ping.
    pub bad: BadRows,
    /// Number of fixes.
    pub fixes: u64,
    /// First and last time of all fixes, microseconds UTC.
    pub span_us: (i64, i64),
    /// The devices in the order of the file.
    pub devices: Vec<DeviceTrips>,
    /// Fixes that were left out by reason.
    pub faults: BTreeMap<&'static str, u64>,
    /// How long trips last; nothing without trips.
    pub durations: Option<Histogram>,
}

/// Runs the command.
pub fn run(args: &TripsArgs) -> Result<(), Failure> {
    let chosen = args.method.chosen()?;
    let targets = Targets::of(args)?;
    let bars = Bars::default();
    let read = read(&args.pings, &bars)?;
    let (rows, other_rows, bad) = (read.rows, read.recording.other_rows(), read.bad);
    let tracks = read.recording.by_device();
    let name = args.pings.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let span_us = tracks.span_us().unwrap_or_default();
    let mut account = Account {
        pings: name,
        chosen,
        rows,
        other_rows,
        bad,
        fixes: tracks.fixes() as u64,
        span_us,
        devices: Vec::new(),
        faults: BTreeMap::new(),
        durations: None,
    };
    find(&tracks, &targets, &bars, &mut account)?;
    if args.json { output::print_json(&document::of(&account)) } else { output::print(&tables::text(&account)) }
}

/// Finds device by device, and writes the files.
fn find(tracks: &Tracks, targets: &Targets, bars: &Bars, account: &mut Account) -> Result<(), Failure> {
    let (mut out_file, mut stops_file) = (create(&targets.out)?, create(&targets.stops)?);
    let mut svg_file = targets.svg.as_deref().map(Output::create).transpose()?;
    let mut out = out_file.as_mut().map(|(kind, file)| Rows::trips(*kind, file)).transpose()?;
    let mut stops = stops_file.as_mut().map(|(kind, file)| Rows::stops(*kind, file)).transpose()?;
    let mut picture = svg_file.as_ref().map(|_| Picture::of(tracks.devices().len()));
    let bar = bars.bar("finding trips", tracks.fixes() as u64);
    for (index, device) in tracks.devices().iter().enumerate() {
        let fixes = tracks.track(index);
        bar.inc(fixes.len() as u64);
        let found = account.chosen.method.find(fixes.clone());
        if let Some(rows) = &mut out {
            rows.add(device, &found)?;
        }
        if let Some(rows) = &mut stops {
            rows.add(device, &found)?;
        }
        if let Some(picture) = &mut picture {
            picture.add(device, fixes, &found);
        }
        account.note(device, found);
    }
    bar.finish_and_clear();
    let trips = || account.devices.iter().flat_map(|device| &device.trips);
    account.durations = Histogram::of(trips().map(|trip| trip.end_us - trip.start_us));
    out.map(Rows::finish).transpose()?;
    stops.map(Rows::finish).transpose()?;
    if let (Some(picture), Some(file)) = (picture, &mut svg_file) {
        let below =
            format!("{} UTC, profile {}", words::span(account.span_us.0, account.span_us.1), account.chosen.name);
        file.write(picture.svg(&account.pings, &below).as_bytes())?;
    }
    let files = out_file.into_iter().chain(stops_file).map(|(_, file)| file).chain(svg_file);
    for file in files {
        eprintln!("wrote {}", file.keep()?.display());
    }
    Ok(())
}

fn create(target: &Option<(Kind, PathBuf)>) -> Result<Option<(Kind, Output)>, Failure> {
    let create = |(kind, path): &(Kind, PathBuf)| Ok((*kind, Output::create(path)?));
    target.as_ref().map(create).transpose()
}

impl Account {
    fn note(&mut self, device: &str, found: Found) {
        let Found { mut trips, stops, faults } = found;
        trips.iter_mut().for_each(|trip| trip.line = Vec::new());
        for (_, reason) in faults {
            *self.faults.entry(reason.code()).or_default() += 1;
        }
        self.devices.push(DeviceTrips { device: device.to_string(), trips, stops });
    }

    /// Trips of all devices, each with its device and its number there.
    pub fn trips(&self) -> impl Iterator<Item = (&str, usize, &TripEnded)> {
        self.devices.iter().flat_map(|device| {
            let numbered = (1_usize..).zip(&device.trips);
            numbered.map(|(number, trip)| (device.device.as_str(), number, trip))
        })
    }

    /// Stops of all devices, each with its device.
    pub fn stops(&self) -> impl Iterator<Item = (&str, &StopEnded)> {
        self.devices.iter().flat_map(|device| device.stops.iter().map(|stop| (device.device.as_str(), stop)))
    }
}

/// Where results go.
struct Targets {
    out: Option<(Kind, PathBuf)>,
    stops: Option<(Kind, PathBuf)>,
    svg: Option<PathBuf>,
}

impl Targets {
    /// Looks at the names before anything is read: endings that mean nothing, one file for two results.
    fn of(args: &TripsArgs) -> Result<Self, Failure> {
        let with_kind = |path: &Option<PathBuf>| match path {
            Some(path) => Ok::<_, Failure>(Some((Kind::of(path)?, path.clone()))),
            None => Ok(None),
        };
        if let Some(path) = args.svg.as_deref().filter(|path| !files::ends_in(path, "svg")) {
            return Err(Failure::usage(format!("{} is no name of a picture", path.display()))
                .with_help("a picture's name ends in .svg"));
        }
        let targets = Self { out: with_kind(&args.out)?, stops: with_kind(&args.stops)?, svg: args.svg.clone() };
        let paths = [Some(&args.pings), args.out.as_ref(), args.stops.as_ref(), args.svg.as_ref()];
        let mut places: Vec<(PathBuf, OsString)> = paths.into_iter().flatten().map(|path| place(path)).collect();
        places.sort();
        match places.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(targets),
            Some(pair) => Err(Failure::usage(format!("{} is named twice", Path::new(&pair[0].1).display()))
                .with_help("pings, trips, stops and picture are files of their own")),
        }
    }
}

/// Folder and name of a file, whether it is there or not.
fn place(path: &Path) -> (PathBuf, OsString) {
    let there = fs::canonicalize(path).ok();
    let path = there.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    (folder, path.file_name().unwrap_or_default().to_os_string())
}
