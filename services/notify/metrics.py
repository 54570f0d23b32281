"""notify's own metrics, with their meaning; the backbone's are in shared/metrics.py."""

from prometheus_client import Counter, Histogram

from shared.metrics import LATENCY

NOTICES = Counter(
    "regulars_notices_total",
    "Notices by what a sender made of them: sent, failed, suppressed, held, postponed, unknown.",
    ["channel", "outcome"],
)
HAND_OVER_SECONDS = Histogram(
    "regulars_notice_hand_over_seconds", "One attempt at a provider.", ["channel"], buckets=LATENCY
)
UNREACHABLE = Counter(
    "regulars_notice_provider_unreachable_total",
    "Pauses because a provider took nothing.",
    ["channel"],
)
LOST = Counter(
    "regulars_notices_lost_total",
    "Notices whose sender died between hand-over and record: look at each state `unknown`.",
)
