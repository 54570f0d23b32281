"""JSON lines without personal data: a fixed phrase and fields.

Fields are ids of events, topics, counts and classes; never a customer's id, address or
name, never a request's query, never an exception's text (drivers quote values in theirs).
An exception is logged as its class, SQLSTATE and our frames; a library's text only if it
stands in the library's code as it is, so that nothing can have been filled into it.
"""

import inspect
import logging
import sys
import time
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict

from shared.settings import Settings

FRAMES_MAX = 12
REPEAT_S = 10.0
WITHHELD = "a text that may hold values"
QUIET = ("aiokafka", "uvicorn.access", "httpx", "alembic", "asyncio", "sqlalchemy")


def start(settings: Settings, role: str) -> None:
    """Once for each process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_values,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(
        service=settings.service, role=role, release=settings.release
    )
    logging.basicConfig(handlers=[_Through()], level=logging.WARNING, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def _without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by what it is, without what it says."""
    error = event.pop("exc_info", None)
    error = sys.exc_info()[1] if error is True else error
    while isinstance(error, BaseExceptionGroup):  # a TaskGroup's: the first failure is the reason
        error = error.exceptions[0]
    if isinstance(error, BaseException):
        event["exception"] = type(error).__name__
        event["sqlstate"] = getattr(getattr(error, "orig", error), "sqlstate", None)
        every = traceback.extract_tb(error.__traceback__)
        frames = [f for f in every if "site-packages" not in f.filename][-FRAMES_MAX:]
        event["frames"] = [f"{f.filename.rsplit('/', 2)[-1]}:{f.lineno} {f.name}" for f in frames]
    return event


class _Through(logging.Handler):
    """Libraries' own logging: their fixed phrases, not the values they fill in.

    A phrase is passed on at most every REPEAT_S: a broker that is away is news once, and
    aiokafka says it thirty times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[object, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = {"phrase": _phrase(record), "place": f"{record.filename}:{record.lineno}"}
        now, said = time.monotonic(), (*fields.values(), type(error))
        if now - self._said.get(said, -REPEAT_S) < REPEAT_S:
            return
        self._said[said] = now
        log = structlog.get_logger().bind(logger=record.name, **fields)
        log.log(record.levelno, "library", exc_info=error)


def _phrase(record: logging.LogRecord) -> str:
    """What was logged, if it is a constant of the function that logged it."""
    frame = inspect.currentframe()
    while frame and (frame.f_code.co_filename, frame.f_lineno) != (record.pathname, record.lineno):
        frame = frame.f_back
    return record.msg if frame and record.msg in frame.f_code.co_consts else WITHHELD
