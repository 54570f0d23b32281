"""Where the stack's mails go: an SMTP server that keeps them and shows them over HTTP.

    GET /                      a page for people
    GET /messages              [{id, from, to, subject, received_at}], ?to= narrows
    GET /messages/{id}         {..., headers, text, html}
    DELETE /messages           forget them
    PUT /mode                  {"mode": "refuse", "times": 2}: how the next mails fare

The modes: `ok`; `refuse` for good (554); `later` (451); `slow` (answers after `delay_s`);
`drop` (takes the mail, then closes the connection without an answer, so that the sender
cannot know). `times` mails, and then `ok` again; without it, until changed.
"""

import asyncio
import base64
import contextlib
import html
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from stack.kept import Kept, Record
from stack.ports import DEFAULTS, HOST

SIZE_BYTES_MAX = 10_000_000
SHOWN_MAX = 500  # rows of the page for people


class Mode(BaseModel):
    """How mails fare, for the next `times` of them."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["ok", "refuse", "later", "slow", "drop"] = "ok"
    times: Annotated[int, Field(ge=1)] | None = None
    delay_s: Annotated[float, Field(ge=0, le=600)] = 10


class Sink:
    """The SMTP side: aiosmtpd calls `handle_DATA` for each mail."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.mode = Mode()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 -- aiosmtpd's names
        mode = self._take_mode()
        match mode.mode:
            case "refuse":
                return "554 5.7.1 Refused by the sink's mode"
            case "later":
                return "451 4.3.0 Try again later, says the sink's mode"
            case "slow":
                await asyncio.sleep(mode.delay_s)
            case "ok" | "drop":
                pass
        kept = self.kept.add(_record(envelope))
        if mode.mode == "drop":
            cast("asyncio.Transport", server.transport).abort()
            raise ConnectionResetError
        return f"250 2.0.0 OK kept as {kept['id']}"

    def _take_mode(self) -> Mode:
        now = self.mode
        if now.times is not None:
            left = now.times - 1
            self.mode = now.model_copy(update={"times": left}) if left else Mode()
        return now


def _record(envelope: Envelope) -> Record:
    content = envelope.content or b""
    raw = content if isinstance(content, bytes) else content.encode()
    return {
        "received_at": datetime.now(UTC).isoformat(),
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "subject": str(_parse(raw)["Subject"] or ""),
        "raw": base64.b64encode(raw).decode(),
    }


def _parse(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _summary(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "raw"}


def _whole(record: Record) -> Record:
    message = _parse(base64.b64decode(record["raw"]))
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    return _summary(record) | {
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": bodies["plain"].get_content() if bodies["plain"] else None,
        "html": bodies["html"].get_content() if bodies["html"] else None,
    }


def create_app(folder: Path, *, host: str, smtp_port: int) -> FastAPI:
    """The HTTP side; the SMTP server on `smtp_port` lives as long as it does."""
    kept = Kept(folder / "messages.jsonl")
    sink = Sink(kept)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        def connection() -> SMTP:
            return SMTP(sink, data_size_limit=SIZE_BYTES_MAX, enable_SMTPUTF8=True, hostname=host)

        server = await asyncio.get_running_loop().create_server(connection, host, smtp_port)
        try:
            yield
        finally:
            server.close()
            kept.close()

    app = FastAPI(title="Mail sink", lifespan=lifespan)
    _add_routes(app, sink)
    return app


def _add_routes(app: FastAPI, sink: Sink) -> None:
    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/messages")
    async def messages(to: str = "") -> list[Record]:
        return [_summary(record) for record in sink.kept.all() if not to or to in record["to"]]

    @app.get("/messages/{message_id}")
    async def message(message_id: int) -> Record:
        return _whole(_found(sink.kept, message_id))

    @app.get("/messages/{message_id}/view")
    async def view(message_id: int) -> HTMLResponse:
        shown = _whole(_found(sink.kept, message_id))
        body = shown["html"] or f"<pre>{html.escape(shown['text'] or '')}</pre>"
        # A mail is a stranger's page: no scripts, no forms, nothing of this site.
        return HTMLResponse(body, headers={"Content-Security-Policy": "sandbox"})

    @app.delete("/messages", status_code=204)
    async def forget() -> None:
        sink.kept.clear()

    @app.get("/mode")
    async def mode() -> Mode:
        return sink.mode

    @app.put("/mode")
    async def set_mode(mode: Mode) -> Mode:
        sink.mode = mode
        return mode

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(_page(sink))


def _found(kept: Kept, message_id: int) -> Record:
    record = kept.get(message_id)
    if record is None:
        raise HTTPException(404, f"There is no mail {message_id}.")
    return record


def _page(sink: Sink) -> str:
    records = sink.kept.all()
    rows = "".join(
        "<tr>"
        f"<td>{html.escape(record['received_at'][:19])}</td>"
        f"<td>{html.escape(', '.join(record['to']))}</td>"
        f'<td><a href="/messages/{record["id"]}/view">'
        f"{html.escape(record['subject'] or '(no subject)')}</a></td>"
        f'<td><a href="/messages/{record["id"]}">source</a></td>'
        "</tr>"
        for record in reversed(records[-SHOWN_MAX:])
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Mails</title>'
        "<style>body{font:15px system-ui;margin:2rem}td{padding:.2rem .8rem}</style>"
        f"<h1>{len(records)} mails</h1><p>Mode: {sink.mode.mode}</p><table>{rows}</table></html>"
    )


def main(
    folder: Annotated[Path, typer.Option(help="Where the mails are kept.")] = Path(".stack/mail"),
    smtp_port: int = DEFAULTS["smtp"],
    http_port: int = DEFAULTS["mail"],
    host: str = HOST,
) -> None:
    """Run the mail sink."""
    app = create_app(folder, host=host, smtp_port=smtp_port)
    uvicorn.run(app, host=host, port=http_port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    typer.run(main)
