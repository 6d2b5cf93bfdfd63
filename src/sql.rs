//! `till sql`: questions to the lake, in a statement, a script or at a prompt. Answers go to standard output or to a
//! file. It only reads: the lake's session refuses everything else.

pub mod answer;
pub mod cells;
mod command;
pub mod destination;
mod explain;
mod interactive;
mod split;

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use clap::Args;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use lake::Session;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use crate::wiring::start_runtime;
use answer::{AnswerError, AnswerWriter, Format, Out, Shape};
use cells::TABLE_ROWS_MAX;
use command::Command;
use destination::OutputFile;
use explain::{StatementError, explain};
use split::{Statement, split};

/// Largest script, which is held in memory.
const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Batches of an answer (of some thousand rows each) that wait for being written.
const BATCHES_WAITING_MAX: usize = 2;

/// Ask the lake in SQL. Without a statement it asks for some on a terminal, and else runs the script on standard
/// input.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  till sql '\\d'\n  till sql '\\d payments'\n  till sql \"SELECT * FROM outcomes\"\n  \
    till sql --output day.parquet \"SELECT * FROM payments_current\"\n  till sql --format json < questions.sql"
)]
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
    config.require_lake()?;
    let output = args.output.as_deref();
    match &args.statement {
        Some(text) => block_on(run_text(text, format, output, &config.lake))?,
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => {
            if output.is_some() {
                return Err(Failure::usage("--output needs a statement or a script on standard input"));
            }
            eprintln!("reading {}; \\? lists the commands", config.lake.display());
            let interrupts = interactive::interrupts()?;
            interactive::ask(|text, width| {
                block_on(answer_prompt(text, Shape { format, width }, &config.lake, &interrupts))
            })
        }
        None => {
            let text = read_script()?;
            block_on(run_text(&text, format, output, &config.lake))?
        }
    }
}

/// Waits for this work on a runtime of its own: a query that was given up may keep the threads of one busy, which neither
/// the next query nor the end of the program waits for.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = start_runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
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
    let shape = Shape { format, width: if file.is_none() { interactive::terminal_width() } else { None } };
    for (index, statement) in statements.iter().enumerate() {
        let place = (statements.len() > 1).then_some(index + 1);
        let done = match file {
            Some(path) => to_file(&session, statement, shape, path).await,
            None => {
                if format == Format::Csv && index > 0 {
                    // Each answer has its own heads.
                    output::print("")?;
                }
                execute(&session, statement, shape, &mut io::stdout(), None).await.map(|(flow, _)| flow)
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
async fn answer_prompt(text: &str, shape: Shape, lake: &Path, interrupts: &Arc<Notify>) -> bool {
    for statement in split(text).statements() {
        let done = match lake::open_session(lake).await {
            Ok(session) => {
                let done = execute(&session, &statement, shape, &mut io::stdout(), Some(interrupts)).await;
                done.map_err(|error| explain(error, &statement, None))
            }
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

async fn to_file(
    session: &Session,
    statement: &Statement<'_>,
    shape: Shape,
    path: &Path,
) -> Result<Flow, StatementError> {
    let place = |cause| StatementError::File { path: path.to_path_buf(), cause };
    let mut output = OutputFile::create(path).map_err(place)?;
    let (flow, rows) = execute(session, statement, shape, output.file(), None).await?;
    output.keep().map_err(place)?;
    match rows {
        Some(rows) => eprintln!("wrote {} to {}", counted(rows), path.display()),
        None => eprintln!("wrote {}", path.display()),
    }
    Ok(flow)
}

/// Runs one statement; returns the number of rows of an answer to a query.
async fn execute(
    session: &Session,
    statement: &Statement<'_>,
    shape: Shape,
    out: Out<'_>,
    interrupts: Option<&Arc<Notify>>,
) -> Result<(Flow, Option<u64>), StatementError> {
    let listed = match Command::parse(statement.text) {
        None => {
            let rows = answer(session, statement.text, shape, out, interrupts).await?;
            return Ok((Flow::GoOn, Some(rows)));
        }
        Some(Err(problem)) => return Err(StatementError::NoCommand(problem)),
        Some(Ok(Command::Quit)) => return Ok((Flow::Stop, None)),
        Some(Ok(Command::Help)) => {
            writeln!(out, "{}", command::HELP).map_err(AnswerError::from)?;
            return Ok((Flow::GoOn, None));
        }
        Some(Ok(Command::List)) => command::list(session.tables(), shape.format),
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
    let mut writer = AnswerWriter::start(shape, batch.schema(), out)?;
    writer.write(&batch)?;
    writer.finish()?;
    Ok((Flow::GoOn, None))
}

/// Writes the answer to a query and returns its number of rows. The query runs on a task of its own, so that waiting for
/// it can be given up even where it computes without a pause.
async fn answer(
    session: &Session,
    sql: &str,
    shape: Shape,
    out: Out<'_>,
    interrupts: Option<&Arc<Notify>>,
) -> Result<u64, StatementError> {
    let stream = session.query(sql).await?;
    let mut writer = AnswerWriter::start(shape, stream.schema(), out)?;
    let (sender, mut batches) = mpsc::channel(BATCHES_WAITING_MAX);
    // Dropping the set ends the task at its next pause.
    let mut task = JoinSet::new();
    task.spawn(send(stream, sender));
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = interrupted(interrupts) => return Err(StatementError::Interrupted),
        };
        let Some(batch) = batch else {
            if let Some(Err(panicked)) = task.join_next().await {
                std::panic::resume_unwind(panicked.into_panic());
            }
            break;
        };
        if !writer.write(&batch?)? {
            eprintln!("only the first {TABLE_ROWS_MAX} rows are shown; --format csv writes all of them");
            break;
        }
    }
    Ok(writer.finish()?)
}

async fn send(mut stream: SendableRecordBatchStream, sender: mpsc::Sender<Result<RecordBatch, DataFusionError>>) {
    while let Some(batch) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
        if sender.send(batch).await.is_err() {
            return;
        }
    }
}

/// Returns at the next Ctrl-C; never where none is awaited, since then it ends the program.
async fn interrupted(interrupts: Option<&Arc<Notify>>) {
    match interrupts {
        Some(interrupts) => interrupts.notified().await,
        None => std::future::pending().await,
    }
}
