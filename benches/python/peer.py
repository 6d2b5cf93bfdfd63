"""Pings from Kafka into a Delta table, as one would write it by hand: consume, parse, append with the offsets.

peer.py BROKERS TOPIC EVENTS TABLE: goes on from the offsets in the table, and prints how many events it appended.
"""

import sys
from datetime import datetime

import orjson
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

ROWS_PER_COMMIT = 200_000
MESSAGES_PER_CALL = 10_000
TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [("device_id", pa.string()), ("time", TIME)]
    + [(name, pa.float64()) for name in ("lat", "lon", "accuracy_m", "speed_mps", "bearing_deg")]
    + [("hired", pa.bool_()), ("received_at", TIME), ("source_partition", pa.int32()), ("source_offset", pa.int64())]
)


def main(brokers, topic, events, path):
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "peer",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "check.crcs": True,
        "fetch.queue.backoff.ms": 5,
    })
    partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    app_ids = {partition: f"peer/{topic}/{partition}" for partition in partitions}
    is_there = DeltaTable.is_deltatable(path)
    stored = {partition: DeltaTable(path).transaction_version(app_ids[partition]) for partition in partitions} if is_there else {}
    starts = [TopicPartition(topic, number, stored.get(number) or OFFSET_BEGINNING) for number in partitions]
    consumer.assign(starts)
    columns = {field.name: [] for field in SCHEMA}
    next_offsets, appended = {}, 0
    while appended < events:
        messages = consumer.consume(MESSAGES_PER_CALL, timeout=1.0)
        for message in messages:
            row = orjson.loads(message.value())
            for name in ("device_id", "lat", "lon", "accuracy_m", "speed_mps", "bearing_deg", "hired"):
                columns[name].append(row.get(name))
            for name in ("time", "received_at"):
                columns[name].append(datetime.fromisoformat(row[name]))
            columns["source_partition"].append(message.partition())
            columns["source_offset"].append(message.offset())
            next_offsets[message.partition()] = message.offset() + 1
        waiting = len(columns["time"])
        if waiting >= ROWS_PER_COMMIT or appended + waiting >= events:
            transactions = [Transaction(app_ids[partition], offset) for partition, offset in next_offsets.items()]
            write_deltalake(
                path, pa.table(columns, SCHEMA), mode="append", commit_properties=CommitProperties(app_transactions=transactions)
            )
            columns = {field.name: [] for field in SCHEMA}
            appended += waiting
    print(appended)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
