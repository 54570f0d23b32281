"""Which partition a key belongs to: murmur2, as Java's client and ours put it there.

Equal keys of all topics with the same number of partitions meet in one partition, and by
the range assignor in one worker. librdkafka's default is another hash: see docs/events.md.
"""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition, from 0; the hash is Python code, so the answers of recent keys are kept."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
