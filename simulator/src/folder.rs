//! What lies in an input folder beside its day files: which town it is, bundles, keys, zones, and the control records that
//! bring these into force.

use std::fs;
use std::path::Path;

use decode::keys::PUBLISHED_ID_TECH;
use schemas::bundles::{
    Assignment, AuthorizeBundle, CardAccount, CardList, DecodeBundle, ListedCard, Policy, RulesBundle,
};
use schemas::ids::ContentHash;
use schemas::topics::kind;
use serde::{Deserialize, Serialize};

use crate::cards::{self, CardKind};
use crate::merchants::{CURRENCY, DAY_COUNT_MAX, DAY_MINOR_MAX, PAYMENT_MINOR_MAX};
use crate::records::Record;
use crate::writer::write_file;
use crate::{Plan, SimulatorError, World, clock, districts};

/// Raised whenever the same seed would give other files.
const VERSION: u32 = 3;
const SIMULATION: &str = "simulation.json";
/// Version of the token key and id of the routing key.
pub(crate) const KEY_NAME: &str = "1";

/// `simulation.json`: which town it is, and how many of its days are complete.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Simulation {
    version: u32,
    seed: u64,
    merchants: u32,
    days: u32,
}

impl std::fmt::Display for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the town of seed {} with {} merchants, version {}", self.seed, self.merchants, self.version)
    }
}

impl Simulation {
    fn of(plan: &Plan, days: u32) -> Self {
        Self { version: VERSION, seed: plan.seed, merchants: plan.merchants, days }
    }
}

/// How many days of this plan's town lie in the folder. It may be missing or empty; another town is an error.
pub(crate) fn days_there(plan: &Plan, input: &Path) -> Result<u32, SimulatorError> {
    let other = |found: String| SimulatorError::OtherPlan {
        path: input.to_path_buf(),
        found,
        wanted: Simulation::of(plan, plan.days).to_string(),
    };
    let path = input.join(SIMULATION);
    if !path.exists() {
        let mut folders = ["transactions", "pings"].into_iter().map(|topic| input.join(topic));
        let has_files = folders.any(|folder| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()));
        return if has_files { Err(other("files that no simulation wrote".to_string())) } else { Ok(0) };
    }
    let found = read(&path)?.map_err(other)?;
    if found == Simulation::of(plan, found.days) { Ok(found.days) } else { Err(other(found.to_string())) }
}

/// The `simulation.json` at this path, or what lies there instead.
fn read(path: &Path) -> Result<Result<Simulation, String>, SimulatorError> {
    let content = fs::read(path).map_err(SimulatorError::file("read", path))?;
    let parsed = serde_json::from_slice(&content);
    Ok(parsed.map_err(|error| format!("a {SIMULATION} that cannot be read ({error})")))
}

/// See [`crate::plan_in`].
pub(crate) fn plan_in(input: &Path) -> Result<Option<Plan>, SimulatorError> {
    let path = input.join(SIMULATION);
    if !path.exists() {
        return Ok(None);
    }
    let other = |found| SimulatorError::OtherPlan {
        path: input.to_path_buf(),
        found,
        wanted: format!("a simulation of version {VERSION}"),
    };
    match read(&path)? {
        Ok(found) if found.version == VERSION => {
            Ok(Some(Plan { seed: found.seed, days: found.days, merchants: found.merchants }))
        }
        Ok(found) => Err(other(found.to_string())),
        Err(found) => Err(other(found)),
    }
}

/// Notes that so many days are complete.
pub(crate) fn note_days(plan: &Plan, days: u32, input: &Path) -> Result<(), SimulatorError> {
    let content = serde_json::to_vec_pretty(&Simulation::of(plan, days)).expect("numbers always serialize");
    write_file(&input.join(SIMULATION), &content)
}

/// Makes the folders.
pub(crate) fn create(input: &Path) -> Result<(), SimulatorError> {
    for name in ["transactions", "pings", "bundles", "keys"] {
        let path = input.join(name);
        fs::create_dir_all(&path).map_err(SimulatorError::file("create", &path))?;
    }
    Ok(())
}

/// Writes keys, bundles and zones; gives the control records that bring them into force, in their order.
pub(crate) fn equip(world: &World, input: &Path) -> Result<Vec<Record>, SimulatorError> {
    write_file(&input.join("keys/keys.json"), &world.ring.to_json())?;
    let mut controls = Vec::new();
    for (control_type, id) in [("key_set", PUBLISHED_ID_TECH), ("token_key", KEY_NAME), ("routing_key", KEY_NAME)] {
        let check_value = world.ring.check_value(control_type, id);
        controls.push(control("decode", control_type, id, check_value));
    }
    let decode = serde_json::to_vec_pretty(&decode_bundle(world));
    let authorize = serde_json::to_vec_pretty(&authorize_bundle(world));
    for (unit, content) in [("decode", decode), ("authorize", authorize)] {
        let content = content.expect("texts and numbers always serialize");
        let hash = ContentHash::of(&content).to_hex();
        write_file(&input.join(format!("bundles/{hash}.json")), &content)?;
        controls.push(control(unit, "bundle", unit, Some(hash)));
    }
    let rules = serde_json::to_vec_pretty(&rules_bundle()).expect("texts always serialize");
    let hash = ContentHash::of(&rules).to_hex();
    write_file(&input.join(format!("bundles/{hash}.json")), &rules)?;
    controls.extend(["decode", "authorize"].map(|unit| control(unit, "rules", "rules", Some(hash.clone()))));
    let zones = serde_json::to_vec_pretty(&districts::geojson()).expect("texts and numbers always serialize");
    write_file(&input.join("bundles/zones.geojson"), &zones)?;
    Ok(controls)
}

fn control(unit: &'static str, control_type: &'static str, id: &str, hash: Option<String>) -> Record {
    Record {
        kind: Some(kind::CONTROL),
        control_unit: Some(unit),
        control_type: Some(control_type),
        control_id: Some(id.to_string()),
        control_hash: hash,
        ..Record::default()
    }
}

fn decode_bundle(world: &World) -> DecodeBundle {
    let business = &world.business;
    let merchant = |merchant: &crate::merchants::Merchant| schemas::bundles::Merchant {
        id: merchant.id.clone(),
        name: merchant.name.clone(),
        trade: merchant.trade.name().to_string(),
        mcc: merchant.trade.mcc().to_string(),
        zone: clock::ZONE.to_string(),
        currency: CURRENCY,
        active: true,
        payment_minor_max: PAYMENT_MINOR_MAX,
        day_minor_max: DAY_MINOR_MAX,
        day_count_max: DAY_COUNT_MAX,
    };
    let reader = |reader: &crate::merchants::Reader| schemas::bundles::Reader {
        id: reader.id.clone(),
        merchant_id: business.merchants[reader.merchant].id.clone(),
        key_set: PUBLISHED_ID_TECH.to_string(),
        active: true,
        counter_min: 0,
    };
    let assignment = |carrier: &crate::merchants::Carrier| Assignment {
        courier_id: carrier.id.clone(),
        merchant_id: business.merchants[carrier.merchant].id.clone(),
        reader_id: Some(business.readers[carrier.reader].id.clone()),
        device_id: Some(carrier.device_id.clone()),
        vehicle: carrier.vehicle.name().to_string(),
        valid_from_us: clock::FIRST_US,
        valid_to_us: None,
    };
    DecodeBundle {
        merchants: business.merchants.iter().map(merchant).collect(),
        readers: business.readers.iter().map(reader).collect(),
        assignments: business.carriers.iter().map(assignment).collect(),
        placeholder_names: cards::PLACEHOLDERS.map(str::to_string).to_vec(),
        decline_unknown_name: true,
        number_ranges: cards::number_ranges(),
    }
}

/// What the demo's risk team looks for.
fn rules_bundle() -> RulesBundle {
    let [windows, rules] = [include_str!("rules/windows.txt"), include_str!("rules/rules.txt")].map(str::to_string);
    RulesBundle { windows, rules, ..RulesBundle::default() }
}

fn authorize_bundle(world: &World) -> AuthorizeBundle {
    let account = |card: &cards::Card| CardAccount {
        token: card.token.to_hex(),
        issuer: card.issuer.to_string(),
        currency: CURRENCY,
        opening_minor: card.opening_minor,
        open: true,
    };
    let stolen = world.cards.all.iter().filter(|card| card.kind == CardKind::Stolen);
    AuthorizeBundle {
        policy: Policy::default(),
        cards: world.cards.all.iter().map(account).collect(),
        lists: stolen
            .map(|card| ListedCard { token: card.token.to_hex(), list: CardList::Stolen, until_us: None })
            .collect(),
    }
}
