//! Trips and stops as files of several kinds, each there whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use schemas::movement;
use trips::{Found, stop_rows, trip_rows, with_points};

use super::document;
use crate::failure::Failure;
use crate::sql::answer::{AnswerWriter, Format, Shape};
use crate::sql::destination::OutputFile;

/// Kinds of files by their endings.
const KINDS: [(&str, Kind); 5] = [
    ("parquet", Kind::Table(Format::Parquet)),
    ("csv", Kind::Table(Format::Csv)),
    ("json", Kind::Table(Format::Json)),
    ("ndjson", Kind::Table(Format::Json)),
    ("geojson", Kind::GeoJson),
];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows of a table.
    Table(Format),
    /// One feature collection.
    GeoJson,
}

impl Kind {
    /// The kind that a file's ending stands for.
    ///
    /// # Errors
    /// An ending that stands for none.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let kind = KINDS.into_iter().find(|(ending, _)| ends_in(path, ending)).map(|(_, kind)| kind);
        let endings = KINDS.map(|(ending, _)| format!(".{ending}")).join(", ");
        kind.ok_or_else(|| {
            Failure::usage(format!("{}: its ending names no kind of file that can be written", path.display()))
                .with_help(format!("a file of trips or stops ends in {endings}"))
        })
    }
}

/// Whether a file has this ending, in small or capital letters.
pub fn ends_in(path: &Path, ending: &str) -> bool {
    path.extension().and_then(|found| found.to_str()).is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// A file under a temporary name.
pub struct Output {
    file: OutputFile,
    path: PathBuf,
}

impl Output {
    /// Starts a file.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let file = OutputFile::create(path)
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Writes on.
    pub fn write(&mut self, content: &[u8]) -> Result<(), Failure> {
        self.file.file().write_all(content).map_err(|error| failed(&self.path, &error))
    }

    /// Gives the file its name, which it returns.
    pub fn keep(self) -> Result<PathBuf, Failure> {
        self.file.keep().map_err(|error| failed(&self.path, &error))?;
        Ok(self.path)
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

/// What one file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Trips,
    Stops,
}

/// Rows being written, device by device.
pub struct Rows<'out> {
    what: What,
    path: &'out Path,
    body: Body<'out>,
}

enum Body<'out> {
    Table { writer: AnswerWriter<'out>, has_points: bool },
    GeoJson { file: &'out mut File, features: u64 },
}

impl<'out> Rows<'out> {
    /// Starts a file of trips; GeoJSON holds the stops too.
    pub fn trips(kind: Kind, output: &'out mut Output) -> Result<Self, Failure> {
        Self::start(What::Trips, kind, output)
    }

    /// Starts a file of stops.
    pub fn stops(kind: Kind, output: &'out mut Output) -> Result<Self, Failure> {
        Self::start(What::Stops, kind, output)
    }

    fn start(what: What, kind: Kind, output: &'out mut Output) -> Result<Self, Failure> {
        let Output { file, path } = output;
        let (path, file) = (path.as_path(), file.file());
        let body = match kind {
            Kind::GeoJson => {
                let start = b"{\"type\":\"FeatureCollection\",\"features\":[";
                file.write_all(start).map_err(|error| failed(path, &error))?;
                Body::GeoJson { file, features: 0 }
            }
            Kind::Table(format) => {
                let has_points = what == What::Stops && format == Format::Parquet;
                let schema = match what {
                    What::Trips => movement::trips(),
                    What::Stops if has_points => {
                        let rows = stop_rows("", &[]).and_then(|rows| with_points(&rows));
                        rows.map_err(|error| failed(path, &error))?.schema()
                    }
                    What::Stops => movement::stops(),
                };
                let writer = AnswerWriter::start(Shape { format, width: None }, schema, file);
                Body::Table { writer: writer.map_err(|error| failed(path, &error))?, has_points }
            }
        };
        Ok(Self { what, path, body })
    }

    /// Writes what was found about a device.
    pub fn add(&mut self, device: &str, found: &Found) -> Result<(), Failure> {
        let fail = |error: &dyn std::fmt::Display| failed(self.path, error);
        match &mut self.body {
            Body::Table { writer, has_points } => {
                let rows = match self.what {
                    What::Trips => trip_rows(device, &found.trips),
                    What::Stops if *has_points => stop_rows(device, &found.stops).and_then(|rows| with_points(&rows)),
                    What::Stops => stop_rows(device, &found.stops),
                };
                writer.write(&rows.map_err(|error| fail(&error))?).map_err(|error| fail(&error))?;
            }
            Body::GeoJson { file, features } => {
                let trips = found.trips.iter().filter(|_| self.what == What::Trips).zip(1..);
                let trips = trips.map(|(trip, number)| document::trip_feature(device, number, trip));
                let stops = found.stops.iter().map(|stop| document::stop_feature(device, stop));
                let mut text = String::new();
                for feature in trips.chain(stops) {
                    text.push_str(if *features == 0 { "\n" } else { ",\n" });
                    text.push_str(&feature.to_string());
                    *features += 1;
                }
                file.write_all(text.as_bytes()).map_err(|error| fail(&error))?;
            }
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(self) -> Result<(), Failure> {
        match self.body {
            Body::Table { writer, .. } => {
                writer.finish().map_err(|error| failed(self.path, &error))?;
            }
            Body::GeoJson { file, .. } => file.write_all(b"\n]}\n").map_err(|error| failed(self.path, &error))?,
        }
        Ok(())
    }
}
