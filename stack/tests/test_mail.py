"""The mail sink keeps what it gets, and fails as it is told to."""

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest

from stack.programs import Sink


@pytest.fixture
def view(mail_sink: Sink) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mail_sink.url, trust_env=False) as client:
        client.delete("/messages").raise_for_status()
        yield client
        client.put("/mode", json={"mode": "ok"}).raise_for_status()


@pytest.fixture
def smtp_port(mail_sink: Sink) -> int:
    return mail_sink.smtp_port


def send(port: int, subject: str = "Thank you", timeout_s: float = 5) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        "shop@shop.example",
        "ada@a.example",
        subject,
    )
    message.set_content("Your order 1 is on its way. 谢谢")
    message.add_alternative("<p>Your order <b>1</b></p><script>x</script>", subtype="html")
    with smtplib.SMTP("127.0.0.1", port, timeout=timeout_s) as client:
        client.send_message(message)


def test_a_mail_is_shown_with_its_headers_and_bodies(view: httpx.Client, smtp_port: int) -> None:
    send(smtp_port, "Grüße <1>")

    [listed] = view.get("/messages", params={"to": "ada@a.example"}).json()
    assert (listed["from"], listed["subject"]) == ("shop@shop.example", "Grüße <1>")
    whole = view.get(f"/messages/{listed['id']}").json()
    assert "谢谢" in whole["text"]
    assert "<b>1</b>" in whole["html"]
    assert ["Subject", "Grüße <1>"] in whole["headers"]
    assert "Grüße &lt;1&gt;" in view.get("/").text
    assert view.get("/messages", params={"to": "bob@b.example"}).json() == []
    assert view.get("/messages/999").status_code == 404
    shown = view.get(f"/messages/{listed['id']}/view")
    assert shown.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(("mode", "code"), [("refuse", 554), ("later", 451)])
def test_a_refused_mail_is_not_kept_and_the_next_is(
    view: httpx.Client, smtp_port: int, mode: str, code: int
) -> None:
    view.put("/mode", json={"mode": mode, "times": 1}).raise_for_status()

    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(smtp_port)
    assert refused.value.smtp_code == code
    assert view.get("/messages").json() == []

    send(smtp_port)
    assert len(view.get("/messages").json()) == 1


def test_a_dropped_mail_is_kept_and_its_sender_cannot_know(
    view: httpx.Client, smtp_port: int
) -> None:
    view.put("/mode", json={"mode": "drop", "times": 1}).raise_for_status()

    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        send(smtp_port)

    assert len(view.get("/messages").json()) == 1


def test_a_slow_sink_answers_late(view: httpx.Client, smtp_port: int) -> None:
    view.put("/mode", json={"mode": "slow", "delay_s": 5, "times": 1}).raise_for_status()

    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        send(smtp_port, timeout_s=0.3)


def test_an_unknown_mode_is_refused_by_name(view: httpx.Client) -> None:
    answer = view.put("/mode", json={"mode": "sleepy"})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "mode"]


def test_mails_survive_a_kill(view: httpx.Client, smtp_port: int, mail_sink: Sink) -> None:
    send(smtp_port, "Kept")

    mail_sink.kill()
    mail_sink.start()

    assert [listed["subject"] for listed in view.get("/messages").json()] == ["Kept"]
