//! How many fixes a second our operator (cleaning, stops, trips, vehicles) and the published stop detectors take, beside
//! the libraries that these reproduce:
//! `cargo bench -p tillstream --profile release --bench trips`.
//!
//! The recorded bus journey, driven once a day by as many devices as there are days, goes through each profile in memory
//! on one core, and in the same run through scikit-mobility and MovingPandas (benches/python/detectors.py), which get it
//! as data frames that are ready to use. Both sides must find as many stops as each other. Where Python or its packages
//! are missing a line says so. Nothing is asserted about time.

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use trips::profiles::{Profile, movingpandas, skmob, traccar};
use trips::track::Fix;
use trips::{Event, Operator, Row, Sighting};

/// How often the journey is driven: what the slowest way needs some ten seconds for.
const JOURNEYS: i64 = 20;
const US_PER_DAY: i64 = 86_400_000_000;
const US_PER_S: i64 = 1_000_000;
/// A stop's size and shortest duration, for every detector.
const METRES: f64 = 30.0;
const SECONDS: i64 = 20;
/// Rounds of our own ways, and of the libraries; odd, so that the median is one of them.
const ROUNDS: usize = 9;
const LIBRARY_ROUNDS: usize = 3;
/// Names the Python that starts the script, which makes itself an environment with the libraries.
const PYTHON: &str = "TILL_TRIPS_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/detectors.py");
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bus304_pings.csv");

type Failure = Box<dyn std::error::Error>;

/// A way to the stops: its name, how many it found, and the median of its times.
struct Way {
    name: String,
    stops: u64,
    seconds: f64,
}

fn main() -> Result<(), Failure> {
    let tracks = tracks()?;
    let fixes = tracks.iter().map(Vec::len).sum();
    let ways = profiles().iter().map(|profile| ours(profile, &tracks)).collect::<Vec<_>>();
    let operator = operator(&tracks);
    let libraries = libraries(&tracks)?;
    println!(
        "{fixes} fixes of {JOURNEYS} tracks, stops of {METRES} m and {SECONDS} s, one core; median of {ROUNDS} rounds, of \
         the libraries {LIBRARY_ROUNDS}\n"
    );
    println!("| way | stops | fixes a second | times the library |\n|---|---:|---:|---:|");
    print_line("our operator over all devices at once", &operator, fixes, None);
    for way in &ways {
        let library = libraries.iter().find(|library| library.name == way.name);
        if let Some(library) = library {
            print_line(&format!("{} in Python", library.name), library, fixes, Some(1.0));
            if library.stops != way.stops {
                return Err(format!("{}: {} stops, its library finds {}", way.name, way.stops, library.stops).into());
            }
        }
        let ratio = library.map(|library| library.seconds / way.seconds);
        print_line(&format!("profile {}", way.name), way, fixes, ratio);
    }
    Ok(())
}

fn print_line(name: &str, way: &Way, fixes: usize, ratio: Option<f64>) {
    let ratio = ratio.map_or("-".to_string(), |ratio| format!("{ratio:.0}"));
    println!("| {name} | {} | {:.0} | {ratio} |", way.stops, fixes as f64 / way.seconds);
}

fn profiles() -> [Profile; 3] {
    let skmob = skmob::Parameters {
        radius_km: METRES / 1e3,
        minutes_for_a_stop: SECONDS as f64 / 60.0,
        ..skmob::Parameters::default()
    };
    let movingpandas = movingpandas::Parameters { max_diameter_m: METRES, min_duration_us: SECONDS * US_PER_S };
    let traccar =
        traccar::Parameters { min_distance_m: METRES, min_duration_s: SECONDS, ..traccar::Parameters::default() };
    [Profile::Skmob(skmob), Profile::MovingPandas(movingpandas), Profile::Traccar(traccar)]
}

/// The recorded journey, once a day.
fn tracks() -> Result<Vec<Vec<Fix>>, Failure> {
    let recording = std::fs::read_to_string(RECORDING)?;
    let fix = |line: &str| -> Result<Fix, Failure> {
        let mut fields = line.split(',').skip(1);
        let mut field = || fields.next().ok_or("a line of the recording has too few fields");
        let time_us = field()?.parse::<jiff::Timestamp>()?.as_microsecond();
        Ok(Fix { time_us, lat: field()?.parse()?, lon: field()?.parse()?, accuracy_m: None })
    };
    let journey = recording.lines().skip(1).map(fix).collect::<Result<Vec<_>, _>>()?;
    let on = |day: i64| journey.iter().map(|fix| Fix { time_us: fix.time_us + day * US_PER_DAY, ..*fix }).collect();
    Ok((0..JOURNEYS).map(on).collect())
}

fn ours(profile: &Profile, tracks: &[Vec<Fix>]) -> Way {
    let mut stops = 0_usize;
    let round = |_| {
        let start = Instant::now();
        stops = tracks.iter().map(|track| black_box(profile.stops(black_box(track))).len()).sum();
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..ROUNDS).map(round).collect();
    Way { name: profile.name().to_string(), stops: stops as u64, seconds: median(seconds) }
}

/// The operator as the unit drives it: a log with a clock, on which the devices take turns.
fn operator(tracks: &[Vec<Fix>]) -> Way {
    const DELAY_US: i64 = US_PER_S;
    let devices: Vec<String> = (0..tracks.len()).map(|device| format!("device-{device:04}")).collect();
    // All drive on the same day.
    let sighting = |day: i64, fix: &Fix| {
        let fix = Fix { time_us: fix.time_us - day * US_PER_DAY, ..*fix };
        Sighting { received_us: Some(fix.time_us + DELAY_US), ..Sighting::recorded(&fix) }
    };
    let tracks: Vec<Vec<Sighting>> =
        (0..).zip(tracks).map(|(day, track)| track.iter().map(|fix| sighting(day, fix)).collect()).collect();
    let longest = tracks.iter().map(Vec::len).max().unwrap_or_default();
    let mut stops = 0_u64;
    let round = |_| {
        let mut operator = Operator::default();
        stops = 0;
        let mut count = |_: &str, row: Row| stops += u64::from(matches!(row, Row::Ended(Event::Stop(_))));
        let start = Instant::now();
        for place in 0..longest {
            for (device, fix) in
                devices.iter().zip(&tracks).filter_map(|(device, track)| Some((device, track.get(place)?)))
            {
                operator.take(black_box(device), *fix, &mut count);
            }
        }
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..ROUNDS).map(round).collect();
    Way { name: "operator".to_string(), stops, seconds: median(seconds) }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The libraries over the same tracks; none, after a line that says why, where Python cannot be had.
fn libraries(tracks: &[Vec<Fix>]) -> Result<Vec<Way>, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tracks.csv");
    let mut rows = "track,time_us,lat,lon\n".to_string();
    for (name, track) in tracks.iter().enumerate() {
        for fix in track {
            writeln!(rows, "{name},{},{},{}", fix.time_us, fix.lat, fix.lon)?;
        }
    }
    std::fs::write(&path, rows)?;
    let python = std::env::var_os(PYTHON).unwrap_or("python3".into());
    let mut command = Command::new(Path::new(&python));
    command.args(["-B", SCRIPT]).arg(&path).args([METRES.to_string(), SECONDS.to_string()]);
    let output = match command.arg(LIBRARY_ROUNDS.to_string()).output() {
        Ok(output) if output.status.success() => output,
        other => {
            let reason = other.map_or_else(|e| e.to_string(), |output| String::from_utf8_lossy(&output.stderr).into());
            eprintln!("SKIPPED: the libraries; {PYTHON} can name a Python 3.11 that starts {SCRIPT}: {reason}");
            return Ok(Vec::new());
        }
    };
    let way = |line: &str| -> Result<Way, Failure> {
        let said: Value = serde_json::from_str(line)?;
        let name = said["name"].as_str().ok_or("the script names no library")?.to_string();
        let stops = said["stops"].as_u64().ok_or("the script counts no stops")?;
        Ok(Way { name, stops, seconds: median(serde_json::from_value(said["seconds"].clone())?) })
    };
    String::from_utf8(output.stdout)?.lines().map(way).collect()
}
