"""The shops and channels of the platform: REGULARS_STORES_FILE, read once by every service.

    base_currency = "GBP"

    [[store]]
    id = "uk"
    channel = "web"
    zone = "Europe/London"
    currency = "GBP"
    locale = "en-GB"
    sender = "Shop <hello@shop.example>"
    sms_signature = "Shop"
    earns = true            # its orders earn points
    direct_contact = true   # false: its buyers are reached only through their platform

Without a file there is one store, `default`. An event that names an unknown store is
treated as of the first store in the file.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Fatal

Channel = Literal["web", "app", "mini_program", "till", "tmall", "jd", "douyin"]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no IANA zone, such as Asia/Shanghai")
    return name


class Store(BaseModel):
    """One shop on one channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=64)]
    channel: Channel = "web"
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    currency: Currency = "EUR"
    locale: str = "en"
    sender: str = "Shop <shop@shop.example>"
    sms_signature: str = ""
    earns: bool = True
    direct_contact: bool = True

    @cached_property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    base_currency: Currency = "EUR"
    store: Annotated[tuple[Store, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Stores:
    """All stores; `base_currency` is that of money traits and points."""

    base_currency: str = "EUR"
    by_id: dict[str, Store] = field(default_factory=lambda: {"default": Store(id="default")})

    def get(self, store_id: str) -> Store:
        return self.by_id.get(store_id) or next(iter(self.by_id.values()))


def load(path: Path | None) -> Stores:
    """The stores file, or Fatal with the field that is wrong."""
    if path is None:
        return Stores()
    try:
        file = _File.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Fatal(f"REGULARS_STORES_FILE {path}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise Fatal(f"REGULARS_STORES_FILE {path}: {faults}") from error
    return Stores(file.base_currency, {store.id: store for store in file.store})
