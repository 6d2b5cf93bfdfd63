//! A system of our own on a broker: its folders, its topics and groups under a prefix, and the processes of it, which
//! the test starts, stops, pauses and kills. None of them outlives the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use log::kafka::Settings;

use crate::support::{Ended, command, text};

/// How long a process may take to stop by itself: it commits, leaves snapshots and leaves its groups.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// Lines that a failure shows of what a process said.
const SAID_LINES: usize = 12;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);

/// A system: where it reads and writes. Systems on one broker keep apart by their prefixes.
pub struct Site {
    pub brokers: String,
    pub prefix: String,
    /// Folder of everything that the system leaves on disk.
    pub folder: PathBuf,
    pub partitions: u16,
    /// Configuration of its processes, as environment variables.
    environment: Vec<(&'static str, String)>,
}

impl Site {
    /// A system in this folder whose topics are still to be created.
    pub fn new(brokers: &str, prefix: &str, folder: &Path, partitions: u16) -> Self {
        for name in ["lake", "state", "processes"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let environment = vec![("TILL_KAFKA_PREFIX", prefix.to_string())];
        let (brokers, prefix) = (brokers.to_string(), prefix.to_string());
        Self { brokers, prefix, folder: folder.to_path_buf(), partitions, environment }
    }

    /// The same with more configuration.
    pub fn with(mut self, environment: &[(&'static str, &str)]) -> Self {
        self.environment.extend(environment.iter().map(|(name, value)| (*name, (*value).to_string())));
        self
    }

    pub fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn input(&self) -> PathBuf {
        self.folder.join("input")
    }

    /// A command of the system.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.args(["--brokers", &self.brokers]).envs(self.environment.iter().cloned());
        command
    }

    /// A command of the system, run to its end.
    pub fn till(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// Creates the topics, which keep everything so that an audit can read it again.
    pub fn create_topics(&self) {
        let partitions = self.partitions.to_string();
        self.till(&["topics", "create", "--partitions", &partitions, "--audit"]).with_exit(0);
    }

    /// Publishes what the input folder holds and the broker does not have.
    pub fn publish(&self, town: &[&str]) {
        let (input, state) = (self.input(), self.state());
        let arguments = ["simulate", "--json", "--out", text(&input), "--state", text(&state)];
        self.till(&[&arguments, town].concat()).with_exit(0);
    }

    /// Starts a process that runs every unit, with a fault (`POINT:N`) if there is one.
    pub fn start(&self, instance: &str, fault: Option<&str>) -> Process {
        let mut command = self.running(&["run"], instance);
        command.envs(fault.map(|fault| ("TILL_FAULT", fault)));
        self.spawn(command, instance)
    }

    /// Starts a process that runs one unit, under the unit's name.
    pub fn start_unit(&self, unit: &str) -> Process {
        self.spawn(self.running(&["run", unit], unit), unit)
    }

    fn running(&self, words: &[&str], instance: &str) -> Command {
        let (lake, state, keys) = (self.lake(), self.state(), self.input().join("keys"));
        let mut command = self.command(words);
        command.args(["--lake", text(&lake), "--state", text(&state), "--keys", text(&keys)]);
        command.args(["--demo-keys", "--instance", instance]);
        command
    }

    fn spawn(&self, mut command: Command, instance: &str) -> Process {
        let folder = self.folder.join("processes");
        let number = fs::read_dir(&folder).unwrap().count();
        let said = folder.join(format!("{number:03}-{instance}.log"));
        let file = File::create(&said).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Process { child, instance: instance.to_string(), said }
    }

    /// Waits until every unit has read its input to the end.
    pub fn wait_until_caught_up(&self, seconds: u32) -> Ended {
        let (lake, seconds) = (self.lake(), seconds.to_string());
        self.till(&["lag", "--lake", text(&lake), "--wait", &seconds])
    }

    /// Runs every unit in one process until everything is read, at most so long; what the process printed.
    #[track_caller]
    pub fn run_to_the_end(&self, instance: &str, seconds: u32) -> String {
        let mut processes = [self.start(instance, None)];
        let lag = self.wait_until_caught_up(seconds);
        assert_eq!(lag.code, Some(0), "{lag}\n{}", processes[0].said());
        assert_eq!(stop_all(&mut processes), Vec::<String>::new());
        processes[0].printed()
    }

    /// Settings of a client that looks at the system's topics.
    pub fn settings(&self, instance: &str) -> Settings {
        Settings {
            brokers: self.brokers.clone(),
            prefix: self.prefix.clone(),
            topic_prefix: format!("{}.", self.prefix),
            instance: instance.to_string(),
            ..Settings::default()
        }
    }
}

/// A process that was started; dropping it kills it.
pub struct Process {
    child: Child,
    pub instance: String,
    /// What it prints.
    said: PathBuf,
}

impl Process {
    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Kills it, paused or not, unless it has ended.
    pub fn kill(mut self) {
        self.end();
    }

    /// Stops it in its tracks; its connections stay open.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Bytes of its memory that lie in RAM (`VmRSS` of proc(5), in KiB there).
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Asks it to stop, as an operator does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// How it ends, within so long.
    pub fn ends_within(&mut self, wait: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || started.elapsed() > wait {
                return ended;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it has stopped after [`Process::interrupt`]; what is wrong with how it did.
    pub fn stopped(&mut self) -> Result<(), String> {
        match self.ends_within(STOP_WAIT) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("{} ended with {status}: {}", self.instance, self.said())),
            None => Err(format!("{} does not stop: {}", self.instance, self.said())),
        }
    }

    /// All that it has printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// The end of what it has printed, and where all of it lies.
    pub fn said(&self) -> String {
        let text = self.printed();
        let lines: Vec<&str> = text.lines().collect();
        format!("{} ends with:\n{}\n", self.said.display(), lines[lines.len().saturating_sub(SAID_LINES)..].join("\n"))
    }

    fn signal(&self, name: &str) {
        // One that ends at this moment is no failure: the signal finds its remains, which are waited for later.
        let process = self.child.id().to_string();
        Command::new("kill").args([&format!("-{name}"), &process]).stderr(Stdio::null()).status().unwrap();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks all to stop at once and waits until they have; what went wrong with any.
pub fn stop_all(processes: &mut [Process]) -> Vec<String> {
    processes.iter().for_each(Process::interrupt);
    processes.iter_mut().filter_map(|process| process.stopped().err()).collect()
}
