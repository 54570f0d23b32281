"""Who may call: the API keys of server-to-server callers, and the scopes there are.

All services read one file, `REGULARS_KEYS_FILE`, a mounted secret that holds no secret
worth stealing: an id, the SHA-256 of the random part, scopes, expiry and rate. A fast hash
is right for 256 random bits. The file is read again when it changes, so giving, rotating
and revoking a key is a file change; a broken new file keeps the old keys and is logged.

    python -m shared.keys new --scope profile:read --scope loyalty:read --expires 2027-01-01
    python -m shared.keys token --sub anon:42          for development: a storefront's token
"""

import json
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Literal, get_args

import jwt
import structlog
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import OKPAlgorithm
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import Fatal
from shared.events.envelope import CustomerId

log = structlog.get_logger(__name__)

Scope = Literal[
    "profile:read",
    "profile:write",
    "privacy:write",
    "loyalty:read",
    "loyalty:write",
    "loyalty:admin",  # rules, offers, rewards, adjustments, closings
    "recommend:read",
    "notify:read",
    "notify:write",
    "events:read",
    "events:write",
    "audit:read",
    "ops:read",
    "admin",  # all of them
]
SCOPES: frozenset[str] = frozenset(get_args(Scope))

RATE_DEFAULT = 200  # requests/s of a key that states none: a busy backend, not a runaway loop
RATE_MAX = 1_000_000
CHECK_EVERY_S = 1.0
KEY_FORM = re.compile(r"rg_live_([a-z0-9-]{1,40})_([0-9a-f]{64})")
NO_KEY = bytes(32)  # compared with when the id is unknown, so both cases take as long


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. `sub` is the customer of a storefront's token, else empty."""

    id: str
    kind: Literal["key", "storefront"]
    scopes: frozenset[str]
    rate: int
    sub: str = ""


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


class KeyLine(BaseModel):
    """One key in the file. `expires` is an instant or a day (its start, UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    expires: Annotated[datetime, AfterValidator(_aware)] | None = None
    rate: Annotated[int, Field(ge=1, le=RATE_MAX)] = RATE_DEFAULT
    note: Annotated[str, Field(max_length=200)] = ""

    def caller(self) -> Caller:
        scopes = SCOPES if "admin" in self.scopes else frozenset[str](self.scopes)
        return Caller(f"key:{self.id}", "key", scopes, self.rate)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[KeyLine, ...]


@dataclass(frozen=True, slots=True)
class _Key:
    digest: bytes
    expires_at: float  # seconds since the epoch, by the machine's clock
    caller: Caller


class KeyRing:
    """The keys of the file as it is now, checked for a change at most once a second."""

    def __init__(self, path: Path | None) -> None:
        """Fatal if the file is missing or wrong; without a path no key opens anything."""
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._checked_at = time.monotonic()
        self._keys: dict[str, _Key] = {}
        if path:
            try:
                self._seen = _version(path)
                self._keys = _load(path)
            except (OSError, ValueError) as error:
                raise Fatal(f"REGULARS_KEYS_FILE {path}: {_explain(error)}") from error

    def find(self, token: str) -> Caller | None:
        """Whose key this is, or None if it is unknown, wrong or expired."""
        if time.monotonic() - self._checked_at >= CHECK_EVERY_S:
            self._refresh()
        found = KEY_FORM.fullmatch(token)
        if not found:
            return None
        key = self._keys.get(found[1])
        right = compare_digest(key.digest if key else NO_KEY, _digest(found[2]))
        return key.caller if key and right and time.time() < key.expires_at else None

    def _refresh(self) -> None:
        self._checked_at = time.monotonic()
        version = _version(self._path) if self._path else ()
        if not self._path or version == self._seen:
            return
        self._seen = version  # also when it is broken: complain once for each change
        try:
            self._keys = _load(self._path)
        except (OSError, ValueError) as error:
            log.error("keys file is broken, the old keys stay", reason=_explain(error))  # noqa: TRY400
        else:
            log.info("keys file read again", keys=len(self._keys))


def _version(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)  # a mounted secret swaps a link


def _load(path: Path) -> dict[str, _Key]:
    lines = _File.model_validate_json(path.read_bytes()).keys
    if len({line.id for line in lines}) < len(lines):
        raise ValueError("two keys have one id")
    return {
        line.id: _Key(
            bytes.fromhex(line.sha256),
            line.expires.timestamp() if line.expires else float("inf"),
            line.caller(),
        )
        for line in lines
    }


def _explain(error: OSError | ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def new_key(
    scopes: Iterable[str],
    *,
    expires: datetime | None = None,
    rate: int = RATE_DEFAULT,
    note: str = "",
) -> tuple[str, KeyLine]:
    """A fresh key, to be shown once, and its line for the file. ValidationError if it is wrong."""
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    line = KeyLine.model_validate(
        {
            "id": key_id,
            "sha256": _digest(secret).hex(),
            "scopes": tuple(scopes),
            "expires": expires,
            "rate": rate,
            "note": note,
        }
    )
    return f"rg_live_{key_id}_{secret}", line


# For development: a private key of our own in the place of the storefront's identity provider.

DEV_ISSUER = "regulars-dev"
DEV_AUDIENCE = "regulars"
DEV_FOLDER = Path(".stack/jwt")


def dev_jwks(folder: Path) -> Path:
    """Write a signing key and its JWKS into `folder`, unless they are there; the JWKS' path."""
    jwks = folder / "jwks.json"
    if not jwks.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        pem = folder / "private.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
        jwks.write_text(json.dumps({"keys": [{**public, "kid": "dev", "use": "sig"}]}))
    return jwks


def dev_token(sub: str, folder: Path, *, minutes: int = 10, issuer: str = DEV_ISSUER) -> str:
    """A storefront's token for the customer `sub`, signed with the key in `folder`."""
    dev_jwks(folder)
    key = load_pem_private_key((folder / "private.pem").read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey), "dev_jwks makes no other"
    now = datetime.now(UTC)
    until = now + timedelta(minutes=minutes)
    claims = {"sub": sub, "iss": issuer, "aud": DEV_AUDIENCE, "iat": now, "nbf": now, "exp": until}
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": "dev"})


cli = typer.Typer(help="API keys, and tokens for development.", no_args_is_help=True)


@cli.command()
def new(
    scope: Annotated[list[str], typer.Option(help="May be given several times.")],
    expires: Annotated[str, typer.Option(help="A day or an instant, such as 2027-01-01.")] = "",
    rate: Annotated[int, typer.Option(min=1, max=RATE_MAX, help="Requests a second.")] = 200,
    note: Annotated[str, typer.Option(help="Who has it; kept in the file.")] = "",
) -> None:
    """Make a key: it is shown once, with the line for the keys file."""
    if unknown := set(scope) - SCOPES:
        known = ", ".join(sorted(SCOPES))
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}. Scopes are {known}.")
    try:
        until = _aware(datetime.fromisoformat(expires)) if expires else None
    except ValueError as error:
        raise typer.BadParameter(f"--expires {expires}: write 2027-01-01") from error
    if until and until <= datetime.now(UTC):
        raise typer.BadParameter(f"--expires {expires} is past: the key would open nothing")
    key, line = new_key(scope, expires=until, rate=rate, note=note)
    typer.echo(f"The key, shown only now:\n\n  {key}\n")
    typer.echo('Its line for "keys" in REGULARS_KEYS_FILE:\n')
    typer.echo(f"  {line.model_dump_json(exclude_none=True)}")


@cli.command()
def token(
    sub: Annotated[str, typer.Option(help="The customer's id, such as anon:42.")],
    minutes: Annotated[int, typer.Option(min=1, max=1_440)] = 10,
    folder: Annotated[Path, typer.Option("--dir", help="Of the signing key.")] = DEV_FOLDER,
    issuer: Annotated[str, typer.Option(help="As REGULARS_JWT_ISSUER.")] = DEV_ISSUER,
) -> None:
    """Print a storefront's token, signed with the development key (made if it is missing)."""
    try:
        TypeAdapter(CustomerId).validate_python(sub)
    except ValidationError as error:
        raise typer.BadParameter(f"--sub: {error.errors()[0]['msg']}") from error
    typer.echo(dev_token(sub, folder, minutes=minutes, issuer=issuer))


@cli.command("dev-jwks")
def write_dev_jwks(folder: Path) -> None:
    """Write a development signing key and its JWKS into FOLDER, and print what to set."""
    typer.echo(f"REGULARS_JWKS={dev_jwks(folder)}\nREGULARS_JWT_ISSUER={DEV_ISSUER}")


def main(arguments: Sequence[str] | None = None) -> None:
    cli(arguments)


if __name__ == "__main__":
    main()
