"""The table of endpoints in the documentation is the code's: path, functions, and our share of the venue's limit."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.rest_endpoints import TRADER_LIMITS, Endpoint

HEAD = "| endpoint | functions of `BybitRest` | ours / venue's |\n|---|---|---|\n"
BELOW = {"TIME": ("server_wall_ns",)}
"""Endpoints that a function reaches through the caller."""


def named() -> dict[str, Endpoint]:
    return {name: value for name, value in vars(ends).items() if isinstance(value, Endpoint)}


def users(name: str) -> list[str]:
    methods = inspect.getmembers(BybitRest, inspect.iscoroutinefunction)
    word = re.compile(rf"\bends\.{name}\b")
    return sorted(method for method, body in methods if not method.startswith("_") and word.search(inspect.getsource(body)))


def share(endpoint: Endpoint) -> str:
    rule = TRADER_LIMITS.get(endpoint.group)
    if rule is None:
        return "the address's"
    seconds = rule.window_ns // 10**9
    return f"{rule.own} / {rule.limit} per {'s' if seconds == 1 else 'min'}"


def table() -> str:
    lines = []
    for name, endpoint in named().items():
        functions = ", ".join(f"`{method}`" for method in BELOW.get(name, users(name)))
        lines.append(f"| `{endpoint.path.removeprefix('/v5/')}` | {functions} | {share(endpoint)} |\n")
    return HEAD + "".join(lines)


def test_every_endpoint_has_a_function() -> None:
    assert [name for name in named() if not (BELOW.get(name) or users(name))] == []


def test_the_documented_table_is_what_the_code_does(repository: Path) -> None:
    page = (repository / "docs" / "bybit-client.md").read_text(encoding="utf-8")
    start = page.index(HEAD)
    assert page[start:].startswith(table())
