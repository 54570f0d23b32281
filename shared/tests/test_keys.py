"""API keys: made once, kept as digests, found by id and secret; and the commands."""

import json
from datetime import UTC, datetime

import jwt
import pytest
import time_machine
from pydantic import ValidationError
from typer.testing import CliRunner

from shared.errors import Fatal
from shared.keys import DEV_AUDIENCE, DEV_ISSUER, SCOPES, KeyRing, cli, dev_jwks, new_key


def write(path, *lines):
    path.write_text(json.dumps({"keys": [line.model_dump(mode="json") for line in lines]}))
    return path


def run(*arguments):
    return CliRunner().invoke(cli, arguments)


def test_a_key_opens_what_its_line_says(tmp_path):
    token, line = new_key(["profile:read"], rate=7, note="shop backend")

    caller = KeyRing(write(tmp_path / "keys.json", line)).find(token)

    assert caller is not None
    assert (caller.id, caller.kind, caller.rate) == (f"key:{line.id}", "key", 7)
    assert caller.scopes == {"profile:read"}
    assert token.split("_")[3] not in (tmp_path / "keys.json").read_text()


def test_admin_is_every_scope(tmp_path):
    token, line = new_key(["admin"])

    caller = KeyRing(write(tmp_path / "keys.json", line)).find(token)

    assert caller is not None
    assert caller.scopes == SCOPES


def test_a_key_of_another_id_or_form_opens_nothing(tmp_path):
    (token, line), (other, _) = new_key(["admin"]), new_key(["admin"])
    ring = KeyRing(write(tmp_path / "keys.json", line))
    mixed = "_".join([*token.split("_")[:3], other.split("_")[3]])

    for wrong in (other, mixed, token + "0", token[:-1], token.upper(), "", "rg_live__", "é"):
        assert ring.find(wrong) is None


def test_a_key_ends_at_its_expiry(tmp_path):
    token, line = new_key(["admin"], expires=datetime(2027, 1, 1, tzinfo=UTC))
    ring = KeyRing(write(tmp_path / "keys.json", line))

    with time_machine.travel("2026-12-31T23:59:59Z", tick=False):
        assert ring.find(token)
    with time_machine.travel("2027-01-01T00:00:00Z", tick=False):
        assert ring.find(token) is None


def test_without_a_file_no_key_opens_anything():
    assert KeyRing(None).find(new_key(["admin"])[0]) is None


def test_a_wrong_file_does_not_start_and_names_the_field(tmp_path):
    path, (_, line) = tmp_path / "keys.json", new_key(["admin"])
    good = line.model_dump(mode="json")

    for content, said in (
        ("{", "JSON"),
        ('{"keys": [{"id": "a"}]}', "keys.0.sha256"),
        (json.dumps({"keys": [good | {"scopes": ["all"]}]}), "keys.0.scopes.0"),
        (json.dumps({"keys": [good | {"rate": 0}]}), "keys.0.rate"),
        (json.dumps({"keys": [good | {"expiers": "2027-01-01"}]}), "keys.0.expiers"),
        (json.dumps({"keys": [good, good]}), "one id"),
    ):
        path.write_text(content)
        with pytest.raises(Fatal, match=said):
            KeyRing(path)
    with pytest.raises(Fatal, match="missing"):
        KeyRing(tmp_path / "missing.json")


def test_a_day_is_a_fine_expiry(tmp_path):
    line = new_key(["admin"])[1].model_dump(mode="json") | {"expires": "2027-01-01"}

    (tmp_path / "keys.json").write_text(json.dumps({"keys": [line]}))

    assert KeyRing(tmp_path / "keys.json")


def test_new_key_refuses_a_scope_that_is_not_one():
    with pytest.raises(ValidationError):
        new_key(["profile:wirte"])


def test_the_command_prints_a_key_that_works(tmp_path):
    result = run(
        "new",
        "--scope",
        "profile:read",
        "--scope",
        "loyalty:read",
        "--expires",
        "2099-01-01",
        "--rate",
        "5",
    )

    assert result.exit_code == 0
    token, line = (part.strip() for part in result.output.splitlines() if part.startswith("  "))
    (tmp_path / "keys.json").write_text(f'{{"keys": [{line}]}}')
    caller = KeyRing(tmp_path / "keys.json").find(token)
    assert caller is not None
    assert (caller.scopes, caller.rate) == ({"profile:read", "loyalty:read"}, 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new"], "--scope"),
        (["new", "--scope", "profile:raed"], "profile:raed"),
        (["new", "--scope", "admin", "--expires", "tomorrow"], "write 2027-01-01"),
        (["new", "--scope", "admin", "--expires", "2020-01-01"], "past"),
        (["new", "--scope", "admin", "--rate", "0"], "--rate"),
        (["token", "--sub", "ada@example.com"], "--sub"),
        (["token", "--sub", "ada", "--minutes", "100000"], "--minutes"),
    ],
)
def test_a_wrong_command_says_what_to_write(arguments, said):
    result = run(*arguments)

    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", "").split())


def test_a_development_token_is_signed_by_the_jwks_beside_it(tmp_path):
    folder = tmp_path / "jwt"

    token = run("token", "--sub", "anon:42", "--dir", str(folder)).output.strip()

    [entry] = json.loads((folder / "jwks.json").read_text())["keys"]
    claims = jwt.decode(token, jwt.PyJWK(entry), audience=DEV_AUDIENCE, issuer=DEV_ISSUER)
    assert claims["sub"] == "anon:42"
    assert claims["exp"] - claims["iat"] == 600
    assert (folder / "private.pem").stat().st_mode & 0o077 == 0
    assert "d" not in entry


def test_development_keys_are_made_once(tmp_path):
    first = dev_jwks(tmp_path).read_text()

    result = run("dev-jwks", str(tmp_path))

    assert dev_jwks(tmp_path).read_text() == first
    assert f"REGULARS_JWKS={tmp_path / 'jwks.json'}" in result.output
