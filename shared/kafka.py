"""How every client reaches the brokers."""

import ssl
from typing import Any

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
