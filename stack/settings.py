"""What the stack takes from its environment; nothing else under `stack/` reads it."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class StackSettings(BaseSettings):
    """Where things are kept, and what is passed on to the services."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    xdg_cache_home: Path | None = Field(None, validation_alias="XDG_CACHE_HOME")
    stack_dir: Path = Field(ROOT / ".stack", validation_alias="REGULARS_STACK_DIR")

    @property
    def cache_dir(self) -> Path:
        """Downloads of this user, shared by all checkouts; the XDG base directory specification."""
        home = self.xdg_cache_home
        # The specification says: a relative XDG_CACHE_HOME is invalid and to be ignored.
        absolute = home is not None and home.is_absolute()
        return (home if home is not None and absolute else Path.home() / ".cache") / "regulars"


def inherited_environment() -> dict[str, str]:
    """The environment that a child process starts from."""
    return dict(os.environ)
