"""Who may call, and what each route asks of them."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from shared.errors import Fatal
from shared.http import tokens
from shared.http.app import create_app
from shared.http.auth import PUBLIC, needs
from shared.keys import DEV_AUDIENCE, DEV_ISSUER, dev_token


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def storefront(api, sub, **more):
    return bearer(dev_token(sub, api.context.settings.keys_file.parent, **more))


async def get(api, path, headers=None):
    async with api.client as client:
        return await client.get(path, headers=headers)


async def test_without_credentials_only_public_routes_answer(api):
    closed = await get(api, "/v1/visits/all")
    open_ = await get(api, "/v1/visits/public")

    assert (closed.status_code, open_.status_code) == (401, 200)
    assert closed.headers["www-authenticate"].startswith("Bearer")
    assert closed.headers["content-type"] == "application/problem+json"


async def test_wrong_credentials_are_refused_on_every_route(api):
    unknown = "Bearer rg_live_nobody_" + "0" * 64

    for header in (
        "Basic YTpi",
        "Bearer ",
        unknown,
        "Bearer rg_live_",
        "Bearer x.y.z",
        "Bearer \xff",
    ):
        answer = await get(api, "/v1/visits/public", {"Authorization": header.encode("latin-1")})

        assert answer.status_code == 401
        assert "Bearer" in answer.headers["www-authenticate"]


async def test_a_missing_scope_is_named(api):
    answer = await get(api, "/v1/visits/all", api.key("profile:read"))

    assert answer.status_code == 403
    assert answer.json()["scope"] == "ops:read"


async def test_where_a_route_names_several_scopes_any_of_them_will_do(make_api):
    either = APIRouter()
    either.get("/v1/books", openapi_extra=needs("loyalty:read", "audit:read"))(get_books)
    async with make_api(routers=(either,)) as api:
        answers = [
            await get(api, "/v1/books", api.key(scope))
            for scope in ("loyalty:read", "audit:read", "ops:read")
        ]
        customer = await get(api, "/v1/books", storefront(api, "ada"))
        told = api.app.openapi()["paths"]["/v1/books"]["get"]["security"]

    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert answers[2].json()["scope"] == "audit:read or loyalty:read"
    assert customer.status_code == 403
    assert told == [{"apiKey": ["loyalty:read"]}, {"apiKey": ["audit:read"]}]


async def get_books() -> None: ...


async def test_the_scope_is_asked_for_before_the_body_is_read(api):
    async with api.client as client:
        answer = await client.post(
            "/v1/visits/ada", content=b"not json", headers=api.key("profile:read")
        )

    assert answer.status_code == 403


async def test_a_key_with_a_wrong_secret_is_refused(api):
    header = api.key("ops:read")["Authorization"]
    wrong = header[:-1] + ("0" if header[-1] != "0" else "1")

    assert (await get(api, "/v1/visits/all", {"Authorization": wrong})).status_code == 401


async def test_an_expired_key_is_refused_by_the_machines_clock(make_api):
    async with make_api(clock="2011-12-11T00:00:00Z") as api:
        past = datetime.now(UTC) - timedelta(seconds=1)

        old = await get(api, "/v1/visits/all", api.key("ops:read", expires=past))
        fresh = await get(
            api, "/v1/visits/all", api.key("ops:read", expires=past + timedelta(days=1))
        )

        assert (old.status_code, fresh.status_code) == (401, 200)


async def test_keys_change_with_their_file_and_survive_a_broken_one(api):
    ring, path = api.context.keys, api.context.settings.keys_file
    first = api.key("ops:read")
    assert (await get(api, "/v1/visits/all", first)).status_code == 200

    path.write_text("{broken")
    ring._checked_at = 0.0
    assert (await get(api, "/v1/visits/all", first)).status_code == 200

    path.unlink()
    ring._checked_at = 0.0
    assert (await get(api, "/v1/visits/all", first)).status_code == 200

    api.lines.clear()
    second = api.key("ops:read")
    assert (await get(api, "/v1/visits/all", first)).status_code == 401
    assert (await get(api, "/v1/visits/all", second)).status_code == 200


async def test_a_storefront_reads_its_own_and_nobody_elses(api):
    async with api.client as client:
        for customer in ("ada", "bob"):
            await client.post(
                f"/v1/visits/{customer}",
                json={"visits": 1},
                headers=api.key("profile:write") | {"Idempotency-Key": "k"},
            )
    ada = storefront(api, "ada")

    for path in ("/v1/visits/{}", "/v1/visits/of?customer_id={}"):
        assert (await get(api, path.format("ada"), ada)).status_code == 200
        strange = await get(api, path.format("bob"), ada)
        missing = await get(api, path.format("nobody"), ada)
        assert strange.status_code == missing.status_code == 404
        assert strange.json() == missing.json()


async def test_a_storefront_has_no_way_around(api):
    headers = storefront(api, "c1")

    for path, status in {
        "of": 404,
        "of?customer_id=c1&customer_id=c2": 400,
        "of?customer_id=c2&customer_id=c1": 400,
        "all": 403,
        "by-number/1": 200,
        "by-number/2": 404,
    }.items():
        assert (await get(api, f"/v1/visits/{path}", headers)).status_code == status


async def test_a_merge_never_widens_a_storefronts_token(api):
    merged = "/v1/visits/merged?customer_id=anon:1"

    assert (await get(api, merged, storefront(api, "anon:1"))).json() == ["anon:1"]
    assert (await get(api, merged, api.key("profile:read"))).json() == ["ada", "anon:1"]


async def test_a_storefront_writes_its_own(api):
    async with api.client as client:
        headers = storefront(api, "ada") | {"Idempotency-Key": "k"}
        own = await client.post("/v1/visits/ada", json={"visits": 1}, headers=headers)
        other = await client.post("/v1/visits/bob", json={"visits": 1}, headers=headers)
        closed = await client.put("/v1/visits/ada", json={"visits": 1}, headers=headers)

    assert [own.status_code, other.status_code, closed.status_code] == [201, 404, 403]


def claims(**more):
    now = int(time.time())
    plain = {"sub": "ada", "iss": DEV_ISSUER, "aud": DEV_AUDIENCE, "exp": now + 600, "nbf": now}
    return {k: v for k, v in (plain | more).items() if v is not None}


@pytest.fixture
def signers(api):
    """Two good keys in the JWKS, and a public key to confuse with a secret."""
    own, strong = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    jwks = [
        {**OKPAlgorithm.to_jwk(own.public_key(), as_dict=True), "kid": "ed"},
        {**RSAAlgorithm.to_jwk(strong.public_key(), as_dict=True), "kid": "rsa"},
        {
            "kty": "oct",
            "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyLTMy",
            "kid": "oct",
            "alg": "HS256",
        },
    ]
    path = api.context.settings.keys_file.parent / "jwks.json"
    path.write_text(json.dumps({"keys": jwks}))
    return own, strong


async def test_tokens_of_listed_keys_are_accepted(api, signers):
    own, strong = signers

    for key, alg, kid in ((own, "EdDSA", "ed"), (strong, "RS256", "rsa")):
        token = jwt.encode(claims(), key, algorithm=alg, headers={"kid": kid})
        assert (await get(api, "/v1/visits/ada", bearer(token))).json()["status"] == 404


async def test_wrong_claims_are_refused(api, signers):
    now = int(time.time())

    for wrong in (
        {"exp": 1},
        {"exp": None},
        {"exp": now + 100_000},
        {"nbf": now + 600},
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "ada@example.com"},
        {"sub": "13800138000"},
    ):
        token = jwt.encode(claims(**wrong), signers[0], algorithm="EdDSA", headers={"kid": "ed"})

        assert (await get(api, "/v1/visits/ada", bearer(token))).status_code == 401


async def test_no_algorithm_but_the_keys_own_is_accepted(api, signers):
    own, strong = signers
    pem = strong.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    stranger = ed25519.Ed25519PrivateKey.generate()
    theirs = OKPAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    none = jwt.encode(claims(), None, algorithm="none", headers={"kid": "ed"})
    forged = [
        none,
        hs256(claims(), pem, "rsa"),
        hs256(claims(), b"secret-secret-secret-secret-32-32", "oct"),
        jwt.encode(claims(), strong, algorithm="PS256", headers={"kid": "rsa"}),
        jwt.encode(claims(), own, algorithm="EdDSA", headers={"kid": "rsa"}),
        jwt.encode(claims(), stranger, algorithm="EdDSA", headers={"kid": "ed", "jwk": theirs}),
        jwt.encode(claims(), stranger, algorithm="EdDSA", headers={"kid": "x", "jku": "https://x"}),
        jwt.encode(claims(), own, algorithm="EdDSA"),
    ]

    for token in forged:
        assert (await get(api, "/v1/visits/ada", bearer(token))).status_code == 401


def hs256(payload, secret, kid):
    """PyJWT itself refuses to sign with a public key, so by hand."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT", "kid": kid}) + b"." + part(payload)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


async def test_a_new_kid_is_looked_up_but_not_at_every_request(api, signers, monkeypatch):
    own, _ = signers
    verifier = tokens.Tokens(api.context.settings)
    first = jwt.encode(claims(), own, algorithm="EdDSA", headers={"kid": "ed"})
    assert (await verifier.verify(first)).sub == "ada"
    path = api.context.settings.keys_file.parent / "jwks.json"
    fresh = ed25519.Ed25519PrivateKey.generate()
    entry = {**OKPAlgorithm.to_jwk(fresh.public_key(), as_dict=True), "kid": "new"}
    path.write_text(json.dumps({"keys": [entry]}))
    second = jwt.encode(claims(), fresh, algorithm="EdDSA", headers={"kid": "new"})

    with pytest.raises(tokens.Unauthorized):
        await verifier.verify(second)
    verifier._read_at -= tokens.REREAD_MIN_S

    assert (await verifier.verify(second)).sub == "ada"
    with pytest.raises(tokens.Unauthorized):  # its key has left, so it is not remembered either
        await verifier.verify(first)


async def test_known_keys_serve_while_the_jwks_is_read_again(api, signers):
    own, _ = signers
    verifier = tokens.Tokens(api.context.settings)
    for age_s, jti in ((0.0, "1"), (tokens.REREAD_MAX_S, "2")):
        verifier._read_at -= age_s
        token = jwt.encode(claims(jti=jti), own, algorithm="EdDSA", headers={"kid": "ed"})

        assert (await verifier.verify(token)).sub == "ada"

    before = verifier._read_at
    await verifier._rereading
    assert verifier._read_at > before


async def test_keys_that_cannot_be_read_are_not_the_callers_fault(make_api):
    async with make_api() as api:
        headers = storefront(api, "ada")
        (api.context.settings.keys_file.parent / "jwks.json").unlink()

        answer = await get(api, "/v1/visits/ada", headers)

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


async def test_token_settings_that_would_not_be_safe_do_not_start(api):
    for unsafe, said in (({"jwks": "http://x/jwks"}, "https"), ({"jwt_issuer": ""}, "ISSUER")):
        with pytest.raises(Fatal, match=said):
            tokens.Tokens(api.context.settings.model_copy(update=unsafe))


async def test_a_route_that_does_not_say_what_it_needs_does_not_start(api):
    for extra, said in (
        (None, "says no scope"),
        ({"x-other": 1}, "says no scope"),
        (needs("profile:raed"), "does not list"),
        (needs("profile:read", "audit:raed"), "does not list"),
        (needs(), "says no scope"),
        (needs("profile:read", subject="custmer_id"), "no parameter"),
        (needs("profile:read", storefront=True), "open to storefronts"),
    ):
        router = APIRouter()
        router.get("/v1/things/{customer_id}", openapi_extra=extra)(get_thing)

        with pytest.raises(Fatal, match=said):
            create_app("test", [router], api.context)


async def get_thing(customer_id: str) -> None: ...


async def test_a_nested_router_does_not_start(api):
    inner, outer = APIRouter(), APIRouter()
    inner.get("/v1/x/{customer_id}", openapi_extra=needs(PUBLIC))(get_thing)
    outer.include_router(inner)

    with pytest.raises(Fatal, match="flat"):
        create_app("test", [outer], api.context)


async def test_a_caller_over_its_rate_is_told_when_to_return(api):
    headers = api.key("ops:read", rate=2)
    answers = [await get(api, "/v1/visits/all", headers) for _ in range(4)]

    assert [answer.status_code for answer in answers][:2] == [200, 200]
    assert answers[-1].status_code == 429
    assert answers[0].headers["ratelimit-policy"] == '"caller";q=2;w=1'
    assert answers[0].headers["ratelimit"] == '"caller";r=1;t=1'
    assert answers[-1].headers["retry-after"] == "1"
    assert answers[-1].headers["ratelimit"] == '"caller";r=0;t=1'


async def test_guessing_is_slowed_down(api):
    wrong = {"Authorization": "Bearer rg_live_nobody_" + "0" * 64}
    found = {(await get(api, "/v1/visits/all", wrong)).status_code for _ in range(200)}

    assert found == {401, 429}
