"""A notice: one message to one person about one thing, and what became of it. Pure.

    created -> leased -> handed_over -> sent | failed | unknown
       ^         |            |
       +---------+------------+          held, given back, or to be tried again
    suppressed                           from the start, or at the moment of hand-over

`leased` is a sender's word that it will look, `handed_over` that the provider may have the
message from now on. A sender that dies in the first leaves a notice that another takes; one
that dies in the second leaves one whose outcome nobody knows, and it is never sent again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from services.notify.policy import Kind, Reason
from shared.events import codec
from shared.events.envelope import Event
from shared.events.notices import NoticeFact, NoticeFailed, NoticeSent, NoticeSuppressed

State = Literal["created", "leased", "handed_over", "sent", "failed", "unknown", "suppressed"]
Channel = Literal["email", "sms"]
Failure = Literal["refused", "attempts_exhausted", "bad_address", "unrenderable"]

SOURCE = "regulars/notify"
_NOTICES = uuid5(NAMESPACE_OID, f"{SOURCE}/notice")


def notice_id(kind: Kind, *what: str) -> UUID:
    """The same for whatever tells the same: the key that keeps a message from going out twice."""
    return uuid5(_NOTICES, "\n".join((kind, *what)))


@dataclass(frozen=True, slots=True)
class About:
    """Which notice, in the words of crm.notices.v1; `template` empty: not chosen yet."""

    notice_id: UUID
    customer_id: str
    kind: Kind
    channel: str
    order_id: str | None
    store: str
    template: str = ""
    traceparent: str = ""

    def _fields(self) -> dict[str, Any]:
        fields = {
            "customer_id": self.customer_id,
            "notice_id": str(self.notice_id),
            "kind": self.kind,
            "channel": self.channel,
            "template": self.template,
            "order_id": self.order_id,
            "store": self.store,
        }
        return {name: value for name, value in fields.items() if value}

    def _event(self, type_: str, model: type[NoticeFact], at: datetime, **more: Any) -> Event:
        name = "/".join((type_, str(more.get("reason", ""))))
        return codec.make(
            type_,
            model(**self._fields(), **more),
            id=str(uuid5(self.notice_id, name)),
            source=SOURCE,
            time=at,
            traceparent=self.traceparent,
        )

    def sent(self, provider: str, at: datetime) -> Event:
        return self._event("notice.sent", NoticeSent, at, provider=provider)

    def failed(self, provider: str, reason: Failure, at: datetime) -> Event:
        """`permanent` for what the address itself is to blame for."""
        permanent = reason in {"refused", "bad_address"}
        more = {"provider": provider, "reason": reason, "permanent": permanent}
        return self._event("notice.failed", NoticeFailed, at, **more)

    def suppressed(self, reason: Reason, at: datetime) -> Event:
        return self._event("notice.suppressed", NoticeSuppressed, at, reason=reason)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as it arises; with a `reason` it was suppressed at once, and has no content."""

    about: About
    time: datetime
    cause_source: str
    cause_id: str
    reason: Reason | None
    content: Mapping[str, Any] | None
