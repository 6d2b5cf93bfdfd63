//! What is remembered of swipes for a day: their identity, for retransmissions, trace numbers used twice, and withdraws
//! that quote reader and STAN.
//!
//! Whether something is still remembered is judged by the asking record's own time, so that neighbours change no
//! answer; the partition's clock only frees the memory. Nothing here opens a card: the content of a swipe, with its
//! closed frame, is kept as a truncated hash. Swipes are kept apart by merchant too, whose partition this is: a stranger
//! who quotes somebody's reader spoils nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};

use schemas::findings::Findings;
use schemas::ids::{CardToken, PaymentId, hash_of_parts};
use schemas::unit::UnitError;
use serde::{Deserialize, Serialize};

use crate::checks::{NamePresence, Seen};
use crate::columns::{self, Record};
use crate::dukpt::Ksn;
use crate::error::unreadable_state;

/// How long a swipe or withdraw is remembered, microseconds: as long as authorize can repeat its answer.
const KEPT_US: i64 = 24 * 3600 * 1_000_000;
/// Gateways differ by seconds: records may be that much older than the clock, microseconds.
const CLOCK_SPREAD_US: i64 = 30 * 1_000_000;
/// Most swipes and withdraws remembered at once: 57 a second all day long, about a gigabyte.
pub(crate) const ARRIVALS_MAX: usize = 5_000_000;
/// Most contents remembered under one merchant, reader and STAN: more are attacks, refused without being remembered.
const CONTENTS_MAX: usize = 8;

/// Hash of merchant, reader and STAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sender([u8; 16]);

impl Sender {
    fn of(sender: &columns::Sender<'_>) -> Self {
        Self(hash_of_parts(&[sender.merchant_id.as_bytes(), sender.reader_id.as_bytes(), &sender.stan.to_be_bytes()]))
    }
}

/// Hash of everything else that a swipe says, but not of when it was received; of nothing for a withdraw. Texts out of
/// bounds count as missing: such swipes are all refused alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Content([u8; 16]);

impl Content {
    const WITHDRAW: Self = Self([0; 16]);

    fn of(record: &Record<'_>) -> Self {
        fn bytes(text: Option<&str>) -> &[u8] {
            text.unwrap_or_default().as_bytes()
        }
        fn number(value: Option<i64>) -> [u8; 9] {
            let mut bytes = [0; 9];
            bytes[0] = u8::from(value.is_some());
            bytes[1..].copy_from_slice(&value.unwrap_or_default().to_be_bytes());
            bytes
        }
        Self(hash_of_parts(&[
            record.frame.unwrap_or_default(),
            &number(record.amount_minor),
            &number(record.terminal_time_us),
            bytes(record.currency),
            bytes(record.courier_id),
            bytes(record.app_version),
            bytes(record.malformed),
        ]))
    }
}

/// Number of a text in [`Names`], from 1; 0 for none.
type Name = u32;

/// Texts that many swipes share. There are at most six for each remembered swipe, and those that no swipe uses any
/// more go when the next bundle comes.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    texts: Vec<Box<str>>,
    /// Only looked up, never listed.
    #[serde(skip)]
    numbers: HashMap<Box<str>, Name>,
}

impl Names {
    fn number(&mut self, text: Option<&str>) -> Name {
        let Some(text) = text else { return 0 };
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.texts.push(text.into());
        self.numbers.insert(text.into(), self.texts.len() as Name);
        self.texts.len() as Name
    }

    fn text(&self, number: Name) -> Option<&str> {
        self.texts.get((number as usize).checked_sub(1)?).map(Box::as_ref)
    }
}

/// What was found about a swipe, as its retransmissions show it again.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Memo {
    payment_id: PaymentId,
    ksn: Option<[u8; Ksn::LENGTH]>,
    token: Option<CardToken>,
    last4: Option<[u8; 4]>,
    name: Option<NamePresence>,
    chip_capable: Option<bool>,
    online_only: Option<bool>,
    expired: Option<bool>,
    findings: Findings,
    /// Courier, MCC, token key, scheme, bundle, key set.
    names: [Name; 6],
}

/// A swipe or, without a memo, a withdraw that came before its swipe.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Arrival {
    received_at_us: i64,
    sender: Sender,
    content: Content,
    memo: Option<Memo>,
}

/// By what a swipe is recognised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwipeKey {
    sender: Sender,
    content: Content,
}

impl SwipeKey {
    pub(crate) fn of(record: &Record<'_>, sender: &columns::Sender<'_>) -> Self {
        Self { sender: Sender::of(sender), content: Content::of(record) }
    }
}

/// Most arrivals that a memory takes.
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ARRIVALS_MAX)
    }
}

/// What is known about a swipe before it is looked at.
pub(crate) enum Standing<'a> {
    /// Nothing.
    New,
    /// The very same swipe came before.
    Repeat(Seen<'a>),
    /// Another swipe has its trace number.
    StanUsed,
    /// The gateway has taken it back already.
    Withdrawn,
}

/// Swipes and early withdraws, oldest first.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    arrivals: VecDeque<Arrival>,
    names: Names,
    /// Number of the oldest arrival.
    #[serde(skip)]
    first: u64,
    /// Number of the newest arrival of a sender and content.
    #[serde(skip)]
    index: BTreeMap<(Sender, Content), u64>,
    #[serde(skip)]
    room: Room,
}

impl Memory {
    /// Number of remembered swipes and withdraws.
    pub(crate) fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether nothing more can be remembered.
    pub(crate) fn is_full(&self) -> bool {
        self.arrivals.len() >= self.room.0
    }

    /// What is known about a swipe.
    pub(crate) fn standing(&self, key: SwipeKey, at_us: i64) -> Standing<'_> {
        let mut standing = Standing::New;
        for (_, arrival) in self.arrivals_of(key.sender, at_us) {
            match &arrival.memo {
                Some(memo) if arrival.content == key.content => return Standing::Repeat(self.seen(memo)),
                Some(_) => standing = Standing::StanUsed,
                None if matches!(standing, Standing::New) => standing = Standing::Withdrawn,
                None => {}
            }
        }
        standing
    }

    /// Remembers a swipe, unless another one with the same identity is remembered: only that one's answer can be
    /// repeated. The memory must not be full.
    pub(crate) fn remember(&mut self, key: SwipeKey, at_us: i64, seen: &Seen<'_>) {
        let is_taken = |arrival: &Arrival| arrival.memo.is_some_and(|memo| memo.payment_id == seen.payment_id);
        let (count, taken) = self
            .arrivals_of(key.sender, at_us)
            .fold((0, false), |(count, taken), (_, arrival)| (count + 1, taken || is_taken(arrival)));
        if taken || count >= CONTENTS_MAX {
            return;
        }
        let texts = [seen.courier_id, seen.mcc, seen.token_key_version, seen.scheme, seen.decode_bundle, seen.key_set];
        let memo = Memo {
            payment_id: seen.payment_id,
            ksn: seen.ksn.map(Ksn::bytes),
            token: seen.token,
            last4: seen.last4,
            name: seen.name,
            chip_capable: seen.chip_capable,
            online_only: seen.online_only,
            expired: seen.expired,
            findings: seen.findings,
            names: texts.map(|text| self.names.number(text)),
        };
        let SwipeKey { sender, content } = key;
        self.push(Arrival { received_at_us: at_us, sender, content, memo: Some(memo) });
    }

    /// The payment that a withdraw takes back: the first swipe of its reader and STAN.
    pub(crate) fn withdrawn(&self, record: &Record<'_>, sender: &columns::Sender<'_>) -> Option<PaymentId> {
        let swipes = self.arrivals_of(Sender::of(sender), record.received_at_us);
        let first =
            swipes.filter_map(|(number, arrival)| Some((number, arrival.memo?))).min_by_key(|(number, _)| *number);
        first.map(|(_, memo)| memo.payment_id)
    }

    /// Remembers a withdraw whose swipe has not arrived. The memory must not be full.
    pub(crate) fn remember_withdraw(&mut self, record: &Record<'_>, sender: &columns::Sender<'_>) {
        let (received_at_us, sender) = (record.received_at_us, Sender::of(sender));
        self.push(Arrival { received_at_us, sender, content: Content::WITHDRAW, memo: None });
    }

    /// Frees what no record can ask for any more when the clock stands there. A clock is the largest time seen; since
    /// nothing forgotten comes back, an earlier time changes nothing and the clock itself need not be kept.
    pub(crate) fn forget(&mut self, clock_us: i64) {
        while let Some(arrival) = self.arrivals.front().copied()
            && arrival.received_at_us + KEPT_US + CLOCK_SPREAD_US < clock_us
        {
            self.arrivals.pop_front();
            let key = (arrival.sender, arrival.content);
            if self.index.get(&key) == Some(&self.first) {
                self.index.remove(&key);
            }
            self.first += 1;
        }
    }

    /// Drops names that no swipe uses any more.
    pub(crate) fn tidy_names(&mut self) {
        let before = std::mem::take(&mut self.names);
        for memo in self.arrivals.iter_mut().filter_map(|arrival| arrival.memo.as_mut()) {
            memo.names = memo.names.map(|number| self.names.number(before.text(number)));
        }
    }

    /// Builds what is not saved; refuses what no memory can hold.
    pub(crate) fn rebuild(&mut self) -> Result<(), UnitError> {
        for text in std::mem::take(&mut self.names.texts) {
            self.names.number(Some(&text));
        }
        let names_end = self.names.texts.len() as Name;
        let is_there = |memo: &Memo| memo.names.iter().all(|name| *name <= names_end);
        if !self.arrivals.iter().filter_map(|arrival| arrival.memo.as_ref()).all(is_there) {
            return Err(unreadable_state("a remembered swipe quotes a name that is not there"));
        }
        // Sorted as a whole: entered one by one, each would fall on another place of the memory. Of several with one key
        // the last one, the newest, stays.
        let numbered = self.arrivals.iter().zip(0..);
        let mut entries: Vec<_> =
            numbered.map(|(arrival, number)| ((arrival.sender, arrival.content), number)).collect();
        entries.sort_unstable();
        self.index = BTreeMap::from_iter(entries);
        Ok(())
    }

    fn push(&mut self, arrival: Arrival) {
        self.index.insert((arrival.sender, arrival.content), self.first + self.arrivals.len() as u64);
        self.arrivals.push_back(arrival);
    }

    /// What a record received at this time can still ask for, with its number. An arrival later in the log may have an
    /// earlier time.
    fn arrivals_of(&self, sender: Sender, at_us: i64) -> impl Iterator<Item = (u64, &Arrival)> {
        let every_content = (sender, Content([0; 16]))..=(sender, Content([u8::MAX; 16]));
        let numbers = self.index.range(every_content).map(|(_, number)| *number);
        numbers
            .filter_map(|number| Some((number, self.arrivals.get((number - self.first) as usize)?)))
            .filter(move |(_, arrival)| at_us <= arrival.received_at_us + KEPT_US)
    }

    /// A memory that is sooner full.
    #[cfg(test)]
    pub(crate) fn limit(&mut self, arrivals_max: usize) {
        self.room = Room(arrivals_max);
    }

    fn seen(&self, memo: &Memo) -> Seen<'_> {
        let [courier_id, mcc, token_key_version, scheme, decode_bundle, key_set] =
            memo.names.map(|number| self.names.text(number));
        Seen {
            payment_id: memo.payment_id,
            ksn: memo.ksn.map(Ksn::new),
            token: memo.token,
            last4: memo.last4,
            name: memo.name,
            chip_capable: memo.chip_capable,
            online_only: memo.online_only,
            expired: memo.expired,
            findings: memo.findings,
            courier_id,
            mcc,
            token_key_version,
            scheme,
            decode_bundle,
            key_set,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Fails if the index of a restored memory is another than the one that grew, as where of several arrivals of one
        /// key not the newest is found.
        #[test]
        fn a_restored_index_is_the_one_that_grew(keys in prop::collection::vec((0_u8..4, 0_u8..3), 0..40)) {
            let mut memory = Memory::default();
            for (sender, content) in keys {
                let (sender, content) = (Sender([sender; 16]), Content([content; 16]));
                memory.push(Arrival { received_at_us: 0, sender, content, memo: None });
            }
            let mut restored: Memory = postcard::from_bytes(&postcard::to_stdvec(&memory).unwrap()).unwrap();
            restored.rebuild().unwrap();
            prop_assert_eq!(restored.index, memory.index);
        }
    }
}
