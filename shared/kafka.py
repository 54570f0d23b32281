"""How every client reaches the brokers."""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer

from shared import db
from shared.errors import Fatal
from shared.settings import Settings


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
    started = False

    async def ask() -> None:
        nonlocal started
        if not started:
            await client.start()
            started = True
        if missing := set(wanted) - await client.topics():
            await client.stop()
            raise Fatal(f"no such topics: {sorted(missing)}; run: python -m shared.topics apply")

    await db.reach("kafka", ask, stop)
