"""Where `kedge risk` has its figures from: the server that runs, else the run's journal, folded here and now."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedge.apps.output import progress
from kedge.domain.errors import NotFound, NotSignedIn
from kedge.ops.state_folder import journal_path
from kedge.services.lineage_search import journals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedge.risk.var.record import Standing
    from kedge.services.replica import Replica
    from kedge.services.risk_explain import Explained

SLICE_S: Final = 0.2
OVER: Final = {"as_of": None, "age_s": None, "state": "ended", "why": "read from the journal"}


def server_document(folder: Path, server: str | None, path: str) -> Any:
    """What the server says; None where none runs, so that the journal is to be read.

    Raises
    ------
    NotSignedIn, ServerSaid
        It runs and does not say.
    """
    from kedge.apps.api_client import Api, ServerSilent, server_url

    try:
        url = server_url(server, folder, os.environ)
    except ServerSilent:
        return None
    try:
        api = Api.signed_in(url)
    except NotSignedIn:
        api = Api(url)  # before the first account exists nobody has to be
    return api.get(path)


def newest_journal(folder: Path, run: str) -> Path:
    """The journal of a run that was named, else the one written last.

    Raises
    ------
    NotFound
        There is none.
    """
    if run:
        return journal_path(folder, run)
    found = journals(folder)
    if not found:
        raise NotFound("no run yet", why=f"{folder / 'runs'} holds no journal", fix="kedge up, or kedge backtest run")
    return found[0]


def local_document(folder: Path, run: str, what: str) -> dict[str, Any]:
    """The same document as the API's, from the journal; limits that are kept as documents need none."""
    from kedge.services.replica import Replica
    from kedge.storage.journal_reader import SqliteJournalReader

    if what == "limits" and not run and not journals(folder):
        from kedge.services.limits_views import account_of, limits_view

        return limits_view(folder, account_of(folder, None), None)
    with SqliteJournalReader(newest_journal(folder, run)) as journal, tempfile.TemporaryDirectory() as scratch:
        replica = Replica(journal, Path(scratch) / "replica.sqlite", code_sha256="")
        try:
            _fold(replica)
            return asyncio.run(_told(folder, replica, what))
        finally:
            replica.close()


def _fold(replica: Replica) -> None:
    with progress("reading records", None) as advance:
        while not replica.drained:
            advance(replica.advance(SLICE_S))


async def _told(folder: Path, replica: Replica, what: str) -> dict[str, Any]:
    from kedge.services.limits_views import limits_view
    from kedge.services.risk_daily import read_record, record_name
    from kedge.services.risk_desk import RiskDesk

    if what == "limits":
        return limits_view(folder, replica.started.account, replica.state.limits)

    def standings() -> Mapping[str, Standing]:
        return read_record(folder, record_name(replica.started)).standings()

    desk = RiskDesk(folder, standings=standings, monotonic_s=time.monotonic)
    try:
        if what == "status":
            return desk.status(replica, OVER, datetime.now(UTC))
        return await (desk.var(replica) if what == "var" else desk.stress(replica))
    finally:
        desk.close()


def explained(folder: Path, wanted: str, run: str) -> Explained:
    """An order or decision, from the run that was named or the newest that holds it.

    Raises
    ------
    NotFound
        No run holds it.
    """
    from kedge.apps.strategy_choice import recorded_strategy
    from kedge.services.risk_explain import explain

    paths = [journal_path(folder, run)] if run else journals(folder)
    missing: NotFound | None = None
    for path in paths:
        try:
            return explain(path, wanted, lambda started: recorded_strategy(folder, started))
        except NotFound as error:
            missing = error
    raise missing or NotFound("no run yet", why=f"{folder / 'runs'} holds no journal", fix="kedge up, or kedge backtest run")
