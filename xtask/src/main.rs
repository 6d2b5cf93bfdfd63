//! `cargo xtask`: tasks for people who work on tillstream. Results go to standard output, everything else to standard
//! error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::service::{ServiceError, Standing};
use xtask::{kafka, registry};

/// Tasks for working on tillstream.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, PartialEq, Subcommand)]
enum Task {
    /// A Kafka broker on this machine that stays until it is stopped
    #[command(subcommand)]
    Kafka(Kafka),
    /// A schema registry on this machine that stays until it is stopped
    #[command(subcommand)]
    Registry(Registry),
}

#[derive(Debug, PartialEq, Subcommand)]
enum Kafka {
    /// Start it, and print its address
    ///
    /// Needs Java 17 or later, and Maven the first time, which fetches 44 MB. One node, on loopback, in plaintext; topics are
    /// not created by use. It takes up to 512 MB of heap.
    Up {
        /// Port for clients on 127.0.0.1
        #[arg(long, value_name = "N", default_value_t = kafka::standing::PORT, value_parser = clap::value_parser!(u16).range(1..))]
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

#[derive(Debug, PartialEq, Subcommand)]
enum Registry {
    /// Start it, and print its address
    ///
    /// Needs Java 17 or later, and Maven the first time, which fetches 142 MB. It listens on loopback, keeps schemas in
    /// memory, and refuses those that are not backward compatible. It takes up to 256 MB of heap.
    Up {
        /// Port on 127.0.0.1
        #[arg(long, value_name = "N", default_value_t = registry::standing::PORT, value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// Folder for its settings and log [default: registry-standing in ~/.cache/tillstream]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Stop it; what it knew is gone
    Down,
    /// Print its address; exit code 1 if there is none
    Status,
}

fn main() -> ExitCode {
    let ended = match Cli::parse().task {
        Task::Kafka(task) => broker(task),
        Task::Registry(task) => schema_registry(task),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn broker(task: Kafka) -> Result<ExitCode, ServiceError> {
    match task {
        Kafka::Up { port, dir } => {
            let standing = kafka::standing::up(port, dir)?;
            println!("{}", standing.address);
            say_where("Kafka", "kafka", &standing);
        }
        Kafka::Down => match kafka::standing::down()? {
            Some(standing) => eprintln!("stopped; its data stays in {}", standing.folder().display()),
            None => eprintln!("no broker stands"),
        },
        Kafka::Status => match kafka::standing::status()? {
            Some(standing) => println!("{}", standing.address),
            None => return Ok(nothing("no broker stands", "kafka")),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn schema_registry(task: Registry) -> Result<ExitCode, ServiceError> {
    match task {
        Registry::Up { port, dir } => {
            let (standing, url) = registry::standing::up(port, dir)?;
            println!("{url}");
            say_where("the registry", "registry", &standing);
        }
        Registry::Down => match registry::standing::down()? {
            Some(_) => eprintln!("stopped"),
            None => eprintln!("no registry stands"),
        },
        Registry::Status => match registry::standing::status()? {
            Some((_, url)) => println!("{url}"),
            None => return Ok(nothing("no registry stands", "registry")),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn say_where(name: &str, word: &str, standing: &Standing) {
    eprintln!("{name} runs as process {} in {}", standing.process, standing.folder().display());
    eprintln!("`cargo xtask {word} down` stops it");
}

fn nothing(what: &str, word: &str) -> ExitCode {
    eprintln!("{what}; `cargo xtask {word} up` starts one");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(words: &str) -> Result<Task, clap::Error> {
        let words = ["cargo xtask"].into_iter().chain(words.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.task)
    }

    #[test]
    fn arguments_say_what_to_do() {
        assert_eq!(parse("kafka up").unwrap(), Task::Kafka(Kafka::Up { port: 9092, dir: None }));
        let dir = Some(Path::new("a/b").to_path_buf());
        assert_eq!(parse("kafka up --port 9100 --dir a/b").unwrap(), Task::Kafka(Kafka::Up { port: 9100, dir }));
        assert_eq!(parse("kafka down").unwrap(), Task::Kafka(Kafka::Down));
        assert_eq!(parse("kafka status").unwrap(), Task::Kafka(Kafka::Status));
        assert_eq!(parse("registry up").unwrap(), Task::Registry(Registry::Up { port: 8081, dir: None }));
        assert_eq!(parse("registry down").unwrap(), Task::Registry(Registry::Down));
        assert_eq!(parse("registry status").unwrap(), Task::Registry(Registry::Status));
        for wrong in
            ["kafka", "kafka up --port 0", "kafka up --port 70000", "kafka up 9092", "kafka down --port 1", "pulsar up"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
