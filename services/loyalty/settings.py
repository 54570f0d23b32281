"""What the environment decides for loyalty alone: the secret behind the member codes."""

from pathlib import Path

from shared.settings import Settings as Shared


class Settings(Shared):
    """The shared settings, and REGULARS_MEMBER_CODE_SECRET_FILE; see the README."""

    member_code_secret_file: Path | None = None
