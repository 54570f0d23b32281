"""What a provider made of a message: the four things that a sender must tell apart."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has it, and answers for it from now on."""

    code: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take it."""

    code: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """The provider does not have it; later it may take it.

    `unreachable`: it would take no other message now either, so the sender pauses.
    """

    code: str
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider was given the message and did not answer: it may or may not have it."""

    code: str


Outcome = Accepted | Refused | Postponed | Unknown
"""`code` is the provider's, or ours where it said nothing; never its text, which may quote
the address."""
