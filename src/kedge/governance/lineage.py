"""Lineage as plain data: what a fill, an order, a decision, a prediction or a model comes from, and what came of it.

A `Trace` is a small graph: nodes with words for people, links that point from what happened to what it comes from. It is what
`kedge audit trace --json` prints and what the API serves. Rules: nothing is guessed; what should be there and is not stands in `missing`;
numbers are decimal text in the instrument's own units, times are venue time in UTC nanoseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

TRACE_SCHEMA: Final = "kedge/trace/v1"


class NodeKind(StrEnum):
    """Kinds of nodes, in the order of the chain from a fill down to the raw files; a run stands beside it."""

    FILL = "fill"
    ORDER = "order"
    RISK = "risk"
    STOP = "stop"
    DECISION = "decision"
    PREDICTION = "prediction"
    FEATURES = "features"
    MODEL = "model"
    TRAINING = "training"
    COMMIT = "commit"
    FEATURE_SET = "feature_set"
    DATASET = "dataset"
    RAW_FILE = "raw_file"
    RUN = "run"


class Relation(StrEnum):
    """What a link says of its source, read as `source <relation> target`."""

    FILLED = "filled"
    APPROVED_BY = "approved by"
    REFUSED_BY = "refused by"
    CLOSED_BY = "closed by"
    GUARDS = "guards the position of"
    ENDS = "ends the position of"
    CARRIES_OUT = "carries out"
    FOLLOWS_FROM = "follows from"
    COMPUTED_FROM = "computed from"
    COMPUTED_BY = "computed by"
    MADE_BY = "made by"
    RAN_CODE = "ran code"
    READS = "reads"
    TRAINED_ON = "trained on"
    FROZEN_FROM = "frozen from"
    RECORDED_IN = "recorded in"
    TRADES_BY = "trades by"
    PRICED_BY = "priced by"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a node, such as an order's acceptance.

    Attributes
    ----------
    what : str
        Its kind. Of an order: 'sent', 'refused', 'accepted', 'waits', 'triggered', 'filled', 'amend sent', 'amended', 'amend refused',
        'cancel sent', 'canceled', 'rejected', 'unanswered', 'answer lost', 'absent'. Of a stop: 'wanted', 'shown', 'taken away',
        'unconfirmed'.
    text : str
        The same in words, with figures.
    seq : int
        Number of the journal record that holds it.
    """

    at_ts_ns: int
    what: str
    text: str
    seq: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record stands in the journal's chain, to be checked with `sha256sum` and the public key.

    Attributes
    ----------
    row, row_hash : int, str
        The row and its chain hash (hex): SHA-256 over the previous row's hash, a line feed, and the row's bytes.
    head_row, head_signature, key_id : int or None, str, str
        The signed head that seals the row's group; None and empty while the group is still open.
    """

    row: int
    row_hash: str
    head_row: int | None = None
    head_signature: str = ""
    key_id: str = ""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain.

    Attributes
    ----------
    key : str
        `<kind>:<id>`, unique in a trace; links name nodes by it.
    kind, id : NodeKind, str
        An id is the record's own (fill, order, decision, prediction, run), of a stop its instrument and the record that wants it, or a
        SHA-256 (hex) of content.
    title : str
        One line for people.
    facts : dict of str to str
        What is known, label to text, in the order to be shown; unknown facts are left out.
    at_ts_ns : int or None
        When it happened, venue time; None for documents.
    seq : int or None
        Number of the journal record that holds it.
    history : tuple of Moment
        Its life, oldest first; orders and stops have one.
    proof : Proof or None
        For what a journal row holds.
    """

    key: str
    kind: NodeKind
    id: str
    title: str
    facts: dict[str, str] = {}
    at_ts_ns: int | None = None
    seq: int | None = None
    history: tuple[Moment, ...] = ()
    proof: Proof | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """`source` (a node's key) `relation` `target`: sources are nearer to the fill, targets nearer to the raw files."""

    source: str
    target: str
    relation: Relation


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the chain that should be there and is not, or is not what its hash says."""

    kind: NodeKind
    id: str
    why: str


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing computed again and compared.

    Attributes
    ----------
    step : str
        'features', 'score', 'probability', 'decision' (every output of the step).
    source : str
        What it was computed from: 'stored features' or 'recorded bars'.
    recorded, computed : str
        Both sides, hex of the bytes for floats; `computed` is empty where it could not be computed, and `detail` says why.
    """

    prediction_id: str
    step: str
    source: str
    equal: bool
    recorded: str
    computed: str
    detail: str = ""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A chain taken apart.

    Attributes
    ----------
    root : str
        Key of the node that was asked for.
    complete : bool
        Nothing is missing, and all that was recomputed is equal.
    notes : tuple of str
        What is worth knowing and no defect, such as a rule strategy that has no prediction.
    recomputed : tuple of Recomputed
        Empty unless it was asked for.
    """

    root: str
    run_id: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    complete: bool
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    recomputed: tuple[Recomputed, ...] = ()
    schema: str = TRACE_SCHEMA

    def node(self, key: str) -> Node | None:
        """The node of this key."""
        return next((node for node in self.nodes if node.key == key), None)

    def of_kind(self, kind: NodeKind) -> tuple[Node, ...]:
        """All nodes of a kind, in order."""
        return tuple(node for node in self.nodes if node.kind is kind)

    def with_recomputed(self, steps: tuple[Recomputed, ...]) -> Trace:
        """The same trace with the result of a recomputation."""
        whole = not self.missing and all(step.equal for step in steps)
        return msgspec.structs.replace(self, recomputed=steps, complete=whole)


def key_of(kind: NodeKind, node_id: str) -> str:
    """A node's key."""
    return f"{kind}:{node_id}"


class TraceBuilder:
    """Collects nodes, links and gaps; a node or link that is there already is kept as it is."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._links: dict[Link, None] = {}
        self._missing: dict[Missing, None] = {}
        self._notes: dict[str, None] = {}

    def add(self, node: Node, source: str = "", relation: Relation | None = None) -> str:
        """Take a node, and the link that leads to it from `source`; returns its key."""
        self._nodes.setdefault(node.key, node)
        if source and relation is not None:
            self.link(source, node.key, relation)
        return node.key

    def link(self, source: str, target: str, relation: Relation) -> None:
        """Take a link between two nodes."""
        self._links.setdefault(Link(source=source, target=target, relation=relation))

    def miss(self, kind: NodeKind, node_id: str, why: str) -> None:
        """Name a piece that should be there."""
        self._missing.setdefault(Missing(kind=kind, id=node_id, why=why))

    def note(self, text: str) -> None:
        """Say what is worth knowing."""
        self._notes.setdefault(text)

    def has(self, key: str) -> bool:
        """Whether the node is there."""
        return key in self._nodes

    def build(self, root: str, run_id: str) -> Trace:
        """The trace so far."""
        return Trace(
            root=root,
            run_id=run_id,
            nodes=tuple(self._nodes.values()),
            links=tuple(self._links),
            complete=not self._missing,
            missing=tuple(self._missing),
            notes=tuple(self._notes),
        )
