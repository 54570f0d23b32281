"""How every client reaches the brokers."""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared.errors import Fatal
from shared.settings import Settings

log = structlog.get_logger()

RETRY_DELAY_MAX_S = 5.0


def client_options(settings: Settings) -> dict[str, Any]:
    """The options that consumers, producers and admin clients share."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_servers,
        "client_id": f"regulars-{settings.service}",
        "security_protocol": settings.kafka_security,
    }
    if "SSL" in settings.kafka_security.split("_"):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_security.startswith("SASL"):
        options |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


def rebalance_timeout_ms(settings: Settings) -> int:
    """How long a member may take to finish its batch when the group shares out anew."""
    return 2 * settings.kafka_session_timeout_ms


async def reach(client: AIOKafkaConsumer, wanted: Iterable[str], stop: asyncio.Event) -> None:
    """Start the client once Kafka answers; Fatal if it has not all topics."""
    started, delay_s = False, 0.2
    while not stop.is_set():
        try:
            if not started:
                await client.start()
                started = True
            missing = set(wanted) - await client.topics()
        except (KafkaError, OSError) as error:
            log.warning("kafka not reached", error=type(error).__name__)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_DELAY_MAX_S)
            continue
        if missing:
            await client.stop()
            raise Fatal(f"no such topics: {sorted(missing)}; run: python -m shared.topics apply")
        return
