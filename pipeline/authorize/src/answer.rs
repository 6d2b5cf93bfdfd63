//! What the phone gets: the answer's JSON, the approval code and the retrieval reference number.

use jiff::Timestamp;
use jiff::tz::Offset;
use schemas::ids::{PaymentId, hash_of_parts};
use schemas::reasons::{APPROVED_CODE, Reason};
use serde::Serialize;

/// What an approved answer says to people.
const APPROVED_TEXT: &str = "Approved.";
/// Letters and digits that nobody confuses on paper (no I, O, 0, 1).
const CODE_CHARACTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// STANs have six digits (DE11).
const STAN_MAX: i32 = 999_999;

/// The answer's fields, in the order of their names as canonical JSON (RFC 8785) asks.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    /// Amount of the step, minor units.
    pub(crate) amount_minor: Option<i64>,
    /// Six characters of an approval (DE38).
    pub(crate) approval_code: Option<&'a str>,
    /// ISO 4217 alphabetic code.
    pub(crate) currency: Option<&'a str>,
    /// 28 hexadecimal digits.
    pub(crate) payment_id: Option<String>,
    /// Two digits (DE39).
    pub(crate) response_code: &'static str,
    /// Retrieval reference number (DE37).
    pub(crate) rrn: Option<&'a str>,
    /// System trace audit number (DE11).
    pub(crate) stan: Option<i32>,
    /// One sentence for people.
    pub(crate) text: &'static str,
}

impl Answer<'_> {
    /// Canonical JSON: names in order, no spaces, integers only.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, integers and nulls always have a JSON form")
    }
}

/// Two-digit answer (DE39) of a reason; approved without one.
pub(crate) fn response_code(reason: Option<Reason>) -> &'static str {
    reason.map_or(APPROVED_CODE, Reason::response_code)
}

/// Sentence of a reason; approved without one.
pub(crate) fn text(reason: Option<Reason>) -> &'static str {
    reason.map_or(APPROVED_TEXT, Reason::sentence)
}

/// Approval code (DE38) of a payment: six characters, five bits each, of a hash of its identity.
pub(crate) fn approval_code(id: PaymentId) -> String {
    let hash = hash_of_parts(&[b"approval", &id.0]);
    hash[..6].iter().map(|byte| char::from(CODE_CHARACTERS[usize::from(byte % 32)])).collect()
}

/// Retrieval reference number (DE37) of a swipe: last digit of the year, day of the year, hour (UTC), STAN.
/// None where the STAN or the time cannot be written so.
pub(crate) fn rrn(received_at_us: i64, stan: Option<i32>) -> Option<String> {
    let stan = stan.filter(|stan| (0..=STAN_MAX).contains(stan))?;
    let time = Offset::UTC.to_datetime(Timestamp::from_microsecond(received_at_us).ok()?);
    Some(format!("{}{:03}{:02}{stan:06}", time.year().rem_euclid(10), time.day_of_year(), time.hour()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_microsecond()
    }

    /// The first line is the published example of the convention.
    #[test]
    fn reference_numbers_follow_the_convention() {
        assert_eq!(rrn(us("2012-07-02T00:30:00Z"), Some(123)).as_deref(), Some("218400000123"));
        assert_eq!(rrn(us("2027-12-31T23:59:59Z"), Some(999_999)).as_deref(), Some("736523999999"));
        assert_eq!(rrn(us("2027-01-01T00:00:00Z"), Some(1_000_000)), None);
        assert_eq!(rrn(us("2027-01-01T00:00:00Z"), None), None);
    }

    #[test]
    fn approval_codes_have_six_characters_and_depend_on_the_payment() {
        let code = approval_code(PaymentId([1; 14]));
        assert_eq!(code, approval_code(PaymentId([1; 14])));
        assert_ne!(code, approval_code(PaymentId([2; 14])));
        assert_eq!(code.len(), 6);
        assert!(code.bytes().all(|byte| CODE_CHARACTERS.contains(&byte)));
    }

    #[test]
    fn an_answer_is_canonical_json() {
        let answer = Answer {
            amount_minor: Some(1_200),
            approval_code: None,
            currency: Some("EUR"),
            payment_id: Some(PaymentId([0xab; 14]).to_hex()),
            response_code: "51",
            rrn: Some("218400000123"),
            stan: Some(123),
            text: "The account has too little money.",
        };
        let expected = concat!(
            r#"{"amount_minor":1200,"approval_code":null,"currency":"EUR","payment_id":"abababababababababababababab","#,
            r#""response_code":"51","rrn":"218400000123","stan":123,"text":"The account has too little money."}"#
        );
        assert_eq!(answer.to_json(), expected);
        let sorted: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(serde_json::to_string(&sorted).unwrap(), expected, "names are in order");
    }
}
