"""The head of a model document: the document's own facts, read without its learner."""

from __future__ import annotations

import msgspec
import pytest

from kedge.domain.errors import IntegrityError
from kedge.learning.model import encode_model, model_sha256
from kedge.learning.model_head import decode_head

from ..storage.models import a_model

MODEL = a_model()
DATA = encode_model(MODEL)


def test_a_head_says_what_the_document_says() -> None:
    head = decode_head(DATA, sha256=model_sha256(MODEL))
    plain = msgspec.to_builtins(MODEL)
    for name in head.__struct_fields__:
        assert msgspec.to_builtins(getattr(head, name)) == plain[name], name


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "truncated"), (b"{}", "missing required field"), (DATA.replace(b"kedge/model/v1", b"kedge/model/v9"), "is of format")],
)
def test_what_is_no_model_of_this_format_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        decode_head(data, sha256="a" * 64)
