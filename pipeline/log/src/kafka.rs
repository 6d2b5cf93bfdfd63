//! Partitioned logs on Kafka: a member of a consumer group with the transactional producer of its outputs, a plain
//! producer for whoever feeds a log, and what an operator asks of the brokers.
//!
//! [`KafkaLog`] keeps what [`crate::group`] asks for. It reads committed records alone, checks their checksums, starts
//! where it is told and nowhere else (an offset that the log does not hold is an error, never another offset), and
//! commits under its group's generation, so that a member that lost a partition cannot commit for it.
//!
//! How rebalances are met: new partitions are taken over at once, without anything to read, and each is added to what
//! is read by its own `start`. A revocation is answered when the last of its partitions has been released. In between
//! nothing is unassigned, since any unassignment would be taken for the answer; a partition that is started again is
//! sought to its offset instead, and one that is released without being asked for is only not handed out.
//!
//! A group can leave partitions to nobody; how a member finds and mends that is documented in `caretaker`.
//!
//! It refuses to judge what a record means, to hold records longer than their batch, and to hand errors on that pass by
//! themselves: an outage of brokers shows as silence, and as calls that say "again".

mod admin;
mod by_hand;
mod caretaker;
mod close;
mod context;
mod errors;
mod feed;
mod guest;
mod headers;
mod membership;
mod observer;
mod outputs;
mod reading;
mod records;
mod settings;
mod watchdog;
mod words;

pub use admin::{Admin, Counts};
pub use by_hand::{Found, HandReader, TopicRecord};
pub use feed::Feeder;
pub use records::{Record, RecordWriter};
pub use settings::{Settings, SettingsError};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::RecordBatch;
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use schemas::{Offset, Partition};

use crate::group::{Bounds, Event, GroupError, GroupLog, Remedy, TopicPartition};
use crate::wire::SchemaSource;
use caretaker::Caretaker;
use context::MemberContext;
use errors::{failed, found, remedy, symptom_code};
use observer::{Observer, offsets_list};
use outputs::Outputs;
use reading::Reading;
use watchdog::Watchdog;

/// Events of the client that one call serves. Statistics come once a second; what is left over waits for the next call.
const EVENTS_MAX: usize = 16;
/// Pause between attempts to seek in a partition whose reading is just being set up.
const SEEK_PAUSE: Duration = Duration::from_millis(20);

/// A member of a unit's consumer group, and the transactional producer of its outputs where it has any.
pub struct KafkaLog {
    consumer: Option<Arc<BaseConsumer<MemberContext>>>,
    reading: Reading,
    /// Partitions of the unanswered revocation that have been released.
    released: BTreeSet<TopicPartition>,
    outputs: Option<Outputs>,
    observer: Arc<Observer>,
    caretaker: Caretaker,
    watchdog: Watchdog,
    /// The answer to a plain commit that did not come in time.
    committing: Option<Receiver<KafkaResult<()>>>,
    call_timeout: Duration,
}

impl KafkaLog {
    /// Joins a unit's group for these topics. With `outputs`, its producer fences the one of an earlier process of the
    /// same instance and ends what that left open.
    ///
    /// # Errors
    /// Brokers that cannot be reached are told after about 5 s, with their addresses; so are topics that are not there.
    pub fn connect(
        settings: &Settings,
        unit: &'static str,
        topics: &[&'static str],
        outputs: bool,
    ) -> Result<Self, GroupError> {
        settings.check()?;
        let observer = Arc::new(Observer::connect(settings, &settings.group(unit))?);
        let partitions = observer.partitions(topics)?;
        let watchdog = Watchdog::ending_the_process();
        let outputs = outputs.then(|| Outputs::connect(settings, unit, &watchdog)).transpose()?;
        let doing = || format!("joining the group {}", settings.group(unit));
        let context = MemberContext::new(topics, &settings.topic_prefix);
        let signal = Arc::clone(&context.signal);
        let mut consumer = BaseConsumer::from_config_and_context(&settings.member(unit, partitions.len()), context)
            .map_err(|error| failed(doing(), &error))?;
        consumer.set_nonempty_callback(move || signal.raise());
        let names: Vec<_> = topics.iter().map(|topic| settings.topic(topic)).collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        consumer.subscribe(&names).map_err(|error| failed(doing(), &error))?;
        Ok(Self {
            consumer: Some(Arc::new(consumer)),
            reading: Reading::default(),
            released: BTreeSet::new(),
            outputs,
            caretaker: Caretaker::start(settings, unit, Arc::clone(&observer), partitions),
            observer,
            watchdog,
            committing: None,
            call_timeout: settings.call_timeout,
        })
    }

    /// Where schemas are found that control records bring into force.
    #[must_use]
    pub fn with_schemas(mut self, source: Arc<dyn SchemaSource>) -> Self {
        self.reading.set_source(source);
        self
    }

    /// The form in which librdkafka takes partitions with offsets.
    fn offsets(
        &self,
        list: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let context = self.consumer().context();
        offsets_list(list.into_iter().map(|(place, offset)| (context.name_of(place.topic), place.partition, offset)))
    }

    fn consumer(&self) -> &Arc<BaseConsumer<MemberContext>> {
        self.consumer.as_ref().expect("the consumer is taken away by drop alone")
    }

    /// Whether the group still knows the member as the one to which it gave partitions.
    fn check_identity(&self, doing: &str) -> Result<(), GroupError> {
        if self.consumer().context().is_another() {
            let reason =
                "the group took the member in anew after its session, and may have given its partitions to another";
            return Err(found(doing, reason, Remedy::Rebuild));
        }
        Ok(())
    }

    /// Lets the client say what happened to the member, and hands out the first of it.
    fn serve(&self) -> Result<Option<Event>, GroupError> {
        let doing = "being a member of the group";
        let consumer = self.consumer();
        for _ in 0..EVENTS_MAX {
            match consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(_)) => {
                    let reason = "a record came on the wrong queue; it would be missing";
                    return Err(found(doing, reason, Remedy::Rebuild));
                }
                Some(Err(error)) => match remedy(&error) {
                    Remedy::Retry => tracing::info!(target: "till::kafka", %error, "passes by itself"),
                    // The client joins again by itself, and says what it lost.
                    Remedy::Rebuild if symptom_code(&error) == Some(RDKafkaErrorCode::UnknownMemberId) => {}
                    _ => return Err(failed(doing, &error)),
                },
            }
        }
        self.check_identity(doing)?;
        let mut group = consumer.context().group();
        if let Some(reason) = group.refused.take() {
            return Err(found("answering a rebalance", reason, Remedy::Rebuild));
        }
        Ok(group.events.pop_front())
    }

    /// Commits offsets alone, on another thread: librdkafka waits for the answer as long as the group has no
    /// coordinator. One commit at a time, so that a late one cannot undo a later one.
    fn commit_plainly(&mut self, list: TopicPartitionList) -> Result<(), GroupError> {
        let doing = "committing offsets";
        let late = || found(doing, "the brokers have not answered in time", Remedy::Retry);
        if let Some(earlier) = &self.committing
            && earlier.recv_timeout(self.call_timeout) == Err(RecvTimeoutError::Timeout)
        {
            return Err(late());
        }
        let (tell, told) = channel();
        let consumer = Arc::clone(self.consumer());
        // Nobody listens any more where it took too long and the member is gone.
        std::thread::spawn(move || drop(tell.send(consumer.commit(&list, CommitMode::Sync))));
        let answer = told.recv_timeout(self.call_timeout);
        self.committing = answer.is_err().then_some(told);
        answer.map_err(|_| late())?.map_err(|error| failed(doing, &error))
    }

    /// What lies there already.
    fn at_once(&mut self, rows_max: usize) -> Result<Option<Event>, GroupError> {
        // First, so that whatever comes from here on ends the wait.
        self.consumer().context().signal.clear();
        match self.serve()? {
            Some(event) => Ok(Some(event)),
            None => self.reading.next(rows_max),
        }
    }

    /// Goes to other offsets in partitions that are assigned.
    fn seek(&self, starts: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        let doing = |partition: &TopicPartition| format!("going to another offset of {partition}");
        let mut waits_left = self.call_timeout.as_millis() / SEEK_PAUSE.as_millis();
        for (partition, offset) in starts {
            let list = self.offsets([(*partition, *offset)]).map_err(|error| failed(doing(partition), &error))?;
            loop {
                let sought = self.consumer().seek_partitions(list.clone(), self.call_timeout);
                let sought = sought.map_err(|error| failed(doing(partition), &error))?;
                match sought.elements().first().map(|element| element.error()) {
                    None | Some(Ok(())) => break,
                    // It is assigned and not being fetched yet.
                    Some(Err(KafkaError::OffsetFetch(
                        RDKafkaErrorCode::State | RDKafkaErrorCode::PreviousInProgress,
                    ))) if waits_left > 0 => {
                        waits_left -= 1;
                        std::thread::sleep(SEEK_PAUSE);
                    }
                    Some(Err(error)) => return Err(failed(doing(partition), &error)),
                }
            }
        }
        Ok(())
    }
}

impl GroupLog for KafkaLog {
    fn next(&mut self, rows_max: usize, wait: Duration) -> Result<Event, GroupError> {
        if let Some(event) = self.at_once(rows_max)? {
            return Ok(event);
        }
        if wait.is_zero() {
            return Ok(Event::Idle);
        }
        self.consumer().context().signal.wait(wait);
        Ok(self.at_once(rows_max)?.unwrap_or(Event::Idle))
    }

    /// Partitions of a revocation that waits for its answer are left out: they are read no more.
    fn start(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        let consumer = Arc::clone(self.consumer());
        let leaving = consumer.context().group().leaving.clone();
        let staying = starts.iter().filter(|(partition, _)| !leaving.contains(partition));
        let (known, new): (Vec<_>, Vec<_>) = staying.partition(|(partition, _)| self.reading.is_assigned(*partition));
        for (partition, _) in &known {
            self.reading.stop(*partition);
        }
        self.seek(&known)?;
        for (partition, _) in &new {
            self.reading.attach(&consumer, consumer.context(), *partition)?;
        }
        if !new.is_empty() {
            let added = self.offsets(new.iter().copied()).and_then(|list| consumer.incremental_assign(&list));
            added.map_err(|error| {
                new.iter().for_each(|(partition, _)| self.reading.detach(*partition));
                failed("adding partitions to what is read", &error)
            })?;
        }
        for (partition, offset) in known.iter().chain(&new) {
            self.reading.start(*partition, *offset)?;
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        for partition in partitions {
            self.reading.stop(*partition);
        }
        let consumer = Arc::clone(self.consumer());
        let asked: Vec<TopicPartition> = {
            let group = consumer.context().group();
            partitions.iter().copied().filter(|partition| group.leaving.contains(partition)).collect()
        };
        self.released.extend(asked.iter().copied());
        if asked.is_empty() || self.released.len() < consumer.context().group().leaving.len() {
            return Ok(());
        }
        let gone = std::mem::take(&mut self.released);
        let assigned = gone.iter().filter(|partition| self.reading.is_assigned(**partition));
        let mut list = TopicPartitionList::new();
        for partition in assigned {
            list.add_partition(&consumer.context().name_of(partition.topic), partition.partition.0);
        }
        let doing = "giving partitions back";
        let answered = self.watchdog.watched(doing, self.call_timeout, || consumer.incremental_unassign(&list));
        for partition in gone {
            self.reading.detach(partition);
        }
        let mut group = consumer.context().group();
        group.leaving.clear();
        group.is_lost = false;
        answered.map_err(|error| failed(doing, &error))
    }

    fn committed(&mut self, partition: TopicPartition) -> Result<Option<Offset>, GroupError> {
        let name = self.consumer().context().name_of(partition.topic);
        let asked = [(name.as_ref(), partition.partition)];
        let doing = "asking for committed offsets";
        let answer = self
            .watchdog
            .watched(doing, self.call_timeout, || observer::committed(self.consumer(), &asked, self.call_timeout));
        answer.map(|offsets| offsets.into_iter().next().flatten())
    }

    fn bounds(&mut self, partition: TopicPartition) -> Result<Bounds, GroupError> {
        let doing = "asking what a partition holds";
        self.watchdog.watched(doing, self.call_timeout, || self.observer.bounds(partition.topic, partition.partition))
    }

    fn partition_count(&mut self, topic: &'static str) -> Result<u16, GroupError> {
        let count = self.observer.partition_count(topic)?;
        u16::try_from(count).map_err(|_| {
            let reason = format!("it has {count} partitions, more than {}; make it with fewer", u16::MAX);
            found(format!("looking for topic {topic}"), reason, Remedy::Stop)
        })
    }

    fn send(&mut self, topic: &'static str, partition: Partition, rows: &RecordBatch) -> Result<(), GroupError> {
        let Some(outputs) = &mut self.outputs else {
            return Err(found(format!("sending to {topic}"), "this member has no outputs", Remedy::Stop));
        };
        outputs.send(topic, partition, rows)
    }

    fn commit(&mut self, committed: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        let doing = "committing offsets";
        let list = self.offsets(committed.iter().copied()).map_err(|error| failed(doing, &error))?;
        let consumer = Arc::clone(self.consumer());
        let member = consumer.group_metadata();
        // After the membership was taken: where that was one before a loss, the brokers refuse it; where the loss came
        // first, it shows here.
        let is_lost = consumer.assignment_lost() || consumer.context().group().is_lost;
        self.check_identity(doing)?;
        let stranger = committed.iter().find(|(partition, _)| !self.reading.is_started(*partition));
        if is_lost {
            return Err(found(doing, "the group has given the partitions to another member", Remedy::Abort));
        }
        if let Some((partition, _)) = stranger {
            return Err(found(doing, format!("{partition} is not read by this member"), Remedy::Abort));
        }
        let Some(outputs) = &mut self.outputs else { return self.commit_plainly(list) };
        let member = member.ok_or_else(|| found(doing, "there is no group", Remedy::Rebuild))?;
        outputs.commit(&list, &member, &self.watchdog)
    }

    fn abort(&mut self) -> Result<(), GroupError> {
        self.outputs.as_mut().map_or(Ok(()), |outputs| outputs.abort(&self.watchdog))
    }

    fn lag(&self) -> Vec<(TopicPartition, i64)> {
        let ends = self.consumer().context().ends();
        let known = self
            .reading
            .positions()
            .filter_map(|(partition, next)| Some((partition, (ends.get(&partition)? - next.0).max(0))));
        known.collect()
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // First, since its guest waits for this member too.
        self.caretaker.stop();
        self.consumer().context().close();
        let client = (self.outputs.take(), std::mem::take(&mut self.reading), self.consumer.take());
        close::closed_within("a member of a group", client);
    }
}
