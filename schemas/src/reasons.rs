//! Reason codes: every finding that a check can make, its two-digit answer and its sentence for people.

/// A finding. The number of a variant stands in saved states, so a new one comes last; priorities are [`Reason::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A field is missing, too long or out of range.
    FormatError,
    /// The amount is not between 1 and 999,999,999,999 minor units.
    InvalidAmount,
    /// The currency is not one that the merchant's account has.
    CurrencyNotAllowed,
    /// The same reader and STAN with other content.
    DuplicateStan,
    /// The gateway took the swipe back before it was read.
    WithdrawnBeforeArrival,
    /// No such merchant in force.
    UnknownMerchant,
    /// The merchant is not active.
    InactiveMerchant,
    /// No such reader in force.
    UnknownReader,
    /// The reader belongs to another merchant.
    ReaderOfOtherMerchant,
    /// The reader is blocked.
    ReaderBlocked,
    /// No key set for the frame's KSN.
    UnknownKeySet,
    /// The KSN's counter has more than ten one-bits or is past its end.
    IllegalCounter,
    /// The KSN was used before with other content.
    ReplayedCounter,
    /// The card has shown this KSN before.
    KsnSeenOnCard,
    /// The frame is damaged (length, LRC, checksum).
    DamagedFrame,
    /// The frame does not open under its key.
    CannotDecrypt,
    /// The two tracks, or the masked and the opened track, disagree.
    TracksDisagree,
    /// No readable track in the frame.
    NoTrack,
    /// The card number fails its check digit (ISO/IEC 7812-1 annex B) or length.
    InvalidCardNumber,
    /// No scheme has this number range.
    UnknownIssuer,
    /// The card shows no holder's name.
    NoNameCard,
    /// Track 1 could not be read, so the holder's name is unknown.
    NameUnknown,
    /// The service code asks for a PIN or forbids goods.
    ServiceNotAllowed,
    /// The card's month has ended.
    ExpiredCard,
    /// The card is reported lost.
    LostCard,
    /// The card is reported stolen.
    StolenCard,
    /// The card is restricted.
    RestrictedCard,
    /// The card is on this installation's block list.
    BlockedCard,
    /// The payment is above the merchant's limit for one payment.
    PaymentLimit,
    /// The merchant's amount for the day is used up.
    MerchantDayAmount,
    /// The merchant's number of payments for the day is used up.
    MerchantDayCount,
    /// The card's amount for the day is used up.
    CardDayAmount,
    /// The card's number of payments for the day is used up.
    CardDayCount,
    /// The issuer has no such account.
    NoAccount,
    /// The account has too little money.
    InsufficientFunds,
    /// A state table is full: the request is refused rather than another one forgotten.
    CapacityReached,
    /// A later record names a payment that is not known (any more).
    OriginalNotFound,
    /// The payment's state does not allow the step.
    WrongState,
    /// The refund is larger than what is left of the payment.
    RefundTooLarge,
    /// The merchant of the later record is not the payment's.
    OtherMerchant,
    /// The cardholder did not sign in time.
    SignatureTimeout,
    /// The signature came after the deadline.
    SignatureTooLate,
    /// The gateway had no answer for the phone in time.
    Withdrawn,
    /// The merchant cancelled.
    Cancelled,
    /// The same card, merchant and amount shortly before: approved, but alerts.
    LooksDuplicate,
    /// A chip card was read by its stripe: approved, noted.
    ChipFallback,
    /// A rule of the risk team blocks it.
    RiskBlocked,
    /// A rule of the risk team wants people to look at it: approved, but alerts.
    RiskReview,
}

/// What a finding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The request is refused.
    Declines,
    /// The request goes on.
    Notes,
}

impl Reason {
    /// Every reason, highest priority first: the first of several findings is the answer.
    #[rustfmt::skip] // many to a line, to be read beside the enumeration above
    pub const ALL: [Self; 48] = [
        Self::FormatError, Self::InvalidAmount, Self::CurrencyNotAllowed, Self::DuplicateStan,
        Self::WithdrawnBeforeArrival, Self::UnknownMerchant, Self::InactiveMerchant, Self::UnknownReader,
        Self::ReaderOfOtherMerchant, Self::ReaderBlocked, Self::UnknownKeySet, Self::IllegalCounter,
        Self::ReplayedCounter, Self::KsnSeenOnCard, Self::DamagedFrame, Self::CannotDecrypt, Self::TracksDisagree,
        Self::NoTrack, Self::InvalidCardNumber, Self::UnknownIssuer, Self::NoNameCard, Self::NameUnknown,
        Self::ServiceNotAllowed, Self::ExpiredCard, Self::LostCard, Self::StolenCard, Self::RestrictedCard,
        Self::BlockedCard, Self::RiskBlocked, Self::PaymentLimit, Self::MerchantDayAmount, Self::MerchantDayCount, Self::CardDayAmount,
        Self::CardDayCount, Self::NoAccount, Self::InsufficientFunds, Self::CapacityReached, Self::OriginalNotFound,
        Self::WrongState, Self::RefundTooLarge, Self::OtherMerchant, Self::SignatureTimeout, Self::SignatureTooLate,
        Self::Withdrawn, Self::Cancelled, Self::LooksDuplicate, Self::RiskReview, Self::ChipFallback,
    ];

    /// Name, two-digit answer (DE39 of ISO 8583:1987), effect, and the sentence for people.
    #[rustfmt::skip] // a table: one reason a line
    const fn row(self) -> (&'static str, &'static str, Effect, &'static str) {
        use Effect::{Declines, Notes};
        match self {
            Self::FormatError => ("format_error", "30", Declines, "A field of the request is missing or out of range."),
            Self::InvalidAmount => ("invalid_amount", "13", Declines, "The amount is not allowed."),
            Self::CurrencyNotAllowed => ("currency_not_allowed", "57", Declines, "The merchant's account has another currency."),
            Self::DuplicateStan => ("duplicate_stan", "94", Declines, "The trace number was used before for another payment."),
            Self::WithdrawnBeforeArrival => ("withdrawn_before_arrival", "68", Declines, "The phone had given up before the swipe arrived."),
            Self::UnknownMerchant => ("unknown_merchant", "03", Declines, "The merchant is not known."),
            Self::InactiveMerchant => ("inactive_merchant", "03", Declines, "The merchant is not active."),
            Self::UnknownReader => ("unknown_reader", "58", Declines, "The card reader is not known."),
            Self::ReaderOfOtherMerchant => ("reader_of_other_merchant", "58", Declines, "The card reader belongs to another merchant."),
            Self::ReaderBlocked => ("reader_blocked", "58", Declines, "The card reader is blocked."),
            Self::UnknownKeySet => ("unknown_key_set", "63", Declines, "No keys are in force for this card reader."),
            Self::IllegalCounter => ("illegal_counter", "63", Declines, "The card reader's key counter is not a legal one."),
            Self::ReplayedCounter => ("replayed_counter", "63", Declines, "The card reader's key was used before."),
            Self::KsnSeenOnCard => ("ksn_seen_on_card", "63", Declines, "This encrypted swipe was seen before on the same card."),
            Self::DamagedFrame => ("damaged_frame", "88", Declines, "The encrypted swipe is damaged."),
            Self::CannotDecrypt => ("cannot_decrypt", "88", Declines, "The encrypted swipe does not open."),
            Self::TracksDisagree => ("tracks_disagree", "88", Declines, "The card's tracks contradict each other."),
            Self::NoTrack => ("no_track", "88", Declines, "No track of the card could be read."),
            Self::InvalidCardNumber => ("invalid_card_number", "14", Declines, "The card number fails its check digit."),
            Self::UnknownIssuer => ("unknown_issuer", "15", Declines, "No issuer has this card number."),
            Self::NoNameCard => ("no_name_card", "57", Declines, "The card shows no holder's name."),
            Self::NameUnknown => ("name_unknown", "57", Declines, "The holder's name could not be read."),
            Self::ServiceNotAllowed => ("service_not_allowed", "57", Declines, "The card may not be used without a PIN."),
            Self::ExpiredCard => ("expired_card", "54", Declines, "The card has expired."),
            Self::LostCard => ("lost_card", "41", Declines, "The card is reported lost."),
            Self::StolenCard => ("stolen_card", "43", Declines, "The card is reported stolen."),
            Self::RestrictedCard => ("restricted_card", "62", Declines, "The card is restricted."),
            Self::BlockedCard => ("blocked_card", "59", Declines, "The card is on the block list."),
            Self::RiskBlocked => ("risk_blocked", "59", Declines, "The payment looks like fraud."),
            Self::PaymentLimit => ("payment_limit", "61", Declines, "The amount is above the merchant's limit for one payment."),
            Self::MerchantDayAmount => ("merchant_day_amount", "61", Declines, "The merchant's amount for the day is used up."),
            Self::MerchantDayCount => ("merchant_day_count", "65", Declines, "The merchant's number of payments for the day is used up."),
            Self::CardDayAmount => ("card_day_amount", "61", Declines, "The card's amount for the day is used up."),
            Self::CardDayCount => ("card_day_count", "65", Declines, "The card's number of payments for the day is used up."),
            Self::NoAccount => ("no_account", "78", Declines, "The issuer has no such account."),
            Self::InsufficientFunds => ("insufficient_funds", "51", Declines, "The account has too little money."),
            Self::CapacityReached => ("capacity_reached", "96", Declines, "The system is at its limit; try again later."),
            Self::OriginalNotFound => ("original_not_found", "25", Declines, "The payment is not known."),
            Self::WrongState => ("wrong_state", "12", Declines, "The payment's state does not allow this."),
            Self::RefundTooLarge => ("refund_too_large", "61", Declines, "The refund is larger than what is left of the payment."),
            Self::OtherMerchant => ("other_merchant", "12", Declines, "The payment belongs to another merchant."),
            Self::SignatureTimeout => ("signature_timeout", "68", Notes, "The cardholder did not sign in time; the payment was reversed."),
            Self::SignatureTooLate => ("signature_too_late", "68", Declines, "The signature came after its deadline."),
            Self::Withdrawn => ("withdrawn", "68", Notes, "The phone had no answer in time; the payment was reversed."),
            Self::Cancelled => ("cancelled", "17", Notes, "The merchant cancelled the payment."),
            Self::LooksDuplicate => ("looks_duplicate", "00", Notes, "The same card paid the same amount here shortly before."),
            Self::RiskReview => ("risk_review", "00", Notes, "The payment is looked at for fraud."),
            Self::ChipFallback => ("chip_fallback", "00", Notes, "A chip card was read by its stripe."),
        }
    }

    /// Name as it stands in tables.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Two-digit answer to the phone.
    pub const fn response_code(self) -> &'static str {
        self.row().1
    }

    /// Whether the finding refuses the request.
    pub const fn declines(self) -> bool {
        matches!(self.row().2, Effect::Declines)
    }

    /// One sentence for people.
    pub const fn sentence(self) -> &'static str {
        self.row().3
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Answer to an approved request.
pub const APPROVED_CODE: &str = "00";
/// Reason of a decision without a declining finding.
pub const APPROVED: &str = "approved";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_number_and_a_name_of_its_own_and_a_sentence() {
        let mut numbers: Vec<usize> = Reason::ALL.map(|reason| reason as usize).to_vec();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..Reason::ALL.len()).collect::<Vec<_>>());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.name()), Some(reason));
            assert_eq!(reason.response_code().len(), 2);
            assert!(reason.sentence().ends_with('.'));
            assert!(!reason.declines() || reason.response_code() != APPROVED_CODE);
        }
    }
}
