"""docker-compose.yml agrees with the code: what can be said without a Docker engine."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from services.loyalty.settings import Settings as LoyaltySettings
from services.notify.settings import Settings as NotifySettings
from shared.settings import ServiceName, Settings
from stack.bootstrap import addresses
from stack.ports import DEFAULTS

ROOT = Path(__file__).parents[1]
SERVICES = get_args(ServiceName)
OWN_SETTINGS: dict[str, type[Settings]] = {"loyalty": LoyaltySettings, "notify": NotifySettings}
UNSET = re.compile(r"\$\{\w+:-([^}]*)\}")  # a variable that is not set, with its default
PORT = re.compile(r"127\.0\.0\.1:(\d+):(\d+)")


def containers() -> dict[str, dict[str, Any]]:
    document = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def settings_of(container: str) -> dict[str, str]:
    """By the settings' own names."""
    told: dict[str, str] = containers()[container]["environment"]
    return {
        name.removeprefix("REGULARS_").lower(): UNSET.sub(r"\1", value)
        for name, value in told.items()
    }


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("command", ["migrate", "api", "worker"])
def test_a_container_is_told_what_its_command_reads(service: str, command: str) -> None:
    kind = OWN_SETTINGS.get(service, Settings)
    told = settings_of(f"{service}-{command}")

    settings = kind.model_validate({**told, "service": service})

    assert told.keys() <= NotifySettings.model_fields.keys() | LoyaltySettings.model_fields.keys()
    assert str(settings.database_url).endswith(f"@postgres:5432/{service}")
    assert (settings.owner_database_url is None) == (command != "migrate")


def test_everything_that_is_waited_for_exists() -> None:
    known = containers()

    assert not [
        (name, wanted)
        for name, container in known.items()
        for wanted in container.get("depends_on", {})
        if wanted not in known
    ]


def test_the_ports_are_those_of_the_embedded_stack() -> None:
    published = [
        int(found[1])
        for container in containers().values()
        for port in container.get("ports", [])
        if (found := PORT.fullmatch(port))
    ]

    assert sorted(published) == sorted(set(DEFAULTS.values()) - {DEFAULTS["kafka_controller"]})


def test_the_addresses_of_the_containers_are_right() -> None:
    known = containers()
    hosts = re.findall(
        r"(?://|@|=)([a-z-]+):\d+", "\n".join(f"={v}" for v in addresses("", "").values())
    )

    assert not set(hosts) - known.keys()


def test_no_container_of_ours_may_write_or_gain_rights() -> None:
    ours = {n: c for n, c in containers().items() if n not in {"kafka", "postgres"}}

    assert len(ours) == 3 * len(SERVICES) + 6  # mail, sms, bootstrap, topics, demo, stack
    assert not [name for name, container in ours.items() if not container["read_only"]]
    assert not [name for name, container in ours.items() if container["cap_drop"] != ["ALL"]]
