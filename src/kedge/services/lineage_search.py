"""Finds what an id names: a fill, order, decision or prediction in one of the runs, a run, a model or a data set.

Rules: an exact id before any prefix, the newest run before older ones, and never a silent choice: the same id in other runs is said, and
so are runs that cannot be read. Journals without an index are walked last. A prefix has at least 8 characters and must be unique. What was
typed is compared, never made part of a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os.path import commonprefix
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from kedge.domain.errors import InvalidInput, KedgeError, NotFound
from kedge.governance.lineage import NodeKind
from kedge.governance.lineage_find import decided_of, filled_of, predicted_of
from kedge.ops.state_folder import JOURNAL_NAME, journal_path
from kedge.services.lineage_documents import Documents, told
from kedge.services.lineage_journal import INSTRUMENT, RunRecords

PREFIX_MIN: Final = 8
ID_BYTES_MAX: Final = 512
"""No id is longer: a run's name is a folder's, and a venue's ids have some dozens of characters."""
OTHERS_MAX: Final = 100
"""Other runs that are asked whether they hold the same id."""
NEAR_MAX: Final = 3
NEAR_CHARACTERS_MIN: Final = 3
_SHA256_DIGITS: Final = 64
_ANY: Final = "name a fill, client order, decision, prediction or run id, or the SHA-256 of a model or data set"

T = TypeVar("T")


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

    Attributes
    ----------
    unreadable : dict of str to str
        Runs that could not be asked, by name, and why; of a run that was named that is an error instead.
    """

    def __init__(self, state: Path, documents: Documents, run: str = "") -> None:
        self._documents = documents
        self._journals = [journal_path(state, run)] if run else journals(state)
        self._named = bool(run)
        self.unreadable: dict[str, str] = {}

    def find(self, wanted: str) -> Found:
        """What `wanted` names.

        Raises
        ------
        NotFound
            Nothing; names near ids.
        InvalidInput
            Several ids begin so.
        """
        _refuse_no_id(wanted)
        found = self._document(wanted) or self._run(wanted) or self._recorded(wanted) or self._by_prefix(wanted) or self._walked(wanted)
        if found is None:
            near = self._near(wanted)
            why = f"near ones are {', '.join(near)}" if near else f"none of {len(self._journals)} runs, no model and no data set has it"
            for run, problem in self.unreadable.items():
                why += f"; run {run} cannot be read: {problem}"
            raise NotFound(f"id {wanted!r}", why=why, fix=_ANY)
        return found

    def _document(self, wanted: str) -> Found | None:
        if len(wanted) != _SHA256_DIGITS or set(wanted) - set("0123456789abcdef"):
            return None
        if (self._documents.models.folder / wanted).is_dir():
            return Found(NodeKind.MODEL, wanted, None)
        return Found(NodeKind.DATASET, wanted, None) if self._is_dataset(wanted) else None

    def _run(self, wanted: str) -> Found | None:
        return next((Found(NodeKind.RUN, wanted, path) for path in self._journals if path.parent.name == wanted), None)

    def _recorded(self, wanted: str) -> Found | None:
        holding = [path for path in self._likely(wanted) if self._asked(path, lambda run: run.knows(wanted))]
        if not holding:
            return None
        return Found(_kind(holding[0], wanted), wanted, holding[0], tuple(path.parent.name for path in holding[1:]))

    def _likely(self, wanted: str) -> list[Path]:
        """The run that a decision or prediction id begins with, where there is one; else the runs, newest first."""
        own = [path for path in self._journals if path.parent.name == wanted.rpartition(".")[0]]
        return own or self._journals[:OTHERS_MAX]

    def _by_prefix(self, wanted: str) -> Found | None:
        if len(wanted) < PREFIX_MIN:
            return None
        runs = [path for path in self._journals if path.parent.name.startswith(wanted)]
        if len(runs) == 1:
            return Found(NodeKind.RUN, runs[0].parent.name, runs[0])
        found = [*(Found(NodeKind.RUN, path.parent.name, path) for path in runs), *self._documents_from(wanted)]
        for path in [] if runs else self._journals[:OTHERS_MAX]:
            begun = self._asked(path, lambda run: run.begins(wanted, 2)) or []
            found += [Found(NodeKind.RUN, one, path) for one in begun]
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
        def holds(run: RunRecords) -> bool:
            return (self._named or not run.indexed) and any(kind != INSTRUMENT for kind, _ in run.mentions(wanted, walk=True))

        for path in self._journals:
            if self._asked(path, holds):
                return Found(_kind(path, wanted), wanted, path)
        return None

    def _near(self, wanted: str) -> list[str]:
        """Ids that share the most leading characters with an unknown one: its neighbours in the order of the index."""
        names = dict.fromkeys(path.parent.name for path in self._journals)
        for path in self._journals[:OTHERS_MAX]:
            names.update(dict.fromkeys(self._asked(path, lambda run: run.around(wanted)) or []))
        shared = {name: len(commonprefix((name, wanted))) for name in names}
        most = max(shared.values(), default=0)
        return [name for name in names if shared[name] == most][:NEAR_MAX] if most >= NEAR_CHARACTERS_MIN else []

    def _is_dataset(self, sha256: str) -> bool:
        try:
            return self._documents.blobs.has(sha256) and bool(self._documents.dataset(sha256).parts)
        except KedgeError:
            return False

    def _asked(self, path: Path, ask: Callable[[RunRecords], T]) -> T | None:
        """What a run answers; one that cannot be read is remembered, since another may hold what is wanted."""
        try:
            with RunRecords(path) as run:
                return ask(run)
        except KedgeError as error:
            if self._named:
                raise
            self.unreadable[path.parent.name] = told(error)
            return None


def journals(state: Path) -> list[Path]:
    """Journals of all runs, the one written last first; a file that its writer has only just created, still empty, is none yet."""
    stats = [(path, path.stat()) for path in (state / "runs").glob(f"*/{JOURNAL_NAME}") if path.is_file()]
    found = [(-stat.st_mtime_ns, path.parent.name, path) for path, stat in stats if stat.st_size]
    return [path for _, _, path in sorted(found)]


def _refuse_no_id(wanted: str) -> None:
    if not wanted.strip():
        raise NotFound("an empty id", why="it names nothing", fix=_ANY)
    try:
        size = len(wanted.encode())
    except UnicodeEncodeError:
        raise NotFound(f"id {ascii(wanted[:40])}", why="it is no text, and every id is", fix=_ANY) from None
    if size > ID_BYTES_MAX:
        raise NotFound(f"id {wanted[:40]!r}... of {size} bytes", why=f"no id is longer than {ID_BYTES_MAX}", fix=_ANY)


def _kind(path: Path, wanted: str) -> NodeKind:
    """What an id that a journal mentions names there; of an order it may know no more than the venue's reports."""
    with RunRecords(path) as run:
        steps = run.steps(run.mentions(wanted, walk=True))
    if filled_of(steps, wanted):
        return NodeKind.FILL
    if predicted_of(steps, wanted):
        return NodeKind.PREDICTION
    return NodeKind.DECISION if decided_of(steps, wanted) else NodeKind.ORDER
