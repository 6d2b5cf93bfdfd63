//! Frames of ID TECH encrypting swipe readers (UniMag/Shuttle family, also sold as Unitech MS246), original and
//! enhanced format: taking them apart and, for a simulated reader, making them.
//!
//! `02`, length (2 bytes, low first), card data, LRC (XOR of card data), checksum (sum modulo 256), `03`. Card data:
//! card type (high bit: enhanced format), track status, three track lengths, in the enhanced format two bytes of
//! flags, masked tracks, encrypted tracks, SHA-1 hashes of the clear tracks, reader serial, key serial number. The
//! original format encrypts tracks 1 and 2 as one block and sends track 3 in clear; the enhanced one encrypts each
//! track on its own. Source: user manuals of ID TECH SecureMag (80096504-001) and Unitech MS246.

mod build;
#[cfg(test)]
pub(crate) mod tests;

pub use build::{Stripe, build};

use crate::OpenError;
use crate::dukpt::Ksn;
use crate::track::{TRACK1_LENGTH_MAX, TRACK2_LENGTH_MAX};

const START: u8 = 0x02;
const END: u8 = 0x03;
/// Start, two bytes of length; LRC, checksum, end.
const ENVELOPE_LENGTH: usize = 6;
const ENHANCED_BIT: u8 = 0x80;
/// Bank card (ISO/ABA), the only kind of card that a payment takes.
const CARD_TYPE_MASK: u8 = 0x7F;
/// Track status: optional bytes follow (SHA-256, MAC); no reader of this family sends them by default.
const OPTIONAL_BYTES_BIT: u8 = 0x40;
const RESERVED_BIT: u8 = 0x80;
/// Field 8: a fixed key, AES, the PIN variant: none of them is [`crate::dukpt::Cipher::TdesDukpt`].
const FIXED_KEY_BIT: u8 = 0x08;
const AES_BIT: u8 = 0x10;
const PIN_KEY_BIT: u8 = 0x40;
const SERIAL_BIT: u8 = 0x80;
/// Field 9.
const SESSION_BIT: u8 = 0x40;
const KSN_BIT: u8 = 0x80;
const HASH_LENGTH: usize = 20;
const SERIAL_LENGTH: usize = 10;
/// Character that stands for one that is not shown.
pub(crate) const MASK: u8 = b'*';
/// Block of the cipher: encrypted lengths are multiples of it.
pub(crate) const BLOCK: usize = 8;

/// Layout of a frame. Readers of other makers would add theirs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFormat {
    /// ID TECH original format.
    IdTechOriginal,
    /// ID TECH enhanced format.
    IdTechEnhanced,
}

/// A frame taken apart; nothing is opened yet.
pub struct Frame<'frame> {
    /// Its layout.
    pub format: FrameFormat,
    /// Names the key.
    pub ksn: Ksn,
    /// Tracks 1, 2 and 3.
    pub tracks: [Section<'frame>; 3],
    /// Original format: tracks 1 and 2 encrypted as one.
    pub(crate) joint: Option<&'frame [u8]>,
}

/// What a frame holds of one track.
#[derive(Default)]
pub struct Section<'frame> {
    /// Length of the clear track, 0 where the reader could not read it.
    pub length: usize,
    /// The track with most digits masked (all of it for track 3 of the original format, which is not encrypted).
    pub masked: Option<&'frame [u8]>,
    pub(crate) encrypted: Option<&'frame [u8]>,
    pub(crate) hash: Option<&'frame [u8; HASH_LENGTH]>,
}

/// Takes a frame apart. Every byte must be accounted for; any single changed byte is found by LRC, checksum, length,
/// start or end.
pub fn parse(frame: &[u8]) -> Result<Frame<'_>, OpenError> {
    let mut rest = Rest(unwrap_envelope(frame)?);
    let [card_type, status, lengths @ ..] = *rest.array::<5>()?;
    if card_type & CARD_TYPE_MASK != 0 {
        return Err(OpenError::Unsupported("not a bank card (ISO/ABA)"));
    }
    if status & (OPTIONAL_BYTES_BIT | RESERVED_BIT) != 0 {
        return Err(OpenError::Unsupported("optional status bytes"));
    }
    let lengths = lengths.map(usize::from);
    if lengths[0] > TRACK1_LENGTH_MAX || lengths[1] > TRACK2_LENGTH_MAX {
        return Err(OpenError::Damaged("a track is longer than any card's"));
    }
    if lengths[0] + lengths[1] == 0 {
        return Err(OpenError::NoTrack("the reader read neither track 1 nor 2"));
    }
    let parsed = match card_type & ENHANCED_BIT {
        0 => parse_original(&mut rest, lengths)?,
        _ => parse_enhanced(&mut rest, lengths)?,
    };
    if rest.0.is_empty() { Ok(parsed) } else { Err(OpenError::Damaged("bytes are left over")) }
}

/// Checks start, length, LRC, checksum and end; gives the card data.
fn unwrap_envelope(frame: &[u8]) -> Result<&[u8], OpenError> {
    let ([START, length_low, length_high, rest @ ..], true) = (frame, frame.len() >= ENVELOPE_LENGTH) else {
        return Err(OpenError::Damaged("no start of frame"));
    };
    let length = usize::from(u16::from_le_bytes([*length_low, *length_high]));
    let Some((card_data, [lrc, checksum, END])) = rest.split_at_checked(length) else {
        return Err(OpenError::Damaged("length and end of frame do not fit"));
    };
    if seal(card_data) != (*lrc, *checksum) {
        return Err(OpenError::Damaged("lrc or checksum is wrong"));
    }
    Ok(card_data)
}

/// LRC and checksum of card data.
fn seal(card_data: &[u8]) -> (u8, u8) {
    card_data.iter().fold((0, 0), |(lrc, sum), byte| (lrc ^ byte, sum.wrapping_add(*byte)))
}

fn parse_original<'frame>(rest: &mut Rest<'frame>, lengths: [usize; 3]) -> Result<Frame<'frame>, OpenError> {
    let mut tracks: [Section<'frame>; 3] = Default::default();
    for (track, length) in tracks.iter_mut().zip(lengths) {
        track.length = length;
        if length > 0 {
            track.masked = Some(rest.take(length)?);
        }
    }
    let joint = rest.take((lengths[0] + lengths[1]).next_multiple_of(BLOCK))?;
    for track in &mut tracks[..2] {
        if track.length > 0 {
            track.hash = Some(rest.array()?);
        }
    }
    let ksn = Ksn::new(*rest.array()?);
    Ok(Frame { format: FrameFormat::IdTechOriginal, ksn, tracks, joint: Some(joint) })
}

fn parse_enhanced<'frame>(rest: &mut Rest<'frame>, lengths: [usize; 3]) -> Result<Frame<'frame>, OpenError> {
    let [shown, closed] = *rest.array::<2>()?;
    if shown & (FIXED_KEY_BIT | AES_BIT | PIN_KEY_BIT) != 0 {
        return Err(OpenError::Unsupported("another cipher than TDES DUKPT with the data key"));
    }
    if closed & SESSION_BIT != 0 {
        return Err(OpenError::Unsupported("session id"));
    }
    let mut tracks: [Section<'frame>; 3] = Default::default();
    for (number, (track, length)) in tracks.iter_mut().zip(lengths).enumerate() {
        track.length = length;
        if (shown | closed | closed >> 3) >> number & 1 == 1 && length == 0 {
            return Err(OpenError::Damaged("flags name a track that has no length"));
        }
        if shown >> number & 1 == 1 {
            track.masked = Some(rest.take(length)?);
        }
    }
    for (number, track) in tracks.iter_mut().enumerate() {
        if closed >> number & 1 == 1 {
            track.encrypted = Some(rest.take(track.length.next_multiple_of(BLOCK))?);
        }
    }
    if tracks[..2].iter().all(|track| track.encrypted.is_none()) {
        return Err(OpenError::NoTrack("neither track 1 nor 2 is encrypted"));
    }
    for (number, track) in tracks.iter_mut().enumerate() {
        if closed >> (3 + number) & 1 == 1 {
            track.hash = Some(rest.array()?);
        }
    }
    if shown & SERIAL_BIT != 0 {
        rest.take(SERIAL_LENGTH)?;
    }
    if closed & KSN_BIT == 0 {
        return Err(OpenError::Damaged("no key serial number"));
    }
    let ksn = Ksn::new(*rest.array()?);
    Ok(Frame { format: FrameFormat::IdTechEnhanced, ksn, tracks, joint: None })
}

/// Bytes not yet accounted for.
struct Rest<'frame>(&'frame [u8]);

impl<'frame> Rest<'frame> {
    fn take(&mut self, length: usize) -> Result<&'frame [u8], OpenError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(OpenError::Damaged("a section is missing"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<&'frame [u8; LENGTH], OpenError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(OpenError::Damaged("a section is missing"))?;
        self.0 = rest;
        Ok(taken)
    }
}
