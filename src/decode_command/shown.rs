//! A frame as it is printed, for people and as JSON. What a reader leaves unmasked is masked here, unless the frame
//! opened under a published test key: track 3 of the original format comes in clear, and a reader can be set up wrongly.

use decode::OpenError;
use decode::idtech::FrameFormat;
use decode::reveal::{Revealed, RevealedCard};
use serde::Serialize;

/// Shortest card number (ISO/IEC 7812): fewer digits in a row are none.
const CARD_DIGITS_MIN: usize = 8;
/// Digits at its end that may be shown.
const LAST_DIGITS: usize = 4;

/// One frame.
#[derive(Debug, Serialize)]
pub struct ShownFrame {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<ShownOutside>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<ShownCard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct ShownOutside {
    layout: &'static str,
    ksn: String,
    counter: u32,
    key_set: Option<String>,
    masked_tracks: [Option<String>; 3],
    hash_checks: [Option<bool>; 2],
}

#[derive(Debug, Serialize)]
struct ShownCard {
    last4: String,
    scheme: Option<String>,
    luhn_ok: bool,
    has_expiry: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear_tracks: Option<[String; 2]>,
}

#[derive(Debug, Serialize)]
struct Problem {
    reason: &'static str,
    message: String,
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        Self { reason: error.reason().name(), message: error.to_string() }
    }
}

impl From<RevealedCard> for ShownCard {
    fn from(card: RevealedCard) -> Self {
        let RevealedCard { last4, scheme, luhn_ok, has_expiry, clear_tracks } = card;
        Self { last4, scheme, luhn_ok, has_expiry, clear_tracks }
    }
}

impl ShownFrame {
    /// What may be shown of a frame that comes from `source`.
    pub fn of(source: String, revealed: Result<Revealed, OpenError>) -> Self {
        let revealed = match revealed {
            Ok(revealed) => revealed,
            Err(error) => return Self { source, frame: None, card: None, problem: Some(error.into()) },
        };
        let is_test_card = revealed.card.as_ref().is_ok_and(|card| card.clear_tracks.is_some());
        let masked = |track: Option<String>| track.map(|track| if is_test_card { track } else { mask(&track) });
        let frame = ShownOutside {
            layout: match revealed.format {
                FrameFormat::IdTechOriginal => "id_tech_original",
                FrameFormat::IdTechEnhanced => "id_tech_enhanced",
            },
            ksn: revealed.ksn,
            counter: revealed.counter,
            key_set: revealed.key_set,
            masked_tracks: revealed.masked_tracks.map(masked),
            hash_checks: revealed.hash_checks,
        };
        let (card, problem) = match revealed.card {
            Ok(card) => (Some(card.into()), None),
            Err(error) => (None, Some(error.into())),
        };
        Self { source, frame: Some(frame), card, problem }
    }

    /// Whether the frame opened.
    pub fn is_open(&self) -> bool {
        self.card.is_some()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = Lines(vec![self.source.clone()]);
        if let Some(frame) = &self.frame {
            lines.outside(frame);
        }
        if let Some(card) = &self.card {
            lines.card(card, self.frame.as_ref().and_then(|frame| frame.key_set.as_deref()));
        }
        if let Some(problem) = &self.problem {
            lines.add("not opened", format!("{} ({})", problem.message, problem.reason));
        }
        lines.0.join("\n")
    }
}

struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        self.0.push(format!("  {name:<14} {}", value.as_ref()));
    }

    fn outside(&mut self, frame: &ShownOutside) {
        let layout = match frame.layout {
            "id_tech_original" => "ID TECH, original format",
            _ => "ID TECH, enhanced format",
        };
        self.add("layout", layout);
        self.add("KSN", &frame.ksn);
        self.add("counter", frame.counter.to_string());
        self.add("key set", frame.key_set.as_deref().unwrap_or("none has this KSN's prefix"));
        for (index, track) in frame.masked_tracks.iter().enumerate() {
            self.add(&format!("masked track {}", index + 1), track.as_deref().unwrap_or("not in the frame"));
        }
        for (index, check) in frame.hash_checks.iter().enumerate() {
            let told = match check {
                Some(true) => "fits the opened track",
                Some(false) => "does not fit the opened track",
                None => "not checked: no hash in the frame, or no key",
            };
            self.add(&format!("hash {}", index + 1), told);
        }
    }

    fn card(&mut self, card: &ShownCard, key_set: Option<&str>) {
        self.add("card ends in", &card.last4);
        self.add("scheme", card.scheme.as_deref().unwrap_or("none has a range for this number"));
        let luhn =
            if card.luhn_ok { "length and check digit are right" } else { "length or check digit (Luhn) is wrong" };
        self.add("number", luhn);
        self.add("expiry", if card.has_expiry { "on the card" } else { "none on the card" });
        let Some(tracks) = &card.clear_tracks else {
            return self.add("clear tracks", "not shown: the key is no published test key");
        };
        for (index, track) in tracks.iter().enumerate() {
            let told = if track.is_empty() { "not in the frame" } else { track };
            self.add(&format!("clear track {}", index + 1), told);
        }
        self.add("", format!("shown because key set {} is a published test key", key_set.unwrap_or_default()));
    }
}

/// Masks what could be a card number: of every eight or more digits in a row, between which spaces may stand, all but
/// the last four.
fn mask(track: &str) -> String {
    let mut masked = track.as_bytes().to_vec();
    let is_in_row = |byte: &u8| byte.is_ascii_digit() || *byte == b' ';
    for row in masked.chunk_by_mut(|left, right| is_in_row(left) == is_in_row(right)) {
        let digits = row.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits >= CARD_DIGITS_MIN {
            row.iter_mut()
                .filter(|byte| byte.is_ascii_digit())
                .take(digits - LAST_DIGITS)
                .for_each(|digit| *digit = b'*');
        }
    }
    String::from_utf8(masked).expect("digits are replaced by an ASCII sign, the rest is as it was")
}

#[cfg(test)]
mod tests {
    use decode::keys::{KeyRing, KeySet, PUBLISHED_BASE_KEY};
    use decode::reveal::reveal;

    use super::*;
    use crate::decode_command::hex_text::frames;

    const TRACK_1: &str = "%B4266841088889999^BUSH JR/GEORGE W.MR^0809101100001100000000046000000?!";

    fn shown(ring: &KeyRing) -> ShownFrame {
        let frames = frames(include_bytes!("../../tests/data/idtech_frame.hex")).unwrap();
        ShownFrame::of("frame".into(), reveal(ring, &frames[0], &[]))
    }

    fn ring(base_key: [u8; 16], test: bool) -> KeyRing {
        KeyRing::default().with_key_set(KeySet::new("mine", "6299", base_key, test).unwrap()).unwrap()
    }

    #[test]
    fn a_test_key_shows_the_tracks_and_says_why() {
        let shown = shown(&KeyRing::published());
        let text = shown.text();
        assert!(shown.is_open() && text.contains(TRACK_1));
        assert!(text.contains("shown because key set test-id-tech is a published test key"));
        assert!(text.contains("length or check digit (Luhn) is wrong"));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["card"]["clear_tracks"][0], TRACK_1);
        assert_eq!(json["frame"]["hash_checks"], serde_json::json!([true, true]));
    }

    /// Printing the masked tracks as the reader sends them would show all of track 3, which is in clear here.
    #[test]
    fn no_other_key_shows_a_number_in_any_track() {
        for (ring, is_open) in
            [(ring(PUBLISHED_BASE_KEY, false), true), (ring([9; 16], true), false), (KeyRing::default(), false)]
        {
            let shown = shown(&ring);
            assert_eq!(shown.is_open(), is_open);
            for text in [shown.text(), serde_json::to_string(&shown).unwrap(), format!("{shown:?}")] {
                assert!(!text.contains("4266841088889999") && !text.contains("333333333376"), "{text}");
                assert!(text.contains("62994901190000000001"));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_frame_say_so() {
        let shown = ShownFrame::of("x".into(), reveal(&KeyRing::published(), b"no frame", &[]));
        assert!(!shown.is_open());
        assert!(shown.text().contains("(damaged_frame)"), "{}", shown.text());
    }

    #[test]
    fn masking_keeps_four_digits_of_a_number() {
        assert_eq!(mask("%B4111111111111111^"), "%B************1111^");
        assert_eq!(mask(";4111 1111 1111 1111=2512"), ";**** **** **** 1111=2512");
        assert_eq!(mask("%*4266********9999^A/B^*?"), "%*4266********9999^A/B^*?");
        assert_eq!(mask("1234567"), "1234567");
        assert_eq!(mask("12345678"), "****5678");
    }
}
