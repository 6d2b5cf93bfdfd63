//! The prompt: statements over several lines, a history that stays, Ctrl-C for the line or the query at hand.

use std::path::PathBuf;
use std::sync::Arc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, DefaultEditor, Editor, Helper};
use tokio::sync::Notify;

use super::split::split;
use crate::failure::Failure;

/// Most statements that the history keeps.
const HISTORY_STATEMENTS_MAX: usize = 1_000;

/// Asks for statements until the end of the input (Ctrl-D) and hands each text of whole statements on, with the
/// terminal's width in characters. `take` returns whether to go on.
pub fn ask(mut take: impl FnMut(&str, Option<u16>) -> Result<bool, Failure>) -> Result<(), Failure> {
    let failed = |error: ReadlineError| Failure::failed(format!("cannot read from the terminal: {error}"));
    let config = Config::builder().max_history_size(HISTORY_STATEMENTS_MAX).map_err(failed)?.build();
    let mut editor: Editor<Prompt, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Prompt));
    let history = history_path();
    if let Some(path) = &history {
        // The first time there is none, and without a history everything else still works.
        let _ = editor.load_history(path);
    }
    loop {
        let text = match editor.readline("till> ") {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if text.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(text.as_str()).map_err(failed)?;
        if let Some(path) = &history {
            let kept = path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(ReadlineError::from);
            if let Err(error) = kept.and_then(|()| editor.append_history(path)) {
                eprintln!("cannot keep the history in {}: {error}", path.display());
            }
        }
        let width = editor.dimensions().map(|(columns, _)| columns);
        if !take(&text, width)? {
            return Ok(());
        }
    }
}

/// Width of the terminal on standard output in characters, if it is one.
pub fn terminal_width() -> Option<u16> {
    DefaultEditor::new().ok()?.dimensions().map(|(columns, _)| columns)
}

/// Tells whoever waits of each Ctrl-C outside of the prompt. It listens on a thread and runtime of its own, since a query
/// may keep every thread of the other runtime busy.
pub fn interrupts() -> Result<Arc<Notify>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let mut next = Box::pin(tokio::signal::ctrl_c());
    // Polled once, it listens. It must do so before the prompt begins, which gives Ctrl-C back to whoever listened then.
    runtime.block_on(async {
        tokio::select! { biased; _ = &mut next => {}, () = std::future::ready(()) => {} }
    });
    let interrupts = Arc::new(Notify::new());
    let told = interrupts.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            while next.as_mut().await.is_ok() {
                told.notify_waiters();
                next.set(tokio::signal::ctrl_c());
            }
        });
    });
    Ok(interrupts)
}

/// The user's folder for what programs remember (XDG base directories).
fn history_path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("till/sql_history"))
}

/// Goes on asking for lines until every statement has its end.
struct Prompt;

impl Validator for Prompt {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let split = split(context.input());
        let is_whole = split.open.is_none() || split.is_broken;
        Ok(if is_whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Prompt {
    type Candidate = String;
}

impl Hinter for Prompt {
    type Hint = String;
}

impl Highlighter for Prompt {}

impl Helper for Prompt {}
