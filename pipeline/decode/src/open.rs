//! Opening a frame: key, decryption, proof that it was the right key, and the card. No heap allocation unless the
//! frame is refused.

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::OpenError;
use crate::card::CardNumber;
use crate::dukpt::{self, Cipher, Ksn};
use crate::idtech::{self, BLOCK, Frame, FrameFormat, MASK, Section};
use crate::keys::{KeyRing, KeySet};
use crate::track::{
    Expiry, NAME_LENGTH_MAX, ServiceCode, TRACK1_LENGTH_MAX, TRACK2_LENGTH_MAX, Track, read_track1, read_track2,
};

/// Blocks of tracks 1 and 2, each on its own.
const BLOCKS_MAX: usize = TRACK1_LENGTH_MAX.div_ceil(BLOCK) + TRACK2_LENGTH_MAX.div_ceil(BLOCK);

/// What a frame says once opened: card data, that lives as long as one swipe is looked at.
pub struct OpenedFrame<'ring> {
    /// Layout of the frame.
    pub format: FrameFormat,
    /// Its key serial number.
    pub ksn: Ksn,
    /// Key set that opened it.
    pub key_set: &'ring str,
    /// The card.
    pub card: CardNumber,
    /// Holder's name field of track 1; nothing where track 1 could not be read.
    pub name: Option<HolderName>,
    /// Last month of the card, where it shows one.
    pub expiry: Option<Expiry>,
    /// Service code, where the card shows one.
    pub service: Option<ServiceCode>,
}

impl std::fmt::Debug for OpenedFrame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedFrame").field("ksn", &self.ksn).field("key_set", &self.key_set).finish_non_exhaustive()
    }
}

/// Name field of track 1; wiped on drop, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct HolderName {
    text: [u8; NAME_LENGTH_MAX],
    length: u8,
}

impl HolderName {
    fn new(name: &[u8]) -> Self {
        let mut text = [0; NAME_LENGTH_MAX];
        text[..name.len()].copy_from_slice(name);
        Self { text, length: name.len() as u8 }
    }

    /// Whether the field names nobody: blank, or one of the placeholders (upper case).
    pub fn names_nobody(&self, placeholders: &[String]) -> bool {
        crate::track::names_nobody(&self.text[..usize::from(self.length)], placeholders)
    }
}

impl std::fmt::Debug for HolderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("holder's name ****")
    }
}

/// Opens a frame with whichever key set of the ring has the longest prefix of its key serial number.
pub fn open_frame<'ring>(ring: &'ring KeyRing, frame: &[u8]) -> Result<OpenedFrame<'ring>, OpenError> {
    let frame = idtech::parse(frame)?;
    frame.ksn.check()?;
    let key_set = ring.key_set_for(frame.ksn, |_| true);
    open_with(key_set.ok_or_else(|| OpenError::UnknownKeySet(frame.ksn.to_hex()))?, &frame)
}

/// Opens a frame whose counter is legal.
pub(crate) fn open_with<'ring>(key_set: &'ring KeySet, frame: &Frame<'_>) -> Result<OpenedFrame<'ring>, OpenError> {
    let clear = ClearTracks::decrypt(key_set, frame);
    let [track1, track2] = [clear.track(0), clear.track(1)];
    let refuse = |proof| OpenError::CannotDecrypt { key_set: key_set.id().to_string(), proof };
    if clear.padding().any(|byte| byte != 0) {
        return Err(refuse("the padding is not zero"));
    }
    let first = proven(&frame.tracks[0], track1, read_track1).map_err(refuse)?;
    let second = proven(&frame.tracks[1], track2, read_track2).map_err(refuse)?;
    for (section, text) in frame.tracks.iter().zip([track1, track2]) {
        if !text.is_empty() && !agrees_with_mask(section, text) {
            return Err(OpenError::TracksDisagree("a masked track differs from the opened one"));
        }
    }
    if let (Some(first), Some(second)) = (&first, &second) {
        if !bool::from(first.number.ct_eq(second.number)) {
            return Err(OpenError::TracksDisagree("tracks 1 and 2 show different card numbers"));
        }
        if first.expiry.zip(second.expiry).is_some_and(|(first, second)| first != second) {
            return Err(OpenError::TracksDisagree("tracks 1 and 2 show different months"));
        }
    }
    let name = first.as_ref().and_then(|track| track.name).map(HolderName::new);
    let expiry = first.as_ref().and_then(|track| track.expiry).or(second.as_ref().and_then(|track| track.expiry));
    let service = second.as_ref().and_then(|track| track.service).or(first.as_ref().and_then(|track| track.service));
    let number = second.or(first).map(|track| track.number);
    let card =
        number.and_then(CardNumber::from_digits).ok_or(OpenError::NoTrack("no track has the layout of a card"))?;
    Ok(OpenedFrame { format: frame.format, ksn: frame.ksn, key_set: key_set.id(), card, name, expiry, service })
}

/// Reads a track after proof that the key was the right one: its SHA-1 hash where the frame has one, else its
/// structure. A track that is proven by its hash and has another layout is one that cannot be read.
fn proven<'track>(
    section: &Section<'_>,
    text: &'track [u8],
    read: fn(&[u8]) -> Option<Track<'_>>,
) -> Result<Option<Track<'track>>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    match hash_fits(section, text) {
        Some(false) => Err("a track differs from its hash"),
        Some(true) => Ok(read(text)),
        None => read(text).map(Some).ok_or("there is no hash, and no track of a card comes out"),
    }
}

/// Whether the hash of a track is the one in the frame, compared in constant time; nothing where the frame has none.
pub(crate) fn hash_fits(section: &Section<'_>, text: &[u8]) -> Option<bool> {
    section.hash.map(|hash| bool::from(Sha1::digest(text).as_slice().ct_eq(hash)))
}

/// Whether each character that the masked track shows is the opened track's.
fn agrees_with_mask(section: &Section<'_>, text: &[u8]) -> bool {
    section.masked.is_none_or(|masked| {
        masked.iter().zip(text).fold(true, |agrees, (shown, clear)| agrees & (*shown == MASK || shown == clear))
    })
}

/// Tracks 1 and 2 in clear; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClearTracks {
    blocks: [[u8; BLOCK]; BLOCKS_MAX],
    /// Where each track starts and ends.
    places: [(usize, usize); 2],
    /// End of each encrypted part.
    ends: [usize; 2],
}

impl ClearTracks {
    pub(crate) fn decrypt(key_set: &KeySet, frame: &Frame<'_>) -> Self {
        let Cipher::TdesDukpt = key_set.cipher();
        let key = dukpt::swipe_key(key_set.base_key(), frame.ksn);
        let mut clear = Self { blocks: [[0; BLOCK]; BLOCKS_MAX], places: [(0, 0); 2], ends: [0; 2] };
        let [length1, length2] = [frame.tracks[0].length, frame.tracks[1].length];
        if let Some(joint) = frame.joint {
            clear.decrypt_part(&key, 0, joint);
            clear.places = [(0, length1), (length1, length1 + length2)];
            clear.ends = [length1, joint.len()];
            return clear;
        }
        let mut start = 0;
        for (number, section) in frame.tracks[..2].iter().enumerate() {
            let Some(encrypted) = section.encrypted else { continue };
            clear.decrypt_part(&key, start, encrypted);
            clear.places[number] = (start, start + section.length);
            start += encrypted.len();
            clear.ends[number] = start;
        }
        clear
    }

    fn decrypt_part(&mut self, key: &dukpt::TdesKey, start: usize, encrypted: &[u8]) {
        let end = start + encrypted.len();
        self.blocks.as_flattened_mut()[start..end].copy_from_slice(encrypted);
        dukpt::cbc_decrypt(key, &mut self.blocks[start / BLOCK..end / BLOCK]);
    }

    /// Track 1 (0) or 2 (1); empty where the frame has none.
    pub(crate) fn track(&self, number: usize) -> &[u8] {
        let (start, end) = self.places[number];
        &self.blocks.as_flattened()[start..end]
    }

    /// What fills up the last block of each encrypted part.
    fn padding(&self) -> impl Iterator<Item = u8> {
        let parts = self.places.iter().zip(self.ends);
        parts.flat_map(|((_, track_end), part_end)| self.blocks.as_flattened()[*track_end..part_end].iter().copied())
    }
}

#[cfg(test)]
mod tests;
