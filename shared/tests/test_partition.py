"""Keys meet where Java's client puts them."""

import pytest
from aiokafka.partitioner import DefaultPartitioner

from shared.partition import partition_of

# From the Java client's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
JAVA_MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "java"), JAVA_MURMUR2.items())
@pytest.mark.parametrize("partitions", [1, 12, 48])
def test_a_key_goes_where_javas_client_puts_it(key: bytes, java: int, partitions: int) -> None:
    assert partition_of(key, partitions) == (java & 0x7FFFFFFF) % partitions


@pytest.mark.parametrize("key", ["c-1001", "anon:7f3a", "guest:5001", "会员:7", ""])
def test_a_key_goes_where_our_producer_puts_it(key: str) -> None:
    partitions = list(range(12))

    assert partition_of(key.encode(), 12) == DefaultPartitioner()(key.encode(), partitions, [])
