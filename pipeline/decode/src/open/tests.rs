use proptest::prelude::*;

use super::*;
use crate::dukpt::TdesKey;
use crate::idtech::tests::{TRACK1, TRACK2, published_frame, resealed};
use crate::idtech::{Stripe, build};
use crate::keys::PUBLISHED_BASE_KEY;
use FrameFormat::{IdTechEnhanced, IdTechOriginal};

const KSN: &str = "62994901190000000001";

fn frame(format: FrameFormat, track1: Option<&[u8]>, track2: Option<&[u8]>) -> Vec<u8> {
    let stripe = Stripe { track1, track2 };
    build(format, &TdesKey::new(PUBLISHED_BASE_KEY), Ksn::from_hex(KSN).unwrap(), stripe).unwrap()
}

/// An enhanced frame without its hashes, as a reader set to send none makes it.
fn without_hashes(track1: &[u8], track2: &[u8]) -> Vec<u8> {
    resealed(&frame(IdTechEnhanced, Some(track1), Some(track2)), |card_data| {
        card_data[6] &= !0x38;
        let ksn_start = card_data.len() - Ksn::LENGTH;
        card_data.drain(ksn_start - 40..ksn_start);
    })
}

fn reason(frame: &[u8]) -> Result<(), schemas::reasons::Reason> {
    open_frame(&KeyRing::published(), frame).map(|_| ()).map_err(|error| error.reason())
}

/// A track with its last character replaced by the right printable LRC.
fn with_lrc(text: &str, first: u8) -> Vec<u8> {
    let lrc = text.bytes().fold(0, |lrc, character| lrc ^ (character - first)) + first;
    [text.as_bytes(), &[lrc]].concat()
}

#[test]
fn the_published_frame_opens_to_the_published_card() {
    let ring = KeyRing::published();
    for bytes in [published_frame(), frame(IdTechEnhanced, Some(TRACK1), Some(TRACK2)), without_hashes(TRACK1, TRACK2)]
    {
        let opened = open_frame(&ring, &bytes).unwrap();
        assert_eq!(opened.card.digits(), b"4266841088889999");
        assert_eq!(opened.expiry, Some(Expiry { year: 8, month: 9 }));
        assert_eq!(opened.service, Some(*b"101"));
        assert_eq!(&opened.name.as_ref().unwrap().text[..19], b"BUSH JR/GEORGE W.MR");
        assert_eq!(opened.key_set, crate::keys::PUBLISHED_ID_TECH);
        let shown = format!("{opened:?} {:?}", opened.name);
        assert!(!shown.contains("9999") && !shown.contains("BUSH"), "{shown}");
    }
}

#[test]
fn one_track_is_enough_and_the_name_is_then_unknown() {
    let ring = KeyRing::published();
    for format in [IdTechOriginal, IdTechEnhanced] {
        let bytes = frame(format, None, Some(TRACK2));
        let opened = open_frame(&ring, &bytes).unwrap();
        assert!(opened.name.is_none() && opened.expiry.is_some());
        let bytes = frame(format, Some(TRACK1), None);
        let opened = open_frame(&ring, &bytes).unwrap();
        assert!(opened.name.is_some() && opened.card.digits() == b"4266841088889999");
    }
}

#[test]
fn tracks_that_contradict_each_other_give_no_card() {
    use schemas::reasons::Reason::{CannotDecrypt, NoTrack, TracksDisagree};
    let number = with_lrc(";4266841088889998=080910110000046?", b'0');
    let month = with_lrc(";4266841088889999=081010110000046?", b'0');
    for track2 in [number, month] {
        assert_eq!(reason(&frame(IdTechEnhanced, Some(TRACK1), Some(&track2))), Err(TracksDisagree));
        assert_eq!(reason(&frame(IdTechOriginal, Some(TRACK1), Some(&track2))), Err(TracksDisagree));
    }
    // The masked track 2 (from 5 + 72 on) shows another first digit than the opened one.
    let tampered = resealed(&published_frame(), |card_data| card_data[5 + 72 + 1] = b'5');
    assert_eq!(reason(&tampered), Err(TracksDisagree));
    // Proven by hashes, but no bank card: nothing to read. Without hashes nothing proves the key.
    let (odd1, odd2) = (b"%A12345?".as_slice(), b";12345?".as_slice());
    assert_eq!(reason(&frame(IdTechEnhanced, Some(odd1), Some(odd2))), Err(NoTrack));
    assert_eq!(reason(&without_hashes(odd1, odd2)), Err(CannotDecrypt));
}

#[test]
fn illegal_counters_and_foreign_prefixes_are_refused_before_any_key_is_tried() {
    use schemas::reasons::Reason::{IllegalCounter, UnknownKeySet};
    let with = |ksn: &str| {
        resealed(&published_frame(), |card_data| {
            let ksn_start = card_data.len() - Ksn::LENGTH;
            card_data[ksn_start..].copy_from_slice(&hex::decode(ksn).unwrap());
        })
    };
    assert_eq!(reason(&with("62994901190000000000")), Err(IllegalCounter));
    assert_eq!(reason(&with("629949011900000007FF")), Err(IllegalCounter));
    assert_eq!(reason(&with("62994902190000000001")), Err(UnknownKeySet));
}

/// Somebody changes bytes and makes the envelope fit again: whatever still opens is the very same card. Dropping the
/// hash or the masked track from the checks shows another card or name here.
#[test]
fn a_tampered_frame_opens_to_the_same_card_or_not_at_all() {
    let ring = KeyRing::published();
    for (bytes, opened_max) in [(published_frame(), 1_900), (frame(IdTechEnhanced, Some(TRACK1), Some(TRACK2)), 1_000)]
    {
        let mut still_open = 0;
        for place in 0..bytes.len() - 6 {
            for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF, bytes[3 + place] ^ MASK] {
                let tampered = resealed(&bytes, |card_data| card_data[place] ^= change);
                let Ok(opened) = open_frame(&ring, &tampered) else { continue };
                assert_eq!(opened.card.digits(), b"4266841088889999");
                assert_eq!(opened.service, Some(*b"101"));
                assert_eq!(&opened.name.as_ref().unwrap().text[..19], b"BUSH JR/GEORGE W.MR");
                still_open += 1;
            }
        }
        // Track 3, track status and further masking are nobody's secret; all else is found.
        assert!(still_open < opened_max, "{still_open}");
    }
}

/// Numbers with a right check digit, and names, of any legal length.
fn card() -> impl Strategy<Value = (String, String)> {
    ("[0-9]{12,19}", "[A-Z]{1,12}/[A-Z ]{0,12}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_reader_closes_opens_again((number, name) in card(), counter in 1_u32..0x1F_F800, enhanced: bool) {
        let counter = crate::dukpt::next_counter(counter - 1).unwrap();
        let ksn = Ksn::from_hex(KSN).unwrap().with_counter(counter);
        let track1 = with_lrc(&format!("%B{number}^{name}^3112201?"), b' ');
        let track2 = with_lrc(&format!(";{number}=3112201?"), b'0');
        let stripe = Stripe { track1: Some(&track1), track2: Some(&track2) };
        let format = if enhanced { IdTechEnhanced } else { IdTechOriginal };
        let frame = build(format, &TdesKey::new(PUBLISHED_BASE_KEY), ksn, stripe).unwrap();
        let ring = KeyRing::published();
        let opened = open_frame(&ring, &frame).unwrap();
        prop_assert_eq!(opened.card.digits(), number.as_bytes());
        prop_assert_eq!(&opened.name.as_ref().unwrap().text[..name.len()], name.as_bytes());
        prop_assert_eq!(opened.ksn, ksn);
    }

    /// Dropping the hash and the structure from the proof lets noise pass here.
    #[test]
    fn a_wrong_key_never_yields_a_card(key: [u8; 16], other_counter in 1_u32..0x1F_F800) {
        prop_assume!(key.map(|byte| byte & 0xFE) != PUBLISHED_BASE_KEY.map(|byte| byte & 0xFE));
        let wrong = KeySet::new("wrong", "62994901", key, true).unwrap();
        let ring = KeyRing::default().with_key_set(wrong).unwrap();
        let hashed = frame(IdTechEnhanced, Some(TRACK1), Some(TRACK2));
        let other = crate::dukpt::next_counter(other_counter).unwrap();
        for bytes in [published_frame(), hashed, without_hashes(TRACK1, TRACK2)] {
            let refused = matches!(open_frame(&ring, &bytes), Err(OpenError::CannotDecrypt { .. }));
            prop_assert!(refused);
            // The right base key with another counter is a wrong key too.
            let moved = resealed(&bytes, |card_data| {
                let ksn_start = card_data.len() - Ksn::LENGTH;
                let ksn = Ksn::from_hex(KSN).unwrap().with_counter(other);
                card_data[ksn_start..].copy_from_slice(&ksn.bytes());
            });
            let refused = matches!(open_frame(&KeyRing::published(), &moved), Err(OpenError::CannotDecrypt { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, card_data: Vec<u8>, start in 0_usize..400) {
        let ring = KeyRing::published();
        prop_assert!(open_frame(&ring, &bytes).is_err());
        // Behind a whole envelope, and after the header of a real frame.
        prop_assert!(open_frame(&ring, &resealed(&[0; 6], |inner| *inner = card_data.clone())).is_err());
        let spliced = resealed(&published_frame(), |inner| {
            inner.truncate(start);
            inner.extend(&card_data);
        });
        let _ = open_frame(&ring, &spliced).map(|opened| opened.card.last4());
    }
}
