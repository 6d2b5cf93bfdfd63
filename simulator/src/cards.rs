//! Cards and their holders. Numbers are made at run time, in ranges that start with 9 (ISO/IEC 7812-1: for national
//! use, so that none can belong to a card scheme); a few published test numbers are among them.

use rand::RngExt;
use schemas::bundles::NumberRange;
use schemas::ids::CardToken;

use crate::streams::{self, Stream};

/// Schemes of the town, by the digits with which their numbers start.
const RANGES: [(&str, &str); 3] = [("970001", "Town Card"), ("970002", "Harbour Bank"), ("970003", "River Credit")];
/// Schemes of the published test numbers, by the digits with which they start.
const PUBLISHED_RANGES: [(&str, &str); 2] = [("4", "Visa"), ("37", "American Express")];
/// Published test numbers.
const PUBLISHED: [&str; 4] = ["4111111111111111", "378282246310005", "4012345678909", "4124939999999990"];
/// What stands on cards without a holder's name.
const NOBODY: [&str; 4] = [" /", "VALUED CUSTOMER", "GIFT CARD", "INSTANT/ISSUE"];
/// Those of [`NOBODY`] that are words.
pub(crate) const PLACEHOLDERS: [&str; 3] = ["VALUED CUSTOMER", "GIFT CARD", "INSTANT/ISSUE"];

/// What is special about a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CardKind {
    /// Nothing.
    Ordinary,
    /// Its account has next to no money.
    Poor,
    /// Its month has ended.
    Expired,
    /// It shows no holder's name.
    NoName,
    /// It is on the list of stolen cards.
    Stolen,
    /// Its service code asks for a PIN.
    PinOnly,
}

impl CardKind {
    /// Name as the truth shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Poor => "poor",
            Self::Expired => "expired",
            Self::NoName => "no_name",
            Self::Stolen => "stolen",
            Self::PinOnly => "pin_only",
        }
    }

    /// Of a hundred cards some are special; the order is the same in every town.
    const fn of(index: usize) -> Self {
        match index % 100 {
            10 | 60 => Self::Poor,
            11 | 61 => Self::Expired,
            12 | 62 => Self::NoName,
            13 => Self::Stolen,
            14 => Self::PinOnly,
            _ => Self::Ordinary,
        }
    }
}

/// A card.
pub(crate) struct Card {
    pub(crate) kind: CardKind,
    pub(crate) number: String,
    pub(crate) name: String,
    /// YYMM.
    pub(crate) expiry: String,
    pub(crate) service_code: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) token: CardToken,
    pub(crate) track1: String,
    pub(crate) track2: String,
    pub(crate) opening_minor: i64,
}

/// Every card of the town, and which of them are of a kind.
pub(crate) struct Cards {
    pub(crate) all: Vec<Card>,
}

impl Cards {
    /// `count` cards, at least a hundred so that every kind is there.
    pub(crate) fn new(seed: u64, count: usize, token_key: &[u8; 32]) -> Self {
        let all = (0..count.max(100)).map(|index| make(seed, index, token_key)).collect();
        Self { all }
    }

    /// A card of this kind.
    pub(crate) fn any(&self, stream: &mut Stream, kind: CardKind) -> usize {
        let start = stream.random_range(0..self.all.len());
        self.from(start, kind)
    }

    /// The first ordinary card from this number on, counted around.
    pub(crate) fn ordinary_from(&self, start: usize) -> usize {
        self.from(start % self.all.len(), CardKind::Ordinary)
    }

    fn from(&self, start: usize, kind: CardKind) -> usize {
        (start..self.all.len())
            .chain(0..start)
            .find(|index| self.all[*index].kind == kind)
            .expect("a hundred cards have every kind")
    }
}

/// Ranges for the bundle.
pub(crate) fn number_ranges() -> Vec<NumberRange> {
    let range = |(digits, scheme): &(&str, &str)| NumberRange {
        from: digits.to_string(),
        to: digits.to_string(),
        scheme: scheme.to_string(),
    };
    RANGES.iter().chain(&PUBLISHED_RANGES).map(range).collect()
}

fn make(seed: u64, index: usize, token_key: &[u8; 32]) -> Card {
    let mut stream = streams::stream(seed, "card", index as u64, 0);
    let kind = CardKind::of(index);
    let (prefix, issuer) = *streams::pick(&mut stream, &RANGES);
    let published = PUBLISHED.get(index).copied();
    let issuer = if published.is_some() { "Test Bank" } else { issuer };
    let number = published.map_or_else(|| number_of(seed, prefix, index as u64), str::to_string);
    let name = match kind {
        CardKind::NoName => streams::pick(&mut stream, &NOBODY).to_string(),
        _ => format!("{}/{}", streams::word(&mut stream, 2..=4), streams::word(&mut stream, 2..=3)),
    };
    let year = if kind == CardKind::Expired { 25 } else { stream.random_range(29..=33) };
    let expiry = format!("{year:02}{:02}", stream.random_range(1..=12));
    let service_code = match (kind, stream.random_range(0..100)) {
        (CardKind::PinOnly, _) => "120",
        (_, 0..12) => "201",
        (_, 12..16) => "121",
        _ => "101",
    };
    let discretionary = format!("{:010}", stream.random_range(0..10_000_000_000_i64));
    let opening_minor = match kind {
        // Some are too poor for anything, others for their second coffee.
        CardKind::Poor if index % 100 < 50 => stream.random_range(0..200),
        CardKind::Poor => stream.random_range(500..4_000),
        _ => stream.random_range(1_500_000..20_000_000),
    };
    let (track1, track2) = tracks(&number, &name, &expiry, service_code, &discretionary);
    let token = CardToken::derive(token_key, number.as_bytes());
    Card { kind, number, name, expiry, service_code, issuer, token, track1, track2, opening_minor }
}

/// 16 digits: the range, nine that no other card has, the check digit.
fn number_of(seed: u64, prefix: &str, index: u64) -> String {
    const ACCOUNTS: u64 = 1_000_000_000;
    // Prime to a power of ten, so that different cards have different accounts.
    const SPREAD: u64 = 618_033_989;
    let account = (index * SPREAD + seed % ACCOUNTS) % ACCOUNTS;
    let digits = format!("{prefix}{account:09}");
    let check = check_digit(&digits);
    format!("{digits}{check}")
}

/// The digit that makes a number valid (ISO/IEC 7812-1 annex B, Luhn).
fn check_digit(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    (10 - sum % 10) % 10
}

/// Tracks 1 and 2 (ISO/IEC 7813) with their printable check characters.
fn tracks(number: &str, name: &str, expiry: &str, service_code: &str, discretionary: &str) -> (String, String) {
    let track1 = format!("%B{number}^{name}^{expiry}{service_code}{discretionary}?");
    let track2 = format!(";{number}={expiry}{service_code}{discretionary}?");
    (with_lrc(track1, 0x20), with_lrc(track2, 0x30))
}

/// Appends the XOR of all coded characters (ISO/IEC 7811-2), printed like they are: the code plus the first character.
fn with_lrc(mut track: String, first: u8) -> String {
    let lrc = track.bytes().fold(0, |lrc, character| lrc ^ (character - first));
    track.push(char::from(lrc + first));
    track
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn check_digits_agree_with_published_numbers() {
        for number in PUBLISHED {
            let (digits, check) = number.split_at(number.len() - 1);
            assert_eq!(check_digit(digits).to_string(), check, "{number}");
        }
    }

    /// The track data that ID TECH publishes for its sample frame.
    #[test]
    fn check_characters_agree_with_the_published_swipe() {
        let (track1, track2) =
            tracks("4266841088889999", "BUSH JR/GEORGE W.MR", "0809", "101", "100001100000000046000000");
        assert!(track1.ends_with("?!"), "{track1}");
        assert!(!track2.is_empty());
        assert!(with_lrc(";4266841088889999=080910110000046?".into(), 0x30).ends_with("?0"));
    }

    /// Fails when a range of a real scheme is used, or when accounts repeat.
    #[test]
    fn numbers_are_unique_and_of_no_real_scheme() {
        let cards = Cards::new(7, 3_000, &[1; 32]);
        let numbers: BTreeSet<&str> = cards.all.iter().map(|card| card.number.as_str()).collect();
        assert_eq!(numbers.len(), 3_000);
        assert!(numbers.iter().all(|number| number.starts_with('9') || PUBLISHED.contains(number)));
        assert!(
            cards.all.iter().all(|card| card.name.len() <= 26 && card.track1.len() <= 79 && card.track2.len() <= 40)
        );
    }
}
