//! The bare loops: a client that receives, and one that besides decodes JSON and writes one Parquet file. Nothing of it
//! would survive a failure. Each runs in a process of its own, so that its processor time is its own.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use schemas::topics;

use crate::Failure;
use crate::feed::{PARTITIONS, TOPIC};

/// The first argument of such a process.
pub const WORD: &str = "bare";
/// Rows decoded at a time: as many as the runner's batches have.
const BATCH_ROWS: usize = 8_192;
const WAIT: Duration = Duration::from_secs(10);

/// The process that receives, and writes the file if one is named.
pub fn command(brokers: &str, events: u64, file: Option<&str>) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([WORD, brokers, &events.to_string()]).args(file).stdin(Stdio::null());
    Ok(command)
}

/// What the process does; it prints how many records it had.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let [brokers, events, file @ ..] = arguments else { return Err("brokers and a number are missing".into()) };
    let consumer = consumer(brokers)?;
    let events: u64 = events.parse()?;
    let had = match file.first() {
        None => receive(&consumer, events)?,
        Some(file) => write(&consumer, events, file)?,
    };
    println!("{had}");
    Ok(())
}

/// With the settings of a member of a group, but for the group.
fn consumer(brokers: &str) -> Result<BaseConsumer, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "50")
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "50000")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(TOPIC, i32::from(partition), Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn receive(consumer: &BaseConsumer, events: u64) -> Result<u64, Failure> {
    let (mut had, mut bytes) = (0, 0);
    while had < events {
        let message = consumer.poll(WAIT).ok_or("nothing comes any more")??;
        bytes += message.payload_len();
        had += 1;
    }
    std::hint::black_box(bytes);
    Ok(had)
}

fn write(consumer: &BaseConsumer, events: u64, path: &str) -> Result<u64, Failure> {
    let schema = topics::pings();
    let mut decoder = ReaderBuilder::new(schema.clone()).with_batch_size(BATCH_ROWS).build_decoder()?;
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema, Some(properties))?;
    let (mut had, mut written) = (0_u64, 0);
    while had < events {
        let message = consumer.poll(WAIT).ok_or("nothing comes any more")??;
        let payload = message.payload().unwrap_or_default();
        if decoder.decode(payload)? != payload.len() {
            return Err("a record was decoded in part".into());
        }
        had += 1;
        if had.is_multiple_of(BATCH_ROWS as u64) {
            written += flush(&mut decoder, &mut writer)?;
        }
    }
    written += flush(&mut decoder, &mut writer)?;
    writer.close()?;
    Ok(written)
}

fn flush(decoder: &mut Decoder, writer: &mut ArrowWriter<File>) -> Result<u64, Failure> {
    let Some(rows) = decoder.flush()? else { return Ok(0) };
    writer.write(&rows)?;
    Ok(rows.num_rows() as u64)
}
