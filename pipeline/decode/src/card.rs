//! The card number: the one type in which it exists in clear. It lies in place, is wiped on drop, cannot be cloned,
//! cannot be serialized and prints as `card number ****`; what may leave is its token, its route, its last four
//! digits and its scheme.
//!
//! ```
//! let number = till_decode::card::CardNumber::from_digits(b"4111111111111111").unwrap();
//! assert_eq!(format!("{number} {number:?}"), "card number **** card number ****");
//! assert_eq!(&number.last4(), b"1111");
//! ```
//!
//! Its digits do not come out of this crate:
//!
//! ```compile_fail,E0624
//! let number = till_decode::card::CardNumber::from_digits(b"4111111111111111").unwrap();
//! println!("{:?}", number.digits());
//! ```
//!
//! nor can it be serialized,
//!
//! ```compile_fail,E0277
//! let number = till_decode::card::CardNumber::from_digits(b"4111111111111111").unwrap();
//! serde_json::to_string(&number).unwrap();
//! ```
//!
//! nor multiplied.
//!
//! ```compile_fail,E0599
//! let number = till_decode::card::CardNumber::from_digits(b"4111111111111111").unwrap();
//! let copy: till_decode::card::CardNumber = number.clone();
//! ```

use schemas::bundles::NumberRange;
use schemas::ids::{CardToken, Route};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Shortest card number (ISO/IEC 7812-1).
pub const DIGITS_MIN: usize = 8;
/// Longest card number (ISO/IEC 7812-1).
pub const DIGITS_MAX: usize = 19;
/// Shortest card number that is in use; shorter ones are read, then refused.
const DIGITS_IN_USE_MIN: usize = 12;

/// A card number (PAN) of 8 to 19 digits.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CardNumber {
    digits: [u8; DIGITS_MAX],
    length: u8,
}

impl CardNumber {
    /// The card number with these ASCII digits; nothing if there are too few, too many or others than digits.
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut number = Self { digits: [0; DIGITS_MAX], length: digits.len() as u8 };
        number.digits[..digits.len()].copy_from_slice(digits);
        Some(number)
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.digits[..usize::from(self.length)]
    }

    /// Whether the length is one in use and the check digit right (ISO/IEC 7812-1 annex B, Luhn).
    pub fn is_valid(&self) -> bool {
        let sum: u32 = self
            .digits()
            .iter()
            .rev()
            .enumerate()
            .map(|(place, digit)| {
                let digit = u32::from(digit - b'0');
                if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
            })
            .sum();
        usize::from(self.length) >= DIGITS_IN_USE_MIN && sum.is_multiple_of(10)
    }

    /// The last four digits, the only ones that people see.
    pub fn last4(&self) -> [u8; 4] {
        let mut last4 = [0; 4];
        last4.copy_from_slice(&self.digits()[usize::from(self.length) - 4..]);
        last4
    }

    /// The card's keyed identity.
    pub fn token(&self, token_key: &[u8; 32]) -> CardToken {
        CardToken::derive(token_key, self.digits())
    }

    /// The card's route to its partition.
    pub fn route(&self, routing_key: &[u8; 32]) -> Route {
        Route::of_card(routing_key, self.digits())
    }

    /// Scheme of the range with the most digits in which the number lies.
    pub fn scheme<'range>(&self, ranges: &'range [NumberRange]) -> Option<&'range str> {
        let contains = |range: &&NumberRange| {
            let (from, to) = (range.from.as_bytes(), range.to.as_bytes());
            self.digits().get(..from.len()).is_some_and(|start| from <= start && start <= to)
        };
        ranges.iter().filter(contains).max_by_key(|range| range.from.len()).map(|range| range.scheme.as_str())
    }
}

impl std::fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("card number ****")
    }
}

impl std::fmt::Display for CardNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("card number ****")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(digits: &str) -> CardNumber {
        CardNumber::from_digits(digits.as_bytes()).unwrap()
    }

    #[test]
    fn published_numbers_pass_and_fail_as_published() {
        // The last of the valid ones is the X9.24 sample; 79927398713 is valid too, but shorter than any in use.
        for valid in ["4111111111111111", "378282246310005", "4124939999999990", "4012345678909"] {
            assert!(number(valid).is_valid(), "{valid}");
        }
        for invalid in ["4266841088889999", "5452300551227189", "79927398713"] {
            assert!(!number(invalid).is_valid(), "{invalid}");
        }
    }

    #[test]
    fn the_range_with_the_most_digits_names_the_scheme() {
        let range = |from: &str, to: &str, scheme: &str| NumberRange {
            from: from.into(),
            to: to.into(),
            scheme: scheme.into(),
        };
        let ranges = [range("4", "4", "Visa"), range("56", "69", "Maestro"), range("6011", "6011", "Discover")];
        assert_eq!(number("4111111111111111").scheme(&ranges), Some("Visa"));
        assert_eq!(number("6011000990139424").scheme(&ranges), Some("Discover"));
        assert_eq!(number("6012000990139424").scheme(&ranges), Some("Maestro"));
        assert_eq!(number("378282246310005").scheme(&ranges), None);
    }

    /// A panic message shows what `Debug` and `Display` show; deriving either would print digits here.
    #[test]
    fn a_panic_message_holds_no_digits() {
        let panic = std::panic::catch_unwind(|| {
            let refused: Result<(), CardNumber> = std::hint::black_box(Err(number("4111111111111111")));
            refused.unwrap();
        });
        let message = *panic.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("card number ****") && !message.contains("1111"), "{message}");
    }

    proptest! {
        #[test]
        fn only_8_to_19_digits_are_a_number(text in "[0-9]{0,24}|[0-9a-z]{8,19}") {
            let legal = (8..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = CardNumber::from_digits(text.as_bytes());
            prop_assert_eq!(number.is_some(), legal);
            if let Some(number) = number {
                prop_assert_eq!(number.digits(), text.as_bytes());
                prop_assert_eq!(&number.last4()[..], &text.as_bytes()[text.len() - 4..]);
            }
        }

        /// Luhn finds every wrong digit.
        #[test]
        fn a_wrong_digit_is_found(digits in "[0-9]{11,18}", place in 0_usize..12, add in 1_u8..10) {
            let with = |check: u8| CardNumber::from_digits(&[digits.as_bytes(), &[check]].concat()).unwrap();
            let valid = (b'0'..=b'9').map(with).find(CardNumber::is_valid).unwrap();
            let mut wrong = valid.digits().to_vec();
            wrong[place] = (wrong[place] - b'0' + add) % 10 + b'0';
            prop_assert!(!CardNumber::from_digits(&wrong).unwrap().is_valid());
        }
    }
}
