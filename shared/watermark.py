"""Up to which moment all that had been published has been handled.

What ends by time, a period or a lot of points, is judged by the events before its end. A
worker that is behind has not read them all, and the clock does not know that. So a job
that says `after_log` runs as of a moment at which the logs ended where the service by now
stands; over all partitions, whichever replica has them. While it is further behind than it was
at the last look, the job waits.
"""

from collections.abc import Mapping
from datetime import datetime

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from shared import positions
from shared.consumer import Consumer

log = structlog.get_logger()

Ends = Mapping[TopicPartition, int]
Look = tuple[datetime, Ends]


class Watermark:
    """Of one worker; each job has its own last look."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._looks: dict[str, Look] = {}

    async def reached(self, job: str) -> datetime | None:
        """Now, if nothing is left to handle; or the moment of the last look, if what there was
        then is handled; None while it is not, or Kafka does not answer. By the business clock."""
        if not self._consumer.joined:
            return None
        now = self._consumer.batches.world.clock.now()
        try:
            ends = await self._ends()
        except (KafkaError, OSError) as error:
            log.warning("ends of the logs not known", error=type(error).__name__)
            return None
        async with self._consumer.engine.connect() as conn:
            stored = await positions.load(conn, self._consumer.settings.consumer_name, ends)
        stands = {tp: position.next_offset for tp, position in stored.items()}
        look = self._looks.pop(job, None)
        if _passed(stands, ends):
            return now
        passed = look is not None and _passed(stands, look[1])
        self._looks[job] = (now, ends) if passed or look is None else look
        return look[0] if look and passed else None

    async def _ends(self) -> Ends:
        kafka, topics = self._consumer.kafka, self._consumer.topics
        known = {topic: kafka.partitions_for_topic(topic) for topic in topics}
        if not all(known.values()):
            raise UnknownTopicOrPartitionError
        places = [TopicPartition(topic, number) for topic in known for number in known[topic]]
        return await kafka.end_offsets(places)  # type: ignore[no-any-return]  # aiokafka has no types


def _passed(stands: Ends, ends: Ends) -> bool:
    return all(stands.get(tp, 0) >= end for tp, end in ends.items())
