"""What lies where in the stack's folder, and what each part is told in its environment.

env            KEY=VALUE: addresses, database URLs, the admin key; for people and tools
state.json     what must stay the same from one `up` to the next
keys.json  erasure.secret  member_code.secret  jwt/  stores.toml    what the services read
logs/<part>.log  pids/<part>  kafka/  postgres/  mail/  sms/
"""

import json
import os
import secrets
import shlex
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shared.keys import DEV_AUDIENCE, DEV_ISSUER, RATE_MAX, dev_jwks, new_key
from stack.databases import describe
from stack.ports import HOST, SERVICES
from stack.postgres import Postgres

STORES = Path(__file__).parent / "stores.toml"


@dataclass
class State:
    """`clock` as in REGULARS_CLOCK; ports and services are those of the last `up`."""

    ports: dict[str, int] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    admin_key: str = ""
    clock: str = ""

    @classmethod
    def read(cls, home: Path) -> "State":
        """What was written last, or a fresh one, also when a crash left half a file."""
        try:
            return cls(**json.loads((home / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, home: Path) -> None:
        write_private(home / "state.json", json.dumps(asdict(self), indent=1))


def write_private(path: Path, text: str) -> None:
    """Written whole or not at all, and for nobody else's eyes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def make_files(home: Path, state: State) -> None:
    """The files that the services read, where they are missing."""
    keys, stores = home / "keys.json", home / "stores.toml"
    if not keys.exists() or not state.admin_key:
        state.admin_key, line = new_key(["admin"], rate=RATE_MAX, note="the stack's admin key")
        lines = [line.model_dump(mode="json", exclude_none=True)]
        write_private(keys, json.dumps({"keys": lines}, indent=1))
    for secret in (home / "erasure.secret", home / "member_code.secret"):
        if not secret.exists():
            write_private(secret, secrets.token_hex(32))
    if not stores.exists():
        shutil.copyfile(STORES, stores)
    dev_jwks(home / "jwt")


def common_env(home: Path, state: State) -> dict[str, str]:
    """What every service is told."""
    ports = state.ports
    return {
        "REGULARS_KAFKA_SERVERS": f"{HOST}:{ports['kafka']}",
        "REGULARS_KAFKA_SESSION_TIMEOUT_MS": "10000",  # who kills a worker here waits for it
        "REGULARS_KEYS_FILE": str(home / "keys.json"),
        "REGULARS_STORES_FILE": str(home / "stores.toml"),
        "REGULARS_ERASURE_SECRET_FILE": str(home / "erasure.secret"),
        "REGULARS_MEMBER_CODE_SECRET_FILE": str(home / "member_code.secret"),
        "REGULARS_JWKS": str(home / "jwt" / "jwks.json"),
        "REGULARS_JWT_ISSUER": DEV_ISSUER,
        "REGULARS_JWT_AUDIENCE": DEV_AUDIENCE,
        "REGULARS_SMTP_HOST": HOST,
        "REGULARS_SMTP_PORT": str(ports["smtp"]),
        "REGULARS_SMS_URL": f"http://{HOST}:{ports['sms']}",
        "REGULARS_CLOCK": state.clock,
    }


def service_env(state: State, postgres: Postgres, service: str, command: str) -> dict[str, str]:
    """What one service's `api`, `worker` or `migrate` is told besides."""
    database = describe(postgres, service)
    env = {"REGULARS_SERVICE": service, "REGULARS_DATABASE_URL": database.url}
    if command == "migrate":
        return env | {"REGULARS_OWNER_DATABASE_URL": database.owner_url}
    return env | {
        "REGULARS_HTTP_HOST": HOST,
        "REGULARS_HTTP_PORT": str(state.ports[service]),
        "REGULARS_OPS_PORT": str(state.ports[f"{service}_{command}_ops"]),
    }


def env_file(home: Path, state: State, postgres: Postgres) -> str:
    """The text of `env`, which a shell can source."""
    ports = state.ports
    lines = common_env(home, state)
    lines |= {
        "ADMIN_KEY": state.admin_key,
        "POSTGRES_ADMIN_URL": postgres.admin_url,
        "MAIL_URL": f"http://{HOST}:{ports['mail']}",
        "SMS_URL": f"http://{HOST}:{ports['sms']}",
    }
    for service in SERVICES:
        name = service.upper()
        database = describe(postgres, service)
        lines |= {
            f"{name}_URL": f"http://{HOST}:{ports[service]}",
            f"{name}_API_OPS_URL": f"http://{HOST}:{ports[f'{service}_api_ops']}",
            f"{name}_WORKER_OPS_URL": f"http://{HOST}:{ports[f'{service}_worker_ops']}",
            f"{name}_DATABASE_URL": database.url,
            f"{name}_OWNER_DATABASE_URL": database.owner_url,
        }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())
