"""Hand a mail over by SMTP, and know what became of it.

Until the mail's text is sent the server cannot have it: whatever goes wrong so far is
`Postponed`, and may be tried again. From the text's last byte to the server's answer it
may or may not have it: a lost connection or a time-out there is `Unknown`, and is never
tried again. So the two halves of DATA are separate here.

Only what the server says of this recipient or this text refuses the mail for good. What it
says of us (our greeting, credentials, sender address) is our fault and not the mail's.
"""

import asyncio
import ssl
import time
from types import TracebackType
from typing import Self

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from services.notify.channels.email.message import Mail
from services.notify.channels.outcomes import Accepted, Outcome, Postponed, Refused, Unknown
from services.notify.settings import Settings

PROVIDER = "smtp"
MAILS_MAX = 100  # to a connection: servers count, and some then slow down
IDLE_MAX_S = 20.0  # then we hang up ourselves: servers do after 30 s and more

START_INPUT = 354
CLOSING = 421


class Mailer:
    """One connection to the mail server, opened when it is needed and used for many mails."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.smtp_timeout_s
        self._tls = None if settings.smtp_tls == "none" else ssl.create_default_context()
        self._smtp: SMTP | None = None
        self._mails = 0
        self._used_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def hand_over(self, mail: Mail) -> Outcome:
        """Never raises for what a network or a server may do."""
        try:
            async with asyncio.timeout(self._timeout_s):
                smtp = await self._introduce(mail)
        except SMTPRecipientRefused as error:
            return await self._said(error.code, error.message)
        except SMTPAuthenticationError as error:
            return await self._unreachable(f"auth {error.code}")
        except SMTPResponseException as error:
            return await self._unreachable(_status(error.code, error.message))
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            return await self._unreachable(type(error).__name__)
        return await self._submit(smtp, mail.content)

    async def close(self) -> None:
        """Hang up, without waiting for manners."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()

    async def hang_up_if_idle(self) -> None:
        """Between mails: no server should have to hang up on us."""
        if self._smtp and time.monotonic() - self._used_at > IDLE_MAX_S:
            await self.close()

    async def _introduce(self, mail: Mail) -> SMTP:
        """Up to the server's readiness for the text; on a connection that died, once anew."""
        reused = self._smtp is not None and self._smtp.is_connected
        try:
            return await self._envelope(mail)
        except (SMTPException, OSError) as error:
            closing = isinstance(error, SMTPResponseException) and error.code == CLOSING
            gone = closing or not isinstance(error, SMTPResponseException)
            if not (reused and gone):
                raise
        await self.close()
        return await self._envelope(mail)

    async def _envelope(self, mail: Mail) -> SMTP:
        smtp = await self._connected()
        await smtp.mail(mail.sender)
        await smtp.rcpt(mail.recipient)
        answer = await smtp.execute_command(b"DATA")
        if answer.code != START_INPUT:
            raise SMTPRecipientRefused(answer.code, answer.message, "")
        return smtp

    async def _connected(self) -> SMTP:
        smtp = self._smtp
        if smtp and smtp.is_connected and self._mails < MAILS_MAX:
            self._mails += 1
            return smtp
        await self.close()
        given = self._settings
        smtp = SMTP(
            hostname=given.smtp_host,
            port=given.smtp_port,
            local_hostname=given.smtp_hello,
            username=given.smtp_username or None,
            password=given.smtp_password.get_secret_value() or None,
            timeout=self._timeout_s,
            use_tls=given.smtp_tls == "tls",
            start_tls=given.smtp_tls == "starttls",
            tls_context=self._tls,
        )
        self._smtp, self._mails = smtp, 1
        await smtp.connect()
        return smtp

    async def _submit(self, smtp: SMTP, content: bytes) -> Outcome:
        """The text, and the answer to it."""
        protocol = smtp.protocol
        if protocol is None or not protocol.is_connected:
            return await self._unreachable("SMTPServerDisconnected")
        try:
            protocol.write(_dotted(content))
            answer = await protocol.read_response(timeout=self._timeout_s)
        except SMTPResponseException as error:  # an answer that is none
            await self.close()
            return Unknown(str(error.code))
        except (SMTPException, OSError) as error:
            await self.close()
            return Unknown(type(error).__name__)
        except BaseException:  # cancelled: this connection waits for an answer nobody reads
            await self.close()
            raise
        self._used_at = time.monotonic()
        return await self._said(answer.code, answer.message)

    async def _said(self, code: int, text: str) -> Outcome:
        """What the server's answer, to the recipient or to the text, means for the mail."""
        status = _status(code, text)
        if code // 100 == 2:
            return Accepted(status)
        if code == CLOSING:
            return await self._unreachable(status)
        await self._reset()
        return Refused(status) if code // 100 == 5 else Postponed(status)

    async def _reset(self) -> None:
        """Ready for another mail on the same connection, or on a new one."""
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._smtp:
                    await self._smtp.rset()
        except (SMTPException, OSError, TimeoutError):
            await self.close()

    async def _unreachable(self, code: str) -> Postponed:
        await self.close()
        return Postponed(code, unreachable=True)


def _status(code: int, text: str) -> str:
    """The reply code, and the enhanced one (RFC 3463) if it begins the text: nothing else of it."""
    first = text.partition(" ")[0]
    parts = first.split(".")
    enhanced = len(parts) == 3 and all(part.isdigit() and len(part) <= 3 for part in parts)
    return f"{code} {first}" if enhanced else str(code)


def _dotted(content: bytes) -> bytes:
    """RFC 5321 §4.5.2: a line that begins with a dot gets another, a lone dot ends the mail."""
    lines = content if content.endswith(b"\r\n") else content + b"\r\n"
    stuffed = lines.replace(b"\r\n.", b"\r\n..")
    return (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"
