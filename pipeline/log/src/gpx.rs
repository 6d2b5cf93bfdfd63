//! GPX 1.0 and 1.1: each point of a track is a record, whose device is the track.
//!
//! A track is named by its `name`, else `track N` by its place in the file; tracks of one name are one device, and a
//! border between segments is no more than the time that passes over it. Speed and course are taken from the point or
//! its extensions, metres a second and degrees. Waypoints and routes are no tracks and are passed over. The file is read
//! element by element and never held as a whole; one that is no XML to its end is damaged.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use arrow::array::StringBuilder;
use arrow::datatypes::SchemaRef;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::columnar::damaged;
use crate::convert::{Column, Times, from_text};
use crate::gather::{Gathered, Mismatch, Place, Source};
use crate::identity::{FileIdentity, Prefix};
use crate::screen::screen;
use crate::{LogError, names};

/// Points converted at a time.
const CHUNK_POINTS_MAX: usize = 1_024;
/// Longest name of a track, bytes; what is longer is cut. Tables take no longer names of devices.
const NAME_BYTES_MAX: usize = 64;
/// Longest text of a value, bytes: a time with nine digits of a second takes 35.
const VALUE_BYTES_MAX: usize = 64;
/// Bytes read from the file at a time.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// What a point can say, as columns.
const COLUMNS: [&str; 6] = ["device_id", "time", "lat", "lon", "speed_mps", "bearing_deg"];

/// A GPX file.
pub(crate) struct GpxFile {
    place: Place,
    schema: SchemaRef,
    /// For each column of the topic which of [`COLUMNS`].
    positions: Vec<Option<usize>>,
    whole: Prefix,
    rows: u64,
    points: Points,
    /// An error that comes after the points before it.
    failed: Option<LogError>,
}

impl GpxFile {
    /// Opens a file at its first point.
    pub(crate) fn open(path: &Path, name: &str, schema: &SchemaRef) -> Result<Self, LogError> {
        let file = File::open(path).map_err(LogError::file(name))?;
        let reader = Reader::from_reader(BufReader::with_capacity(READ_BUFFER_BYTES, file));
        Ok(Self {
            place: Place { file: name.to_string(), unit: "point" },
            schema: schema.clone(),
            positions: names::positions(schema, &COLUMNS.map(str::to_string)),
            whole: Prefix::read(path, name, u64::MAX)?,
            rows: 0,
            points: Points { reader, buffer: Vec::new(), path: Vec::new(), tracks: 0, device: String::new() },
            failed: None,
        })
    }
}

impl Source for GpxFile {
    fn read(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut texts: Vec<StringBuilder> = self.positions.iter().map(|_| StringBuilder::new()).collect();
        let mut rows = Vec::new();
        while rows.len() < rows_max.min(CHUNK_POINTS_MAX) {
            let next = self.points.next().map_err(|cause| {
                let place = self.points.reader.buffer_position();
                damaged(&self.place.file, &format!("{cause} (at byte {place})"))
            });
            let point = match next {
                Ok(Some(point)) => point,
                Ok(None) => break,
                Err(error) if rows.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            };
            for (text, position) in texts.iter_mut().zip(&self.positions) {
                let value = position.and_then(|position| match position {
                    0 => Some(self.points.device.as_str()),
                    other => point.values[other - 1].as_deref().filter(|value| !value.is_empty()),
                });
                text.append_option(value);
            }
            rows.push(self.rows + rows.len() as u64);
        }
        if rows.is_empty() {
            return Ok(0);
        }
        let texts = texts.iter_mut().zip(self.schema.fields());
        let columns: Vec<Column> =
            texts.map(|(text, field)| from_text(&text.finish(), field.data_type(), Times::Rfc3339)).collect();
        screen(&self.schema, columns, &rows, Some(&self.place), gathered)?;
        self.rows += rows.len() as u64;
        Ok(rows.len())
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity {
            name: self.place.file.clone(),
            rows: self.rows,
            bytes: self.whole.bytes,
            sha256: self.whole.sha256(),
            open_end: true,
        }
    }

    fn bytes_read(&self) -> u64 {
        self.points.reader.buffer_position()
    }

    fn mismatch(&self) -> Option<Mismatch> {
        let missing = names::missing(&self.schema, &self.positions);
        let cause = || format!("a GPX file has no column {missing}");
        (!missing.is_empty()).then(|| Mismatch { cause: cause(), found: COLUMNS.join(",") })
    }
}

/// A point's values in the order of [`COLUMNS`] after the device.
#[derive(Default)]
struct Point {
    values: [Option<String>; COLUMNS.len() - 1],
}

/// The points of all tracks in the order of the file.
struct Points {
    reader: Reader<BufReader<File>>,
    buffer: Vec<u8>,
    /// The elements that are open.
    path: Vec<Element>,
    tracks: usize,
    /// Name of the track at hand.
    device: String,
}

/// Elements that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Gpx,
    Track,
    Name,
    Segment,
    Point,
    /// One of a point's values: its place there.
    Value(usize),
    Other,
}

/// Elements deeper than this are nobody's track.
const DEPTH_MAX: usize = 64;

impl Points {
    /// The next point; nothing at the end of the file, or why there is none.
    fn next(&mut self) -> Result<Option<Point>, String> {
        let mut point = Point::default();
        let mut buffer = std::mem::take(&mut self.buffer);
        let found = loop {
            buffer.clear();
            match self.reader.read_event_into(&mut buffer).map_err(|error| error.to_string())? {
                Event::Start(start) => self.open(&start, &mut point)?,
                Event::Empty(start) => {
                    self.open(&start, &mut point)?;
                    if self.close(&mut point) {
                        break Some(point);
                    }
                }
                Event::End(_) => {
                    if self.close(&mut point) {
                        break Some(point);
                    }
                }
                Event::Text(text) => self.add(&text.decode().map_err(|error| error.to_string())?, &mut point),
                Event::CData(text) => self.add(&text.decode().map_err(|error| error.to_string())?, &mut point),
                Event::GeneralRef(reference) => {
                    let mut sign = [0; 4];
                    let sign = meant(&reference)?.encode_utf8(&mut sign);
                    self.add(sign, &mut point);
                }
                Event::Eof if self.path.is_empty() => break None,
                Event::Eof => return Err("it ends inside an element".to_string()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        };
        self.buffer = buffer;
        Ok(found)
    }

    fn open(&mut self, start: &BytesStart<'_>, point: &mut Point) -> Result<(), String> {
        let name = start.local_name();
        let in_point = self.path.contains(&Element::Point);
        let element = match (self.path.last(), name.as_ref()) {
            (None, b"gpx") => Element::Gpx,
            (None, _) => return Err("its outermost element is not gpx".to_string()),
            (Some(Element::Gpx), b"trk") => Element::Track,
            (Some(Element::Track), b"name") => Element::Name,
            (Some(Element::Track), b"trkseg") => Element::Segment,
            (Some(Element::Segment), b"trkpt") => Element::Point,
            (Some(Element::Point), b"time") => Element::Value(0),
            (Some(_), b"speed") if in_point && point.values[3].is_none() => Element::Value(3),
            (Some(_), b"course") if in_point && point.values[4].is_none() => Element::Value(4),
            _ => Element::Other,
        };
        if self.path.len() == DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} elements are open"));
        }
        self.path.push(element);
        match element {
            Element::Track => {
                self.tracks += 1;
                self.device.clear();
            }
            Element::Segment => self.name_track(),
            Element::Point => {
                for attribute in start.attributes() {
                    let attribute = attribute.map_err(|error| error.to_string())?;
                    let index = match attribute.key.as_ref() {
                        b"lat" => 1,
                        b"lon" => 2,
                        _ => continue,
                    };
                    let value = attribute.unescape_value().map_err(|error| error.to_string())?;
                    point.values[index] = Some(value.into_owned());
                }
            }
            Element::Value(index) => point.values[index] = Some(String::new()),
            _ => {}
        }
        Ok(())
    }

    /// Closes the innermost element; whether it was a point.
    fn close(&mut self, point: &mut Point) -> bool {
        match self.path.pop() {
            Some(Element::Value(index)) => {
                if let Some(value) = &mut point.values[index] {
                    *value = value.trim().to_string();
                }
                false
            }
            Some(Element::Point) => true,
            _ => false,
        }
    }

    fn add(&mut self, text: &str, point: &mut Point) {
        match self.path.last() {
            Some(Element::Name) => push(&mut self.device, text, NAME_BYTES_MAX),
            Some(Element::Value(index)) => {
                if let Some(value) = &mut point.values[*index] {
                    push(value, text, VALUE_BYTES_MAX);
                }
            }
            _ => {}
        }
    }

    /// The name of a track is known once its points begin.
    fn name_track(&mut self) {
        let named = self.device.trim().to_string();
        self.device = if named.is_empty() { format!("track {}", self.tracks) } else { named };
    }
}

/// Appends what there is room for.
fn push(text: &mut String, more: &str, bytes_max: usize) {
    let room = bytes_max.saturating_sub(text.len());
    text.push_str(&more[..more.floor_char_boundary(room)]);
}

/// The character that a reference in a text stands for: one by number, or one of the five that XML knows by name.
fn meant(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(sign) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(sign);
    }
    match reference.as_ref() {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"apos" => Ok('\''),
        b"quot" => Ok('"'),
        _ => Err("it refers to an entity that XML does not know".to_string()),
    }
}

#[cfg(test)]
mod tests;
