"""Finds what an id names: a fill, order, decision or prediction in one of the runs, a run, a model or a data set.

Rules: an exact id before any prefix, the newest run before older ones, and never a silent choice: the same id in other runs is said.
Journals without an index are walked last. A prefix has at least 8 characters and must be unique.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput, KedgeError, NotFound
from kedge.governance.lineage import NodeKind
from kedge.governance.lineage_find import decided_of, filled_of, predicted_of
from kedge.ops.state_folder import JOURNAL_NAME, journal_path, run_folder
from kedge.services.lineage_documents import Documents
from kedge.services.lineage_journal import RunRecords

PREFIX_MIN: Final = 8
OTHERS_MAX: Final = 100
"""Other runs that are asked whether they hold the same id."""
NEAR_MAX: Final = 3
NEAR_CHARACTERS_MIN: Final = 3
_SHA256_DIGITS: Final = 64
_ANY: Final = "name a fill, client order, decision, prediction or run id, or the SHA-256 of a model or data set"


class Found(NamedTuple):
    """What an id names; `journal` is empty for a model or data set, `others` are further runs that hold the same id."""

    kind: NodeKind
    id: str
    journal: Path | None
    others: tuple[str, ...] = ()


class Search:
    """Looks in a state folder, or in one run of it.

    Parameters
    ----------
    run : str
        A run's id, its first letters or a journal file; by default all runs.
    """

    def __init__(self, state: Path, documents: Documents, run: str = "") -> None:
        self._state, self._documents = state, documents
        self._journals = [journal_path(state, run)] if run else journals(state)
        self._named = bool(run)

    def find(self, wanted: str) -> Found:
        """What `wanted` names.

        Raises
        ------
        NotFound
            Nothing; names near ids.
        InvalidInput
            Several ids begin so.
        """
        if not wanted.strip():
            raise NotFound("an empty id", why="it names nothing", fix=_ANY)
        found = self._document(wanted) or self._run(wanted) or self._recorded(wanted) or self._by_prefix(wanted) or self._walked(wanted)
        if found is None:
            near = self._near(wanted)
            why = f"near ones are {', '.join(near)}" if near else f"none of {len(self._journals)} runs, no model and no data set has it"
            raise NotFound(f"id {wanted!r}", why=why, fix=_ANY)
        return found

    def _document(self, wanted: str) -> Found | None:
        if len(wanted) != _SHA256_DIGITS or set(wanted) - set("0123456789abcdef"):
            return None
        if (self._documents.models.folder / wanted).is_dir():
            return Found(NodeKind.MODEL, wanted, None)
        return Found(NodeKind.DATASET, wanted, None) if self._is_dataset(wanted) else None

    def _run(self, wanted: str) -> Found | None:
        path = run_folder(self._state, wanted) / JOURNAL_NAME
        return Found(NodeKind.RUN, wanted, path) if "/" not in wanted and path.is_file() else None

    def _recorded(self, wanted: str) -> Found | None:
        holding = [path for path in self._likely(wanted) if _knows(path, wanted)]
        if not holding:
            return None
        return Found(_kind(holding[0], wanted), wanted, holding[0], tuple(path.parent.name for path in holding[1:]))

    def _likely(self, wanted: str) -> list[Path]:
        """The run that a decision or prediction id begins with, where there is one; else the runs, newest first."""
        own = run_folder(self._state, wanted.rpartition(".")[0]) / JOURNAL_NAME
        return [own] if "." in wanted and own in self._journals else self._journals[:OTHERS_MAX]

    def _by_prefix(self, wanted: str) -> Found | None:
        if len(wanted) < PREFIX_MIN:
            return None
        runs = [path for path in self._journals if path.parent.name.startswith(wanted)]
        if len(runs) == 1:
            return Found(NodeKind.RUN, runs[0].parent.name, runs[0])
        found = [*(Found(NodeKind.RUN, path.parent.name, path) for path in runs), *self._documents_from(wanted)]
        for path in [] if runs else self._journals[:OTHERS_MAX]:
            with _opened(path) as run:
                found += [Found(NodeKind.RUN, one, path) for one in (run.begins(wanted, 2) if run else [])]
        ids = list(dict.fromkeys(one.id for one in found))
        if len(ids) > 1:
            raise InvalidInput(f"id {wanted!r}", why=f"several begin so: {', '.join(ids[:5])}", fix="give more characters, or --run")
        if not found:
            return None
        first = found[0]
        if first.journal is None or first.id == first.journal.parent.name:
            return first
        return first._replace(kind=_kind(first.journal, first.id), others=tuple(o.journal.parent.name for o in found[1:] if o.journal))

    def _documents_from(self, prefix: str) -> Iterator[Found]:
        if set(prefix) - set("0123456789abcdef"):
            return
        for name in self._documents.models.list():
            if name.startswith(prefix):
                yield Found(NodeKind.MODEL, name, None)
        folder = self._documents.blobs.folder / prefix[:2]
        for path in sorted(folder.glob(f"{prefix}*")) if folder.is_dir() else ():
            if self._is_dataset(path.name):
                yield Found(NodeKind.DATASET, path.name, None)

    def _walked(self, wanted: str) -> Found | None:
        for path in self._journals:
            with _opened(path) as run:
                if run and (self._named or not run.indexed) and run.mentions(wanted, walk=True):
                    return Found(_kind(path, wanted), wanted, path)
        return None

    def _near(self, wanted: str) -> list[str]:
        for length in range(len(wanted) - 1, NEAR_CHARACTERS_MIN - 1, -1):
            near: dict[str, None] = {}
            for path in self._journals[:OTHERS_MAX]:
                if path.parent.name.startswith(wanted[:length]):
                    near[path.parent.name] = None
                with _opened(path) as run:
                    near.update(dict.fromkeys(run.begins(wanted[:length], NEAR_MAX) if run else ()))
            if near:
                return list(near)[:NEAR_MAX]
        return []

    def _is_dataset(self, sha256: str) -> bool:
        try:
            return self._documents.blobs.has(sha256) and bool(self._documents.dataset(sha256).parts)
        except KedgeError:
            return False


def journals(state: Path) -> list[Path]:
    """Journals of all runs, the one written last first."""
    found = [path for path in (state / "runs").glob(f"*/{JOURNAL_NAME}") if path.is_file()]
    return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.parent.name))


@contextmanager
def _opened(path: Path) -> Iterator[RunRecords | None]:
    """A run's records, or None where its journal cannot be opened: another run may hold what is wanted."""
    try:
        run = RunRecords(path)
    except KedgeError:
        yield None
        return
    with run:
        yield run


def _knows(path: Path, wanted: str) -> bool:
    with _opened(path) as run:
        return run is not None and run.knows(wanted)


def _kind(path: Path, wanted: str) -> NodeKind:
    """What an id that a journal mentions names there; of an order it may know no more than the venue's reports."""
    with RunRecords(path) as run:
        steps = run.steps(run.mentions(wanted, walk=True))
    if filled_of(steps, wanted):
        return NodeKind.FILL
    if predicted_of(steps, wanted):
        return NodeKind.PREDICTION
    return NodeKind.DECISION if decided_of(steps, wanted) else NodeKind.ORDER
