"""An SMS provider, as far as notify can tell: it takes messages over HTTP and calls back.

    POST /send        {phone, signature, template_code, params, reference, callback_url?}
                      -> {"code": "OK", "message_id": ...}
    GET /messages     what was sent, ?phone= and ?reference= narrow
    DELETE /messages  forget them
    PUT /mode         {"mode": "5xx", "times": 2, "callback_url": ...}

It is as idempotent as the real ones: not at all; the same reference twice is two messages.
The modes: `ok`; `429` and `5xx` (not sent); `accept_then_no_answer` (sent, and the request
hangs until the caller gives up); `duplicate_callbacks`; `early_callback` (the receipt comes
before the answer). A receipt is POSTed as {message_id, reference, phone, status, at}.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from stack.kept import Kept, Record
from stack.ports import DEFAULTS, HOST

CALLBACK_TIMEOUT_S = 5
CALLBACK_TRIES_MAX = 3
CALLBACK_PAUSE_S = 0.5

ModeName = Literal[
    "ok", "429", "5xx", "accept_then_no_answer", "duplicate_callbacks", "early_callback"
]


class Mode(BaseModel):
    """How messages fare, for the next `times` of them."""

    model_config = ConfigDict(extra="forbid")

    mode: ModeName = "ok"
    times: Annotated[int, Field(ge=1)] | None = None
    callback_url: str = ""  # for messages that name none; kept when `times` are over
    callback_status: Literal["delivered", "failed"] = "delivered"


class Message(BaseModel):
    """What a sender asks for."""

    model_config = ConfigDict(extra="forbid")

    phone: Annotated[str, Field(pattern=r"^\+?[0-9]{5,20}$")]
    signature: str
    template_code: Annotated[str, Field(min_length=1)]
    params: dict[str, str] = {}
    reference: Annotated[str, Field(max_length=200)] = ""
    callback_url: str = ""


class Provider:
    """What was sent, the mode, and the receipts under way."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.mode = Mode()
        self.http = httpx.AsyncClient(timeout=CALLBACK_TIMEOUT_S, trust_env=False)
        self._receipts: set[asyncio.Task[None]] = set()

    def take_mode(self) -> Mode:
        now = self.mode
        if now.times is not None:
            left = now.times - 1
            after = {"times": left} if left else {"times": None, "mode": "ok"}
            self.mode = now.model_copy(update=after)
        return now

    def keep(self, message: Message) -> Record:
        sent_at = datetime.now(UTC).isoformat()
        body = message.model_dump()
        return self.kept.add({"message_id": uuid.uuid4().hex, "sent_at": sent_at, **body})

    def receipt_later(self, sent: Record, mode: Mode) -> None:
        task = asyncio.create_task(self.receipt(sent, mode))
        self._receipts.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._receipts.discard)

    async def receipt(self, sent: Record, mode: Mode) -> None:
        """Tell the sender what became of it; a few times, if it does not listen."""
        url = sent["callback_url"] or mode.callback_url
        if not url:
            return
        named = {name: sent[name] for name in ("message_id", "reference", "phone")}
        status = {"status": mode.callback_status, "at": datetime.now(UTC).isoformat()}
        for _ in range(CALLBACK_TRIES_MAX):
            with contextlib.suppress(httpx.HTTPError):
                answer = await self.http.post(url, json=named | status)
                if answer.is_success:
                    return
            await asyncio.sleep(CALLBACK_PAUSE_S)

    async def close(self) -> None:
        for task in list(self._receipts):
            task.cancel()
        await asyncio.gather(*self._receipts, return_exceptions=True)
        await self.http.aclose()
        self.kept.close()


def create_app(folder: Path) -> FastAPI:
    provider = Provider(Kept(folder / "messages.jsonl"))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await provider.close()

    app = FastAPI(title="SMS stub", lifespan=lifespan)
    _add_routes(app, provider)
    return app


def _add_routes(app: FastAPI, provider: Provider) -> None:
    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/send")
    async def send(message: Message, request: Request) -> Response:
        return await _send(provider, message, request)

    @app.get("/messages")
    async def messages(phone: str = "", reference: str = "") -> list[Record]:
        return [
            sent
            for sent in provider.kept.all()
            if phone in ("", sent["phone"]) and reference in ("", sent["reference"])
        ]

    @app.delete("/messages", status_code=204)
    async def forget() -> None:
        provider.kept.clear()

    @app.get("/mode")
    async def mode() -> Mode:
        return provider.mode

    @app.put("/mode")
    async def set_mode(mode: Mode) -> Mode:
        provider.mode = mode
        return mode


async def _send(provider: Provider, message: Message, request: Request) -> Response:
    mode = provider.take_mode()
    if mode.mode == "429":
        return JSONResponse({"code": "LIMIT"}, 429, headers={"Retry-After": "1"})
    if mode.mode == "5xx":
        return JSONResponse({"code": "UNAVAILABLE"}, 503)
    sent = provider.keep(message)
    match mode.mode:
        case "accept_then_no_answer":
            provider.receipt_later(sent, mode)
            await _until_given_up(request)
        case "early_callback":
            await provider.receipt(sent, mode)
        case "duplicate_callbacks":
            provider.receipt_later(sent, mode)
            provider.receipt_later(sent, mode)
        case _:
            provider.receipt_later(sent, mode)
    return JSONResponse({"code": "OK", "message_id": sent["message_id"]})


async def _until_given_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def main(
    folder: Annotated[Path, typer.Option(help="Where messages are kept.")] = Path(".stack/sms"),
    http_port: int = DEFAULTS["sms"],
    host: str = HOST,
) -> None:
    """Run the SMS stub."""
    app = create_app(folder)
    uvicorn.run(app, host=host, port=http_port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    typer.run(main)
