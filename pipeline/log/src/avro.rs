//! Opens Avro object container files.
//!
//! Records are decoded with the schema that the file itself carries. Their number is known from the blocks' heads
//! before the first is decoded: that counts the records of a file whose schema fits nothing, and finds a file that was
//! cut short before any of its records are handed out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow_avro::reader::{ReaderBuilder, read_header_info};

use crate::LogError;
use crate::columnar::{Records, damaged, match_columns};
use crate::reason;

/// Length of the marker that ends each block.
const SYNC_BYTES: usize = 16;
/// Most bytes that Avro takes for a number of 64 bits.
const VARINT_BYTES_MAX: u32 = 10;

/// How many records a file holds, and how those from `rows` on are read.
pub(crate) fn open(path: &Path, name: &str, topic: &Schema, rows: u64) -> Result<(u64, Records), LogError> {
    let fail = |error: io::Error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => damaged(name, &error),
        _ => LogError::file(name)(error),
    };
    let mut input = BufReader::new(File::open(path).map_err(fail)?);
    let head = read_header_info(&mut input).map_err(|error| damaged(name, &error))?;
    head.compression().map_err(|error| damaged(name, &error))?;
    input.seek(SeekFrom::Start(0)).map_err(fail)?;
    let mut header = Vec::new();
    input.by_ref().take(head.header_len()).read_to_end(&mut header).map_err(fail)?;
    let mut blocks = Blocks { input, header, sync: head.sync() };
    let mut rows_total: u64 = 0;
    while let Some(block) = blocks.pass().map_err(fail)? {
        rows_total = rows_total.checked_add(block.records).ok_or_else(|| damaged(name, &"it has too many records"))?;
    }
    let Ok(reader) = ReaderBuilder::new().build(blocks.header.as_slice()) else {
        let cause = "the file's schema is not a record that can be read as columns".to_string();
        return Ok((rows_total, Records::Rejected { reason: reason::WRONG_SCHEMA, cause, found: String::new() }));
    };
    let records = match match_columns(topic, &reader.schema()) {
        Ok(columns) => Records::Decoded { batches: Box::new(blocks.decoded(rows).map_err(fail)?), columns },
        Err(rejected) => rejected,
    };
    Ok((rows_total, records))
}

/// A file after its header, block by block.
struct Blocks {
    input: BufReader<File>,
    header: Vec<u8>,
    sync: [u8; SYNC_BYTES],
}

/// One block: where it lies and how many records it says that it holds.
struct Block {
    start: u64,
    end: u64,
    records: u64,
}

impl Blocks {
    /// Passes over the next block and checks the marker after it.
    fn pass(&mut self) -> io::Result<Option<Block>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let start = self.input.stream_position()?;
        let negative = |_| io::Error::new(ErrorKind::InvalidData, "a block has a negative size");
        let records = u64::try_from(read_long(&mut self.input)?).map_err(negative)?;
        let bytes = read_long(&mut self.input)?;
        u64::try_from(bytes).map_err(negative)?;
        self.input.seek_relative(bytes)?;
        let mut marker = [0; SYNC_BYTES];
        self.input.read_exact(&mut marker)?;
        if marker != self.sync {
            return Err(io::Error::new(ErrorKind::InvalidData, "a block does not end in the file's marker"));
        }
        Ok(Some(Block { start, end: self.input.stream_position()?, records }))
    }

    /// The file's records from `rows` on, a batch a block.
    fn decoded(mut self, rows: u64) -> io::Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send> {
        self.input.seek(SeekFrom::Start(self.header.len() as u64))?;
        let mut to_skip = rows;
        Ok(std::iter::from_fn(move || {
            loop {
                let block = match self.pass() {
                    Ok(block) => block?,
                    Err(error) => return Some(Err(error.into())),
                };
                if to_skip >= block.records {
                    to_skip -= block.records;
                    continue;
                }
                let skipped = usize::try_from(std::mem::take(&mut to_skip)).unwrap_or(usize::MAX);
                return Some(self.decode(&block).map(|rows| rows.slice(skipped, rows.num_rows() - skipped)));
            }
        }))
    }

    /// Decodes one block on its own, as a batch of exactly its records: a reader that goes on after them spins for
    /// ever in a block that holds more than it says.
    fn decode(&mut self, block: &Block) -> Result<RecordBatch, ArrowError> {
        let mut content = self.header.clone();
        self.input.seek(SeekFrom::Start(block.start))?;
        self.input.by_ref().take(block.end - block.start).read_to_end(&mut content)?;
        let records = usize::try_from(block.records).unwrap_or(usize::MAX);
        let mut reader = ReaderBuilder::new().with_batch_size(records).build(content.as_slice())?;
        match reader.next().transpose()? {
            Some(rows) if rows.num_rows() == records => Ok(rows),
            _ => Err(ArrowError::AvroError("a block holds fewer records than it says".to_string())),
        }
    }
}

/// A number as Avro writes it: seven bits a byte, lowest first, zigzag.
pub(crate) fn read_long(input: &mut impl Read) -> io::Result<i64> {
    let mut zigzag: u64 = 0;
    for index in 0..VARINT_BYTES_MAX {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        zigzag |= u64::from(byte[0] & 0x7f) << (7 * index);
        if byte[0] & 0x80 == 0 {
            return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
        }
    }
    Err(io::Error::new(ErrorKind::InvalidData, "a number does not end"))
}
