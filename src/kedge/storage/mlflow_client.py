"""How MLflow is spoken to: imported late, its telemetry off, silent, and its failures turned into ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kedge.domain.errors import Conflict, IntegrityError, KedgeError, RecordingFailed
from kedge.storage.registry_state import STORE_FILE

PAGE: Final = 500
_ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"
_UNWRITABLE: Final = ("disk is full", "readonly database", "attempt to write a readonly")
_BUSY: Final = "database is locked"


def uri_of(folder: Path) -> str:
    """MLflow's address of the store in a folder."""
    return f"sqlite:///{(folder / STORE_FILE).absolute()}"


@contextmanager
def speaking(folder: Path) -> Iterator[Any]:
    """A client of the store in a folder; nothing of MLflow is imported before this.

    Raises
    ------
    IntegrityError
        The store cannot be used.
    RecordingFailed
        The disk is full or refuses.
    Conflict
        Somebody else keeps the database locked.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _quiet_environment()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    _quiet_loggers()
    try:
        yield MlflowClient(tracking_uri=uri_of(folder), registry_uri=uri_of(folder))
    except KedgeError:
        raise
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise _failure(folder, error) from error


def found(call: Any, *arguments: Any) -> Any:
    """What a call of the client answers; None where it says that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return call(*arguments)
    except MlflowException as error:
        if error.error_code == _ABSENT:
            return None
        raise


def pages(search: Any, **query: Any) -> Iterator[Any]:
    """Everything that a search of the client finds."""
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token, **query)
        yield from page
        token = page.token
        if not token:
            return


def broken(folder: Path, why: str) -> IntegrityError:
    """The error of a store that cannot be used."""
    return IntegrityError(
        f"MLflow's store {folder / STORE_FILE} cannot be used",
        why=why,
        fix=f"keep it as evidence: move {folder} aside and train again; versions and aliases of the models that are kept are made again",
    )


def in_use(folder: Path, why: str) -> Conflict:
    """The error of a store that somebody else has held for too long."""
    return Conflict(f"MLflow's store in {folder} is in use", why=why, fix="wait for whoever writes to it, then run it again")


def _failure(folder: Path, error: Exception) -> KedgeError:
    why = " ".join(str(error).split())[:300]
    if isinstance(error, OSError) or any(words in why for words in _UNWRITABLE):
        return RecordingFailed(
            f"MLflow's store in {folder} could not be written",
            why=why,
            fix="free space or mend its permissions, then run it again: what was kept before is found",
        )
    if _BUSY in why:
        return in_use(folder, why)
    return broken(folder, why)


def _quiet_environment() -> None:
    """MLflow reads these when it is imported: it would report its use to its makers."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"


def _quiet_loggers() -> None:
    """Making the tables is worth no line on the reader's terminal, and what fails is said by our errors."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
