"""Every metric, in one list, with its meaning. Units are seconds, bytes and counts.

Alert on time lag (`regulars_event_to_effect_seconds`) and on what stands still
(`regulars_outbox_oldest_seconds`, `regulars_dead_letters_open`), not on record lag.
"""

from prometheus_client import Counter, Gauge, Histogram

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)

HTTP_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Time from a request's first byte to its answer's last.",
    ["route", "method", "status"],
    buckets=LATENCY,
)
RATE_LIMITED = Counter("regulars_rate_limited_total", "Requests answered 429.")

RECORDS = Counter(
    "regulars_consumer_records_total",
    "Records by what became of them: handled, repeated, erased, unknown, buried, waiting.",
    ["topic", "outcome"],
)
EVENT_TO_EFFECT = Histogram(
    "regulars_event_to_effect_seconds",
    "From a record's append to the commit of its effect: what users feel.",
    buckets=LATENCY,
)
BATCH_SECONDS = Histogram(
    "regulars_consumer_batch_seconds", "One batch's transaction, retries included.", buckets=LATENCY
)
BATCH_RETRIES = Counter(
    "regulars_consumer_batch_retries_total", "Batches tried again after a transient failure."
)
FENCED = Counter(
    "regulars_consumer_fenced_total", "Batches dropped because another worker had moved on."
)
REBALANCES = Counter("regulars_consumer_rebalances_total", "Assignments received.")
LAG = Gauge(
    "regulars_consumer_lag_records", "Records behind the log's end.", ["topic", "partition"]
)
STOPPED = Gauge("regulars_consumer_stopped", "1 while the breaker holds this release.")

DEAD_LETTERS = Counter(
    "regulars_dead_letters_total", "Dead letters written, by class of reason.", ["reason"]
)
DEAD_LETTERS_OPEN = Gauge("regulars_dead_letters_open", "Dead letters open or waiting.")
OUTBOX_PUBLISHED = Counter("regulars_outbox_published_total", "Outbox rows published.", ["topic"])
OUTBOX_PENDING = Gauge("regulars_outbox_pending", "Outbox rows not yet published.")
OUTBOX_OLDEST = Gauge("regulars_outbox_oldest_seconds", "Age of the oldest outbox row.")

JOB_SECONDS = Histogram("regulars_job_seconds", "One run of a periodic job.", ["job"])
JOB_FAILURES = Counter("regulars_job_failures_total", "Runs that ended in an error.", ["job"])
ERASED = Counter("regulars_erased_customers_total", "Customers erased.")
LOOP_LAG = Gauge("regulars_loop_lag_seconds", "How late the event loop wakes: it is blocked.")
