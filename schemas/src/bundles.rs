//! Bundles: the configuration that control records bring into force by content hash. JSON files in `bundles/`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// What decode needs: the merchant's side. Named by a control record to unit `decode`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeBundle {
    /// Merchants in force; whoever is not listed is unknown.
    pub merchants: Vec<Merchant>,
    /// Readers in force; each belongs to one merchant.
    pub readers: Vec<Reader>,
    /// Who carries which reader and device, from when to when.
    pub assignments: Vec<Assignment>,
    /// Words that stand in the name field of a card without a name (upper case).
    pub placeholder_names: Vec<String>,
    /// What happens to a card whose track 1 could not be read: `true` declines it.
    pub decline_unknown_name: bool,
    /// Number ranges that can be routed, by the digits they start with, and their scheme.
    pub number_ranges: Vec<NumberRange>,
}

/// A merchant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merchant {
    /// Identifier.
    pub id: String,
    /// Trading name.
    pub name: String,
    /// Kind of business.
    pub trade: String,
    /// Merchant category code (ISO 18245), four digits.
    pub mcc: String,
    /// IANA time zone in which its days run.
    pub zone: String,
    /// Currency of its account.
    pub currency: Currency,
    /// Whether it may take payments.
    pub active: bool,
    /// Largest single payment, minor units.
    pub payment_minor_max: i64,
    /// Largest sum of a civil day, minor units.
    pub day_minor_max: i64,
    /// Largest number of payments of a civil day.
    pub day_count_max: u32,
}

/// A card reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// Identifier.
    pub id: String,
    /// Merchant to whom it belongs.
    pub merchant_id: String,
    /// Key set that opens its frames.
    pub key_set: String,
    /// Whether it may be used.
    pub active: bool,
    /// Lowest key counter still allowed (set when a reader changes hands).
    pub counter_min: u32,
}

/// Who carries which reader and device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Courier, driver or agent.
    pub courier_id: String,
    /// Merchant for whom he works.
    pub merchant_id: String,
    /// Reader that he carries.
    pub reader_id: Option<String>,
    /// Phone whose pings are his.
    pub device_id: Option<String>,
    /// foot, bicycle, car or taxi.
    pub vehicle: String,
    /// Start, microseconds UTC.
    pub valid_from_us: i64,
    /// End, microseconds UTC, exclusive.
    pub valid_to_us: Option<i64>,
}

/// A range of card numbers that can be routed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRange {
    /// First digits of the lowest number, as text.
    pub from: String,
    /// First digits of the highest number, of the same length.
    pub to: String,
    /// Scheme (Visa, Mastercard, Mir, ...).
    pub scheme: String,
}

/// What authorize needs: the card's side. Named by a control record to unit `authorize`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizeBundle {
    /// Timers and limits.
    pub policy: Policy,
    /// Accounts of the embedded issuer.
    pub cards: Vec<CardAccount>,
    /// Cards that must be refused.
    pub lists: Vec<ListedCard>,
}

/// Timers and limits of the card's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Seconds from `answered` to the signature's deadline.
    pub signature_s: i64,
    /// Seconds from the swipe to the deadline where no `answered` arrives.
    pub unanswered_s: i64,
    /// Seconds of clock after a deadline until its timer fires (gateways differ by seconds).
    pub timer_grace_s: i64,
    /// Seconds in which the same card, merchant and amount look like a duplicate.
    pub duplicate_s: i64,
    /// Largest sum of a card in 24 h, minor units.
    pub card_day_minor_max: i64,
    /// Largest number of approved payments of a card in 24 h.
    pub card_day_count_max: u32,
    /// Seconds for which the full answer of a payment is kept.
    pub answer_kept_s: i64,
    /// Seconds for which a payment can still be refunded, charged back or labelled.
    pub payment_kept_s: i64,
    /// Largest number of payments in state at once; reaching it declines new ones.
    pub payments_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            signature_s: 120,
            unanswered_s: 24 * 3600,
            timer_grace_s: 30,
            duplicate_s: 60,
            card_day_minor_max: 1_000_000,
            card_day_count_max: 40,
            answer_kept_s: 24 * 3600,
            payment_kept_s: 180 * 24 * 3600,
            payments_max: 50_000_000,
        }
    }
}

/// An account of the embedded issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardAccount {
    /// Token of the card, 32 hexadecimal digits.
    pub token: String,
    /// Issuer's name.
    pub issuer: String,
    /// Currency of the account.
    pub currency: Currency,
    /// Money available when the account first comes into force, minor units; a later bundle does not reset it.
    pub opening_minor: i64,
    /// Whether the account is open.
    pub open: bool,
}

/// A card that must be refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedCard {
    /// Token of the card, 32 hexadecimal digits.
    pub token: String,
    /// Why.
    pub list: CardList,
    /// Until when, microseconds UTC; for ever where missing.
    pub until_us: Option<i64>,
}

/// Lists of cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardList {
    /// Reported lost.
    Lost,
    /// Reported stolen.
    Stolen,
    /// Restricted by its issuer.
    Restricted,
    /// Blocked by this installation.
    Blocked,
}

/// What scores payments: texts of the fraud job's languages. Named by control records of type `rules`, to unit `decode`
/// for the windows of the merchant's side and to unit `authorize` for all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesBundle {
    /// Definitions of windows.
    pub windows: String,
    /// The rules that decide.
    pub rules: String,
    /// Lists of texts by name, which rules look into.
    #[serde(default)]
    pub lists: BTreeMap<String, String>,
    /// The model, as LightGBM's text.
    #[serde(default)]
    pub model: Option<String>,
}
