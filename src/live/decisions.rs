//! The decisions as phones get them: from the moment of listening on.

use std::time::Duration;

use log::LogBatch;
use log::group::{Event, GroupError, GroupLog, Remedy, TopicPartition};
use log::kafka::{KafkaLog, Settings};

const TOPIC: &str = "decisions";
/// Records taken at once.
const ROWS_MAX: usize = 4_096;
/// Longest wait for the group to hand out all partitions.
const JOIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// A member of a group of its own, which reads every partition from its end.
pub struct Decisions {
    log: KafkaLog,
}

impl Decisions {
    /// Listens from now on: what is decided after this is heard.
    pub fn listen(settings: &Settings) -> Result<Self, GroupError> {
        let mut decisions = Self { log: KafkaLog::connect(settings, "phones", &[TOPIC], false)? };
        let partitions = usize::from(decisions.log.partition_count(TOPIC)?);
        let mut assigned = 0;
        for _ in 0..JOIN.as_millis() / LOOK.as_millis() {
            if let Event::Assigned(new) = decisions.log.next(ROWS_MAX, LOOK)? {
                assigned += new.len();
                decisions.start(&new)?;
            }
            if assigned >= partitions {
                return Ok(decisions);
            }
        }
        let reason =
            format!("{assigned} of {partitions} partitions came in {} s; does another run listen?", JOIN.as_secs());
        Err(GroupError { doing: format!("listening to {TOPIC}"), reason, remedy: Remedy::Stop })
    }

    fn start(&mut self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        let mut starts = Vec::new();
        for partition in partitions {
            starts.push((*partition, self.log.bounds(*partition)?.end));
        }
        self.log.start(&starts)
    }

    /// What was decided next, after at most `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Option<LogBatch>, GroupError> {
        match self.log.next(ROWS_MAX, wait)? {
            Event::Batch { batch, .. } => Ok(Some(batch)),
            Event::Assigned(partitions) => self.start(&partitions).map(|()| None),
            Event::Revoked(partitions) | Event::Lost(partitions) => self.log.release(&partitions).map(|()| None),
            Event::CaughtUp(_) | Event::Idle => Ok(None),
        }
    }
}
