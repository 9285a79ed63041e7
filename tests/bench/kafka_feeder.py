"""Appends records to a topic at a steady rate: `kafka_feeder.py SERVERS TOPIC RATE RECORDS`."""

import json
import sys
import time

from confluent_kafka import Producer

servers, topic, rate, records = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
producer = Producer({"bootstrap.servers": servers, "linger.ms": 1})
started = time.time()
for number in range(records):
    due = started + number / rate
    if (wait := due - time.time()) > 0:
        time.sleep(wait)
    features = {f"x{index}": (number * (index + 3)) % 17 / 17 for index in range(8)}
    producer.produce(topic, json.dumps({**features, "y": number % 2, "ts": time.time()}).encode(), partition=0)
    producer.poll(0)
producer.flush()
