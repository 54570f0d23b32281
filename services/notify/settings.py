"""What the environment decides for notify alone: the way to the mail server."""

from typing import Literal

from pydantic import Field, SecretStr

from shared.settings import Settings as Shared


class Settings(Shared):
    """The shared settings, and REGULARS_SMTP_*; see the README for each."""

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(10025, ge=1, le=65_535)
    smtp_tls: Literal["none", "starttls", "tls"] = "none"
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_hello: str = Field("localhost", min_length=1, max_length=255)
    """The name under which we greet the server."""
    smtp_timeout_s: float = Field(60, gt=0, le=600)
    """Up to the mail's text, and again for the answer to it: spam filters take their time."""

    sender_lanes: int = Field(2, ge=0, le=16)
    """Connections to the mail server of one worker; 0: this worker sends nothing."""
    sender_claim_max: int = Field(20, ge=1, le=500)
    sender_lease_s: float = Field(60, gt=0, le=3_600)
    muted: bool = False
    """A rebuild: every notice is recorded as suppressed, and nothing is handed over."""
