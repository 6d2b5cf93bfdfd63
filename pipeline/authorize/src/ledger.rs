//! The embedded issuer's ledger: for each card what it opened with, what is held and what was captured.
//!
//! Invariant "money in = money out": in each currency, held and captured summed over payments equal held and captured
//! summed over accounts. Both sums are kept by separate paths and compared after each record; [`Ledger::audit`] counts
//! them anew.

use std::collections::BTreeMap;

use schemas::ids::CardToken;
use schemas::money::Currency;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::payment::Core;

/// Name of the invariant.
pub(crate) const MONEY: &str = "money in = money out";

/// Money that is held and money that is owed, minor units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Amounts {
    /// Held on the card for payments without a signature.
    pub(crate) held_minor: i64,
    /// Owed to merchants for signed payments.
    pub(crate) captured_minor: i64,
}

impl Amounts {
    fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            held_minor: self.held_minor.checked_add(other.held_minor)?,
            captured_minor: self.captured_minor.checked_add(other.captured_minor)?,
        })
    }
}

impl std::ops::Sub for Amounts {
    type Output = Self;

    /// Both sides are amounts of one payment, never negative, so the difference fits.
    fn sub(self, before: Self) -> Self {
        Self {
            held_minor: self.held_minor - before.held_minor,
            captured_minor: self.captured_minor - before.captured_minor,
        }
    }
}

/// An account of the embedded issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Its only currency.
    pub(crate) currency: Currency,
    opening_minor: i64,
    amounts: Amounts,
}

impl Account {
    /// What the card can still pay: opening - held - captured, minor units.
    pub(crate) fn available_minor(&self) -> i64 {
        self.opening_minor - self.amounts.held_minor - self.amounts.captured_minor
    }
}

/// Sums over the accounts of one currency, minor units. `opening = held + captured + available` always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// What the accounts opened with.
    pub opening_minor: i64,
    /// Held on cards for payments without a signature.
    pub held_minor: i64,
    /// Owed to merchants for signed payments.
    pub captured_minor: i64,
    /// Still available to the cards.
    pub available_minor: i64,
}

/// Both sides of the invariant in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sides {
    payments: Amounts,
    accounts: Amounts,
}

/// Amounts of all payments, summed one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct PaymentSums {
    by_currency: [Option<Amounts>; Currency::ALL.len()],
    overflows: bool,
}

impl PaymentSums {
    /// Adds what a payment holds and owes.
    pub(crate) fn add(&mut self, core: &Core) {
        let Some(currency) = core.currency else { return };
        let sum = &mut self.by_currency[currency as usize];
        match sum.unwrap_or_default().checked_add(core.amounts()) {
            Some(added) => *sum = Some(added),
            None => self.overflows = true,
        }
    }

    /// The sum of each currency that a payment has.
    fn by_currency(&self) -> Result<impl Iterator<Item = (Currency, Amounts)>, Error> {
        if self.overflows {
            return Err(violated("a sum over payments overflows".into()));
        }
        Ok(Currency::ALL.into_iter().filter_map(|currency| Some((currency, self.by_currency[currency as usize]?))))
    }
}

/// Accounts, and the running sums that must agree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    accounts: BTreeMap<CardToken, Account>,
    /// Captured by payments that are no longer remembered, minor units.
    forgotten_captured_minor: BTreeMap<Currency, i64>,
    #[serde(skip)]
    sides: BTreeMap<Currency, Sides>,
}

impl Ledger {
    /// Opens an account unless the card has one: a later bundle does not reset it.
    pub(crate) fn open(&mut self, token: CardToken, currency: Currency, opening_minor: i64) {
        self.accounts.entry(token).or_insert(Account { currency, opening_minor, amounts: Amounts::default() });
    }

    /// Number of accounts.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// The card's account.
    pub(crate) fn account(&self, token: CardToken) -> Option<&Account> {
        self.accounts.get(&token)
    }

    /// The accounts' side: books a change on the card's account, which must stay within what it opened with.
    pub(crate) fn book(&mut self, token: CardToken, change: Amounts) -> Result<(), Error> {
        let account = self.accounts.get_mut(&token).ok_or_else(|| violated("a payment has no account".into()))?;
        let amounts = account.amounts.checked_add(change).ok_or_else(|| violated("an account overflows".into()))?;
        let booked = Account { amounts, ..*account };
        if amounts.held_minor < 0 || amounts.captured_minor < 0 || booked.available_minor() < 0 {
            return Err(violated(format!(
                "an account of {} {} would hold {}, have captured {} and {} available",
                booked.opening_minor,
                booked.currency.code(),
                amounts.held_minor,
                amounts.captured_minor,
                booked.available_minor()
            )));
        }
        *account = booked;
        let side = &mut self.sides.entry(booked.currency).or_default().accounts;
        *side = side.checked_add(change).ok_or_else(|| violated("the sum over accounts overflows".into()))?;
        Ok(())
    }

    /// The payments' side: a payment's amounts changed.
    pub(crate) fn payment_changed(&mut self, currency: Currency, change: Amounts) -> Result<(), Error> {
        let side = &mut self.sides.entry(currency).or_default().payments;
        *side = side.checked_add(change).ok_or_else(|| violated("the sum over payments overflows".into()))?;
        Ok(())
    }

    /// A payment is no longer remembered; what it captured stays counted.
    pub(crate) fn forget(&mut self, currency: Currency, captured_minor: i64) {
        if captured_minor != 0 {
            *self.forgotten_captured_minor.entry(currency).or_default() += captured_minor;
        }
    }

    /// Money in = money out, by the running sums of one currency.
    pub(crate) fn check(&self, currency: Currency) -> Result<(), Error> {
        let sides = self.sides.get(&currency).copied().unwrap_or_default();
        if sides.payments == sides.accounts { Ok(()) } else { Err(disagree(currency, sides)) }
    }

    /// Both sides counted anew, from the accounts and from the payments.
    fn count(&self, payments: &PaymentSums) -> Result<BTreeMap<Currency, Sides>, Error> {
        let mut sides: BTreeMap<Currency, Sides> = BTreeMap::new();
        let overflow = || violated("a sum overflows".into());
        let forgotten = self
            .forgotten_captured_minor
            .iter()
            .map(|(currency, captured_minor)| (*currency, Amounts { held_minor: 0, captured_minor: *captured_minor }));
        for (currency, amounts) in payments.by_currency()?.chain(forgotten) {
            let side = &mut sides.entry(currency).or_default().payments;
            *side = side.checked_add(amounts).ok_or_else(overflow)?;
        }
        for account in self.accounts.values() {
            let side = &mut sides.entry(account.currency).or_default().accounts;
            *side = side.checked_add(account.amounts).ok_or_else(overflow)?;
        }
        match sides.iter().find(|(_, side)| side.payments != side.accounts) {
            Some((currency, side)) => Err(disagree(*currency, *side)),
            None => Ok(sides),
        }
    }

    /// The full check: both sides counted anew agree with each other and with the running sums.
    pub(crate) fn audit(&self, payments: &PaymentSums) -> Result<(), Error> {
        for (currency, counted) in self.count(payments)? {
            let running = self.sides.get(&currency).copied().unwrap_or_default();
            if counted != running {
                return Err(violated(format!("counted {counted:?} but kept {running:?} in {}", currency.code())));
            }
        }
        Ok(())
    }

    /// Rebuilds the running sums after a restore.
    pub(crate) fn rebuild(&mut self, payments: &PaymentSums) -> Result<(), Error> {
        self.sides = self.count(payments)?;
        Ok(())
    }

    /// Sums over the accounts, by currency.
    pub(crate) fn totals(&self) -> BTreeMap<Currency, Totals> {
        let mut totals: BTreeMap<Currency, Totals> = BTreeMap::new();
        for account in self.accounts.values() {
            let sum = totals.entry(account.currency).or_default();
            sum.opening_minor = sum.opening_minor.saturating_add(account.opening_minor);
            sum.held_minor += account.amounts.held_minor;
            sum.captured_minor += account.amounts.captured_minor;
            sum.available_minor = sum.available_minor.saturating_add(account.available_minor());
        }
        totals
    }
}

fn violated(found: String) -> Error {
    Error::Invariant { name: MONEY, found }
}

fn disagree(currency: Currency, sides: Sides) -> Error {
    violated(format!(
        "payments hold {} and captured {}, accounts hold {} and captured {} minor units of {}",
        sides.payments.held_minor,
        sides.payments.captured_minor,
        sides.accounts.held_minor,
        sides.accounts.captured_minor,
        currency.code()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: CardToken = CardToken([7; 16]);
    const HOLD: Amounts = Amounts { held_minor: 60, captured_minor: 0 };

    /// Sums of one payment in euros, or of none.
    fn sums(amounts: Option<Amounts>) -> PaymentSums {
        let mut sums = PaymentSums::default();
        sums.by_currency[Currency::EUR as usize] = amounts;
        sums
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open(CARD, Currency::EUR, 100);
        ledger
    }

    #[test]
    fn an_account_keeps_its_opening_and_never_goes_below_zero() {
        let mut ledger = ledger();
        ledger.open(CARD, Currency::USD, 1);
        ledger.book(CARD, HOLD).unwrap();
        assert_eq!(ledger.account(CARD).unwrap().available_minor(), 40);
        assert_eq!(ledger.account(CARD).unwrap().currency, Currency::EUR);
        assert!(ledger.book(CARD, HOLD).is_err(), "120 of 100 were held");
        assert!(ledger.book(CARD, Amounts { held_minor: -61, captured_minor: 0 }).is_err());
        assert_eq!(ledger.account(CARD).unwrap().available_minor(), 40, "a refused booking changes nothing");
    }

    /// Fails when the payments' side is fed from the accounts' side: then a lost booking shows nowhere.
    #[test]
    fn a_booking_without_its_payment_breaks_the_named_invariant() {
        let mut ledger = ledger();
        ledger.book(CARD, HOLD).unwrap();
        let error = ledger.check(Currency::EUR).unwrap_err().to_string();
        assert!(error.contains(MONEY), "{error}");
        assert!(ledger.audit(&PaymentSums::default()).is_err());
        ledger.payment_changed(Currency::EUR, HOLD).unwrap();
        ledger.check(Currency::EUR).unwrap();
        ledger.audit(&sums(Some(HOLD))).unwrap();
    }

    #[test]
    fn what_forgotten_payments_captured_stays_counted() {
        let mut ledger = ledger();
        let captured = Amounts { held_minor: 0, captured_minor: 60 };
        ledger.book(CARD, captured).unwrap();
        ledger.payment_changed(Currency::EUR, captured).unwrap();
        ledger.forget(Currency::EUR, 60);
        ledger.audit(&sums(None)).unwrap();
        let total = ledger.totals()[&Currency::EUR];
        assert_eq!((total.opening_minor, total.captured_minor, total.available_minor), (100, 60, 40));
    }
}
