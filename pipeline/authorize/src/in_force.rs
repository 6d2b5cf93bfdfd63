//! The authorization bundle in force, checked and indexed.

use std::collections::{BTreeMap, HashMap};

use schemas::bundles::{AuthorizeBundle, CardAccount, CardList, Policy};
use schemas::ids::{CardToken, ContentHash};
use schemas::money::Currency;

use crate::error::Error;

/// Microseconds in a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// The card's limits run over 24 hours, microseconds.
pub(crate) const DAY_US: i64 = 24 * 3600 * SECOND_US;
/// Longest duration that a policy may name, seconds (about a hundred years): sums with a time stay far from overflow.
const DURATION_S_MAX: i64 = 100 * 366 * 24 * 3600;
/// Largest number of accounts and listed cards of one bundle: about a gigabyte of state.
pub(crate) const ACCOUNTS_MAX: usize = 10_000_000;

/// The policy's timers and limits, durations in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) signature_us: i64,
    pub(crate) unanswered_us: i64,
    pub(crate) timer_grace_us: i64,
    pub(crate) duplicate_us: i64,
    pub(crate) card_day_minor_max: i64,
    pub(crate) card_day_count_max: u32,
    pub(crate) answer_kept_us: i64,
    pub(crate) payment_kept_us: i64,
    pub(crate) payments_max: usize,
}

impl Rules {
    /// The rules of a policy, or the field that is out of range.
    fn of(policy: &Policy) -> Result<Self, String> {
        let us = |name: &str, seconds: i64| match seconds {
            0..=DURATION_S_MAX => Ok(seconds * SECOND_US),
            _ => Err(format!("policy.{name} is {seconds}; it must lie between 0 and {DURATION_S_MAX} seconds")),
        };
        if policy.card_day_minor_max < 0 {
            return Err(format!("policy.card_day_minor_max is {}; it must not be negative", policy.card_day_minor_max));
        }
        Ok(Self {
            signature_us: us("signature_s", policy.signature_s)?,
            unanswered_us: us("unanswered_s", policy.unanswered_s)?,
            timer_grace_us: us("timer_grace_s", policy.timer_grace_s)?,
            duplicate_us: us("duplicate_s", policy.duplicate_s)?,
            card_day_minor_max: policy.card_day_minor_max,
            card_day_count_max: policy.card_day_count_max,
            answer_kept_us: us("answer_kept_s", policy.answer_kept_s)?,
            payment_kept_us: us("payment_kept_s", policy.payment_kept_s)?,
            payments_max: policy.payments_max,
        })
    }

    /// How long a payment keeps its full record: for its answer, and for the card's windows.
    pub(crate) fn full_record_us(&self) -> i64 {
        self.answer_kept_us.max(DAY_US).max(self.duplicate_us)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::of(&Policy::default()).expect("the default policy's durations are within a hundred years")
    }
}

/// A card as the bundle names it. Where it stands with its money is the ledger's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardEntry {
    /// Whether the issuer keeps the account open.
    pub(crate) open: bool,
    /// Currency of the account.
    pub(crate) currency: Currency,
    /// Money that it opens with, minor units.
    pub(crate) opening_minor: i64,
}

/// An entry of a list of refused cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listing {
    list: CardList,
    until_us: Option<i64>,
}

/// A bundle in force. The maps are only looked up, never listed, so that their order decides nothing.
#[derive(Debug)]
pub(crate) struct InForce {
    /// The bundle's hash.
    pub(crate) hash: ContentHash,
    /// The same in hexadecimal, as every decision quotes it.
    pub(crate) hash_text: String,
    /// Timers and limits.
    pub(crate) rules: Rules,
    /// Cards with an account.
    pub(crate) cards: BTreeMap<CardToken, CardEntry>,
    lists: HashMap<CardToken, Vec<Listing>>,
}

impl InForce {
    /// Reads and checks a bundle.
    pub(crate) fn read(hash: ContentHash, content: &[u8]) -> Result<Self, Error> {
        let hash_text = hash.to_hex();
        let refuse = |reason: String| Error::NotLoadable { what: format!("bundle {hash_text}"), reason };
        let bundle: AuthorizeBundle = serde_json::from_slice(content).map_err(|error| refuse(error.to_string()))?;
        let rules = Rules::of(&bundle.policy).map_err(refuse)?;
        if bundle.cards.len().max(bundle.lists.len()) > ACCOUNTS_MAX {
            return Err(refuse(format!("more than {ACCOUNTS_MAX} cards or listed cards")));
        }
        let cards = read_cards(&bundle.cards).map_err(refuse)?;
        let mut lists: HashMap<CardToken, Vec<Listing>> = HashMap::new();
        for (place, listed) in bundle.lists.iter().enumerate() {
            let token = CardToken::from_hex(&listed.token)
                .ok_or_else(|| refuse(format!("lists[{place}].token is not 32 hexadecimal digits")))?;
            lists.entry(token).or_default().push(Listing { list: listed.list, until_us: listed.until_us });
        }
        Ok(Self { hash, hash_text, rules, cards, lists })
    }

    /// Lists on which the card stands at a time; an entry ends just before its `until_us`.
    pub(crate) fn lists_of(&self, token: CardToken, at_us: i64) -> impl Iterator<Item = CardList> {
        let listings = self.lists.get(&token).map_or(&[][..], Vec::as_slice);
        listings.iter().filter(move |listing| listing.until_us.is_none_or(|until_us| at_us < until_us)).map(|l| l.list)
    }
}

fn read_cards(accounts: &[CardAccount]) -> Result<BTreeMap<CardToken, CardEntry>, String> {
    let mut cards = BTreeMap::new();
    let mut openings: BTreeMap<Currency, i64> = BTreeMap::new();
    for (place, account) in accounts.iter().enumerate() {
        let token = CardToken::from_hex(&account.token)
            .ok_or_else(|| format!("cards[{place}].token is not 32 hexadecimal digits"))?;
        let CardAccount { currency, opening_minor, open, .. } = *account;
        if opening_minor < 0 {
            return Err(format!("cards[{place}].opening_minor is negative"));
        }
        let sum = openings.entry(currency).or_default();
        *sum = sum.checked_add(opening_minor).ok_or_else(|| format!("the openings in {} overflow", currency.code()))?;
        if cards.insert(token, CardEntry { open, currency, opening_minor }).is_some() {
            return Err(format!("cards[{place}] is a second account of the same card"));
        }
    }
    Ok(cards)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::bundles::ListedCard;

    fn card(token: &str) -> CardAccount {
        let (token, issuer) = (token.to_string(), "Demo Bank".to_string());
        CardAccount { token, issuer, currency: Currency::EUR, opening_minor: 1, open: true }
    }

    fn read(policy: Policy, cards: Vec<CardAccount>, lists: Vec<ListedCard>) -> Result<InForce, Error> {
        let content = serde_json::to_vec(&AuthorizeBundle { policy, cards, lists }).unwrap();
        InForce::read(ContentHash::of(&content), &content)
    }

    #[test]
    fn a_bundle_that_makes_no_sense_is_not_loadable_and_says_where() {
        let token = "ab".repeat(16);
        let negative = CardAccount { opening_minor: -1, ..card(&token) };
        let listed = ListedCard { token: "x".into(), list: CardList::Lost, until_us: None };
        let forever = Policy { payment_kept_s: i64::MAX, ..Policy::default() };
        for (result, place) in [
            (read(Policy::default(), vec![card("12")], vec![]), "cards[0].token"),
            (read(Policy::default(), vec![card(&token), card(&token)], vec![]), "cards[1]"),
            (read(Policy::default(), vec![negative], vec![]), "cards[0].opening_minor"),
            (read(Policy::default(), vec![], vec![listed]), "lists[0].token"),
            (read(forever, vec![], vec![]), "policy.payment_kept_s"),
            (InForce::read(ContentHash::of(b"{"), b"{"), "bundle 021fb596"),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::NotLoadable { .. }));
            assert!(error.to_string().contains(place), "{error}");
        }
    }

    #[test]
    fn a_listing_ends_just_before_its_end() {
        let token = CardToken([0xab; 16]);
        let listed = |list, until_us| ListedCard { token: token.to_hex(), list, until_us };
        let lists = vec![listed(CardList::Lost, Some(10)), listed(CardList::Blocked, None)];
        let in_force = read(Policy::default(), vec![], lists).unwrap();
        assert_eq!(in_force.lists_of(token, 9).collect::<Vec<_>>(), [CardList::Lost, CardList::Blocked]);
        assert_eq!(in_force.lists_of(token, 10).collect::<Vec<_>>(), [CardList::Blocked]);
        assert_eq!(in_force.lists_of(CardToken([0; 16]), 9).count(), 0);
    }
}
