"""What a model document says of itself beside its learner, read without the compiled laws: for lists, cards and references."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kedge.domain.errors import IntegrityError

MODEL_FORMAT: Final = "kedge/model/v1"


class FeatureSetHead(msgspec.Struct, frozen=True, kw_only=True):
    """A feature set by name; each feature is plain data."""

    name: str
    version: int
    features: tuple[dict[str, Any], ...]


class ModelHead(msgspec.Struct, frozen=True, kw_only=True):
    """A model document's facts, as `learning.model.Model` has them; `label` and `policy` are plain data."""

    name: str
    feature_set: FeatureSetHead
    feature_set_sha256: str
    label: dict[str, float]
    policy: dict[str, float]
    interval_ns: int
    barrier_frac: float
    dataset_sha256: str
    settings_sha256: str
    seed: int
    format: str = ""


def decode_head(data: bytes, *, sha256: str) -> ModelHead:
    """The head of a document whose bytes were checked against its name.

    Raises
    ------
    IntegrityError
        It is no model of this format.
    """
    fix = "load it with the version that wrote it"
    try:
        head = msgspec.json.decode(data, type=ModelHead)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise IntegrityError(f"model {sha256[:16]}: {error}", why="another format", fix=fix) from None
    if head.format != MODEL_FORMAT:
        raise IntegrityError(f"model {sha256[:16]} is of format {head.format!r}", why=f"this version reads {MODEL_FORMAT}", fix=fix)
    return head
