//! The bytes of a snapshot: written as a stream, read as slices of the file.
//!
//! Layout of format 3: 8 bytes magic, 4 bytes format version, 8 bytes length of the label (both little endian), the label
//! with the length of each state (postcard), 32 bytes SHA-256 of all before, the states one after the other, 32 bytes
//! SHA-256 of all before. The first sum lets a start read labels without states. In formats 1 and 2 everything between
//! version and sum is one value of postcard, and only the whole has a sum.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{Snapshot, SnapshotLabel, StoredSnapshot};

const MAGIC: &[u8; 8] = b"TILLSNAP";
/// Raised when the layout changes; a reader knows every version up to its own. Format 1 has no counts of outputs,
/// formats 1 and 2 have no label of its own.
const FORMAT_VERSION: u32 = 3;
/// Magic and format version.
const PREAMBLE_BYTES: usize = 12;
/// Length of the label, little endian.
const LENGTH_BYTES: usize = 8;
/// A SHA-256.
const SUM_BYTES: usize = 32;
/// So much is summed and written at a time: it is still in the processor's cache when it is looked at again.
const CHUNK_BYTES: usize = 256 * 1_024;

const NOT_A_SNAPSHOT: &str = "it is not a snapshot";
const BAD_SUM: &str = "its checksum does not fit its content";
const TOO_SHORT: &str = "shorter than its checksum";

/// A label as it is stored, with name and length of each state.
#[derive(Serialize, Deserialize)]
struct StoredLabel<Label> {
    label: Label,
    states: Vec<(String, u64)>,
}

/// What formats 1 and 2 have before their states.
#[derive(Deserialize)]
struct OldLabel {
    at: schemas::Offset,
    outputs: Vec<String>,
    partitions: u32,
    logic: BTreeMap<String, u32>,
    identity: log::LogIdentity,
}

/// Sums what passes.
struct Summing<'a, W> {
    out: &'a mut W,
    sum: Sha256,
    written: u64,
}

impl<W: Write> Summing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.sum.update(chunk);
            self.out.write_all(chunk)?;
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes the sum of all before.
    fn seal(&mut self) -> io::Result<()> {
        let sum = self.sum.clone().finalize();
        self.write(&sum)
    }
}

impl Snapshot {
    /// Writes the snapshot as it is stored, and returns its size in bytes; equal snapshots give equal bytes.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        let lengths = self.states.iter().map(|(unit, state)| (unit.clone(), state.len() as u64)).collect();
        let label = StoredLabel { label: &self.label, states: lengths };
        let label = postcard::to_stdvec(&label).map_err(io::Error::other)?;
        let mut out = Summing { out, sum: Sha256::new(), written: 0 };
        out.write(MAGIC)?;
        out.write(&FORMAT_VERSION.to_le_bytes())?;
        out.write(&(label.len() as u64).to_le_bytes())?;
        out.write(&label)?;
        out.seal()?;
        for (_, state) in &self.states {
            out.write(state)?;
        }
        out.seal()?;
        Ok(out.written)
    }
}

impl SnapshotLabel {
    /// Reads the label at the start of a snapshot and checks it. The inner error says what is wrong; a snapshot of an
    /// older format must be read as a whole for that.
    pub fn read_from(file: &mut impl Read) -> io::Result<Result<Self, String>> {
        let mut start = read_up_to(file, PREAMBLE_BYTES + LENGTH_BYTES)?;
        if version_of(&start) != Ok(FORMAT_VERSION) || start.len() < PREAMBLE_BYTES + LENGTH_BYTES {
            file.read_to_end(&mut start)?;
            return Ok(StoredSnapshot::from_bytes(start).map(|snapshot| snapshot.label));
        }
        // A length that is damaged may be any: no more is read and kept than the file has.
        let length = label_length(&start).saturating_add(SUM_BYTES);
        start.extend(read_up_to(file, length)?);
        let Some((content, sum)) = start.split_last_chunk::<SUM_BYTES>() else { return Ok(Err(TOO_SHORT.into())) };
        if content.len() < PREAMBLE_BYTES + LENGTH_BYTES || Sha256::digest(content).as_slice() != sum {
            return Ok(Err(BAD_SUM.into()));
        }
        Ok(decoded::<StoredLabel<Self>>(&content[PREAMBLE_BYTES + LENGTH_BYTES..]).map(|(stored, _)| stored.label))
    }
}

impl StoredSnapshot {
    /// Checks what [`Snapshot::write_to`] has written, in every format up to this program's; the error says what is
    /// wrong.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        let (content, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(TOO_SHORT)?;
        if Sha256::digest(content).as_slice() != sum {
            return Err(BAD_SUM.to_string());
        }
        let (label, states) = match version_of(content)? {
            version @ (1 | 2) => read_old(content, version)?,
            FORMAT_VERSION => read_current(content)?,
            other => return Err(format!("it has format {other}, this program reads up to {FORMAT_VERSION}")),
        };
        Ok(Self { label, bytes, states })
    }

    /// The saved state of a unit.
    pub fn state(&self, unit: &str) -> Option<&[u8]> {
        let (_, place) = self.states.iter().find(|(name, _)| name == unit)?;
        Some(&self.bytes[place.clone()])
    }
}

/// A label and where the states lie.
type Parts = (SnapshotLabel, Vec<(String, Range<usize>)>);

fn read_current(content: &[u8]) -> Result<Parts, String> {
    let label_start = PREAMBLE_BYTES + LENGTH_BYTES;
    if content.len() < label_start {
        return Err(NOT_A_SNAPSHOT.to_string());
    }
    let label_end = label_start.saturating_add(label_length(content));
    let label = content.get(label_start..label_end).ok_or("its label is cut short")?;
    let (StoredLabel { label, states: lengths }, _) = decoded(label)?;
    let mut states = Vec::new();
    let mut start = label_end + SUM_BYTES;
    for (unit, length) in lengths {
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        let end = end.filter(|end| *end <= content.len()).ok_or_else(|| format!("the state of {unit} is cut short"))?;
        states.push((unit, start..end));
        start = end;
    }
    match content.len().checked_sub(start) {
        Some(0) => Ok((label, states)),
        Some(left) => Err(format!("{left} bytes follow its states")),
        None => Err("its label is cut short".to_string()),
    }
}

fn read_old(content: &[u8], version: u32) -> Result<Parts, String> {
    let (OldLabel { at, outputs, partitions, logic, identity }, rest) = decoded(&content[PREAMBLE_BYTES..])?;
    let (count, mut rest) = decoded::<u64>(rest)?;
    let mut states = Vec::new();
    for _ in 0..count {
        let (unit, after_unit) = decoded::<String>(rest)?;
        let (length, after_length) = decoded::<u64>(after_unit)?;
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        let start = content.len() - after_length.len();
        rest = after_length.get(length..).ok_or_else(|| format!("the state of {unit} is cut short"))?;
        states.push((unit, start..start + length));
    }
    let output_partitions = if version == 1 { BTreeMap::new() } else { decoded(rest)?.0 };
    Ok((SnapshotLabel { at, outputs, partitions, logic, identity, output_partitions }, states))
}

/// A value, and the bytes that follow it.
fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), String> {
    postcard::take_from_bytes(bytes).map_err(|error| error.to_string())
}

fn version_of(content: &[u8]) -> Result<u32, String> {
    let after_magic = content.strip_prefix(MAGIC).ok_or(NOT_A_SNAPSHOT)?;
    let version = after_magic.first_chunk::<4>().ok_or(NOT_A_SNAPSHOT)?;
    Ok(u32::from_le_bytes(*version))
}

/// Length that the preamble says, which must be there.
fn label_length(content: &[u8]) -> usize {
    let length = content[PREAMBLE_BYTES..].first_chunk::<LENGTH_BYTES>().copied().unwrap_or_default();
    usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX)
}

/// So many bytes, or all that there are.
fn read_up_to(file: &mut impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
