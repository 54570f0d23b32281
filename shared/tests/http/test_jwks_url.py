"""Tokens whose keys lie behind an https URL."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.errors import Unavailable
from shared.http.tokens import Tokens
from shared.keys import DEV_ISSUER, dev_jwks, dev_token
from shared.settings import Settings


@pytest.fixture
async def issuer(tmp_path, monkeypatch):
    """An identity provider on https, whose certificate we trust: `(address, what it serves)`."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    san = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(san, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "tls.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    served = {"body": dev_jwks(tmp_path).read_bytes(), "asked": 0, "delay_s": 0}

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        served["asked"] += 1
        await asyncio.sleep(served["delay_s"])
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(served['body'])}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + served["body"])
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks", served
    server.close()
    await server.wait_closed()


def verifier(address):
    url = "postgresql://nobody@127.0.0.1/none"
    return Tokens(
        Settings(service="profile", database_url=url, jwks=address, jwt_issuer=DEV_ISSUER)
    )


async def test_keys_are_fetched_once_for_many_tokens(issuer, tmp_path):
    address, served = issuer
    tokens = verifier(address)

    sent = [dev_token(f"c{number}", tmp_path) for number in range(20)]
    callers = await asyncio.gather(*(tokens.verify(token) for token in sent))

    assert [caller.sub for caller in callers] == [f"c{number}" for number in range(20)]
    assert served["asked"] == 1


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"keys": 5}', b'{"keys": [5]}', b'{"keys": []}']
)
async def test_an_answer_that_is_no_jwks_is_no_reason_to_refuse_a_customer(issuer, tmp_path, body):
    address, served = issuer
    served["body"] = body

    with pytest.raises(Unavailable):
        await verifier(address).verify(dev_token("ada", tmp_path))


async def test_a_slow_issuer_is_not_waited_for(issuer, tmp_path, monkeypatch):
    address, served = issuer
    served["delay_s"] = 1
    monkeypatch.setattr("shared.http.tokens.FETCH_TIMEOUT_S", 0.2)

    with pytest.raises(Unavailable):
        await verifier(address).verify(dev_token("ada", tmp_path))


async def test_a_certificate_that_nobody_vouches_for_is_refused(issuer, tmp_path, monkeypatch):
    address, _ = issuer
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(Unavailable):
        await verifier(address).verify(dev_token("ada", tmp_path))
