//! Findings about a swipe on the merchant's side. Every check runs, whatever the others found, unless it needs what an
//! earlier one lacks: an unknown merchant has no time zone by which a card could expire.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemas::bundles::{Merchant, Reader};
use schemas::findings::Findings;
use schemas::ids::{CardToken, PaymentId, Route};
use schemas::money::{AMOUNT_MINOR_MAX, Currency};
use schemas::reasons::Reason;
use serde::{Deserialize, Serialize};

use crate::columns::{Record, Sender};
use crate::days::{CivilDay, Days};
use crate::dukpt::Ksn;
use crate::guard::Guards;
use crate::idtech;
use crate::in_force::InForce;
use crate::keys::KeyRing;
use crate::keys_in_force::{KeysInForce, ROUTE_WITHOUT_KEY};
use crate::open::{HolderName, OpenedFrame, open_with};
use crate::track::ServiceCode;

/// STANs have six digits (DE11).
const STAN_MAX: i32 = 999_999;
/// Longest frame that is looked at, bytes: one with three full tracks, masked, encrypted and hashed, has about 800.
const FRAME_BYTES_MAX: usize = 1_024;

/// Whether the card names its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NamePresence {
    /// Track 1 names somebody.
    Present,
    /// Track 1 is blank there, or shows a placeholder.
    Absent,
    /// Track 1 could not be read.
    Unknown,
}

impl NamePresence {
    /// As rows show it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known about a swipe after its checks, as columns of its row; they mean what the topic's schema says.
pub(crate) struct Seen<'a> {
    pub(crate) payment_id: PaymentId,
    pub(crate) ksn: Option<Ksn>,
    /// Filled in where the record names none.
    pub(crate) courier_id: Option<&'a str>,
    pub(crate) mcc: Option<&'a str>,
    pub(crate) token: Option<CardToken>,
    pub(crate) token_key_version: Option<&'a str>,
    pub(crate) last4: Option<[u8; 4]>,
    pub(crate) scheme: Option<&'a str>,
    pub(crate) name: Option<NamePresence>,
    pub(crate) chip_capable: Option<bool>,
    pub(crate) online_only: Option<bool>,
    pub(crate) expired: Option<bool>,
    pub(crate) findings: Findings,
    pub(crate) decode_bundle: Option<&'a str>,
    pub(crate) key_set: Option<&'a str>,
}

/// What a swipe is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Against<'a> {
    pub(crate) ring: &'a KeyRing,
    pub(crate) keys: &'a KeysInForce,
    pub(crate) in_force: Option<&'a InForce>,
}

/// The merchant of a swipe, and the civil time there.
struct MerchantHere<'a> {
    merchant: &'a Merchant,
    local: DateTime,
}

impl MerchantHere<'_> {
    fn civil_day(&self) -> CivilDay {
        let date = self.local.date();
        CivilDay::from(date.year()) * 10_000 + CivilDay::from(date.month()) * 100 + CivilDay::from(date.day())
    }
}

/// Checks a swipe on top of what was found already, about its texts and its identity. Counters and sums move with it: a counter when its frame
/// opened for a reader of the merchant, the merchant's day when nothing refuses the swipe.
pub(crate) fn check<'a>(
    record: &Record<'_>,
    sender: &Sender<'_>,
    mut findings: Findings,
    against: Against<'a>,
    guards: &mut Guards,
    days: &mut Days,
) -> Seen<'a> {
    let Against { keys, ring, in_force } = against;
    check_fields(record, sender, &mut findings);
    let here = check_merchant(record, sender, in_force, &mut findings);
    let reader = check_reader(sender, in_force, &mut findings);
    let is_own = reader.is_some_and(|reader| reader.merchant_id == sender.merchant_id);
    let frame = record.frame.filter(|frame| frame.len() <= FRAME_BYTES_MAX);
    let (ksn, opened) = match frame.map(idtech::parse) {
        None => (None, None),
        Some(Err(error)) => {
            findings.insert(error.reason());
            (None, None)
        }
        Some(Ok(frame)) => (Some(frame.ksn), open(&frame, reader, is_own, against, guards, &mut findings)),
    };
    let routing_key = keys.routing_key(ring);
    let token_key = keys.token_key(ring);
    // Without these keys the card has no identity downstream.
    findings.insert_if(routing_key.is_none() || token_key.is_none(), Reason::UnknownKeySet);
    let route = routing_key.map_or(ROUTE_WITHOUT_KEY, |key| match &opened {
        Some(opened) => opened.card.route(key),
        None => Route::of_reader(key, sender.reader_id),
    });
    let ksn_bytes = ksn.map(Ksn::bytes);
    let ksn_bytes = ksn_bytes.as_ref().map_or(&[][..], |bytes| bytes);
    let mut seen = Seen {
        payment_id: PaymentId::derive(route, sender.reader_id, ksn_bytes, sender.stan),
        ksn,
        courier_id: in_force
            .filter(|_| record.courier_id.is_none())
            .and_then(|in_force| in_force.carrier(sender.merchant_id, sender.reader_id, record.received_at_us)),
        mcc: here.as_ref().map(|here| here.merchant.mcc.as_str()),
        token: None,
        token_key_version: None,
        last4: None,
        scheme: None,
        name: None,
        chip_capable: None,
        online_only: None,
        expired: None,
        findings,
        decode_bundle: in_force.map(|in_force| in_force.hash_text.as_str()),
        key_set: None,
    };
    if let Some(opened) = &opened {
        seen.token = token_key.map(|(_, key)| opened.card.token(key));
        seen.token_key_version = token_key.map(|(version, _)| version);
        check_card(opened, here.as_ref(), against, &mut seen);
    }
    if let Some(here) = &here {
        check_limits(record, here, days, &mut seen.findings);
    }
    seen
}

fn check_fields(record: &Record<'_>, sender: &Sender<'_>, findings: &mut Findings) {
    let has_strange_stan = !(0..=STAN_MAX).contains(&sender.stan);
    let has_frame = record.frame.is_some_and(|frame| frame.len() <= FRAME_BYTES_MAX);
    let has_currency = record.currency.and_then(Currency::from_code).is_some();
    findings.insert_if(
        has_strange_stan || !has_frame || !has_currency || record.amount_minor.is_none(),
        Reason::FormatError,
    );
    let is_out_of_range = record.amount_minor.is_some_and(|amount| !(1..=AMOUNT_MINOR_MAX).contains(&amount));
    findings.insert_if(is_out_of_range, Reason::InvalidAmount);
}

fn check_merchant<'a>(
    record: &Record<'_>,
    sender: &Sender<'_>,
    in_force: Option<&'a InForce>,
    findings: &mut Findings,
) -> Option<MerchantHere<'a>> {
    let Some((merchant, zone)) = in_force.and_then(|in_force| in_force.merchant(sender.merchant_id)) else {
        findings.insert(Reason::UnknownMerchant);
        return None;
    };
    findings.insert_if(!merchant.active, Reason::InactiveMerchant);
    let currency = record.currency.and_then(Currency::from_code);
    findings.insert_if(currency.is_some_and(|currency| currency != merchant.currency), Reason::CurrencyNotAllowed);
    Some(MerchantHere { merchant, local: civil_time(zone, record.received_at_us) })
}

/// The calendar of `jiff` ends a few hours before the year 9999 does; its last moment stands for these.
fn civil_time(zone: &TimeZone, at_us: i64) -> DateTime {
    zone.to_datetime(Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::MAX))
}

fn check_reader<'a>(sender: &Sender<'_>, in_force: Option<&'a InForce>, findings: &mut Findings) -> Option<&'a Reader> {
    let reader = in_force.and_then(|in_force| in_force.reader(sender.reader_id));
    match reader {
        None => findings.insert(Reason::UnknownReader),
        Some(reader) => {
            findings.insert_if(reader.merchant_id != sender.merchant_id, Reason::ReaderOfOtherMerchant);
            findings.insert_if(!reader.active, Reason::ReaderBlocked);
        }
    }
    reader
}

/// Opens a frame under the key set in force that has its key serial number and is the reader's. The guard looks at and
/// moves for readers of the merchant only: a stranger's swipe must neither burn a counter nor learn about it.
fn open<'a>(
    frame: &idtech::Frame<'_>,
    reader: Option<&Reader>,
    is_own: bool,
    against: Against<'a>,
    guards: &mut Guards,
    findings: &mut Findings,
) -> Option<OpenedFrame<'a>> {
    let ksn = frame.ksn;
    let is_legal = ksn.check().is_ok();
    if is_legal {
        let is_below = reader.is_some_and(|reader| ksn.counter() < reader.counter_min);
        findings.insert_if(is_below || is_own && guards.has_seen(ksn), Reason::ReplayedCounter);
    } else {
        findings.insert(Reason::IllegalCounter);
    }
    let key_set = against.keys.key_set_for(against.ring, ksn, reader.map(|reader| reader.key_set.as_str()));
    findings.insert_if(key_set.is_none(), Reason::UnknownKeySet);
    match open_with(key_set.filter(|_| is_legal)?, frame) {
        Ok(opened) => {
            if is_own && guards.mark(ksn).is_err() {
                findings.insert(Reason::CapacityReached);
            }
            Some(opened)
        }
        Err(error) => {
            findings.insert(error.reason());
            None
        }
    }
}

fn check_card<'a>(
    opened: &OpenedFrame<'a>,
    here: Option<&MerchantHere<'a>>,
    against: Against<'a>,
    seen: &mut Seen<'a>,
) {
    let findings = &mut seen.findings;
    seen.key_set = Some(opened.key_set);
    seen.last4 = Some(opened.card.last4());
    findings.insert_if(!opened.card.is_valid(), Reason::InvalidCardNumber);
    if let Some(in_force) = against.in_force {
        seen.scheme = opened.card.scheme(&in_force.bundle.number_ranges);
        findings.insert_if(seen.scheme.is_none(), Reason::UnknownIssuer);
    }
    let name = name_presence(opened.name.as_ref(), against.in_force);
    let declines_unknown = against.in_force.is_some_and(|in_force| in_force.bundle.decline_unknown_name);
    seen.name = Some(name);
    findings.insert_if(name == NamePresence::Absent, Reason::NoNameCard);
    findings.insert_if(name == NamePresence::Unknown && declines_unknown, Reason::NameUnknown);
    if let Some(service) = opened.service {
        findings.insert_if(!is_allowed(service, against.ring.is_demo()), Reason::ServiceNotAllowed);
        seen.chip_capable = Some(matches!(service[0], b'2' | b'6'));
        seen.online_only = Some(matches!(service[1], b'2' | b'4'));
    }
    if let (Some(expiry), Some(here)) = (opened.expiry, here) {
        let has_ended = expiry.has_ended(here.local.year(), here.local.month());
        seen.expired = Some(has_ended);
        findings.insert_if(has_ended, Reason::ExpiredCard);
    }
}

fn name_presence(name: Option<&HolderName>, in_force: Option<&InForce>) -> NamePresence {
    let placeholders = in_force.map_or(&[][..], |in_force| &in_force.bundle.placeholder_names);
    match name {
        None => NamePresence::Unknown,
        Some(name) if name.names_nobody(placeholders) => NamePresence::Absent,
        Some(_) => NamePresence::Present,
    }
}

/// Whether a reader without PIN pad may take the card (ISO/IEC 7813): not where the third digit asks for a PIN (0, 3,
/// 5) or allows only cash (3, 4); a test card (first digit 9) in a demo only.
fn is_allowed(service: ServiceCode, is_demo: bool) -> bool {
    !matches!(service[2], b'0' | b'3' | b'4' | b'5') && (service[0] != b'9' || is_demo)
}

/// The merchant's limits, in its currency; the amount of the day at hand moves with a swipe that nothing refuses.
fn check_limits(record: &Record<'_>, here: &MerchantHere<'_>, days: &mut Days, findings: &mut Findings) {
    let (merchant, day) = (here.merchant, here.civil_day());
    let taken = days.taken(&merchant.id, day);
    findings.insert_if(taken.count >= merchant.day_count_max, Reason::MerchantDayCount);
    let is_comparable = !findings.contains(Reason::InvalidAmount) && record.currency == Some(merchant.currency.code());
    if let Some(amount_minor) = record.amount_minor.filter(|_| is_comparable) {
        findings.insert_if(amount_minor > merchant.payment_minor_max, Reason::PaymentLimit);
        let sum_minor = taken.minor.saturating_add(amount_minor);
        findings.insert_if(sum_minor > merchant.day_minor_max, Reason::MerchantDayAmount);
        if findings.refusal().is_none() {
            days.add(&merchant.id, day, amount_minor);
        }
    }
}
