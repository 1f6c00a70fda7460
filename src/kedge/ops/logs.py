"""Structured logs: JSON lines into a rotating file, plain lines on a terminal.

Rules: one record is one line of ASCII with OpenTelemetry's field names; what looks like a secret, stands under a secret's name
or is a configured secret value is blanked before anything is written; a log is an aid, never the audit trail (the journal is).
Fields of a record are handed over as `extra={...}`, or as `extra=fields(...)` where a name is one of logging's own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from kedge.domain.compliance import compliance_id
from kedge.journal.redaction import Redactor
from kedge.ops.build import engine_version

ROOT: Final = "kedge"
"""Every logger of ours is below this one; other libraries' loggers are not configured here."""
FILE_BYTES_MAX: Final = 10 * 1024 * 1024
FILES_KEPT: Final = 5
SEVERITY_NUMBERS: Final = {logging.DEBUG: 5, logging.INFO: 9, logging.WARNING: 13, logging.ERROR: 17, logging.CRITICAL: 21}
"""OpenTelemetry's numbers for the standard levels."""
_FIELDS = "kedge_fields"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came as `extra`."""

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
"""Joins the records of one piece of work, across tasks that it starts."""


@contextmanager
def correlated(name: str) -> Iterator[None]:
    """Records inside carry this correlation id."""
    token = correlation_id.set(name)
    try:
        yield
    finally:
        correlation_id.reset(token)


def fields(**values: Any) -> dict[str, Any]:
    """The attributes of one record, to be passed as `extra`; names are free."""
    return {_FIELDS: values}


class _RedactedRecord(logging.Formatter):
    """What both forms share: text, attributes and correlation id without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def body(self, record: logging.LogRecord) -> str:
        return self._redactor.text(record.getMessage())

    def attributes(self, record: logging.LogRecord) -> dict[str, Any]:
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        given.update(given.pop(_FIELDS, {}))
        found = self._redactor.mapping({str(name): _plain(value) for name, value in given.items()})
        if name := correlation_id.get():
            found["correlation_id"] = self._redactor.text(name)
        return found


class JsonLines(_RedactedRecord):
    """One record as one line of JSON, ASCII only."""

    def __init__(self, service: str, redactor: Redactor) -> None:
        super().__init__(redactor)
        self._resource = {"service.name": f"kedge-{service}", "service.version": engine_version(), "process.pid": os.getpid()}

    def format(self, record: logging.LogRecord) -> str:
        attributes = self.attributes(record)
        if record.exc_info and record.exc_info[0] is not None:
            attributes["exception.type"] = record.exc_info[0].__name__
            attributes["exception.message"] = self._redactor.text(str(record.exc_info[1]))
            attributes["exception.stacktrace"] = self._redactor.text(self.formatException(record.exc_info))
        line = {
            "timestamp": _utc(record.created),
            "severity_text": record.levelname,
            "severity_number": SEVERITY_NUMBERS.get(record.levelno, 0),
            "body": self.body(record),
            "attributes": attributes,
            "resource": self._resource,
            "scope": record.name,
        }
        return json.dumps(line, ensure_ascii=True, allow_nan=False)


class PlainLines(_RedactedRecord):
    """One record as a line for a person, ASCII only; what is not ASCII is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        told = " ".join(f"{name}={value}" for name, value in self.attributes(record).items())
        line = f"{_utc(record.created)[11:23]} {record.levelname.lower():<8} {self.body(record)}{' ' + told if told else ''}"
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + self._redactor.text(self.formatException(record.exc_info))
        return line.encode("ascii", "backslashreplace").decode("ascii")


class _OwnFile(RotatingFileHandler):
    """A rotating file that only its owner reads."""

    def _open(self) -> Any:
        return open(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "a", encoding="utf-8")


@contextmanager
def logging_to(
    state_folder: Path,
    service: str,
    *,
    secrets: Sequence[str] = (),
    console: bool = False,
    level: int = logging.INFO,
    file_bytes_max: int = FILE_BYTES_MAX,
    files_kept: int = FILES_KEPT,
) -> Iterator[logging.Logger]:
    """Log to `<state folder>/logs/<service>.jsonl` while the block runs; yields the logger `kedge.<service>`.

    Parameters
    ----------
    secrets : sequence of str
        Values that must never be written, whatever field they are in.
    console : bool
        Also write plain lines to stderr.

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    path = log_file(state_folder, service)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    redactor = Redactor(secrets)
    handlers: list[logging.Handler] = [_OwnFile(path, maxBytes=file_bytes_max, backupCount=files_kept, encoding="utf-8")]
    handlers[0].setFormatter(JsonLines(service, redactor))
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[1].setFormatter(PlainLines(redactor))
    root = logging.getLogger(ROOT)
    before = root.level, root.propagate
    root.setLevel(level)
    root.propagate = False
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield root.getChild(service)
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(before[0])
        root.propagate = before[1]


def log_file(state_folder: Path, service: str) -> Path:
    """Where a service logs."""
    return state_folder / "logs" / f"{service}.jsonl"


def trade_executed(
    logger: logging.Logger, *, trade_id: str, symbol: str, side: str, size: str, price: str, timestamp: str, user_id: str, decision_id: str
) -> None:
    """Log the event `trade_executed`; sizes and prices are exact decimal text, `timestamp` is the venue's in UTC."""
    logger.info(
        "trade executed",
        extra=fields(
            event="trade_executed",
            trade_id=trade_id,
            symbol=symbol,
            side=side,
            size=size,
            price=price,
            timestamp=timestamp,
            user_id=user_id,
            compliance_id=compliance_id(decision_id),
        ),
    )


def model_prediction(
    logger: logging.Logger,
    *,
    model_id: str,
    model_version: str,
    symbol: str,
    prediction: str,
    confidence: str,
    features_hash: str,
    timestamp: str,
    prediction_id: str,
    veto: str,
) -> None:
    """Log the event `model_prediction`.

    `model_id` is the model's hash, `prediction` the calibrated probability of a rise and `confidence` that of the likelier side, both as
    decimal text, `timestamp` the venue's in UTC; `veto` is why the model refuses to be followed, '' where it does not.
    """
    logger.info(
        "model prediction",
        extra=fields(
            event="model_prediction",
            model_id=model_id,
            model_version=model_version,
            symbol=symbol,
            prediction=prediction,
            confidence=confidence,
            features_hash=features_hash,
            timestamp=timestamp,
            prediction_id=prediction_id,
            veto=veto,
        ),
    )


def _plain(value: Any) -> Any:
    """Plain data that JSON can hold; what it cannot, numbers that are not finite among it, becomes text."""
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else str(value)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
