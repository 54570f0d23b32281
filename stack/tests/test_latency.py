"""Latency out of histograms, as Prometheus computes it."""

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from stack.latency import HISTOGRAM, between, buckets


def reading(*observed: float) -> dict[float, float]:
    registry = CollectorRegistry()
    histogram = Histogram(HISTOGRAM, "x", buckets=(0.01, 0.1, 1), registry=registry)
    for value in observed:
        histogram.observe(value)
    return buckets(generate_latest(registry).decode())


def test_only_what_came_between_the_readings_counts() -> None:
    before = reading(5, 5, 5)
    after = reading(5, 5, 5, *[0.05] * 99, 0.5)

    latency = between(before, after)

    assert latency.events == 100
    assert latency.p50_s == pytest.approx(0.01 + 0.09 * 50 / 99)
    assert latency.p99_s == pytest.approx(0.1)


def test_beyond_the_last_bound_the_last_bound_is_all_that_is_known() -> None:
    assert between({}, reading(7)).p99_s == 1


def test_nothing_came() -> None:
    latency = between(reading(1), reading(1))

    assert (latency.events, latency.p50_s, latency.p99_s) == (0, 0, 0)
    assert between({}, {}).events == 0
