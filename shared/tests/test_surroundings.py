"""Clock, stores file and settings: read once, refused with what to do."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from shared import stores
from shared.clock import Clock
from shared.errors import Fatal
from shared.settings import Settings

FILE = """
base_currency = "CNY"
[[store]]
id = "tmall"
channel = "tmall"
zone = "Asia/Shanghai"
direct_contact = false
[[store]]
id = "uk"
zone = "Europe/London"
currency = "GBP"
"""


def test_a_frozen_clock_stands():
    clock = Clock.parse("2011-12-11T00:00:00Z")

    assert clock.now() == clock.now() == datetime(2011, 12, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("setting", "hours"), [("-PT36H", -36), ("+P1DT2H", 26), ("+PT90M", 1.5), ("", 0)]
)
def test_an_offset_ticks(setting, hours):
    away = Clock.parse(setting).now() - datetime.now(UTC)

    assert abs(away - timedelta(hours=hours)) < timedelta(minutes=1)


@pytest.mark.parametrize("setting", ["yesterday", "2011-12-11T00:00:00", "+P", "-PT", "36H"])
def test_another_clock_is_refused_with_examples(setting):
    with pytest.raises(ValueError, match="-PT36H"):
        Clock.parse(setting)


def test_stores_are_read_and_an_unknown_one_is_the_first(tmp_path):
    path = tmp_path / "stores.toml"
    path.write_text(FILE)

    read = stores.load(path)

    assert (read.base_currency, read.get("uk").tz.key) == ("CNY", "Europe/London")
    assert not read.get("never heard of").direct_contact


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('zone = "Asia/Peking"', "IANA"),
        ('chanel = "web"', "chanel"),
        ("currency = 3", "currency"),
        ("id =", "line"),
    ],
)
def test_a_bad_stores_file_is_named_with_its_field(tmp_path, line, says):
    path = tmp_path / "stores.toml"
    path.write_text(f'[[store]]\nid = "a"\n{line}\n')

    with pytest.raises(Fatal, match=says):
        stores.load(path)


def test_settings_are_frozen_and_refuse_nonsense(monkeypatch):
    monkeypatch.setenv("REGULARS_DATABASE_URL", "postgresql://u:p@127.0.0.1/d")
    settings = Settings(service="profile")
    with pytest.raises(ValidationError):
        settings.release = "2"
    monkeypatch.setenv("REGULARS_BATCH_EVENTS_MAX", "0")
    with pytest.raises(ValidationError, match="batch_events_max"):
        Settings(service="profile")
