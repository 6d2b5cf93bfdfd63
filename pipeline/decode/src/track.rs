//! Magnetic stripe tracks 1 (format B) and 2 as text (ISO/IEC 7813): what they say, or that they are not such a track.
//! Nothing here keeps or copies what it reads.

/// Longest track 1 with sentinels and LRC.
pub const TRACK1_LENGTH_MAX: usize = 79;
/// Longest track 2 with sentinels and LRC.
pub const TRACK2_LENGTH_MAX: usize = 40;
/// Longest holder's name.
pub const NAME_LENGTH_MAX: usize = 26;

/// Last month in which a card is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Last two digits of the year.
    pub year: u8,
    /// 1 to 12.
    pub month: u8,
}

impl Expiry {
    /// Whether the card's month has ended on a local day of this year and month. The century is the one that puts the
    /// card's year between 50 years before that day and 49 after it.
    pub fn has_ended(self, local_year: i16, local_month: i8) -> bool {
        let window_start = i32::from(local_year) - 50;
        let year = window_start + (i32::from(self.year) - window_start).rem_euclid(100);
        (i32::from(local_year), i32::from(local_month)) > (year, i32::from(self.month))
    }
}

/// Three digits that say where and how a card may be used; ASCII.
pub type ServiceCode = [u8; 3];

/// What one track says; slices of the track itself.
pub(crate) struct Track<'track> {
    /// Digits of the card number.
    pub(crate) number: &'track [u8],
    /// Track 1 only.
    pub(crate) name: Option<&'track [u8]>,
    /// Missing where the card shows a separator in its place.
    pub(crate) expiry: Option<Expiry>,
    /// Missing where the card shows a separator in its place.
    pub(crate) service: Option<ServiceCode>,
}

/// Reads track 1, format B: `%B` number `^` name `^` expiry service discretionary `?`, then at most the printable LRC.
pub(crate) fn read_track1(text: &[u8]) -> Option<Track<'_>> {
    let body = between_sentinels(text, b'%', 0x20..=0x5F)?.strip_prefix(b"B")?;
    let (number, rest) = split_at_separator(body, b'^')?;
    let (name, rest) = split_at_separator(rest, b'^')?;
    let (expiry, service) = read_additional(rest, b'^')?;
    (is_number(number) && name.len() <= NAME_LENGTH_MAX).then_some(Track { number, name: Some(name), expiry, service })
}

/// Reads track 2: `;` number `=` expiry service discretionary `?`, then at most the printable LRC.
pub(crate) fn read_track2(text: &[u8]) -> Option<Track<'_>> {
    let body = between_sentinels(text, b';', 0x30..=0x3F)?;
    let (number, rest) = split_at_separator(body, b'=')?;
    let (expiry, service) = read_additional(rest, b'=')?;
    is_number(number).then_some(Track { number, name: None, expiry, service })
}

/// Checks alphabet, sentinels and LRC; gives what lies between the sentinels. Printable characters are the coded ones
/// plus the first of the alphabet, and the LRC is the XOR of the coded ones from sentinel to sentinel (ISO/IEC 7811-2);
/// a reader may be set to leave the LRC out.
fn between_sentinels(text: &[u8], start: u8, alphabet: std::ops::RangeInclusive<u8>) -> Option<&[u8]> {
    if !text.iter().all(|character| alphabet.contains(character)) {
        return None;
    }
    let end = text.iter().position(|character| *character == b'?')?;
    let body = text[..end].strip_prefix(&[start])?;
    let lrc = text[..=end].iter().fold(0, |lrc, character| lrc ^ (character - alphabet.start())) + alphabet.start();
    match text[end + 1..] {
        [] => Some(body),
        [printed] if printed == lrc => Some(body),
        _ => None,
    }
}

fn split_at_separator(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|character| *character == separator)?;
    Some((&text[..place], &text[place + 1..]))
}

/// Expiry (YYMM) and service code, either of which may be a lone separator; the discretionary rest is not looked at.
fn read_additional(text: &[u8], separator: u8) -> Option<(Option<Expiry>, Option<ServiceCode>)> {
    let (expiry, rest) = match text.strip_prefix(&[separator]) {
        Some(rest) => (None, rest),
        None => {
            let (digits, rest) = text.split_first_chunk::<4>()?;
            let [year, month] = [two_digits(digits[0], digits[1])?, two_digits(digits[2], digits[3])?];
            if !(1..=12).contains(&month) {
                return None;
            }
            (Some(Expiry { year, month }), rest)
        }
    };
    if rest.first() == Some(&separator) {
        return Some((expiry, None));
    }
    let service = rest.first_chunk::<3>()?;
    service.iter().all(u8::is_ascii_digit).then_some((expiry, Some(*service)))
}

fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

fn is_number(digits: &[u8]) -> bool {
    (crate::card::DIGITS_MIN..=crate::card::DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// Whether a name field names nobody: blank, separators only, or one of the placeholders (upper case), whatever stands
/// between the words.
pub(crate) fn names_nobody(name: &[u8], placeholders: &[String]) -> bool {
    fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
        text.split(|character| matches!(character, b' ' | b'/' | b'.')).filter(|word| !word.is_empty())
    }
    words(name).next().is_none() || placeholders.iter().any(|placeholder| words(name).eq(words(placeholder.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACK1: &[u8] = b"%B4266841088889999^BUSH JR/GEORGE W.MR^0809101100001100000000046000000?!";
    const TRACK2: &[u8] = b";4266841088889999=080910110000046?0";

    #[test]
    fn the_published_tracks_are_read() {
        let (first, second) = (read_track1(TRACK1).unwrap(), read_track2(TRACK2).unwrap());
        assert_eq!(first.name, Some(b"BUSH JR/GEORGE W.MR".as_slice()));
        for track in [first, second] {
            assert_eq!(track.number, b"4266841088889999");
            assert_eq!(track.expiry, Some(Expiry { year: 8, month: 9 }));
            assert_eq!(track.service, Some(*b"101"));
        }
        // A reader may be set to send no LRC.
        assert!(read_track1(&TRACK1[..TRACK1.len() - 1]).is_some());
        assert!(read_track2(&TRACK2[..TRACK2.len() - 1]).is_some());
    }

    /// Any other character anywhere is found by the LRC, the alphabet or the layout: dropping the LRC check lets
    /// another digit of the card number pass here.
    #[test]
    fn every_single_wrong_character_is_found() {
        for place in 0..TRACK1.len() {
            for wrong in (0..=255).filter(|wrong| *wrong != TRACK1[place]) {
                let mut track = TRACK1.to_vec();
                track[place] = wrong;
                assert!(read_track1(&track).is_none(), "{place} {wrong}");
            }
        }
        for place in 0..TRACK2.len() {
            for wrong in (0..=255).filter(|wrong| *wrong != TRACK2[place]) {
                let mut track = TRACK2.to_vec();
                track[place] = wrong;
                assert!(read_track2(&track).is_none(), "{place} {wrong}");
            }
        }
    }

    #[test]
    fn layouts_that_the_standard_allows_or_forbids() {
        let seen = |text: &[u8]| read_track2(text).map(|track| (track.expiry.is_some(), track.service.is_some()));
        assert_eq!(seen(b";4111111111111111=2512101123?"), Some((true, true)));
        assert_eq!(seen(b";4111111111111111==101123?"), Some((false, true)));
        assert_eq!(seen(b";4111111111111111=2512=123?"), Some((true, false)));
        assert_eq!(seen(b";4111111111111111===?"), Some((false, false)));
        let forbidden: [&[u8]; 6] = [
            b";4111111=2512101?",
            b";41111111111111111111=2512101?",
            b";4111111111111111=2513101?",
            b";4111111111111111=251?",
            b";4111111111111111=251210?",
            b"4111111111111111=2512101?",
        ];
        for text in forbidden {
            assert_eq!(seen(text), None, "{}", text.escape_ascii());
        }
        assert!(read_track1(b"%A4111111111111111^DOE/JANE^2512101?").is_none(), "format A");
        assert!(read_track1(b"%B4111111111111111^ABCDEFGHIJKLMNOPQRSTUVWXYZ/^2512101?").is_none(), "long name");
    }

    #[test]
    fn a_card_is_valid_through_its_month_and_the_century_slides() {
        let expiry = |year, month| Expiry { year, month };
        assert!(!expiry(26, 11).has_ended(2026, 11));
        assert!(expiry(26, 11).has_ended(2026, 12));
        assert!(expiry(25, 12).has_ended(2026, 1));
        assert!(expiry(99, 12).has_ended(2026, 1), "1999");
        assert!(!expiry(5, 1).has_ended(2098, 12), "2105");
        assert!(expiry(76, 12).has_ended(2026, 1), "1976");
        assert!(!expiry(75, 12).has_ended(2026, 1), "2075");
    }

    #[test]
    fn blanks_and_placeholders_name_nobody() {
        let placeholders = ["VALUED CUSTOMER".to_string(), "INSTANT/ISSUE".to_string()];
        let nobody = |name: &str| names_nobody(name.as_bytes(), &placeholders);
        for name in ["", " /", "   ", "CUSTOMER/VALUED", "VALUED/CUSTOMER  ", "VALUED CUSTOMER", "INSTANT ISSUE"] {
            assert_eq!(nobody(name), name != "CUSTOMER/VALUED", "{name}");
        }
        assert!(!nobody("DOE/JANE"));
    }
}
