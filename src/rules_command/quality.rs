//! `till rules quality`: what the rules in force are worth, by what people and issuers said of the payments on which they
//! fired.

use arrow::array::AsArray;
use clap::Args;
use fraud::live::Definitions;
use fraud::quality::{FiredColumns, FiredRules, LabelColumns};
use lake::{Session, open_session};
use schemas::ids::ContentHash;
use schemas::unit::BundleSource;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use crate::wiring::{StateBundles, start_runtime};

/// What rules are in force: those of the newest decision.
const IN_FORCE: &str = "SELECT arrow_cast(rules_bundle, 'Utf8') AS hash FROM decisions WHERE rules_bundle IS NOT NULL \
    ORDER BY event_time DESC, source_offset DESC LIMIT 1";
/// What fired, a row for each payment and rule. The text of a rule begins with its class and its name.
const FIRED: &str = "
    SELECT arrow_cast(split_part(split_part(fired, ': ', 1), ' ', 2), 'Utf8') AS fired_rule,
           arrow_cast(payment_id, 'Utf8') AS payment, arrow_cast(token, 'Utf8') AS card, event_time AS paid_at,
           amount_minor AS amount, response_code <> '00' AS refused
    FROM (SELECT unnest(fired_rules) AS fired, payment_id, token, event_time, amount_minor, response_code FROM decisions
          WHERE payment_id IS NOT NULL)
    ORDER BY paid_at, payment, fired_rule";
const LABELS: &str = "SELECT arrow_cast(payment_id, 'Utf8') AS payment, label = 'fraud' AS is_fraud FROM labels ORDER BY known_at, payment";

/// What the rules are worth: hits, precision by labels, false alarms, repeats, rules that fire together, dead rules.
#[derive(Args)]
pub struct QualityArgs {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// Hash of the rules in force; nothing where none were.
pub async fn in_force(session: &Session) -> Result<Option<ContentHash>, Failure> {
    let hashes = session.collect(IN_FORCE).await?;
    Ok(hashes
        .iter()
        .find_map(|batch| ContentHash::from_hex(batch.column(0).as_string::<i32>().iter().flatten().next()?)))
}

/// Runs the command.
pub fn run(args: &QualityArgs) -> Result<(), Failure> {
    let config = Config::resolve(&args.lake, &args.state)?;
    let (hash, fired, labels) = start_runtime()?.block_on(async {
        let session = open_session(&config.lake).await?;
        let hash = in_force(&session).await?;
        Ok::<_, Failure>((hash, session.collect(FIRED).await?, session.collect(LABELS).await?))
    })?;
    let hash = hash.ok_or_else(|| {
        Failure::usage("no decision of this lake was made with rules")
            .with_help("bring some into force with `till rules publish`")
    })?;
    let content = StateBundles::new(&config.state).bundle(hash).map_err(Failure::failed)?;
    let bundle = serde_json::from_slice(&content).map_err(Failure::failed)?;
    let definitions = Definitions::read(&bundle)
        .map_err(|problems| Failure::failed(format!("rules {}: {problems}", hash.to_hex())))?;
    let column = |name: &str| name.to_string();
    let columns = FiredColumns {
        rule: column("fired_rule"),
        payment: column("payment"),
        card: column("card"),
        time: column("paid_at"),
        amount: column("amount"),
        refused: Some(column("refused")),
    };
    let mut rules = FiredRules::new(definitions.rules(), &columns).map_err(Failure::failed)?;
    for batch in &fired {
        rules.add(batch).map_err(Failure::failed)?;
    }
    let columns = LabelColumns { payment: column("payment"), label: column("is_fraud") };
    let mut quality = rules.labels(&columns).map_err(Failure::failed)?;
    for batch in &labels {
        quality.add(batch).map_err(Failure::failed)?;
    }
    let report = quality.report(None);
    if args.json { output::print_json(&report) } else { output::print(report.to_string().trim_end()) }
}
