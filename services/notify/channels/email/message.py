"""A mail as bytes. Pure: date and id come in.

Headers are built by `email.policy.SMTP`, which refuses a line break in any of them; what
cannot be a header or an address raises, and nothing is repaired in silence. The id is
derived from the notice, so a mail that did arrive twice is seen to be one.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from uuid import UUID

from services.notify.rendering import Rendered

# What SMTP takes as it stands: no quoting, no comments, no spaces; RFC 5321 §4.5.3.1 lengths.
MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


class BadAddress(Exception):
    """This is no address that mail can be sent to."""


class BadHeader(Exception):
    """A header would hold what no header may, such as a line break."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What SMTP needs: the envelope's two addresses, and the message."""

    sender: str
    recipient: str
    content: bytes


def mailbox(address: str) -> str:
    """The address as SMTP writes it, its domain in ASCII (IDNA); raises BadAddress."""
    local, _, domain = address.rpartition("@")
    try:
        written = f"{local}@{domain.encode('idna').decode()}"
        Address(addr_spec=written)
    except (UnicodeError, ValueError, IndexError, MessageError):
        raise BadAddress from None
    if not MAILBOX.fullmatch(written):
        raise BadAddress
    return written


def message_id(notice_id: UUID, sender: str) -> str:
    """The mail's id, by which a mail server's log knows it; the same at every attempt."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return f"<{notice_id}@{domain.encode('idna').decode()}>"


def build(
    notice_id: UUID, rendered: Rendered, *, sender: str, address: str, date: datetime
) -> Mail:
    """Raises BadAddress for the recipient's, BadHeader for everything else."""
    recipient = mailbox(address)
    shop, shop_address = parseaddr(sender)
    message = EmailMessage(policy=SMTP)
    try:
        own = mailbox(shop_address)
        message["From"] = Address(shop, addr_spec=own)
        message["To"] = Address(addr_spec=recipient)
        message["Subject"] = rendered.subject
    except (BadAddress, ValueError, MessageError) as error:
        raise BadHeader(type(error).__name__) from error
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id(notice_id, sender)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation answers it
    # Base64 for what is not ASCII: Chinese is a third longer in it, and triple otherwise.
    coding = "quoted-printable" if rendered.text.isascii() else "base64"
    message.set_content(rendered.text, cte=coding)
    message.add_alternative(rendered.html, subtype="html", cte="base64")
    return Mail(own, recipient, message.as_bytes())
