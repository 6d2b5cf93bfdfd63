"""Six features of payments from Kafka, as one would write it by hand: consume, parse, a deque and two sums a window and card.

features.py BROKERS TOPIC EVENTS: prints how many payments it had. It keeps no offsets, no state and no table.
"""

import sys
from collections import deque
from datetime import datetime, timedelta

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

MESSAGES_PER_CALL = 10_000
LENGTHS = [timedelta(hours=1), timedelta(days=1), timedelta(days=7)]


def main(brokers, topic, events):
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "peer-features",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "check.crcs": True,
        "fetch.queue.backoff.ms": 5,
    })
    partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    cards, had, last = {}, 0, None
    while had < events:
        for message in consumer.consume(MESSAGES_PER_CALL, timeout=1.0):
            row = orjson.loads(message.value())
            at, amount = datetime.fromisoformat(row["event_time"]), row["amount_minor"]
            windows = cards.get(row["card"])
            if windows is None:
                windows = cards[row["card"]] = [[deque(), 0] for _ in LENGTHS]
            features = []
            for window, length in zip(windows, LENGTHS):
                entries = window[0]
                entries.append((at, amount))
                window[1] += amount
                while entries[0][0] <= at - length:
                    window[1] -= entries.popleft()[1]
                features += [len(entries), window[1]]
            last = features
            had += 1
    assert last is not None
    print(had)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
