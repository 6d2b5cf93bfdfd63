//! Consumer groups of the broker in memory, and their members as the runner sees them.
//!
//! What it keeps of Kafka: partitions come and go in increments and a new owner waits until the old one has released;
//! a member that is away too long is expelled and learns of it with its next call that the coordinator answers; static
//! instance names are taken over by whoever joins last; commits are fenced by the member's generation and by the
//! producer's epoch; offsets in an open transaction are not told to others. A hook sees every moment of every call, so
//! that a test can let calls fail, and let others act in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::RecordBatch;
use schemas::{Offset, Partition};

use super::{Broker, MemoryError, Producer, State, Visibility};
use crate::LogReader;
use crate::group::{Bounds, Event, GroupError, GroupLog, Remedy, TopicPartition};

/// A call of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`GroupLog::next`].
    Next,
    /// [`GroupLog::start`].
    Start,
    /// [`GroupLog::release`].
    Release,
    /// [`GroupLog::committed`].
    Committed,
    /// [`GroupLog::bounds`].
    Bounds,
    /// [`GroupLog::send`].
    Send,
    /// [`GroupLog::commit`].
    Commit,
    /// [`GroupLog::abort`].
    Abort,
}

/// A moment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has happened yet.
    Before(Call),
    /// The offsets are in the transaction and it is still open.
    InsideCommit,
    /// It has happened, and its answer may be lost.
    After(Call),
}

/// Sees every moment of a member's calls; an error is the call's answer.
pub type Hook = Box<dyn FnMut(Moment) -> Result<(), GroupError>>;

/// One group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Raised whenever members come or go.
    generation: u64,
    /// Number of joins, from which a seat takes its epoch.
    joins: u64,
    seats: BTreeMap<String, Seat>,
    /// Whom each partition shall belong to.
    targets: BTreeMap<TopicPartition, String>,
    /// Who has been given it and has not released it.
    owners: BTreeMap<TopicPartition, String>,
}

#[derive(Debug)]
struct Seat {
    epoch: u64,
    topics: Vec<&'static str>,
}

impl Group {
    /// Gives every partition a member: the one that it had as long as that has not too many.
    fn assign(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.generation += 1;
        let before = std::mem::take(&mut self.targets);
        let Some(share) = partitions.len().checked_div(self.seats.len()) else { return };
        let share_max = share + usize::from(!partitions.len().is_multiple_of(self.seats.len()));
        let mut load: BTreeMap<&String, usize> = self.seats.keys().map(|instance| (instance, 0)).collect();
        let mut left = Vec::new();
        for place in partitions {
            let kept = before
                .get(place)
                .and_then(|instance| load.get_key_value(instance))
                .map(|(name, count)| (*name, *count));
            match kept {
                Some((instance, count)) if count < share_max => {
                    load.insert(instance, count + 1);
                    self.targets.insert(*place, instance.clone());
                }
                _ => left.push(*place),
            }
        }
        for place in left {
            let least = load.iter().min_by_key(|(_, count)| **count).map(|(instance, count)| (*instance, *count));
            if let Some((instance, count)) = least {
                load.insert(instance, count + 1);
                self.targets.insert(place, instance.clone());
            }
        }
    }
}

impl State {
    /// Partitions of every topic that a member of the group reads.
    fn partitions_of(&self, group: &Group) -> BTreeSet<TopicPartition> {
        let topics: BTreeSet<&'static str> =
            group.seats.values().flat_map(|seat| seat.topics.iter().copied()).collect();
        let of_topic = |topic: &'static str| {
            let partitions = self.topics.get(topic).into_iter().flat_map(|topic| topic.partitions.keys());
            partitions.map(move |partition| TopicPartition { topic, partition: *partition })
        };
        topics.into_iter().flat_map(of_topic).collect()
    }

    fn with_group<T>(&mut self, name: &str, change: impl FnOnce(&mut Group) -> T) -> T {
        change(self.groups.entry(name.to_string()).or_default())
    }

    fn rebalance(&mut self, name: &str) {
        let mut group = self.groups.remove(name).unwrap_or_default();
        let partitions = self.partitions_of(&group);
        group.assign(&partitions);
        self.groups.insert(name.to_string(), group);
    }

    /// A seat of this instance, which an earlier holder loses. The group does not notice a change of holder.
    fn join(&mut self, name: &str, instance: &str, topics: &[&'static str]) -> u64 {
        let (epoch, is_new) = self.with_group(name, |group| {
            group.joins += 1;
            let seat = Seat { epoch: group.joins, topics: topics.to_vec() };
            (group.joins, group.seats.insert(instance.to_string(), seat).is_none())
        });
        if is_new {
            self.rebalance(name);
        }
        epoch
    }
}

impl Broker {
    /// Ends an instance's membership: its session has passed, or it leaves. What it holds goes to others.
    pub fn expel(&self, group: &str, instance: &str) {
        let mut state = self.state();
        let was_member = state.with_group(group, |group| {
            group.owners.retain(|_, owner| owner != instance);
            group.seats.remove(instance).is_some()
        });
        if was_member {
            state.rebalance(group);
        }
    }

    /// Ends open transactions as their timeout does: they are aborted and their producers fenced.
    pub fn time_out_transactions(&self) -> Result<(), MemoryError> {
        let mut state = self.state();
        let open: Vec<String> =
            state.producers.iter().filter(|(_, producer)| producer.open.is_some()).map(|(id, _)| id.clone()).collect();
        for id in open {
            state.end(&id, &Visibility::Aborted)?;
            state.producers.get_mut(&id).expect("it was found above").epoch += 1;
        }
        Ok(())
    }

    /// Removes the records below an offset, as retention does.
    pub fn trim(&self, topic: &str, partition: Partition, start: Offset) {
        self.state().starts.insert((topic.to_string(), partition), start);
    }

    fn bounds(&self, place: TopicPartition) -> Result<Bounds, MemoryError> {
        let mut state = self.state();
        let start = state.starts.get(&(place.topic.to_string(), place.partition)).copied().unwrap_or_default();
        let end = super::stable_end(state.partition(place.topic, place.partition)?.1);
        Ok(Bounds { start, end: Offset(end) })
    }
}

/// Who a member is.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// Static name within the group.
    pub instance: String,
    /// Topics that it reads.
    pub topics: Vec<&'static str>,
    /// Whether it writes, in transactions.
    pub outputs: bool,
    /// What a commit says to a member that was expelled: [`Remedy::Abort`] or [`Remedy::Rebuild`], as brokers do both.
    pub expelled: Remedy,
}

/// A member of a group of the broker in memory.
pub struct MemoryMember {
    broker: Broker,
    who: Membership,
    hook: Hook,
    producer: Option<Producer>,
    is_open: bool,
    epoch: u64,
    generation: u64,
    assigned: BTreeSet<TopicPartition>,
    /// Assigned ones of which the runner was told that they go.
    going: BTreeSet<TopicPartition>,
    /// Started ones, where they stand, and whether it was told that this is the end.
    reading: BTreeMap<TopicPartition, (Offset, bool)>,
    /// Partition from which the last batch came, so that each has its turn.
    last: Option<TopicPartition>,
}

fn failed(doing: &str, reason: impl std::fmt::Display, remedy: Remedy) -> GroupError {
    GroupError { doing: doing.to_string(), reason: reason.to_string(), remedy }
}

fn refused(doing: &'static str) -> impl Fn(MemoryError) -> GroupError {
    move |error| {
        let is_fenced = matches!(error, MemoryError::Fenced(_));
        failed(doing, error, if is_fenced { Remedy::Rebuild } else { Remedy::Stop })
    }
}

impl MemoryMember {
    /// Joins, and fences an earlier member with the same name and its producer.
    pub fn connect(broker: &Broker, who: Membership, hook: Hook) -> Result<Self, GroupError> {
        let id = format!("till-{}-{}", who.group, who.instance);
        let producer = if who.outputs { Some(broker.producer(&id).map_err(refused("connect"))?) } else { None };
        let epoch = broker.state().join(&who.group, &who.instance, &who.topics);
        Ok(Self {
            broker: broker.clone(),
            who,
            hook,
            producer,
            is_open: false,
            epoch,
            generation: 0,
            assigned: BTreeSet::new(),
            going: BTreeSet::new(),
            reading: BTreeMap::new(),
            last: None,
        })
    }

    fn with_group<T>(&self, look: impl FnOnce(&mut Group) -> T) -> T {
        self.broker.state().with_group(&self.who.group, look)
    }

    /// Epoch of this instance's seat.
    fn seat(&self) -> Option<u64> {
        self.with_group(|group| group.seats.get(&self.who.instance).map(|seat| seat.epoch))
    }

    /// What the coordinator has to say, if anything.
    fn rebalanced(&mut self) -> Result<Option<Event>, GroupError> {
        match self.seat() {
            Some(epoch) if epoch != self.epoch => {
                return Err(failed("poll", "a newer member has taken over this instance's name", Remedy::Rebuild));
            }
            Some(_) => {}
            None if !self.assigned.is_empty() => {
                self.reading.clear();
                return Ok(Some(Event::Lost(self.assigned.iter().copied().collect())));
            }
            None => {
                let Membership { group, instance, topics, .. } = self.who.clone();
                self.epoch = self.broker.state().join(&group, &instance, &topics);
            }
        }
        let (who, assigned) = (self.who.instance.clone(), self.assigned.clone());
        let (generation, gone, new) = self.with_group(|group| {
            let is_mine = |place: &TopicPartition| group.targets.get(place) == Some(&who);
            let gone: Vec<_> = assigned.iter().copied().filter(|place| !is_mine(place)).collect();
            let mine = group.targets.iter().filter(|(_, target)| **target == who).map(|(place, _)| *place);
            let is_free = |place: &TopicPartition| group.owners.get(place).is_none_or(|owner| *owner == who);
            let new: Vec<_> = mine.filter(|place| !assigned.contains(place) && is_free(place)).collect();
            group.owners.extend(new.iter().map(|place| (*place, who.clone())));
            (group.generation, gone, new)
        });
        self.generation = generation;
        let gone: Vec<_> = gone.into_iter().filter(|place| self.going.insert(*place)).collect();
        if !gone.is_empty() {
            // What was given a moment ago comes with the next call.
            self.with_group(|group| new.iter().for_each(|place| drop(group.owners.remove(place))));
            return Ok(Some(Event::Revoked(gone)));
        }
        if !new.is_empty() {
            self.assigned.extend(&new);
            return Ok(Some(Event::Assigned(new)));
        }
        Ok(None)
    }

    /// The next batch, of each partition in turn, or that one has come to its end.
    fn read(&mut self, rows_max: usize) -> Result<Event, GroupError> {
        let started: Vec<TopicPartition> = self.reading.keys().copied().collect();
        let split = started.partition_point(|place| Some(*place) <= self.last);
        for place in started[split..].iter().chain(&started[..split]) {
            let (position, told) = self.reading[place];
            let reader = self.broker.reader(place.topic, place.partition, position);
            let mut reader = reader.map_err(refused("poll"))?;
            let batch = reader.poll(rows_max).map_err(|error| failed("poll", error, Remedy::Stop))?;
            match batch {
                Some(batch) if batch.offsets.is_empty() => {
                    self.reading.insert(*place, (reader.position(), false));
                }
                Some(batch) => {
                    // A client knows of the last record, not of the markers behind it.
                    let next = batch.offsets.last().map_or(reader.position(), |last| Offset(last + 1));
                    self.reading.insert(*place, (next, false));
                    self.last = Some(*place);
                    return Ok(Event::Batch { partition: *place, batch, next });
                }
                None if !told => {
                    self.reading.insert(*place, (position, true));
                    return Ok(Event::CaughtUp(*place));
                }
                None => {}
            }
        }
        Ok(Event::Idle)
    }

    /// Whether the coordinator takes offsets from this member.
    fn check_membership(&self, offsets: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        let who = &self.who.instance;
        match self.seat() {
            None => return Err(failed("commit", "the coordinator does not know this member", self.who.expelled)),
            Some(epoch) if epoch != self.epoch => {
                return Err(failed("commit", "a newer member has taken over this instance's name", Remedy::Rebuild));
            }
            Some(_) => {}
        }
        self.with_group(|group| {
            if group.generation != self.generation {
                return Err(failed("commit", "the group has rebalanced since", Remedy::Abort));
            }
            match offsets.iter().find(|(place, _)| group.owners.get(place) != Some(who)) {
                Some((place, _)) => Err(failed("commit", format!("{place} is not this member's"), Remedy::Stop)),
                None => Ok(()),
            }
        })
    }

    fn commit_transaction(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        let refused = refused("commit");
        let Some(producer) = &self.producer else {
            let mut state = self.broker.state();
            for (place, next) in offsets {
                state.committed.insert((self.who.group.clone(), place.topic.to_string(), place.partition), *next);
            }
            return Ok(());
        };
        if !self.is_open {
            producer.begin().map_err(&refused)?;
            self.is_open = true;
        }
        for (place, next) in offsets {
            producer.send_offset(&self.who.group, place.topic, place.partition, *next).map_err(&refused)?;
        }
        (self.hook)(Moment::InsideCommit)?;
        producer.commit().map_err(&refused)?;
        self.is_open = false;
        Ok(())
    }
}

impl GroupLog for MemoryMember {
    fn next(&mut self, rows_max: usize, _wait: Duration) -> Result<Event, GroupError> {
        (self.hook)(Moment::Before(Call::Next))?;
        match self.rebalanced()? {
            Some(event) => Ok(event),
            None => self.read(rows_max),
        }
    }

    fn start(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        (self.hook)(Moment::Before(Call::Start))?;
        for (place, at) in starts {
            let bounds = self.broker.bounds(*place).map_err(refused("start"))?;
            if !self.assigned.contains(place) || *at < bounds.start || *at > bounds.end {
                let reason =
                    format!("{place} cannot be read from offset {at}: it is not assigned, or has no such record");
                return Err(failed("start", reason, Remedy::Stop));
            }
            self.reading.insert(*place, (*at, false));
        }
        (self.hook)(Moment::After(Call::Start))
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        (self.hook)(Moment::Before(Call::Release))?;
        let holds_seat = self.seat() == Some(self.epoch);
        for place in partitions {
            self.assigned.remove(place);
            self.going.remove(place);
            self.reading.remove(place);
            // It may be another's by now, where the answer to an earlier release was lost.
            if holds_seat {
                let who = &self.who.instance;
                self.with_group(|group| group.owners.retain(|owned, owner| owned != place || owner != who));
            }
        }
        (self.hook)(Moment::After(Call::Release))
    }

    fn committed(&mut self, partition: TopicPartition) -> Result<Option<Offset>, GroupError> {
        (self.hook)(Moment::Before(Call::Committed))?;
        let key = (self.who.group.clone(), partition.topic.to_string(), partition.partition);
        let state = self.broker.state();
        let mut open = state.producers.values().filter_map(|producer| producer.open.as_ref());
        if open.any(|transaction| transaction.offsets.contains_key(&key)) {
            let reason = "a transaction with this partition's offset is open";
            return Err(failed("read the committed offset", reason, Remedy::Retry));
        }
        Ok(state.committed.get(&key).copied())
    }

    fn bounds(&mut self, partition: TopicPartition) -> Result<Bounds, GroupError> {
        (self.hook)(Moment::Before(Call::Bounds))?;
        self.broker.bounds(partition).map_err(refused("read the bounds"))
    }

    fn partition_count(&mut self, topic: &'static str) -> Result<u16, GroupError> {
        let count = self.broker.state().topics.get(topic).map(|topic| topic.partitions.len());
        let count = count.and_then(|count| u16::try_from(count).ok());
        count.ok_or_else(|| failed("count partitions", format!("there is no topic {topic}"), Remedy::Stop))
    }

    fn send(&mut self, topic: &'static str, partition: Partition, rows: &RecordBatch) -> Result<(), GroupError> {
        (self.hook)(Moment::Before(Call::Send))?;
        let producer = self.producer.as_ref();
        let producer = producer.ok_or_else(|| failed("send", "this member has no outputs", Remedy::Stop))?;
        if !self.is_open {
            producer.begin().map_err(refused("send"))?;
            self.is_open = true;
        }
        producer.send(topic, partition, rows.clone()).map_err(refused("send"))?;
        (self.hook)(Moment::After(Call::Send))
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        (self.hook)(Moment::Before(Call::Commit))?;
        self.check_membership(offsets)?;
        self.commit_transaction(offsets)?;
        (self.hook)(Moment::After(Call::Commit))
    }

    fn abort(&mut self) -> Result<(), GroupError> {
        (self.hook)(Moment::Before(Call::Abort))?;
        if let Some(producer) = self.producer.as_ref().filter(|_| self.is_open) {
            producer.abort().map_err(refused("abort"))?;
        }
        self.is_open = false;
        (self.hook)(Moment::After(Call::Abort))
    }

    fn lag(&self) -> Vec<(TopicPartition, i64)> {
        let lag = |(place, (position, _)): (&TopicPartition, &(Offset, bool))| {
            let end = self.broker.bounds(*place).ok()?.end;
            Some((*place, end.0 - position.0))
        };
        self.reading.iter().filter_map(lag).collect()
    }
}

#[cfg(test)]
mod tests;
