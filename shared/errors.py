"""Expected failures, and what becomes of each.

* AppError            the caller's problem: answered as problem+json with its status
  - BadRequest        400
  - Unauthorized      401
  - Forbidden         403
  - NotFound          404
  - Conflict          409
  - PreconditionFailed 412
  - TooLarge          413
  - Unprocessable     422
  - TooManyRequests   429
  - Unavailable       503
* Reject              the event's problem: dead-lettered with its reason, never retried
* Fatal               the operator's problem: the process ends and says what to do

Everything else is ours: over HTTP a 500, in a worker a retry, a burial or a stop. The
docstring of an AppError is its public title and its class name makes its stable `type`,
so write both for the caller.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """The request could not be done."""

    status: ClassVar[int] = 400

    def __init__(
        self, detail: str = "", *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        """`detail` is for the reader of this answer; `more` becomes members of the problem."""
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    @property
    def title(self) -> str:
        return (self.__doc__ or "").strip().splitlines()[0]


class BadRequest(AppError):
    """The request is malformed."""

    status = 400


class Unauthorized(AppError):
    """The request carries no valid credentials."""

    status = 401


class Forbidden(AppError):
    """These credentials may not do this."""

    status = 403


class NotFound(AppError):
    """No such thing."""

    status = 404


class Conflict(AppError):
    """The change clashes with the current state."""

    status = 409


class PreconditionFailed(AppError):
    """The thing has changed since it was read."""

    status = 412


class TooLarge(AppError):
    """The request is larger than allowed."""

    status = 413


class Unprocessable(AppError):
    """The request is understood and cannot be accepted."""

    status = 422


class TooManyRequests(AppError):
    """The caller's rate is exceeded."""

    status = 429


class Unavailable(AppError):
    """The service cannot answer now; try again."""

    status = 503


class Reject(Exception):
    """This event can never be handled: why and what to do, without personal data."""


class Fatal(Exception):
    """The process must not go on; the message says what happened and the command to run."""
