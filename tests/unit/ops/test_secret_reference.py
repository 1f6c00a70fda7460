from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import InvalidConfig, NotFound
from kedge.ops.secret_reference import check_reference, read_secret


@pytest.mark.parametrize("text", ["env:A", "file:/x"])
def test_references_pass(text: str) -> None:
    assert check_reference(text, field="secrets.a") == text


@pytest.mark.parametrize("text", ["canary", "env:", "", "keyring:canary", 5, None])
def test_anything_else_is_refused_unseen(text: object) -> None:
    with pytest.raises(InvalidConfig, match=r"secrets\.a is a literal \(not shown\)") as caught:
        check_reference(text, field="secrets.a")
    assert "canary" not in str(caught.value)


def test_values_are_read_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary\n")
    assert read_secret(f"file:{tmp_path}/key", {}, field="a") == "canary"
    assert read_secret("env:KEY", {"KEY": "canary"}, field="a") == "canary"


def test_a_missing_value_is_named_and_others_unseen(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for reference in ("env:KEY", f"file:{tmp_path}/none", f"file:{tmp_path}/binary"):
        with pytest.raises(NotFound, match=reference):
            read_secret(reference, {"KEY": ""}, field="a")
