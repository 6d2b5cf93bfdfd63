//! What a frame is, for a person at the command line: everything that may be shown, and the clear tracks only where
//! the key is a published test key.

use schemas::bundles::NumberRange;

use crate::OpenError;
use crate::idtech::{self, Frame, FrameFormat};
use crate::keys::KeyRing;
use crate::open::{ClearTracks, hash_fits, open_with};

/// A frame as people may see it.
#[derive(Debug)]
pub struct Revealed {
    /// Layout.
    pub format: FrameFormat,
    /// Key serial number, 20 hexadecimal digits.
    pub ksn: String,
    /// Key counter inside it.
    pub counter: u32,
    /// Key set whose prefix it has.
    pub key_set: Option<String>,
    /// Tracks 1, 2 and 3 as the reader shows them.
    pub masked_tracks: [Option<String>; 3],
    /// Whether the SHA-1 hashes of tracks 1 and 2 fit; nothing where the frame has none or no key was found.
    pub hash_checks: [Option<bool>; 2],
    /// The card, or why there is none.
    pub card: Result<RevealedCard, OpenError>,
}

/// What may be shown of the card.
#[derive(Debug)]
pub struct RevealedCard {
    /// Last four digits.
    pub last4: String,
    /// Scheme by number range.
    pub scheme: Option<String>,
    /// Whether length and check digit are right.
    pub luhn_ok: bool,
    /// Whether the card shows its last month.
    pub has_expiry: bool,
    /// Tracks 1 and 2 in clear, under a published test key only.
    pub clear_tracks: Option<[String; 2]>,
}

/// Looks into a frame. An error means that the bytes are no frame at all.
pub fn reveal(ring: &KeyRing, frame: &[u8], ranges: &[NumberRange]) -> Result<Revealed, OpenError> {
    let frame = idtech::parse(frame)?;
    let key_set = ring.key_set_for(frame.ksn, |_| true);
    let mut hash_checks = [None; 2];
    let card = match (frame.ksn.check(), key_set) {
        (Err(error), _) => Err(error.into()),
        (Ok(()), None) => Err(OpenError::UnknownKeySet(frame.ksn.to_hex())),
        (Ok(()), Some(key_set)) => {
            let clear = ClearTracks::decrypt(key_set, &frame);
            for (number, check) in hash_checks.iter_mut().enumerate() {
                *check = hash_fits(&frame.tracks[number], clear.track(number));
            }
            open_with(key_set, &frame).map(|opened| RevealedCard {
                last4: text(&opened.card.last4()),
                scheme: opened.card.scheme(ranges).map(str::to_string),
                luhn_ok: opened.card.is_valid(),
                has_expiry: opened.expiry.is_some(),
                clear_tracks: key_set.is_test().then(|| [0, 1].map(|number| text(clear.track(number)))),
            })
        }
    };
    Ok(Revealed {
        format: frame.format,
        ksn: frame.ksn.to_hex(),
        counter: frame.ksn.counter(),
        key_set: key_set.map(|key_set| key_set.id().to_string()),
        masked_tracks: masked_tracks(&frame),
        hash_checks,
        card,
    })
}

fn masked_tracks(frame: &Frame<'_>) -> [Option<String>; 3] {
    [0, 1, 2].map(|number| frame.tracks[number].masked.map(text))
}

/// Bytes as printable text: a terminal must not obey what a card says.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idtech::tests::published_frame;
    use crate::keys::{KeySet, PUBLISHED_BASE_KEY, PUBLISHED_ID_TECH};

    #[test]
    fn the_published_frame_shows_its_tracks_under_the_published_key() {
        let visa = NumberRange { from: "4".into(), to: "4".into(), scheme: "Visa".into() };
        let revealed = reveal(&KeyRing::published(), &published_frame(), &[visa]).unwrap();
        assert_eq!(revealed.format, FrameFormat::IdTechOriginal);
        assert_eq!((revealed.ksn.as_str(), revealed.counter), ("62994901190000000001", 1));
        assert_eq!(revealed.key_set.as_deref(), Some(PUBLISHED_ID_TECH));
        assert_eq!(revealed.masked_tracks[1].as_deref(), Some(";4266********9999=***************?*"));
        assert_eq!(revealed.hash_checks, [Some(true); 2]);
        let card = revealed.card.unwrap();
        assert_eq!((card.last4.as_str(), card.scheme.as_deref()), ("9999", Some("Visa")));
        assert!(!card.luhn_ok && card.has_expiry);
        assert_eq!(
            card.clear_tracks.unwrap(),
            [
                "%B4266841088889999^BUSH JR/GEORGE W.MR^0809101100001100000000046000000?!",
                ";4266841088889999=080910110000046?0",
            ]
        );
    }

    /// Showing tracks whenever a frame opens would print them here.
    #[test]
    fn no_other_key_shows_clear_tracks() {
        let key_set = KeySet::new("live", "6299", PUBLISHED_BASE_KEY, false).unwrap();
        let ring = KeyRing::default().with_key_set(key_set).unwrap();
        let revealed = reveal(&ring, &published_frame(), &[]).unwrap();
        assert_eq!(revealed.card.as_ref().unwrap().clear_tracks, None);
        assert!(!format!("{revealed:?}").contains("4266841088889999"));

        let wrong = KeySet::new("wrong", "6299", [9; 16], true).unwrap();
        let ring = KeyRing::default().with_key_set(wrong).unwrap();
        let revealed = reveal(&ring, &published_frame(), &[]).unwrap();
        assert_eq!(revealed.hash_checks, [Some(false); 2]);
        assert!(matches!(revealed.card, Err(OpenError::CannotDecrypt { .. })));
        let revealed = reveal(&KeyRing::default(), &published_frame(), &[]).unwrap();
        assert!(matches!(revealed.card, Err(OpenError::UnknownKeySet(_))) && revealed.key_set.is_none());
        assert!(matches!(reveal(&ring, b"no frame", &[]), Err(OpenError::Damaged(_))));
    }
}
