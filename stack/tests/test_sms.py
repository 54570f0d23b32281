"""The SMS stub sends, calls back, and fails as it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from stack.programs import Sink

Got = list[tuple[float, dict[str, str]]]  # when, and what
Receipts = tuple[str, Got]  # the address they come to

MESSAGE = {
    "phone": "+8613800000000",
    "signature": "Shop",
    "template_code": "SMS_1",
    "params": {"order": "1"},
    "reference": "delivery-1",
}


@pytest.fixture
def stub(sms_stub: Sink) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sms_stub.url, trust_env=False, timeout=5) as client:
        client.delete("/messages").raise_for_status()
        yield client
        client.put("/mode", json={"mode": "ok"}).raise_for_status()


@pytest.fixture
def receipts() -> Iterator[Receipts]:
    """A server that notes what is posted to it."""
    got: Got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((time.monotonic(), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/receipts", got
    server.shutdown()
    server.server_close()
    thread.join()


def await_receipts(got: Got, count: int) -> None:
    until = time.monotonic() + 5
    while len(got) < count and time.monotonic() < until:
        time.sleep(0.02)
    assert len(got) == count


def test_a_message_is_kept_and_its_receipt_follows(stub: httpx.Client, receipts: Receipts) -> None:
    url, got = receipts

    answer = stub.post("/send", json=MESSAGE | {"callback_url": url}).json()

    await_receipts(got, 1)
    assert answer["code"] == "OK"
    receipt = got[0][1]
    assert receipt["message_id"] == answer["message_id"]
    assert (receipt["reference"], receipt["status"]) == ("delivery-1", "delivered")
    [sent] = stub.get("/messages", params={"reference": "delivery-1"}).json()
    assert sent["params"] == {"order": "1"}


@pytest.mark.parametrize(("mode", "status"), [("429", 429), ("5xx", 503)])
def test_a_refused_message_is_not_sent_and_the_next_is(
    stub: httpx.Client, mode: str, status: int
) -> None:
    stub.put("/mode", json={"mode": mode, "times": 1}).raise_for_status()

    assert stub.post("/send", json=MESSAGE).status_code == status
    assert stub.get("/messages").json() == []
    assert stub.post("/send", json=MESSAGE).json()["code"] == "OK"


def test_an_accepted_message_may_get_no_answer(stub: httpx.Client) -> None:
    stub.put("/mode", json={"mode": "accept_then_no_answer", "times": 1}).raise_for_status()

    with pytest.raises(httpx.ReadTimeout):
        stub.post("/send", json=MESSAGE, timeout=0.3)

    assert len(stub.get("/messages").json()) == 1


def test_a_receipt_may_come_twice(stub: httpx.Client, receipts: Receipts) -> None:
    url, got = receipts
    stub.put("/mode", json={"mode": "duplicate_callbacks", "callback_url": url})

    stub.post("/send", json=MESSAGE)

    await_receipts(got, 2)
    assert got[0][1]["message_id"] == got[1][1]["message_id"]


def test_a_receipt_may_come_before_the_answer(stub: httpx.Client, receipts: Receipts) -> None:
    url, got = receipts
    stub.put("/mode", json={"mode": "early_callback", "callback_url": url})

    stub.post("/send", json=MESSAGE)
    answered_at = time.monotonic()

    assert got[0][0] < answered_at


def test_a_wrong_phone_is_named(stub: httpx.Client) -> None:
    answer = stub.post("/send", json=MESSAGE | {"phone": "Ada"})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "phone"]
