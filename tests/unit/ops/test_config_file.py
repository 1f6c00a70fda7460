from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import InvalidConfig, NotFound
from kedge.ops.config_file import parse_config, read_config_file


def parse(text: str, **environ: str) -> dict[str, object]:
    return {".".join(path): value.value for path, value in parse_config(text, name="k.yaml", environ=environ).items()}


def test_only_plain_words_and_integers_are_more_than_text() -> None:
    text = "a: 0.15\nb: no\nc: 12:30\nd: 2024-01-01\ne: 7\nf: true\ng: null\nh: '7'\ni: 1e3\nj: 0x10\nk: ~\nl:\nm: .nan\n"
    assert parse(text) == {
        "a": "0.15",
        "b": "no",
        "c": "12:30",
        "d": "2024-01-01",
        "e": 7,
        "f": True,
        "g": None,
        "h": "7",
        "i": "1e3",
        "j": "0x10",
        "k": None,
        "l": None,
        "m": ".nan",
    }


def test_every_value_knows_its_line() -> None:
    found = parse_config("# note\nlimits:\n\n  a: 1\n  b: [x, 2]\n", name="k.yaml", environ={})
    assert {".".join(path): value.origin for path, value in found.items()} == {"limits.a": "k.yaml:4", "limits.b": "k.yaml:5"}
    assert found[("limits", "b")].value == ["x", 2]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "null\n", "---\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert parse(text) == {}


def test_references_are_taken_from_the_environment() -> None:
    assert parse("a: ${X}\nb: '${X}'\nc: ${Y:-z}/x\nd: ${Y:-}\n", X="5") == {"a": 5, "b": "5", "c": "z/x", "d": None}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: ${X}", "k.yaml:1: a needs the variable X"),
        ("a: ${1x}", "not a variable's name"),
        ("a: 1\nb: 2\na: 3", "k.yaml:3 gives a again"),
        ("a:\n  b: 1\n  b: 2", "k.yaml:3 gives a.b again"),
        ("a: [1", "not YAML"),
        ("a: 'x", "not YAML"),
        ("\ta: 1", "k.yaml:1 is not YAML"),
        ("- a\n- b", "not a mapping"),
        ("word", "not a mapping"),
        ("a: [[1]]", "nested"),
        ("a: [{b: 1}]", "nested"),
        ("a: &x {b: *x}", "nested too deeply"),
        ("a: *missing", "not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, word: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse(text)
    assert word in str(caught.value)
    assert caught.value.fix


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(NotFound, match="cannot be read"):
            read_config_file(path, {})
