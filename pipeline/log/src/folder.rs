//! The file log: the files of a folder, in order of name, are one log with one partition; an offset is a record's
//! number in it.
//!
//! Hidden files (names that start with a dot) and names that end in `.partial` are passed over. Files must not change
//! while they are read; the list of files and their formats are looked at once, when the log is opened. One file alone
//! can be a log too, and then it may be GPX: in a folder the unnamed tracks of two such files would be one device.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use schemas::Offset;

use crate::columnar::{ColumnarFile, guarded};
use crate::csv::CsvFile;
use crate::gather::{Gathered, Source};
use crate::gpx::GpxFile;
use crate::identity::{FileIdentity, LogIdentity, Prefix};
use crate::ndjson::NdjsonFile;
use crate::{LogBatch, LogError, LogReader, avro, names, parquet};

/// Bytes of text after which a poll ends before it has all the records that were wanted: a batch of a few thousand
/// ordinary records takes a few megabytes, one of records as long as the bound allows would take gigabytes.
const POLL_TEXT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The files of a folder, read as one log.
pub struct FolderLog {
    folder: PathBuf,
    schema: SchemaRef,
    files: Vec<InputFile>,
    /// The first file that was not opened yet.
    next_file: usize,
    /// Files read to their end.
    finished: Vec<FileIdentity>,
    current: Option<Box<dyn Source>>,
    position: i64,
    /// Bytes of the files read to their end.
    bytes_finished: u64,
    /// An error that comes after the batch before it.
    failed: Option<LogError>,
}

/// A file of the folder, as it was when the log was opened.
struct InputFile {
    name: String,
    format: Format,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Ndjson,
    Csv,
    Parquet,
    Avro,
    Gpx,
}

/// Formats by the endings of their files, and what a record of each is called. A folder holds all but the last.
const FORMATS: [(&str, Format, &str); 5] = [
    ("csv", Format::Csv, "record"),
    ("ndjson", Format::Ndjson, "line"),
    ("parquet", Format::Parquet, "row"),
    ("avro", Format::Avro, "row"),
    ("gpx", Format::Gpx, "point"),
];

/// Longest list of columns in an error, bytes: a file without a header names its first record.
const FOUND_BYTES_MAX: usize = 300;

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        FORMATS.iter().find(|(known, ..)| ending.eq_ignore_ascii_case(known)).map(|(_, format, _)| *format)
    }

    /// What a record is called.
    fn unit(self) -> &'static str {
        FORMATS.iter().find(|(_, format, _)| *format == self).map_or("record", |(.., unit)| unit)
    }
}

/// Where to go on in a file: the records read and the hash of the bytes read.
struct Resume {
    rows: u64,
    read: Prefix,
}

impl FolderLog {
    /// Opens the folder at its first record, or after what `resume` says was read of it.
    ///
    /// # Errors
    /// A folder that cannot be listed or holds anything but input files; on a resume any difference to what was read
    /// before ([`LogError::is_refusal`]).
    pub fn open(folder: &Path, schema: SchemaRef, resume: Option<(&LogIdentity, Offset)>) -> Result<Self, LogError> {
        names::check_topic(&schema)?;
        let mut log = Self {
            folder: folder.to_path_buf(),
            schema,
            files: list(folder)?,
            next_file: 0,
            finished: Vec::new(),
            current: None,
            position: 0,
            bytes_finished: 0,
            failed: None,
        };
        if let Some((identity, offset)) = resume {
            log.resume(identity, offset)?;
        }
        Ok(log)
    }

    /// Endings of files that [`FolderLog::of_file`] reads.
    pub fn file_endings() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|(ending, ..)| *ending)
    }

    /// Opens one file as a log of its own, at its first record.
    ///
    /// # Errors
    /// A file that cannot be read or is of no known format, or none of whose records can become a row because of its
    /// columns ([`LogError::Columns`]).
    pub fn of_file(path: &Path, schema: SchemaRef) -> Result<Self, LogError> {
        names::check_topic(&schema)?;
        let not_input = || LogError::NotInput { path: path.to_path_buf() };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(not_input)?.to_string();
        let format = Format::of(path).ok_or_else(not_input)?;
        let metadata = fs::metadata(path).map_err(LogError::file(&name))?;
        if !metadata.is_file() {
            return Err(not_input());
        }
        let mut log = Self {
            folder: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            schema,
            files: vec![InputFile { name, format, bytes: metadata.len() }],
            next_file: 1,
            finished: Vec::new(),
            current: None,
            position: 0,
            bytes_finished: 0,
            failed: None,
        };
        let source = log.open_file(&log.files[0], None)?;
        if let Some(mut mismatch) = source.mismatch() {
            if mismatch.found.len() > FOUND_BYTES_MAX {
                mismatch.found.truncate(mismatch.found.floor_char_boundary(FOUND_BYTES_MAX));
                mismatch.found.push_str("...");
            }
            let (file, needed) = (log.files[0].name.clone(), names::needed(&log.schema));
            return Err(LogError::Columns { file, cause: mismatch.cause, found: mismatch.found, needed });
        }
        log.current = Some(source);
        Ok(log)
    }

    /// Where a record that was read lies, for people: its file, and its line, record, row or point from 1.
    pub fn place_of(&self, offset: Offset) -> String {
        let mut row = offset.0;
        let mut index = 0;
        for finished in &self.finished {
            let rows = i64::try_from(finished.rows).unwrap_or(i64::MAX);
            if row < rows {
                break;
            }
            row -= rows;
            index += 1;
        }
        let file = &self.files[index.min(self.files.len() - 1)];
        format!("{}, {} {}", file.name, file.format.unit(), row + 1)
    }

    /// Checks that everything read before is still there and stands after it.
    fn resume(&mut self, identity: &LogIdentity, offset: Offset) -> Result<(), LogError> {
        if identity.rows() != offset.0 {
            return Err(LogError::Position { covered: identity.rows(), offset });
        }
        let Some((last, finished)) = identity.files.split_last() else { return Ok(()) };
        for known in &identity.files {
            if !self.files.iter().any(|file| file.name == known.name) {
                return Err(LogError::Missing { file: known.name.clone() });
            }
        }
        let new = self
            .files
            .iter()
            .find(|file| file.name < last.name && !identity.files.iter().any(|known| known.name == file.name));
        if let Some(new) = new {
            return Err(LogError::MisSorted { file: new.name.clone(), last_read: last.name.clone() });
        }
        for (known, file) in finished.iter().zip(&self.files) {
            self.verify(known, file, Some("records of later files were read after it"))?;
            self.bytes_finished += file.bytes;
        }
        let file = &self.files[finished.len()];
        let read = self.verify(last, file, last.open_end.then_some("its last record would change"))?;
        self.current = Some(self.open_file(file, Some(Resume { rows: last.rows, read }))?);
        self.finished = finished.to_vec();
        self.next_file = identity.files.len();
        self.position = offset.0;
        Ok(())
    }

    /// Compares a file with what was read of it. `may_not_grow`: why more bytes in it would be an error.
    fn verify(
        &self,
        known: &FileIdentity,
        file: &InputFile,
        may_not_grow: Option<&'static str>,
    ) -> Result<Prefix, LogError> {
        let name = known.name.clone();
        if file.bytes < known.bytes {
            return Err(LogError::Shortened { file: name, bytes: file.bytes, bytes_read: known.bytes });
        }
        let mut read = Prefix::read(&self.folder.join(&name), &name, known.bytes)?;
        read.open_end = known.open_end;
        if read.sha256() != known.sha256 {
            return Err(LogError::Changed { file: name, bytes_read: known.bytes });
        }
        match may_not_grow {
            Some(cause) if file.bytes > known.bytes => Err(LogError::Grown { file: name, cause }),
            _ => Ok(read),
        }
    }

    fn open_file(&self, file: &InputFile, resume: Option<Resume>) -> Result<Box<dyn Source>, LogError> {
        let (path, name, schema) = (self.folder.join(&file.name), file.name.as_str(), &self.schema);
        let (rows, read) = resume.map_or((0, None), |resume| (resume.rows, Some(resume.read)));
        Ok(match file.format {
            Format::Ndjson => Box::new(NdjsonFile::open(&path, name, schema, rows, read.unwrap_or_default())?),
            Format::Csv => Box::new(CsvFile::open(&path, name, schema, rows, read)?),
            Format::Parquet => {
                let records = guarded(name, || parquet::open(&path, name, schema, rows))?;
                Box::new(ColumnarFile::open(&path, name, schema, rows, read, records)?)
            }
            Format::Avro => {
                let records = guarded(name, || avro::open(&path, name, schema, rows))?;
                Box::new(ColumnarFile::open(&path, name, schema, rows, read, records)?)
            }
            Format::Gpx => Box::new(GpxFile::open(&path, name, schema)?),
        })
    }

    /// Reads at most `rows_max` records of one file; 0 at the end of the log.
    fn read_on(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError> {
        loop {
            let source = match &mut self.current {
                Some(source) => source,
                None => match self.files.get(self.next_file) {
                    None => return Ok(0),
                    Some(file) => {
                        let source = self.open_file(file, None)?;
                        self.next_file += 1;
                        self.current.insert(source)
                    }
                },
            };
            let rows_before: u64 = self.finished.iter().map(|file| file.rows).sum();
            gathered.file_start = i64::try_from(rows_before).expect("a log has fewer than 2^63 records");
            let read = source.read(rows_max, gathered)?;
            if read > 0 {
                self.position += i64::try_from(read).expect("fewer than 2^63 records at a time");
                return Ok(read);
            }
            self.finished.push(source.identity());
            self.bytes_finished += self.files[self.next_file - 1].bytes;
            self.current = None;
        }
    }
}

impl LogReader for FolderLog {
    fn position(&self) -> Offset {
        Offset(self.position)
    }

    fn poll(&mut self, rows_max: usize) -> Result<Option<LogBatch>, LogError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let wanted = rows_max.max(1);
        let mut gathered = Gathered::new();
        let mut read = 0;
        while read < wanted && gathered.text_bytes < POLL_TEXT_BYTES_MAX {
            match self.read_on(wanted - read, &mut gathered) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if read == 0 => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if read == 0 { Ok(None) } else { Ok(Some(gathered.finish(&self.schema)?)) }
    }

    fn identity(&self) -> LogIdentity {
        let mut files = self.finished.clone();
        files.extend(self.current.as_ref().map(|source| source.identity()));
        // Whether empty files at the end were looked at depends on the sizes of the polls.
        while files.last().is_some_and(|file| file.rows == 0) {
            files.pop();
        }
        LogIdentity { files }
    }

    fn progress(&self) -> (u64, u64) {
        let current = self.current.as_ref().map_or(0, |source| source.bytes_read());
        (self.bytes_finished + current, self.files.iter().map(|file| file.bytes).sum())
    }
}

/// The input files of a folder in order of name.
fn list(folder: &Path) -> Result<Vec<InputFile>, LogError> {
    let fail = |source| LogError::Folder { folder: folder.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_string);
        let Some(name) = name else { return Err(LogError::NotInput { path }) };
        if name.starts_with('.') || name.ends_with(".partial") {
            continue;
        }
        let format = match Format::of(&path) {
            None | Some(Format::Gpx) => return Err(LogError::NotInput { path }),
            Some(format) => format,
        };
        let metadata = fs::metadata(&path).map_err(LogError::file(&name))?;
        if !metadata.is_file() {
            return Err(LogError::NotInput { path });
        }
        files.push(InputFile { name, format, bytes: metadata.len() });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

#[cfg(test)]
mod tests;
