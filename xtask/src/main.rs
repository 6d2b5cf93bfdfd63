//! `cargo xtask`: tasks for people who work on tillstream. Results go to standard output, everything else to standard
//! error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::kafka::KafkaError;
use xtask::kafka::standing::{self, Standing};

/// Tasks for working on tillstream.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A Kafka broker on this machine that stays until it is stopped
    #[command(subcommand)]
    Kafka(Kafka),
}

#[derive(Debug, PartialEq, Subcommand)]
enum Kafka {
    /// Start it, and print its address
    ///
    /// Needs Java 17 or later, and Maven the first time, which fetches 44 MB. One node, on loopback, in plaintext; topics are
    /// not created by use. It takes up to 512 MB of heap.
    Up {
        /// Port for clients on 127.0.0.1
        #[arg(long, value_name = "N", default_value_t = standing::PORT, value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// Folder for its data, settings and log, which stays when it is stopped and is used again
        /// [default: kafka-standing in ~/.cache/tillstream]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Stop it; its data stays
    Down,
    /// Print its address; exit code 1 if there is none
    Status,
}

fn main() -> ExitCode {
    let Task::Kafka(task) = Cli::parse().task;
    let ended = match task {
        Kafka::Up { port, dir } => up(port, dir),
        Kafka::Down => down(),
        Kafka::Status => status(),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn up(port: u16, dir: Option<PathBuf>) -> Result<ExitCode, KafkaError> {
    let standing = standing::up(port, dir)?;
    let Standing { process, bootstrap, .. } = &standing;
    println!("{bootstrap}");
    eprintln!("Kafka runs as process {process} in {}", standing.folder().display());
    eprintln!("`cargo xtask kafka down` stops it");
    Ok(ExitCode::SUCCESS)
}

fn down() -> Result<ExitCode, KafkaError> {
    match standing::down()? {
        Some(standing) => eprintln!("stopped; its data stays in {}", standing.folder().display()),
        None => eprintln!("no broker stands"),
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode, KafkaError> {
    if let Some(Standing { bootstrap, .. }) = standing::status()? {
        println!("{bootstrap}");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("no broker stands; `cargo xtask kafka up` starts one");
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(words: &str) -> Result<Kafka, clap::Error> {
        let words = ["cargo xtask"].into_iter().chain(words.split_whitespace());
        Cli::try_parse_from(words).map(|cli| match cli.task {
            Task::Kafka(task) => task,
        })
    }

    #[test]
    fn arguments_say_what_to_do() {
        assert_eq!(parse("kafka up").unwrap(), Kafka::Up { port: 9092, dir: None });
        let dir = Some(Path::new("a/b").to_path_buf());
        assert_eq!(parse("kafka up --port 9100 --dir a/b").unwrap(), Kafka::Up { port: 9100, dir });
        assert_eq!(parse("kafka down").unwrap(), Kafka::Down);
        assert_eq!(parse("kafka status").unwrap(), Kafka::Status);
        for wrong in
            ["kafka", "kafka up --port 0", "kafka up --port 70000", "kafka up 9092", "kafka down --port 1", "pulsar up"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
