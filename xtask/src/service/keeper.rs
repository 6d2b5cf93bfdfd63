//! A process that cannot outlive this one. A small shell starts it and holds on to our end of a pipe: when that closes,
//! because we let go or because we were killed, the shell kills the process, waits for it, and removes the folder that
//! it was given. Signals travel through the pipe too, so that no identifier of a process is used after its end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::ServiceError;

/// The shell's program. Arguments: the log, the folder to remove in the end (empty: none), the command.
///
/// A background job's standard input would be the null device, hence the third descriptor. While the process runs, a
/// reader passes signals on; afterwards the shell itself waits for the pipe to close, or for the word that keeps the
/// folder. Nobody may be left to read what the shell writes, which must not end it before it has cleaned up.
const SHELL: &str = r#"
log=$1 folder=$2
shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
process=$!
trap '' PIPE
(
    while read -r signal; do kill -s "$signal" "$process"; echo "sent"; done
    kill -s KILL "$process"
) <&3 2>/dev/null &
reader=$!
echo "$process"
wait "$process"
kill "$reader" 2>/dev/null
wait "$reader"
echo "ended"
while read -r word <&3; do [ "$word" = keep ] && exit; done
[ -z "$folder" ] || rm -rf -- "$folder"
"#;

/// How long the shell may take to start the process or to see it killed.
const SHELL_WAIT: Duration = Duration::from_secs(20);

/// The shell's word that the process has ended. Before it, it answers each signal with a line of its own.
const ENDED: &str = "ended";

/// A process with its shell. Dropping it kills the process and removes the folder.
pub struct Keeper {
    shell: Child,
    /// Closing it is the word to end; `None` only inside `drop`.
    pipe: Option<ChildStdin>,
    /// What the shell writes.
    lines: Receiver<String>,
    process: u32,
    has_ended: bool,
}

impl Keeper {
    /// Starts the command; what it writes is appended to `log`. `folder` is removed in the end.
    pub fn start(command: &[&OsStr], log: &Path, folder: Option<&Path>) -> Result<Self, ServiceError> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(SHELL).arg("sh").arg(log).arg(folder.unwrap_or(Path::new(""))).args(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own, else an interrupt from the terminal would end the shell before it can clean up.
        let mut shell = shell.process_group(0).spawn().map_err(|error| failed(error.to_string()))?;
        let pipe = shell.stdin.take();
        let output = shell.stdout.take().expect("the shell's output was asked for as a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let mut keeper = Self { shell, pipe, lines, process: 0, has_ended: false };
        let line = keeper.lines.recv_timeout(SHELL_WAIT).map_err(|_| failed("says nothing".to_string()))?;
        keeper.process = line.parse().map_err(|_| failed(format!("says {line:?}")))?;
        Ok(keeper)
    }

    /// The process's identifier.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Sends a signal by its name without `SIG`; nothing happens if the process has ended.
    pub fn signal(&mut self, name: &str) -> Result<(), ServiceError> {
        if self.has_ended {
            return Ok(());
        }
        self.write(name)?;
        let answer = self.lines.recv_timeout(SHELL_WAIT).map_err(|_| failed(format!("does not send {name}")))?;
        self.has_ended = answer == ENDED;
        Ok(())
    }

    /// Waits until the process has ended, at most this long. Says whether it has.
    pub fn has_ended_within(&mut self, wait: Duration) -> bool {
        if !self.has_ended {
            let answer = self.lines.recv_timeout(wait);
            self.has_ended = !matches!(answer, Err(RecvTimeoutError::Timeout));
        }
        self.has_ended
    }

    /// Lets go of an ended process without removing the folder, for another keeper has it now.
    pub fn keep_folder(mut self) -> Result<(), ServiceError> {
        self.write("keep")
    }

    fn write(&mut self, word: &str) -> Result<(), ServiceError> {
        let pipe = self.pipe.as_mut().expect("the pipe is there until the keeper is dropped");
        writeln!(pipe, "{word}").map_err(|error| failed(error.to_string()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pipe = None;
        // The shell ends by itself, killing first; nothing could be done about an error here.
        let _ = self.shell.wait();
    }
}

fn failed(said: String) -> ServiceError {
    ServiceError::Program { program: "the shell that holds a process".to_string(), said }
}
