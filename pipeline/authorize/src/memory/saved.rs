//! The saved form of a memory: payments in the order of their identities, without indexes.
//!
//! Millions of payments are walked once in each direction: what else must be known of each (its amounts, its places in
//! indexes) is taken along on the way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use schemas::ids::{ContentHash, PaymentId};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Memory;
use super::indexes::Gathered;
use crate::alerts::Groups;
use crate::error::Error;
use crate::ledger::{Ledger, PaymentSums};
use crate::payment::Payment;

/// Layout of the saved bytes, their first value. A reader refuses others.
const LAYOUT: u16 = 1;
/// Room made for a payment at first, bytes: most are short and take about 70. What is missing is added in few steps.
const PAYMENT_BYTES: usize = 80;
/// Room for payments made before the first is read: the number that the bytes say is believed as they come.
const ENTRIES_FIRST: usize = 65_536;

/// A memory as it is written.
#[derive(Serialize)]
struct Written<'a> {
    bundle: &'a Option<ContentHash>,
    groups: &'a Groups,
    clocks: &'a BTreeMap<u16, i64>,
    payments: Counted<'a>,
    ledger: &'a Ledger,
}

/// Payments whose amounts are summed while they are written.
struct Counted<'a> {
    payments: &'a BTreeMap<PaymentId, Payment>,
    sums: RefCell<PaymentSums>,
}

impl Serialize for Counted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sums = self.sums.borrow_mut();
        serializer.collect_map(self.payments.iter().inspect(|(_, payment)| sums.add(&payment.core)))
    }
}

/// A memory as it is read.
#[derive(Deserialize)]
struct Read {
    bundle: Option<ContentHash>,
    groups: Groups,
    clocks: BTreeMap<u16, i64>,
    payments: Payments,
    ledger: Ledger,
}

/// Payments in the order of their identities, and what follows from them.
#[derive(Default)]
struct Payments {
    entries: Vec<(PaymentId, Payment)>,
    gathered: Gathered,
    sums: PaymentSums,
}

impl Payments {
    fn push(&mut self, id: PaymentId, payment: Payment) -> Result<(), &'static str> {
        if self.entries.last().is_some_and(|(before, _)| *before >= id) {
            return Err("payments are not in the order of their identities");
        }
        if payment.core.state.holds() && payment.detail.is_none() {
            return Err("a payment that holds money has no deadline");
        }
        self.gathered.add(id, &payment);
        self.sums.add(&payment.core);
        self.entries.push((id, payment));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Payments {
    fn deserialize<D: Deserializer<'de>>(saved: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Payments;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("payments by their identities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut saved: A) -> Result<Payments, A::Error> {
                let mut payments = Payments::default();
                payments.entries.reserve(saved.size_hint().unwrap_or_default().min(ENTRIES_FIRST));
                while let Some((id, payment)) = saved.next_entry()? {
                    payments.push(id, payment).map_err(A::Error::custom)?;
                }
                Ok(payments)
            }
        }
        saved.deserialize_map(Entries)
    }
}

impl Memory {
    /// The state as bytes, after the full check of money in = money out.
    pub(crate) fn save(&self) -> Result<Vec<u8>, Error> {
        let payments = Counted { payments: &self.payments, sums: RefCell::default() };
        let Self { bundle, groups, clocks, ledger, .. } = self;
        let written = Written { bundle, groups, clocks, payments, ledger };
        let room = Vec::with_capacity(self.payments.len() * PAYMENT_BYTES);
        let bytes = postcard::to_extend(&(LAYOUT, &written), room)
            .map_err(|error| Error::Snapshot { reason: error.to_string() })?;
        ledger.audit(&written.payments.sums.borrow())?;
        Ok(bytes)
    }

    /// The state of saved bytes, checked in full, its indexes rebuilt.
    pub(crate) fn restore(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |reason: String| Error::Snapshot { reason };
        let (layout, rest): (u16, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| unreadable(error.to_string()))?;
        if layout != LAYOUT {
            return Err(unreadable(format!("layout {layout}, but this program reads {LAYOUT}")));
        }
        let (read, rest): (Read, &[u8]) =
            postcard::take_from_bytes(rest).map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes follow the state", rest.len())));
        }
        let Read { bundle, mut groups, clocks, payments: Payments { entries, gathered, sums }, mut ledger } = read;
        ledger.rebuild(&sums)?;
        groups.rebuild();
        let (indexes, payments) = gathered.finish(|| BTreeMap::from_iter(entries));
        Ok(Self { bundle, groups, clocks, payments, ledger, indexes })
    }
}

#[cfg(test)]
mod tests {
    use schemas::ids::CardToken;
    use schemas::money::Currency;

    use super::*;
    use crate::machine::State;
    use crate::payment::{Core, Standing};

    fn declined(received_at_us: i64) -> Payment {
        let core = Core {
            received_at_us,
            amount_minor: 100,
            captured_minor: 0,
            merchant_hash: 1,
            ksn_hash: 2,
            token: Some(CardToken([3; 16])),
            origin: 0,
            state: State::Declined,
            standing: Standing::of(None),
            alerted: 0,
            currency: Some(Currency::EUR),
        };
        Payment { core, detail: None }
    }

    /// A state with these payments as older programs saved it: every field by itself, payments as a list of pairs.
    fn saved(payments: &[(PaymentId, Payment)]) -> Vec<u8> {
        let Memory { bundle, groups, clocks, ledger, .. } = Memory::default();
        postcard::to_stdvec(&(LAYOUT, bundle, groups, clocks, payments, ledger)).unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        Memory::restore(bytes).unwrap_err().to_string()
    }

    /// Fails if the layout changes without its number, or payments are not saved in the order of their identities.
    #[test]
    fn the_layout_is_that_of_older_programs() {
        let payments = [(PaymentId([1; 14]), declined(9)), (PaymentId([2; 14]), declined(7))];
        let bytes = saved(&payments);
        let memory = Memory::restore(&bytes).unwrap();
        assert_eq!(memory.payments, BTreeMap::from(payments));
        assert_eq!(memory.save().unwrap(), bytes);
    }

    /// Fails if a payment can be there twice, once in the map and twice in indexes and sums.
    #[test]
    fn payments_out_of_order_are_refused() {
        let [first, second] = [1, 2].map(|number| (PaymentId([number; 14]), declined(7)));
        for payments in [[second.clone(), first.clone()], [first.clone(), first]] {
            assert!(refusal(&saved(&payments)).contains("does not read"));
        }
    }

    /// Fails if money is held without an end, or is not owed by any card.
    #[test]
    fn payments_without_deadline_or_account_are_refused() {
        let mut payment = declined(7);
        payment.core.state = State::Authorized;
        assert!(refusal(&saved(&[(PaymentId([1; 14]), payment.clone())])).contains("does not read"));
        payment.core.state = State::Captured;
        payment.core.captured_minor = 100;
        assert!(refusal(&saved(&[(PaymentId([1; 14]), payment.clone())])).contains(crate::ledger::MONEY));
        let payments = [1, 2].map(|number| {
            payment.core.captured_minor = i64::MAX;
            (PaymentId([number; 14]), payment.clone())
        });
        assert!(refusal(&saved(&payments)).contains("overflows"));
    }
}
