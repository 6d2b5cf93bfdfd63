//! Processes that are measured: how long they take and how much of the processors they use.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// Clock ticks a second in which Linux counts processor time towards programs (`USER_HZ`).
const TICKS_A_SECOND: u32 = 100;
/// Places of `cutime` and `cstime` in /proc/self/stat (proc(5)), counted from the field after the name.
const CHILDREN_TICKS: [usize; 2] = [13, 14];
const PAUSE: Duration = Duration::from_millis(20);

/// What one way took for its events.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From the start of the process until it had all events.
    pub time: Duration,
    /// Time on processors, until the end of the process.
    pub processor: Duration,
}

/// The program under measurement.
pub fn till<const N: usize>(words: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_till"));
    command.args(words).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// What the command prints; an error, with that, if it says that it failed.
pub fn output_of(command: &mut Command) -> Result<String, Failure> {
    let Output { status, stdout, .. } = command.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    let printed = String::from_utf8(stdout)?;
    if status.success() { Ok(printed) } else { Err(format!("{command:?} failed: {status}\n{printed}").into()) }
}

/// Runs the command to its end; what it cost, and what it printed.
pub fn cost_of(command: &mut Command) -> Result<(Cost, String), Failure> {
    let (before, start) = (children_processor()?, Instant::now());
    let printed = output_of(command)?;
    let time = start.elapsed();
    Ok((Cost { time, processor: children_processor()?.saturating_sub(before) }, printed))
}

/// The same for one that must print the number of events that it had.
pub fn cost_to_its_end(command: &mut Command, events: u64) -> Result<Cost, Failure> {
    let (cost, printed) = cost_of(command)?;
    if printed.trim().parse() != Ok(events) {
        return Err(format!("{command:?} had {printed:?} of {events} events").into());
    }
    Ok(cost)
}

/// Runs the command until `is_done` says that it has all events; then it is asked to stop.
pub fn cost_until(command: &mut Command, is_done: &mut dyn FnMut() -> Result<bool, Failure>) -> Result<Cost, Failure> {
    let (before, start) = (children_processor()?, Instant::now());
    let mut running = Running::start(command)?;
    while !is_done()? {
        running.must_run()?;
        std::thread::sleep(PAUSE);
    }
    let time = start.elapsed();
    running.stop()?;
    Ok(Cost { time, processor: children_processor()?.saturating_sub(before) })
}

/// A process that goes on until it is stopped; dropping it ends it.
pub struct Running {
    child: Child,
    what: String,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let child = command.stdout(Stdio::null()).spawn()?;
        Ok(Self { child, what: format!("{command:?}") })
    }

    /// An error if it has ended.
    pub fn must_run(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("{} ended by itself: {status}", self.what).into()),
            None => Ok(()),
        }
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> Result<(), Failure> {
        let asked = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        match asked.success() && status.success() {
            true => Ok(()),
            false => Err(format!("{} did not stop well: {status}", self.what).into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it was waited for already, both fail and nothing is lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of all children of this process that have ended and were waited for.
pub fn children_processor() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = text.rsplit_once(')').ok_or("/proc/self/stat names no process")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let mut ticks = 0;
    for place in CHILDREN_TICKS {
        ticks += fields.get(place).ok_or("/proc/self/stat is too short")?.parse::<u32>()?;
    }
    Ok(Duration::from_secs(1) * ticks / TICKS_A_SECOND)
}
