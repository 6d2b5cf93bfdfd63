//! A small input folder written by hand: one merchant, one reader that really encrypts, published test cards, demo keys.

use std::fs;
use std::path::{Path, PathBuf};

use decode::dukpt::Ksn;
use decode::idtech::{FrameFormat, Stripe, build};
use decode::keys::{KeyRing, PUBLISHED_ID_TECH};
use schemas::bundles::{AuthorizeBundle, CardAccount, DecodeBundle, Merchant, NumberRange, Policy, Reader};
use schemas::ids::{CardToken, ContentHash};
use schemas::money::Currency;
use serde_json::{Value, json};

/// First day of the shop's log.
const DAY: &str = "2026-03-02";
/// Published test cards that have an account.
const CARDS: [&str; 2] = ["4111111111111111", "4124939999999990"];
const TOKEN_KEY: [u8; 32] = [7; 32];
const ROUTING_KEY: [u8; 32] = [8; 32];

/// Where the shop's files lie.
pub struct Shop {
    pub input: PathBuf,
    ring: KeyRing,
}

impl Shop {
    /// Makes the folders and writes keys and bundles.
    pub fn open(input: &Path) -> Self {
        for folder in ["transactions", "pings", "bundles", "keys"] {
            fs::create_dir_all(input.join(folder)).unwrap();
        }
        let ring = KeyRing::published().with_token_key("1", TOKEN_KEY).unwrap().with_routing_key("1", ROUTING_KEY);
        fs::write(input.join("keys/keys.json"), &*ring.to_json()).unwrap();
        Self { input: input.to_path_buf(), ring }
    }

    /// The records that bring keys and bundles into force.
    pub fn controls(&self) -> Vec<Value> {
        let control = |unit: &str, kind: &str, id: &str, hash: String| {
            json!({"kind": "control", "received_at": at(0), "control_unit": unit, "control_type": kind,
                "control_id": id, "control_hash": hash})
        };
        let key = |kind: &str, id: &str| control("decode", kind, id, self.ring.check_value(kind, id).unwrap());
        let bundle = |unit: &str, content: Vec<u8>| {
            let hash = ContentHash::of(&content).to_hex();
            fs::write(self.input.join(format!("bundles/{hash}.json")), content).unwrap();
            control(unit, "bundle", unit, hash)
        };
        vec![
            key("key_set", PUBLISHED_ID_TECH),
            key("token_key", "1"),
            key("routing_key", "1"),
            bundle("decode", serde_json::to_vec(&decode_bundle()).unwrap()),
            bundle("authorize", serde_json::to_vec(&authorize_bundle()).unwrap()),
        ]
    }

    /// The frame that the shop's reader makes of a card at this key counter.
    pub fn frame(&self, card: &str, counter: u32) -> Vec<u8> {
        let ksn = Ksn::from_hex("62994901190000000000").unwrap().with_counter(counter);
        let track1 = with_lrc(format!("%B{card}^TESTER/TILL^33121010000000000?"), 0x20);
        let track2 = with_lrc(format!(";{card}=33121010000000000?"), 0x30);
        let stripe = Stripe { track1: Some(track1.as_bytes()), track2: Some(track2.as_bytes()) };
        let key = self.ring.key_set(PUBLISHED_ID_TECH).unwrap().base_key();
        build(FrameFormat::IdTechEnhanced, key, ksn, stripe).unwrap()
    }

    /// A swipe of this frame, so many seconds after the start of the log; the STAN is the same number.
    pub fn swipe(&self, second: u32, frame: &[u8]) -> Value {
        json!({"kind": "swipe", "received_at": at(second), "merchant_id": "M-1", "reader_id": "R-1", "stan": second,
            "terminal_time": at(second), "amount_minor": 1250, "currency": "EUR", "frame": hex::encode(frame)})
    }

    /// Writes lines into a file of the transactions topic: records as JSON, texts as they are.
    pub fn write_transactions(&self, name: &str, lines: &[Value]) {
        let line = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string) + "\n";
        let content: String = lines.iter().map(line).collect();
        fs::write(self.input.join("transactions").join(name), content).unwrap();
    }
}

/// So many seconds after the start of the log, RFC 3339.
pub fn at(second: u32) -> String {
    format!("{DAY}T09:{:02}:{:02}Z", second / 60, second % 60)
}

fn decode_bundle() -> DecodeBundle {
    let range = |digits: &str, scheme: &str| NumberRange {
        from: digits.to_string(),
        to: digits.to_string(),
        scheme: scheme.to_string(),
    };
    DecodeBundle {
        merchants: vec![Merchant {
            id: "M-1".to_string(),
            name: "Corner shop".to_string(),
            trade: "shop".to_string(),
            mcc: "5411".to_string(),
            zone: "Europe/Dublin".to_string(),
            currency: Currency::EUR,
            active: true,
            payment_minor_max: 100_000,
            day_minor_max: 10_000_000,
            day_count_max: 1_000,
        }],
        readers: vec![Reader {
            id: "R-1".to_string(),
            merchant_id: "M-1".to_string(),
            key_set: PUBLISHED_ID_TECH.to_string(),
            active: true,
            counter_min: 0,
        }],
        number_ranges: vec![range("4", "Visa")],
        decline_unknown_name: true,
        ..DecodeBundle::default()
    }
}

fn authorize_bundle() -> AuthorizeBundle {
    let account = |card: &str| CardAccount {
        token: CardToken::derive(&TOKEN_KEY, card.as_bytes()).to_hex(),
        issuer: "Test Bank".to_string(),
        currency: Currency::EUR,
        opening_minor: 1_000_000,
        open: true,
    };
    AuthorizeBundle { policy: Policy::default(), cards: CARDS.map(account).to_vec(), lists: Vec::new() }
}

/// Appends the XOR of all coded characters (ISO/IEC 7811-2), printed like they are.
fn with_lrc(mut track: String, first: u8) -> String {
    let lrc = track.bytes().fold(0, |lrc, character| lrc ^ (character - first));
    track.push(char::from(lrc + first));
    track
}
