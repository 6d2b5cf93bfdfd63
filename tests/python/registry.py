"""Writes and reads a topic as anybody would who has a schema registry and Confluent's client, and nothing of tillstream.

Usage: registry.py write BROKERS REGISTRY TOPIC SCHEMA
       registry.py read BROKERS REGISTRY TOPIC

`write` takes one JSON object a line from standard input, with times in RFC 3339 and bytes in hexadecimal digits as in
the files of an input folder, and puts each on partition 0 by the Avro schema in the file SCHEMA. It prints the number
that the registry gave to the schema.

`read` prints each committed record of the topic as a JSON object with its `partition`, `offset` and `value`, times as
microseconds since the epoch.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Seconds to wait for the broker.
WAIT = 60


def branches(field):
    """The types that a value of a field may have, by name or logical type."""
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return {kind.get("logicalType", kind["type"]) if isinstance(kind, dict) else kind for kind in types}


def value_of(field, value):
    """A value of JSON as the serializer takes it."""
    if isinstance(value, str) and "timestamp-micros" in branches(field):
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, str) and "bytes" in branches(field):
        return bytes.fromhex(value)
    return value


def write(brokers, registry, topic, path):
    schema = Path(path).read_text(encoding="utf-8")
    fields = json.loads(schema)["fields"]
    serializer = AvroSerializer(SchemaRegistryClient({"url": registry}), schema)
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    context = SerializationContext(topic, MessageField.VALUE)
    numbers, lost = set(), []
    told = lambda error, _message: lost.append(error) if error is not None else None
    for line in sys.stdin:
        record = json.loads(line)
        value = {field["name"]: value_of(field, record.get(field["name"])) for field in fields}
        payload = serializer(value, context)
        numbers.add(int.from_bytes(payload[1:5], "big"))
        producer.produce(topic, partition=0, value=payload, on_delivery=told)
    if producer.flush(WAIT) > 0 or lost:
        sys.exit(f"the broker has not taken all records: {lost[:1]}")
    [number] = numbers
    print(number)


def plain(value):
    """A value of a record as JSON has it."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value)} is no value of a topic")


def read(brokers, registry, topic):
    deserializer = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"{topic}.registry-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(topic, WAIT).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    context = SerializationContext(topic, MessageField.VALUE)
    open_partitions = set(partitions)
    while open_partitions:
        message = consumer.poll(WAIT)
        if message is None:
            sys.exit("the broker gives nothing")
        if message.error() is None:
            value = deserializer(message.value(), context)
            place = {"partition": message.partition(), "offset": message.offset()}
            print(json.dumps({**place, "value": value}, default=plain))
        elif message.error().code() == KafkaError._PARTITION_EOF:
            open_partitions.discard(message.partition())
        else:
            sys.exit(str(message.error()))
    consumer.close()


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
