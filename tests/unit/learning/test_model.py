"""The model document: its bytes are its name, and what is not it is refused."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from tests.unit.learning.model_builder import linear, model

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.learning.model import Calibration, decode_model, encode_model, model_sha256


def test_a_document_reads_back_as_itself_to_the_last_bit_of_its_floats() -> None:
    one = model(2, logistic=linear(0.1, math.nextafter(0.3, 1.0), intercept=-5e-324), barrier_frac=1 / 3)
    data = encode_model(one)
    assert decode_model(data, sha256=model_sha256(one)) == one
    assert encode_model(decode_model(data, sha256=digest(data))) == data


def test_every_field_changes_the_name() -> None:
    base = model_sha256(model())
    for changes in ({"seed": 2}, {"barrier_frac": math.nextafter(0.01, 1.0)}, {"calibration": Calibration(method="platt")}, {"name": "b"}):
        assert model_sha256(model(**changes)) != base


def test_one_altered_byte_is_refused() -> None:
    data = encode_model(model())
    for at in (0, len(data) // 2, len(data) - 1):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(IntegrityError, match="other bytes than its name says"):
            decode_model(altered, sha256=digest(data))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "kedge/model/v9"}, "'kedge/model/v9'"),
        ({"logistic": linear(1.0)}, "is of format"),
        ({"trees": None}, "is of format"),
    ],
)
def test_a_document_of_another_format_or_with_both_or_no_scorers_is_refused(changes: dict[str, Any], told: str) -> None:
    data = encode_model(msgspec.structs.replace(model(), **changes))
    with pytest.raises(IntegrityError, match=told):
        decode_model(data, sha256=digest(data))


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"name":1}', b"\xff", b'{"name":"\xff"}'])
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="model "):
        decode_model(data, sha256=digest(data))


@pytest.mark.parametrize(
    "changes", [{"barrier_frac": math.nan}, {"domain_high": (math.inf,)}, {"logistic": linear(-math.inf), "trees": None}]
)
def test_a_number_that_is_not_finite_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="not finite"):
        encode_model(model(**changes))
