//! `till topics`: creates the topics as they must be, and says what is wrong with those that are there.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use log::kafka::Admin;
use log::topics::{self, Found, PARTITIONS, REPLICATION, Wrong};
use serde_json::json;

use crate::config::{BrokerFlags, LakeFlags};
use crate::failure::Failure;
use crate::{kafka, output};

/// Pause between looks at topics that were just created, and how many: 10 s in all.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 100;

/// Create or check the topics on the brokers.
#[derive(Args)]
pub struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Subcommand)]
enum TopicsCommand {
    /// Create the topics that are missing, then check them all.
    Create(CreateArgs),
    /// Check number of partitions, timestamps, retention, cleanup and copies of every topic; exit code 4 where
    /// something is wrong, with the command that mends it.
    Check(CheckArgs),
}

#[derive(Args)]
struct CreateArgs {
    /// Partitions of each topic but control, fixed for its life [default: 24].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
    /// Copies of each partition [default: 3, or as many as there are brokers].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9))]
    replication: Option<u16>,
    #[command(flatten)]
    common: CheckArgs,
}

#[derive(Args)]
struct CheckArgs {
    /// Accept retention without end, closed frames included: for audits and tests with published keys only.
    #[arg(long)]
    audit: bool,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
}

/// Runs the command.
pub fn run(args: &TopicsArgs) -> Result<(), Failure> {
    match &args.command {
        TopicsCommand::Create(create) => {
            let (_, admin) = kafka::admin(&create.common.lake, &create.common.brokers)?;
            let created = make_missing(&admin, create)?;
            report(&admin, &create.common, &created)
        }
        TopicsCommand::Check(check) => {
            let (_, admin) = kafka::admin(&check.lake, &check.brokers)?;
            report(&admin, check, &[])
        }
    }
}

/// Creates what is missing; the names of what was created.
fn make_missing(admin: &Admin, args: &CreateArgs) -> Result<Vec<&'static str>, Failure> {
    let there = admin.topics()?;
    let replication = match args.replication {
        Some(replication) => replication,
        None => REPLICATION.min(admin.broker_count()?).max(1),
    };
    let mut created = Vec::new();
    for wanted in topics::wanted(args.partitions.unwrap_or(PARTITIONS)) {
        match there.get(wanted.topic) {
            None => {
                let settings = topics::settings_of(wanted.topic, replication, args.common.audit);
                let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
                admin.create_topic(wanted.topic, wanted.partitions, replication, &settings)?;
                created.push(wanted.topic);
            }
            Some(found) if args.partitions.is_some() && found.partitions != wanted.partitions => {
                let (topic, found, asked) = (wanted.topic, found.partitions, wanted.partitions);
                return Err(Failure::refused(format!("topic {topic} has {found} partitions, not {asked}"))
                    .with_help("the number is fixed for a topic's life, since state is kept by partition"));
            }
            Some(_) => {}
        }
    }
    await_topics(admin, &created)?;
    Ok(created)
}

/// Waits until what was created is known to every broker that may be asked next.
fn await_topics(admin: &Admin, created: &[&'static str]) -> Result<(), Failure> {
    for _ in 0..LOOKS_MAX {
        let there = admin.topics()?;
        if created.iter().all(|topic| there.get(*topic).is_some_and(|counts| counts.partitions > 0)) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(Failure::failed("the brokers have taken the topics and do not show them yet")
        .with_help("run `till topics check` in a while"))
}

/// Every topic of ours that is there.
pub fn found(admin: &Admin) -> Result<BTreeMap<&'static str, Found>, Failure> {
    let there = admin.topics()?;
    let mut found = BTreeMap::new();
    for (topic, _) in schemas::topics::all() {
        if let Some(counts) = there.get(topic) {
            let settings = admin.describe_configs(topic)?;
            found.insert(topic, Found { partitions: counts.partitions, replication: counts.replication, settings });
        }
    }
    Ok(found)
}

fn report(admin: &Admin, args: &CheckArgs, created: &[&'static str]) -> Result<(), Failure> {
    let found = found(admin)?;
    let wrong: Vec<Wrong> = schemas::topics::all()
        .into_iter()
        .flat_map(|(topic, _)| topics::check(topic, found.get(topic), args.audit))
        .collect();
    if args.json {
        let topic = |(topic, found): (&&str, &Found)| {
            json!({ "topic": topic, "partitions": found.partitions, "replication": found.replication,
                    "created": created.contains(topic) })
        };
        let findings = |wrong: &Wrong| json!({ "topic": wrong.topic, "problem": wrong.problem, "fix": wrong.fix });
        output::print_json(&json!({
            "topics": found.iter().map(topic).collect::<Vec<_>>(),
            "findings": wrong.iter().map(findings).collect::<Vec<_>>(),
        }))?;
    } else {
        print(&found, created, &wrong)?;
    }
    match wrong.len() {
        0 => Ok(()),
        count => Err(Failure::findings(format!("{count} things are wrong with the topics"))
            .with_help("each stands above with the command that mends it")),
    }
}

fn print(found: &BTreeMap<&'static str, Found>, created: &[&'static str], wrong: &[Wrong]) -> Result<(), Failure> {
    let mut table = output::table(["topic", "partitions", "copies", "retention", ""]);
    for (topic, found) in found {
        let retention = found.settings.get("retention.ms").map_or("?", String::as_str);
        let state = match wrong.iter().filter(|wrong| wrong.topic == *topic).count() {
            0 if created.contains(topic) => "created".to_string(),
            0 => "well".to_string(),
            count => format!("{count} wrong"),
        };
        table.add_row([
            *topic,
            &found.partitions.to_string(),
            &found.replication.to_string(),
            &duration_text(retention),
            &state,
        ]);
    }
    output::print(&table.to_string())?;
    for Wrong { topic, problem, fix } in wrong {
        output::print(&format!("{topic}: {problem}\n    {fix}"))?;
    }
    Ok(())
}

/// A number of milliseconds for people.
fn duration_text(milliseconds: &str) -> String {
    match milliseconds.parse::<i64>() {
        Ok(-1) => "for ever".to_string(),
        Ok(ms) if ms % 86_400_000 == 0 => format!("{} d", ms / 86_400_000),
        Ok(ms) if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        Ok(ms) => format!("{ms} ms"),
        Err(_) => milliseconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        let cases = [("-1", "for ever"), ("604800000", "7 d"), ("1800000", "30 min"), ("1500", "1500 ms"), ("?", "?")];
        for (milliseconds, text) in cases {
            assert_eq!(duration_text(milliseconds), text);
        }
    }
}
