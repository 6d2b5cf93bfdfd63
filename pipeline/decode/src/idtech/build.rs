//! Making frames as a reader does.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::{BLOCK, END, ENHANCED_BIT, FrameFormat, KSN_BIT, MASK, START, seal};
use crate::dukpt::{Ksn, TdesKey, cbc_encrypt, swipe_key};
use crate::track::{TRACK1_LENGTH_MAX, TRACK2_LENGTH_MAX};

/// Digits of the card number that a masked track shows at either end (the readers' default).
const SHOWN_DIGITS: usize = 4;

/// Tracks of one swipe in clear, with sentinels and LRC; nothing for a track that could not be read.
#[derive(Clone, Copy, Default)]
pub struct Stripe<'track> {
    /// Track 1, at most 79 characters.
    pub track1: Option<&'track [u8]>,
    /// Track 2, at most 40 characters.
    pub track2: Option<&'track [u8]>,
}

/// The frame that a reader with this base key makes of a swipe: masked tracks, encrypted tracks, their SHA-1 hashes
/// and the key serial number; no session id, no reader serial, no track 3.
///
/// Nothing where a track is longer than any card's.
pub fn build(format: FrameFormat, base_key: &TdesKey, ksn: Ksn, stripe: Stripe<'_>) -> Option<Vec<u8>> {
    let tracks = [stripe.track1.unwrap_or_default(), stripe.track2.unwrap_or_default()];
    if tracks[0].len() > TRACK1_LENGTH_MAX || tracks[1].len() > TRACK2_LENGTH_MAX {
        return None;
    }
    let present = u8::from(!tracks[0].is_empty()) | u8::from(!tracks[1].is_empty()) << 1;
    let status = present | present << 3;
    let lengths = [tracks[0].len() as u8, tracks[1].len() as u8, 0];
    let mut card_data = vec![if format == FrameFormat::IdTechEnhanced { ENHANCED_BIT } else { 0 }, status];
    card_data.extend(lengths);
    if format == FrameFormat::IdTechEnhanced {
        card_data.extend([present, KSN_BIT | present << 3 | present]);
    }
    for track in tracks {
        card_data.extend(masked(track));
    }
    let key = swipe_key(base_key, ksn);
    match format {
        FrameFormat::IdTechOriginal => card_data.extend(encrypted(&key, &Zeroizing::new(tracks.concat()))),
        FrameFormat::IdTechEnhanced => tracks.iter().for_each(|track| card_data.extend(encrypted(&key, track))),
    }
    for track in tracks.iter().filter(|track| !track.is_empty()) {
        card_data.extend_from_slice(&Sha1::digest(track));
    }
    card_data.extend(ksn.bytes());
    Some(enveloped(&card_data))
}

/// Card data between start, length, LRC, checksum and end; it is shorter than 64 KiB.
pub(super) fn enveloped(card_data: &[u8]) -> Vec<u8> {
    let [length_low, length_high] = (card_data.len() as u16).to_le_bytes();
    let (lrc, checksum) = seal(card_data);
    [&[START, length_low, length_high], card_data, &[lrc, checksum, END]].concat()
}

fn encrypted(key: &TdesKey, clear: &[u8]) -> Vec<u8> {
    let mut blocks = vec![[0; BLOCK]; clear.len().div_ceil(BLOCK)];
    blocks.as_flattened_mut()[..clear.len()].copy_from_slice(clear);
    cbc_encrypt(key, &mut blocks);
    blocks.as_flattened().to_vec()
}

/// A track as the reader shows it: sentinels, separators, four digits of the card number at either end and the name
/// stand, everything else is masked.
fn masked(track: &[u8]) -> Vec<u8> {
    let separator = if track.first() == Some(&b'%') { b'^' } else { b'=' };
    let number_start = if separator == b'^' { 2 } else { 1 };
    let mut separators = track.iter().enumerate().filter(|(_, character)| **character == separator);
    let number_end = separators.next().map_or(0, |(place, _)| place);
    let name_end = separators.next().map_or(number_end, |(place, _)| place);
    let name_end = if separator == b'^' { name_end } else { number_end };
    let sentinel_end = track.iter().position(|character| *character == b'?');
    let shown = |place: usize| {
        let in_number = (number_start..number_end).contains(&place);
        let at_either_end = place < number_start + SHOWN_DIGITS || place + SHOWN_DIGITS >= number_end;
        place == 0
            || Some(place) == sentinel_end
            || in_number && at_either_end
            || (number_end..=name_end).contains(&place)
    };
    track.iter().enumerate().map(|(place, character)| if shown(place) { *character } else { MASK }).collect()
}
