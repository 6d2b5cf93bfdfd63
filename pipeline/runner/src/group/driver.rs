//! The loop of a member: what is assigned, read, committed, given back, and where it goes on after a failure.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::LogBatch;
use log::group::{Event, GroupError, GroupLog, Remedy, TopicPartition};
use schemas::Offset;

use super::member::{Fault, Member, pause};
use super::planted::{Bug, is_planted};
use super::{GroupReport, GroupSurroundings, records};
use crate::RunnerError;

/// Failures in a row without a commit in between, after which somebody must look.
const FAILURES_MAX: u32 = 12;
/// A failure is forgotten after so long without another: an idle partition has nothing to commit.
const FAILURE_FORGOTTEN: Duration = Duration::from_secs(300);
/// First pause after a failure, doubled up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the lag is told.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

/// What is done with the records of the assigned partitions. A lane is what is held for one of them.
pub(crate) trait Work {
    /// Opens lanes, anew where they are open, and says where to read each from. A refusal opens none.
    fn open(
        &mut self,
        member: &mut Member<'_>,
        partitions: &[TopicPartition],
        context: &mut Context<'_>,
    ) -> Result<Vec<(TopicPartition, Offset)>, Fault>;

    /// The least offset up to `next` at which the partition's batch is to be cut for a snapshot.
    fn cut(&self, partition: TopicPartition, next: Offset) -> Option<Offset>;

    /// Folds records; everything below `next` has been read then.
    fn feed(
        &mut self,
        member: &mut Member<'_>,
        partition: TopicPartition,
        batch: LogBatch,
        next: Offset,
        context: &mut Context<'_>,
    ) -> Result<(), Fault>;

    /// Commits what all lanes have made and how far they have read. Returns the number of rows.
    fn commit(&mut self, member: &mut Member<'_>, report: &mut GroupReport) -> Result<u64, Fault>;

    /// Begins to write a snapshot of a lane where it stands, if there is none yet, after the one before it is written.
    fn snapshot(&mut self, partition: TopicPartition, context: &mut Context<'_>) -> Result<(), Fault>;

    /// Takes note of snapshots that were written in the meantime, or could not be; with `waits` of all.
    fn tend(&mut self, waits: bool, context: &mut Context<'_>) -> Result<(), RunnerError>;

    /// Whether a snapshot is being written.
    fn is_writing(&self) -> bool;

    /// Drops lanes with what they have not committed, after their snapshots are written.
    fn close(&mut self, partitions: &BTreeSet<TopicPartition>, context: &mut Context<'_>) -> Result<(), RunnerError>;

    /// Records that wait for a commit.
    fn waiting(&self) -> u64;

    /// Next offset to read of a lane.
    fn position(&self, partition: TopicPartition) -> Option<Offset>;
}

/// What a piece of work may use of its surroundings.
pub(crate) struct Context<'a> {
    pub(crate) clock: &'a dyn super::Clock,
    pub(crate) observer: &'a mut dyn super::Observer,
    pub(crate) report: GroupReport,
}

/// One member and its lanes.
pub(crate) struct Driver<'a, W> {
    work: W,
    connect: &'a mut super::Connect<'a>,
    settings: &'a super::GroupSettings,
    stop: &'a std::sync::atomic::AtomicBool,
    context: Context<'a>,
    member: Option<Member<'a>>,
    assigned: BTreeSet<TopicPartition>,
    /// Given up and not released yet.
    leaving: BTreeSet<TopicPartition>,
    /// Partitions of which everything has been read, and whether that was told of all.
    caught_up: BTreeSet<TopicPartition>,
    told_caught_up: bool,
    /// Whether the lanes must go back to what is committed before anything else.
    must_go_back: bool,
    waiting_since: Option<Duration>,
    /// When the last commit began.
    commit_began: Option<Duration>,
    failures: u32,
    failed_at: Duration,
    lag_told_at: Duration,
    /// When all lanes were due for a snapshot last, and which of them still are.
    snapshots_at: Duration,
    due: BTreeSet<TopicPartition>,
}

impl<'a, W: Work> Driver<'a, W> {
    pub(crate) fn new(work: W, surroundings: GroupSurroundings<'a>) -> Self {
        let GroupSurroundings { connect, settings, clock, stop, observer } = surroundings;
        Self {
            work,
            connect,
            settings,
            stop,
            context: Context { clock, observer, report: GroupReport::default() },
            member: None,
            assigned: BTreeSet::new(),
            leaving: BTreeSet::new(),
            caught_up: BTreeSet::new(),
            told_caught_up: false,
            must_go_back: false,
            waiting_since: None,
            commit_began: None,
            failures: 0,
            failed_at: Duration::ZERO,
            lag_told_at: Duration::ZERO,
            snapshots_at: clock.now(),
            due: BTreeSet::new(),
        }
    }

    pub(crate) fn run(mut self) -> Result<GroupReport, RunnerError> {
        while !self.stop.load(Ordering::Relaxed) {
            self.step()?;
        }
        self.finish()
    }

    /// One event and what follows from it. An error ends the run.
    pub(crate) fn step(&mut self) -> Result<(), RunnerError> {
        match self.turn() {
            Ok(()) => Ok(()),
            Err(fault) => self.recover(fault),
        }
    }

    fn turn(&mut self) -> Result<(), Fault> {
        if self.member.is_none() {
            self.member = Some(Member::new((self.connect)()?, self.context.clock));
        }
        if self.must_go_back {
            self.go_back()?;
        }
        self.work.tend(false, &mut self.context)?;
        let left = [self.until_commit(), self.until_early_commit()].into_iter().flatten();
        let wait = left.fold(self.settings.wait, Duration::min);
        let rows_max = self.settings.batch_rows_max;
        let event = self.call(|log| log.next(rows_max, wait))?;
        let is_idle = event == Event::Idle;
        match event {
            Event::Assigned(partitions) => self.assigned(&partitions)?,
            Event::Revoked(partitions) => self.revoked(partitions.into_iter().collect())?,
            Event::Lost(partitions) => self.lost(partitions.into_iter().collect())?,
            Event::Batch { partition, batch, next } => self.batch(partition, batch, next)?,
            Event::CaughtUp(partition) => {
                self.caught_up.insert(partition);
            }
            Event::Idle => {}
        }
        let is_due =
            self.until_commit() == Some(Duration::ZERO) || is_idle && self.until_early_commit() == Some(Duration::ZERO);
        if is_due || self.work.waiting() >= self.settings.commit_rows {
            self.commit()?;
        }
        if self.context.clock.now().saturating_sub(self.snapshots_at) >= self.settings.snapshot_interval {
            self.snapshots_at = self.context.clock.now();
            self.due = self.assigned.clone();
        }
        self.snapshot_due()?;
        self.tell();
        Ok(())
    }

    /// Begins the next snapshot that is due where none is being written: the lanes go on in the meantime.
    fn snapshot_due(&mut self) -> Result<(), Fault> {
        while !self.work.is_writing()
            && let Some(partition) = self.due.pop_first()
        {
            self.commit()?;
            self.work.snapshot(partition, &mut self.context)?;
        }
        Ok(())
    }

    fn call<T>(&mut self, call: impl FnMut(&mut dyn GroupLog) -> Result<T, GroupError>) -> Result<T, GroupError> {
        self.member.as_mut().expect("a turn begins by making the member").call(call)
    }

    /// Time left until what waits must be committed; `None` where nothing waits.
    fn until_commit(&self) -> Option<Duration> {
        let since = self.waiting_since?;
        Some((since + self.settings.commit_interval).saturating_sub(self.context.clock.now()))
    }

    /// Time left until what waits may be committed early; `None` where nothing waits, or nothing is committed early.
    fn until_early_commit(&self) -> Option<Duration> {
        let gap = self.settings.commit_early.filter(|_| self.waiting_since.is_some())?;
        Some(self.commit_began.map_or(Duration::ZERO, |began| (began + gap).saturating_sub(self.context.clock.now())))
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        self.assigned.extend(partitions);
        self.context.observer.assigned(self.assigned.len());
        self.start(partitions)
    }

    fn start(&mut self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        let member = self.member.as_mut().expect("a turn begins by making the member");
        let starts = self.work.open(member, partitions, &mut self.context)?;
        Ok(member.call(|log| log.start(&starts))?)
    }

    /// Partitions go to another member, which waits: it shall not need a replay.
    fn revoked(&mut self, partitions: BTreeSet<TopicPartition>) -> Result<(), Fault> {
        let settled = self.settle(&partitions);
        let given_up = self.give_up(partitions);
        settled?;
        given_up?;
        self.release()
    }

    /// Commits all lanes and begins snapshots of these, for which whoever gives them up waits.
    fn settle(&mut self, partitions: &BTreeSet<TopicPartition>) -> Result<(), Fault> {
        self.commit()?;
        partitions.iter().try_for_each(|partition| self.work.snapshot(*partition, &mut self.context))
    }

    /// Partitions are another member's already: what was made of them must not be committed, and it shares a
    /// transaction with the rest.
    fn lost(&mut self, partitions: BTreeSet<TopicPartition>) -> Result<(), Fault> {
        self.must_go_back = true;
        self.give_up(partitions)?;
        self.go_back()
    }

    fn give_up(&mut self, partitions: BTreeSet<TopicPartition>) -> Result<(), RunnerError> {
        self.work.close(&partitions, &mut self.context)?;
        for held in [&mut self.assigned, &mut self.caught_up, &mut self.due] {
            held.retain(|partition| !partitions.contains(partition));
        }
        self.leaving.extend(partitions);
        self.context.observer.assigned(self.assigned.len());
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fault> {
        let leaving: Vec<TopicPartition> = self.leaving.iter().copied().collect();
        if !leaving.is_empty() {
            self.call(|log| log.release(&leaving))?;
            self.leaving.clear();
        }
        Ok(())
    }

    fn batch(&mut self, partition: TopicPartition, mut batch: LogBatch, next: Offset) -> Result<(), Fault> {
        if !self.assigned.contains(&partition) {
            return Ok(());
        }
        self.caught_up.remove(&partition);
        while let Some(at) = self.work.cut(partition, next) {
            let (front, back) = records::cut(batch, at);
            self.feed(partition, front, at)?;
            self.commit()?;
            self.work.snapshot(partition, &mut self.context)?;
            batch = back;
        }
        self.feed(partition, batch, next)
    }

    fn feed(&mut self, partition: TopicPartition, batch: LogBatch, next: Offset) -> Result<(), Fault> {
        let member = self.member.as_mut().expect("a turn begins by making the member");
        self.work.feed(member, partition, batch, next, &mut self.context)?;
        if self.work.waiting() > 0 && self.waiting_since.is_none() {
            self.waiting_since = Some(self.context.clock.now());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let member = self.member.as_mut().expect("a turn begins by making the member");
        let (before, waited) = (self.context.clock.now(), self.work.waiting());
        self.commit_began = Some(before);
        let rows = self.work.commit(member, &mut self.context.report)?;
        self.waiting_since = None;
        if waited > 0 {
            self.failures = 0;
            self.context.observer.committed(rows, self.context.clock.now().saturating_sub(before));
        }
        Ok(())
    }

    /// Drops what is not committed and starts every lane from its snapshot and frontier again.
    fn go_back(&mut self) -> Result<(), Fault> {
        if !is_planted(Bug::KeepLost) {
            self.call(|log| log.abort())?;
        }
        self.release()?;
        self.work.close(&self.assigned, &mut self.context)?;
        self.waiting_since = None;
        self.caught_up.clear();
        let assigned: Vec<TopicPartition> = self.assigned.iter().copied().collect();
        self.start(&assigned)?;
        self.must_go_back = false;
        Ok(())
    }

    /// Decides where to go on after a failure.
    fn recover(&mut self, fault: Fault) -> Result<(), RunnerError> {
        let (error, remedy) = match fault {
            Fault::Runner(error) => return Err(error),
            Fault::Group(error) if error.remedy.is_final() => return Err(error.into()),
            Fault::Group(error) => (error.to_string(), error.remedy),
            Fault::Fenced(error) => (error.to_string(), Remedy::Abort),
        };
        let now = self.context.clock.now();
        let is_old = now.saturating_sub(self.failed_at) > FAILURE_FORGOTTEN;
        self.failures = if is_old { 1 } else { self.failures + 1 };
        self.failed_at = now;
        if self.failures > FAILURES_MAX {
            return Err(RunnerError::Stuck { failures: self.failures, last: error });
        }
        tracing::warn!(error, failures = self.failures, "going back to what is committed");
        self.context.report.went_back += 1;
        // Where going back fails too, the member is of no more use.
        if self.must_go_back || self.member.is_none() || remedy != Remedy::Abort {
            self.rebuild(&error)?;
        }
        self.must_go_back = self.member.is_some();
        self.context.clock.sleep(pause(PAUSE, PAUSE_MAX, self.failures));
        Ok(())
    }

    fn rebuild(&mut self, reason: &str) -> Result<(), RunnerError> {
        self.context.observer.rebuilt(reason);
        self.member = None;
        self.work.close(&self.assigned, &mut self.context)?;
        for held in [&mut self.assigned, &mut self.leaving, &mut self.caught_up, &mut self.due] {
            held.clear();
        }
        self.waiting_since = None;
        self.must_go_back = false;
        self.context.observer.assigned(0);
        Ok(())
    }

    fn tell(&mut self) {
        let is_all = !self.assigned.is_empty() && self.caught_up.len() == self.assigned.len();
        let is_caught_up = is_all && self.work.waiting() == 0;
        if is_caught_up != self.told_caught_up {
            self.told_caught_up = is_caught_up;
            self.context.observer.caught_up(is_caught_up);
        }
        let now = self.context.clock.now();
        if now.saturating_sub(self.lag_told_at) >= LAG_INTERVAL {
            self.lag_told_at = now;
            let lags = self.member.as_ref().map(|member| member.log().lag()).unwrap_or_default();
            self.context.observer.lag(&lags);
        }
    }

    /// Commits, leaves snapshots and gives every partition back. What cannot be committed is read again by whoever
    /// starts next.
    pub(crate) fn finish(mut self) -> Result<GroupReport, RunnerError> {
        let position = |partition: &TopicPartition| Some((*partition, self.work.position(*partition)?));
        self.context.report.positions = self.assigned.iter().filter_map(position).collect();
        if self.member.is_none() || self.must_go_back {
            self.work.tend(true, &mut self.context)?;
            return Ok(self.context.report);
        }
        let partitions = self.assigned.clone();
        let settled = self.settle(&partitions).and_then(|()| {
            self.give_up(partitions)?;
            self.release()
        });
        match settled {
            Ok(()) => Ok(self.context.report),
            Err(Fault::Runner(error)) => Err(error),
            Err(Fault::Group(error)) if error.remedy.is_final() => Err(error.into()),
            Err(Fault::Group(error)) => self.end_unsettled(&error.to_string()),
            Err(Fault::Fenced(error)) => self.end_unsettled(&error.to_string()),
        }
    }

    fn end_unsettled(mut self, reason: &str) -> Result<GroupReport, RunnerError> {
        tracing::warn!(reason, "stopped without a commit; the next start reads the last records again");
        self.work.tend(true, &mut self.context)?;
        if let Err(error) = self.call(|log| log.abort()) {
            tracing::warn!(%error, "the transaction is left to its timeout");
        }
        Ok(self.context.report)
    }
}
