"""The API's documents of what lies beside the runs: models, lineage, search."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kedge.api.schemas_base import Count, DecimalText, Document, Seq, Sha256, Time


class ModelRow(Document):
    """A model in the store. What is not known of one that cannot be loaded is null."""

    sha256: Sha256
    name: str | None
    version: str | None
    aliases: list[str]
    kind: Literal["trees", "logistic"] | None
    interval_s: float | None
    feature_set: str | None
    features: Count | None
    dataset_sha256: str | None
    problem: str | None = Field(description="Why it cannot be loaded; null when its bytes are those that its name says.")


class ModelList(Document):
    """Every model in the store, by name and version."""

    items: list[ModelRow]


class PolicyText(Document):
    """Probabilities from which a model is long or short, and at which it leaves."""

    long_above: DecimalText
    short_below: DecimalText
    exit_at: DecimalText


class ModelDetail(Document):
    """One model with what is known of its making. `training` is its record as written, null where it is missing."""

    model: ModelRow
    policy: PolicyText
    label: dict[str, str]
    calibration: str
    barrier: DecimalText
    feature_names: list[str]
    seed: int
    settings_sha256: str
    feature_set_sha256: str
    training: dict[str, Any] | None
    registered: dict[str, Any] | None


class TraceMoment(Document):
    """One thing that happened to a node."""

    at: Time
    what: str
    text: str
    seq: Seq


class TraceProof(Document):
    """Where a record stands in the journal's signed chain."""

    row: int
    row_hash: str
    head_row: int | None
    head_signature: str
    key_id: str


class TraceNode(Document):
    """One link of the chain; `facts` is label to text in the order to be shown."""

    key: str = Field(examples=["fill:f-17"])
    kind: str = Field(
        description="fill, order, risk, stop, decision, prediction, features, model, training, commit, feature_set, dataset, raw_file, run"
    )
    id: str
    title: str
    facts: dict[str, str]
    at: Time | None
    seq: int | None
    history: list[TraceMoment]
    proof: TraceProof | None


class TraceLink(Document):
    """`source relation target`: sources are nearer to the fill, targets nearer to the raw files."""

    source: str
    target: str
    relation: str


class TraceMissing(Document):
    """A piece of the chain that should be there and is not, or is not what its hash says."""

    kind: str
    id: str
    why: str


class TraceRecomputed(Document):
    """One thing computed again and compared, bit by bit."""

    prediction_id: str
    step: str
    source: str
    equal: bool
    recorded: str
    computed: str
    detail: str


class TraceDocument(Document):
    """A chain taken apart; the same as `kedge audit trace ID --json`, with RFC 3339 times."""

    schema_: str = Field(alias="schema", examples=["kedge/trace/v1"])
    root: str
    run_id: str
    complete: bool
    nodes: list[TraceNode]
    links: list[TraceLink]
    missing: list[TraceMissing]
    notes: list[str]
    recomputed: list[TraceRecomputed]


class Found(Document):
    """One id that fits a search."""

    kind: Literal["fill", "order", "decision", "prediction", "model", "run"]
    id: str
    run_id: str | None
    title: str
    at: Time | None


class SearchResult(Document):
    """What fits, at most 20 of each kind."""

    query: str
    items: list[Found]
