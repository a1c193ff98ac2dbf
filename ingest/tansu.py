"""What the embedded broker, Tansu, makes necessary and Apache Kafka does not."""

from __future__ import annotations

from typing import Final

from kafka import KafkaConsumer
from kafka.producer.future import RecordMetadata

CLUSTER_ID: Final = "tansu_cluster"
"""How Tansu's brokers call themselves, unless they are told otherwise."""


def never_leave(consumer: KafkaConsumer) -> None:
    """Let a member of a group end without a goodbye, if the broker is a Tansu.

    A leader that leaves Tansu 0.6.0's group while another member joins stays its leader for good: who joins
    from then on waits for what the leader should share out, and nobody reads. One that ends without a word
    is missed after its session, and the others go on (``pytest tests/test_ingest_tansu.py``).
    """
    if consumer._cluster.cluster_id != CLUSTER_ID:
        return
    coordinator = consumer._coordinator

    async def forget(*_: object) -> None:
        coordinator.reset_generation()

    # kafka-python 3.0.12 leaves at its end, at unsubscribing and after a poll that came late, all by this.
    coordinator.maybe_leave_group_async = forget


def is_unsure(confirmed: RecordMetadata) -> bool:
    """Whether a record that counts as confirmed may not be there: send it again.

    An idempotent producer that sends a batch again hears that the broker has it already. Tansu 0.6.0, killed
    between its note of a batch and the batch itself, says so of one that it lost: 15 of 19,776 records in 43
    kills. It gives no offset then, nor does it for the others, of which one more copy comes to the topic
    (``pytest tests/test_inference_broker_kills.py``). Apache Kafka gives the offset of all but very old ones.
    """
    return bool(confirmed.offset < 0)
