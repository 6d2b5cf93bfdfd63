//! `till sql`: questions to the lake, in a statement, a script or at a prompt. Answers go to standard output or to a
//! file. It only reads: the lake's session refuses everything else.

mod answer;
mod cells;
mod command;
mod destination;
mod explain;
mod interactive;
mod split;

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use clap::Args;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use lake::Session;
use tokio::runtime::Runtime;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use answer::{AnswerError, AnswerWriter, Format, Out};
use cells::TABLE_ROWS_MAX;
use command::Command;
use destination::OutputFile;
use explain::{StatementError, explain};
use split::{Statement, split};

/// Largest script, which is held in memory.
const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Ask the lake in SQL. Without a statement it asks for some on a terminal, and else runs the script on standard
/// input.
#[derive(Args)]
#[command(after_help = "Examples:\n  till sql '\\d'\n  till sql '\\d payments'\n  till sql \"SELECT * FROM outcomes\"\n  \
    till sql --output day.parquet \"SELECT * FROM payments_current\"\n  till sql --format json < questions.sql")]
pub struct SqlArgs {
    /// Statements separated by semicolons, or `\d` (what is there), `\d NAME` (its columns), `\?` (help).
    #[arg(value_name = "STATEMENT")]
    statement: Option<String>,
    /// How to write answers [default: as the ending of --output says, else table].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the answer to this file instead of standard output; it is there whole or not at all.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    lake_flags: LakeFlags,
}

/// Runs the command.
pub fn run(args: &SqlArgs) -> Result<(), Failure> {
    let format = args.format.unwrap_or_else(|| format_of(args.output.as_deref()));
    if format == Format::Parquet && args.output.is_none() {
        return Err(Failure::usage("parquet needs a file").with_help("name one with --output FILE"));
    }
    let config = Config::resolve(&args.lake_flags, &StateFlags::default())?;
    if !config.lake.is_dir() {
        return Err(Failure::usage(format!("there is no lake in {}", config.lake.display()))
            .with_help("name one with --lake, or make one with `till demo`"));
    }
    let runtime = Runtime::new().map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    match &args.statement {
        Some(text) => runtime.block_on(run_text(text, format, args.output.as_deref(), &config.lake)),
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => {
            if args.output.is_some() {
                return Err(Failure::usage("--output needs a statement or a script on standard input"));
            }
            eprintln!("reading {}; \\? lists the commands", config.lake.display());
            interactive::ask(|text| runtime.block_on(answer_prompt(text, format, &config.lake)))
        }
        None => {
            let text = read_script()?;
            runtime.block_on(run_text(&text, format, args.output.as_deref(), &config.lake))
        }
    }
}

/// The format that a file's ending stands for.
fn format_of(output: Option<&Path>) -> Format {
    match output.and_then(Path::extension).and_then(|ending| ending.to_str()) {
        Some("csv") => Format::Csv,
        Some("json" | "ndjson" | "jsonl") => Format::Json,
        Some("parquet") => Format::Parquet,
        _ => Format::Table,
    }
}

fn read_script() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(SCRIPT_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("cannot read the script on standard input: {error}")))?;
    if text.len() as u64 > SCRIPT_BYTES_MAX {
        return Err(Failure::usage(format!("the script is larger than {SCRIPT_BYTES_MAX} bytes; split it")));
    }
    Ok(text)
}

/// Runs statement by statement, all on the lake as it stands now, up to the first error.
async fn run_text(text: &str, format: Format, file: Option<&Path>, lake: &Path) -> Result<(), Failure> {
    let statements = split(text).statements();
    if statements.is_empty() {
        return Err(Failure::usage("there is no statement").with_help("for instance: till sql '\\d'"));
    }
    if file.is_some() && statements.len() > 1 {
        return Err(Failure::usage(format!("--output takes one statement, not {}", statements.len()))
            .with_help("run each with a file of its own"));
    }
    let session = lake::open_session(lake).await?;
    for (index, statement) in statements.iter().enumerate() {
        let place = (statements.len() > 1).then_some(index + 1);
        let done = match file {
            Some(path) => to_file(&session, statement, format, path).await,
            None => {
                if format == Format::Csv && index > 0 {
                    // Each answer has its own heads.
                    output::print("")?;
                }
                to_stdout(&session, statement, format).await.map(|(flow, _)| flow)
            }
        };
        match done {
            Ok(Flow::GoOn) => {}
            Ok(Flow::Stop) => break,
            Err(error) if error.is_reader_gone() => break,
            Err(error) => return Err(explain(error, statement, place)),
        }
    }
    Ok(())
}

/// Answers what was typed at the prompt, on the lake as it stands now; returns whether to go on asking.
async fn answer_prompt(text: &str, format: Format, lake: &Path) -> bool {
    for statement in split(text).statements() {
        let done = match lake::open_session(lake).await {
            Ok(session) => to_stdout(&session, &statement, format).await.map_err(|error| explain(error, &statement, None)),
            Err(error) => Err(error.into()),
        };
        match done {
            Ok((Flow::Stop, _)) => return false,
            Ok((Flow::GoOn, Some(rows))) => eprintln!("({})", counted(rows)),
            Ok((Flow::GoOn, None)) => {}
            Err(failure) => {
                crate::report(failure);
                return true;
            }
        }
    }
    true
}

fn counted(rows: u64) -> String {
    if rows == 1 { "1 row".to_string() } else { format!("{rows} rows") }
}

/// Whether further statements are wanted.
enum Flow {
    GoOn,
    Stop,
}

async fn to_file(session: &Session, statement: &Statement<'_>, format: Format, path: &Path) -> Result<Flow, StatementError> {
    let place = |cause| StatementError::File { path: path.to_path_buf(), cause };
    let mut output = OutputFile::create(path).map_err(place)?;
    let (flow, rows) = execute(session, statement, format, output.file()).await?;
    output.keep().map_err(place)?;
    match rows {
        Some(rows) => eprintln!("wrote {} to {}", counted(rows), path.display()),
        None => eprintln!("wrote {}", path.display()),
    }
    Ok(flow)
}

async fn to_stdout(
    session: &Session,
    statement: &Statement<'_>,
    format: Format,
) -> Result<(Flow, Option<u64>), StatementError> {
    execute(session, statement, format, &mut io::stdout()).await
}

/// Runs one statement; returns the number of rows of an answer to a query. Ctrl-C ends it.
async fn execute(
    session: &Session,
    statement: &Statement<'_>,
    format: Format,
    out: Out<'_>,
) -> Result<(Flow, Option<u64>), StatementError> {
    let listed = match Command::parse(statement.text) {
        None => {
            let answered = answer(session, statement.text, format, out);
            return tokio::select! {
                rows = answered => Ok((Flow::GoOn, Some(rows?))),
                _ = tokio::signal::ctrl_c() => Err(StatementError::Interrupted),
            };
        }
        Some(Err(problem)) => return Err(StatementError::NoCommand(problem)),
        Some(Ok(Command::Quit)) => return Ok((Flow::Stop, None)),
        Some(Ok(Command::Help)) => {
            writeln!(out, "{}", command::HELP).map_err(AnswerError::from)?;
            return Ok((Flow::GoOn, None));
        }
        Some(Ok(Command::List)) => command::list(session.tables(), format),
        Some(Ok(Command::Describe(name))) => {
            match session.tables().iter().find(|listing| listing.name == name) {
                Some(listing) => command::describe(listing),
                // The session knows which name is near.
                None => match session.plan(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""))).await {
                    Err(error) => return Err(error.into()),
                    Ok(_) => return Err(StatementError::NoCommand(format!("{name} has no description"))),
                },
            }
        }
    };
    let batch: RecordBatch = listed.map_err(AnswerError::from)?;
    let mut writer = AnswerWriter::start(format, batch.schema(), out)?;
    writer.write(&batch)?;
    writer.finish()?;
    Ok((Flow::GoOn, None))
}

/// Writes the answer to a query and returns its number of rows.
async fn answer(session: &Session, sql: &str, format: Format, out: Out<'_>) -> Result<u64, StatementError> {
    let mut stream = session.query(sql).await?;
    let mut writer = AnswerWriter::start(format, stream.schema(), out)?;
    while let Some(batch) = next(&mut stream).await {
        if !writer.write(&batch?)? {
            eprintln!("only the first {TABLE_ROWS_MAX} rows are shown; --format csv writes all of them");
            break;
        }
    }
    Ok(writer.finish()?)
}

async fn next(stream: &mut SendableRecordBatchStream) -> Option<Result<RecordBatch, DataFusionError>> {
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}
