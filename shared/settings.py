"""What the environment decides: one field, one variable `REGULARS_<FIELD>`.

Read once in `__main__`, into a frozen object that is handed down; nothing else reads
the environment, so a test is a constructor call. A service with settings of its own
subclasses this beside its `__main__`.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, PostgresDsn, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ServiceName = Literal["profile", "loyalty", "recommend", "notify"]


class Settings(BaseSettings):
    """See `.stack/env` for a complete example; times in the unit of their name."""

    model_config = SettingsConfigDict(
        env_prefix="REGULARS_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    service: ServiceName
    release: str = "dev"

    database_url: PostgresDsn  # the service's own role: reads and writes rows
    owner_database_url: PostgresDsn | None = None  # the schema's owner: only `migrate` uses it
    database_pool_max: int = Field(4, ge=1, le=50)  # api 4 + 4 hot, worker 3 + 2 direct
    hot_pool_max: int = Field(4, ge=1, le=50)
    statement_timeout_ms: int = Field(5_000, ge=100)

    kafka_servers: str = "127.0.0.1:19092"
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ca_file: Path | None = None
    kafka_session_timeout_ms: int = Field(30_000, ge=1_000)

    consumer: str = ""  # empty: the service's name; a rebuild beside the live one sets another
    batch_events_max: int = Field(1_000, ge=1, le=10_000)
    batch_wait_ms: int = Field(100, ge=1)
    stall_timeout_s: float = Field(60, gt=0)

    keys_file: Path | None = None
    stores_file: Path | None = None
    erasure_secret_file: Path | None = None
    jwks: str = ""  # a file's path or an https URL
    jwt_issuer: str = ""
    jwt_audience: str = "regulars"
    cors_origins: tuple[str, ...] = ()

    clock: str = ""  # empty, an instant (frozen), or a signed offset such as -PT36H (ticking)
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    ops_port: int = 9000
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    trace_share: float = Field(0.01, ge=0, le=1)
    otlp_endpoint: str = ""  # empty: spans are made, and sent nowhere

    @property
    def consumer_name(self) -> str:
        """The name of the consumer group, and of its rows in inbox and consumer_offset."""
        return self.consumer or self.service
