"""Replayed history stays in the log for its full retention."""

from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.tests.harness import eventually
from shared.topics import KafkaSettings, apply, topics
from stack.infra import Infra

IN_2011 = int(datetime(2011, 12, 9, tzinfo=UTC).timestamp() * 1000)
SOON = {"log.retention.check.interval.ms": "300", "log.initial.task.delay.ms": "300"}
FORTNIGHT_MS = str(14 * 24 * 3600 * 1000)


async def test_records_of_2011_outlive_the_retention_check(tmp_path):
    """A topic with the producers' time beside ours shows that the check has been."""
    with Infra(tmp_path, kafka_settings=SOON) as own:
        servers = own.kafka_servers
        await apply(KafkaSettings(kafka_servers=servers), topics(partitions=1))
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        config = {"message.timestamp.type": "CreateTime", "retention.ms": FORTNIGHT_MS}
        await admin.create_topics([NewTopic("by_producer", 1, 1, topic_configs=config)])
        await admin.close()

        async with AIOKafkaProducer(bootstrap_servers=servers) as kafka:
            for topic in ("by_producer", "shop.orders.v1"):
                await kafka.send_and_wait(topic, b"{}", key=b"k", timestamp_ms=IN_2011)

        ours, theirs = TopicPartition("shop.orders.v1", 0), TopicPartition("by_producer", 0)
        async with AIOKafkaConsumer(bootstrap_servers=servers) as kafka:

            async def cut() -> bool:
                return (await kafka.beginning_offsets([theirs]))[theirs] == 1

            await eventually(
                cut, timeout_s=90, why="the producer's time costs the other its record"
            )
            assert (await kafka.beginning_offsets([ours]))[ours] == 0
