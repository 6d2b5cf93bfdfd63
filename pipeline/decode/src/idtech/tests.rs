use super::*;
use crate::dukpt::TdesKey;
use crate::keys::{KeyRing, PUBLISHED_BASE_KEY};
use crate::open_frame;

pub(crate) const TRACK1: &[u8] = b"%B4266841088889999^BUSH JR/GEORGE W.MR^0809101100001100000000046000000?!";
pub(crate) const TRACK2: &[u8] = b";4266841088889999=080910110000046?0";

/// The frame in the user manual of the Unitech MS246, in the original format.
pub(crate) fn published_frame() -> Vec<u8> {
    let text = include_str!("../../../../tests/data/idtech_frame.hex");
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

/// Changes the card data and makes length, LRC and checksum fit again, as somebody who tampers would.
pub(crate) fn resealed(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut card_data = frame[3..frame.len() - 3].to_vec();
    change(&mut card_data);
    build::enveloped(&card_data)
}

#[test]
fn the_published_frame_is_taken_apart() {
    let bytes = published_frame();
    let frame = parse(&bytes).unwrap();
    assert_eq!((bytes.len(), frame.format), (387, FrameFormat::IdTechOriginal));
    assert_eq!(frame.ksn.to_hex(), "62994901190000000001");
    assert_eq!(frame.tracks.each_ref().map(|track| track.length), [72, 35, 107]);
    assert_eq!(frame.tracks[1].masked, Some(b";4266********9999=***************?*".as_slice()));
    assert_eq!(frame.joint.unwrap().len(), 112);
    assert!(frame.tracks[0].hash.is_some() && frame.tracks[1].hash.is_some() && frame.tracks[2].hash.is_none());
}

/// The maker of frames agrees with the maker of readers: all but track 3, which it leaves out, byte by byte.
#[test]
fn the_published_frame_is_made_again() {
    let published = published_frame();
    let expected = resealed(&published, |card_data| {
        card_data.drain(5 + 72 + 35..5 + 72 + 35 + 107);
        (card_data[1], card_data[4]) = (0x1B, 0);
    });
    let ksn = Ksn::from_hex("62994901190000000001").unwrap();
    let stripe = Stripe { track1: Some(TRACK1), track2: Some(TRACK2) };
    let built = build(FrameFormat::IdTechOriginal, &TdesKey::new(PUBLISHED_BASE_KEY), ksn, stripe).unwrap();
    assert_eq!(hex::encode(built), hex::encode(expected));
}

/// Exhaustive: 387 positions with 255 wrong values each. Dropping the LRC, the checksum or the end from the checks
/// lets some of them pass.
#[test]
fn every_single_wrong_byte_of_the_published_frame_is_found() {
    let ring = KeyRing::published();
    let mut frame = published_frame();
    for place in 0..frame.len() {
        let right = frame[place];
        for wrong in (0..=255).filter(|wrong| *wrong != right) {
            frame[place] = wrong;
            assert!(open_frame(&ring, &frame).is_err(), "{place} {wrong}");
        }
        frame[place] = right;
    }
    assert!(open_frame(&ring, &frame).is_ok());
}

#[test]
fn every_shorter_and_longer_frame_is_refused() {
    for format in [FrameFormat::IdTechOriginal, FrameFormat::IdTechEnhanced] {
        let frame = frame_of(format, Some(TRACK1), Some(TRACK2));
        for length in 0..frame.len() {
            assert!(parse(&frame[..length]).is_err(), "{length}");
        }
        assert!(parse(&[&frame[..], &[0]].concat()).is_err());
        // The same with an envelope that fits: no section may be short and no byte left over.
        for length in 0..frame.len() - ENVELOPE_LENGTH {
            assert!(parse(&resealed(&frame, |card_data| card_data.truncate(length))).is_err(), "{length}");
        }
        assert!(parse(&resealed(&frame, |card_data| card_data.push(0))).is_err());
    }
}

fn frame_of(format: FrameFormat, track1: Option<&[u8]>, track2: Option<&[u8]>) -> Vec<u8> {
    let ksn = Ksn::from_hex("62994901190000000001").unwrap();
    build(format, &TdesKey::new(PUBLISHED_BASE_KEY), ksn, Stripe { track1, track2 }).unwrap()
}

#[test]
fn kinds_of_frames_that_are_not_opened_are_named() {
    let frame = frame_of(FrameFormat::IdTechEnhanced, Some(TRACK1), Some(TRACK2));
    let with = |place: usize, value: u8| parse(&resealed(&frame, |card_data| card_data[place] = value)).err();
    for (place, value) in [(0, 0x81), (0, 0x83), (1, 0x5B), (1, 0x9B), (5, 0x0B), (5, 0x13), (5, 0x43), (6, 0xDB)] {
        assert!(matches!(with(place, value), Some(OpenError::Unsupported(_))), "{place} {value:#x}");
    }
    for (place, value) in [(2, 80), (3, 41), (5, 0x07), (6, 0x9F), (6, 0xBB), (6, 0x1B)] {
        assert!(matches!(with(place, value), Some(OpenError::Damaged(_))), "{place} {value:#x}");
    }
    let empty = frame_of(FrameFormat::IdTechEnhanced, None, None);
    assert!(matches!(parse(&empty).err(), Some(OpenError::NoTrack(_))));
    let only_shown = resealed(&frame, |card_data| {
        card_data[6] = 0x80;
        card_data.drain(7 + 72 + 35..7 + 72 + 35 + 72 + 40 + 40);
    });
    assert!(matches!(parse(&only_shown).err(), Some(OpenError::NoTrack(_))));
    // A reader serial and the chip flag are no reason to refuse.
    let with_serial = resealed(&frame, |card_data| {
        card_data[5] |= SERIAL_BIT | 0x20;
        let ksn_start = card_data.len() - Ksn::LENGTH;
        card_data.splice(ksn_start..ksn_start, *b"0123456789");
    });
    assert!(open_frame(&KeyRing::published(), &with_serial).is_ok());
    let ksn = Ksn::new([0; 10]);
    let long = Stripe { track1: Some(&[b' '; 80]), track2: None };
    assert!(build(FrameFormat::IdTechEnhanced, &TdesKey::new([0; 16]), ksn, long).is_none());
}
