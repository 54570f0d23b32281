"""The business clock: due dates, expiry, quiet hours, `as_of`, "now" in an answer.

Events carry their own time; leases, back-off, rate limits and token expiry use the
machine's. `REGULARS_CLOCK` moves the business clock for replays of old data, demos and
tests: an instant (`2011-12-11T00:00:00Z`) freezes it, a signed ISO 8601 offset
(`-PT36H`, `+P1DT2H`) lets it tick beside the machine's. Every process reads the same
variable, so all agree, also after a restart.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

OFFSET = re.compile(
    r"([+-])P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)


@dataclass(frozen=True, slots=True)
class Clock:
    """`frozen_at` wins over `offset`; with neither it is the machine's clock."""

    frozen_at: datetime | None = None
    offset: timedelta = timedelta()

    @classmethod
    def parse(cls, setting: str) -> "Clock":
        """The clock that REGULARS_CLOCK asks for; ValueError says how to write it."""
        if not setting:
            return cls()
        found = OFFSET.fullmatch(setting)
        if found and any(found.groupdict().values()):
            parts = {unit: int(count) for unit, count in found.groupdict("0").items()}
            sign = -1 if found[1] == "-" else 1
            return cls(offset=sign * timedelta(**parts))
        try:
            instant = datetime.fromisoformat(setting)
        except ValueError:
            instant = datetime.min  # noqa: DTZ901  naive on purpose: refused below
        if instant.tzinfo is None:
            raise ValueError(
                f"REGULARS_CLOCK is {setting!r}: write an instant with its zone, such as"
                " 2011-12-11T00:00:00Z, or a signed offset, such as -PT36H or +P1DT2H"
            )
        return cls(frozen_at=instant.astimezone(UTC))

    def now(self) -> datetime:
        """Aware UTC."""
        return self.frozen_at or datetime.now(UTC) + self.offset

    def describe(self) -> str:
        if self.frozen_at:
            return f"frozen at {self.frozen_at.isoformat()}"
        return f"machine {self.offset.total_seconds():+.0f} s" if self.offset else "machine"
