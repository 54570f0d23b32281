"""Event-to-effect latency, read from the workers' metrics as Prometheus would."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

HISTOGRAM = "regulars_event_to_effect_seconds"

Buckets = Mapping[float, float]
"""Upper bound in seconds: how many were at most that long. The last bound is infinite."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the events between two readings, in seconds."""

    events: int
    p50_s: float
    p99_s: float


def buckets(text: str) -> dict[float, float]:
    """The histogram in a text of metrics; empty if there is none."""
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name == HISTOGRAM
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }


def between(before: Buckets, after: Buckets) -> Latency:
    """Of the events that came between the two readings."""
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = max(counts.values(), default=0)
    return Latency(int(total), quantile(counts, 0.50), quantile(counts, 0.99))


def quantile(counts: Buckets, share: float) -> float:
    """As Prometheus' histogram_quantile: straight lines within a bucket."""
    bounds = sorted(counts)
    if not bounds or not counts[bounds[-1]]:
        return 0.0
    wanted = share * counts[bounds[-1]]
    for lower, upper in pairwise([0.0, *bounds]):
        below, reached = counts.get(lower, 0.0), counts[upper]
        if reached >= wanted:
            if upper == float("inf"):
                return lower
            return lower + (upper - lower) * (wanted - below) / ((reached - below) or 1)
    return bounds[-1]
