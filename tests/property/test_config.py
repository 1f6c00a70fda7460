"""Configuration text of any kind is read or refused, never anything else."""

from __future__ import annotations

import contextlib

import yaml
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidConfig
from kedge.ops.config_file import parse_config

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
scalars = st.one_of(st.integers(-(10**17), 10**17), st.booleans(), st.none(), words)
trees = st.dictionaries(
    st.from_regex(r"[a-z]{1,6}", fullmatch=True),
    st.recursive(scalars, lambda inner: st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, max_size=3), max_leaves=6),
    max_size=4,
)


def flat(tree: dict[str, object], parent: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    found: dict[tuple[str, ...], object] = {}
    for name, value in tree.items():
        found |= flat(value, (*parent, name)) if isinstance(value, dict) else {(*parent, name): value}
    return found


@given(st.text(alphabet=st.sampled_from(list("ab: -[]{}'\"\n\t&*#|>!%@`,?$~.0123456789")), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidConfig):
        parse_config(text, name="k.yaml", environ={})


@given(trees)
def test_what_yaml_writes_is_read_back(tree: dict[str, object]) -> None:
    if "$" in str(tree):
        return
    text = yaml.safe_dump(tree, allow_unicode=True)
    found = {path: value.value for path, value in parse_config(text, name="k.yaml", environ={}).items()}
    assert found == flat(tree)
