"""A storefront's token: a short-lived JWT whose `sub` is the customer.

Only asymmetric signatures, each key bound to the one algorithm of its JWK; `jku`, `x5u`
and `jwk` in a token's header are not looked at. The keys come from a JWKS file or https
URL: read at the first token, again for a `kid` that it lacks (at most every 30 s, so that
made-up kids cost nothing) and after 5 minutes, so that a withdrawn key stops. A token that
was verified is remembered until it expires.

Source: RFC 7519, RFC 7517, RFC 8725 (best practices).
"""

import asyncio
import json
import time
from collections import OrderedDict
from pathlib import Path

import httpx
import jwt
import structlog
from pydantic import TypeAdapter, ValidationError

from shared.errors import Fatal, Unauthorized, Unavailable
from shared.events.envelope import CustomerId
from shared.keys import Caller
from shared.settings import Settings

log = structlog.get_logger(__name__)

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
SCOPES = frozenset(  # what a customer may do with his own, on routes that are open to storefronts
    {
        "profile:read",
        "profile:write",
        "loyalty:read",
        "loyalty:write",
        "recommend:read",
        "notify:read",
        "notify:write",
        "events:write",
    }
)
RATE = 20  # requests/s of one customer: a page view makes a handful
LIFETIME_MAX_S = 24 * 3600  # "short-lived": a token for ever could not be withdrawn
LEEWAY_S = 5
REREAD_MIN_S = 30.0
REREAD_MAX_S = 300.0
FETCH_TIMEOUT_S = 3.0
REMEMBERED_MAX = 10_000
TOKEN_LENGTH_MAX = 4_096

_customer_id: TypeAdapter[str] = TypeAdapter(CustomerId)


class Tokens:
    """Verifies tokens against the platform's JWKS."""

    def __init__(self, settings: Settings) -> None:
        self._where, self._issuer = settings.jwks, settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._jwks = b""
        self._read_at = float("-inf")
        self._rereading: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._verified: OrderedDict[str, tuple[Caller, float]] = OrderedDict()
        if self._where.startswith("http://"):
            raise Fatal("REGULARS_JWKS: an https URL or a file's path, not http")
        if self._where and not self._issuer:
            raise Fatal("REGULARS_JWKS is set and REGULARS_JWT_ISSUER is not: whose tokens?")

    async def verify(self, token: str) -> Caller:
        """The customer who calls; Unauthorized says what is wrong with the token."""
        if known := self._verified.get(token):
            if time.time() < known[1]:
                return known[0]
            del self._verified[token]
        if not self._where:
            raise Unauthorized("storefront tokens are not set up here; send an API key")
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthorized(f"a token has at most {TOKEN_LENGTH_MAX} characters")
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
            sub = _customer_id.validate_python(claims["sub"])
        except ValidationError as error:
            raise Unauthorized(f"the token's sub {error.errors()[0]['msg']}") from error
        except jwt.PyJWTError as error:
            raise Unauthorized(f"the token is not valid: {error}") from error
        if claims["exp"] - time.time() > LIFETIME_MAX_S:
            raise Unauthorized("the token lives longer than a day; sign short-lived ones")
        return self._remember(token, sub, float(claims["exp"]))

    def _remember(self, token: str, sub: str, expires_at: float) -> Caller:
        caller = Caller(f"customer:{sub}", "storefront", SCOPES, RATE, sub)
        self._verified[token] = (caller, expires_at)
        if len(self._verified) > REMEMBERED_MAX:
            self._verified.popitem(last=False)
        return caller

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys:
            await self._read(REREAD_MIN_S)
        elif time.monotonic() - self._read_at >= REREAD_MAX_S and not self._reading.locked():
            self._rereading = asyncio.create_task(self._read(REREAD_MAX_S))  # nobody waits for it
        if not self._keys:
            raise Unavailable("the storefront's keys cannot be read", headers={"Retry-After": "30"})
        if kid not in self._keys:
            raise Unauthorized("the token's kid names no key of the JWKS")
        return self._keys[kid]

    async def _read(self, age_min_s: float) -> None:
        async with self._reading:  # one reader; the others find what it found
            if time.monotonic() - self._read_at < age_min_s:
                return
            self._read_at = time.monotonic()
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    jwks = await _fetch(self._where)
                found = _parse(jwks)
            except Exception as error:  # noqa: BLE001  whatever the issuer serves, what we have serves on
                log.error("JWKS cannot be read, the old keys stay", reason=type(error).__name__)  # noqa: TRY400
                return
            if jwks != self._jwks:
                self._verified.clear()
            self._jwks, self._keys = jwks, found


async def _fetch(where: str) -> bytes:
    if not where.startswith("https://"):
        return await asyncio.to_thread(Path(where).read_bytes)
    async with httpx.AsyncClient() as client:
        response = await client.get(where)
        return response.raise_for_status().content


def _parse(jwks: bytes) -> dict[str, jwt.PyJWK]:
    """The usable keys by `kid`; a key of another kind is for someone else, and left out."""
    keys: dict[str, jwt.PyJWK] = {}
    for entry in json.loads(jwks)["keys"]:
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError as error:
            log.warning(
                "JWKS has an unusable key", kid=entry.get("kid"), reason=type(error).__name__
            )
            continue
        if key.algorithm_name in ALGORITHMS and entry.get("use", "sig") == "sig":
            keys[str(entry.get("kid", ""))] = key
    return keys
