"""The page about faults, held to the exchange: every kind and its fields stand there, and every example is taken by a running one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
from tests.unit.venues.exchange.played_market import run
from tests.unit.venues.exchange.test_faults import Bench

from kedge.simulation.faults import DEFAULT_MS, FIELDS, RULES
from kedge.venues.exchange.faults_http import FAULTS_PATH


def page(repository: Path) -> str:
    text = (repository / "docs/exchange.md").read_text(encoding="utf-8")
    return text[text.index("## Faults") :].split("\n## ", 1)[0]


def examples(repository: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in page(repository).splitlines() if line.startswith("{")]


def test_every_kind_is_documented_with_its_words_and_fields_and_has_an_example(repository: Path) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.* \| .*) \|$", page(repository), re.MULTILINE))
    assert rows == {kind: f"{rule.words} | {', '.join(f'`{name}`' for name in rule.fields)}" for kind, rule in RULES.items()}
    assert [one["fault"] for one in examples(repository)] == list(RULES)


def test_every_field_and_usual_time_is_documented(repository: Path) -> None:
    fields = page(repository).split("| fault | what happens")[0]
    assert {name for name in FIELDS if f"`{name}`" in fields} == set(FIELDS)
    (times,) = [line for line in fields.splitlines() if line.startswith("| `ms`")]
    for kind, usual_ms in DEFAULT_MS.items():
        assert f"`{kind}`" in times
        assert str(usual_ms) in times


def test_every_example_is_taken_by_a_running_exchange(repository: Path) -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            for example in examples(repository):
                async with session.post(FAULTS_PATH, json=example) as answer:
                    assert answer.status == 200, (example, await answer.text())
                    told = await answer.json()
                kind = example["fault"]
                armed = [one["fault"] for one in (*told["armed"], *told["scheduled"])]
                assert kind in (*armed, *told["lasting_ms"], *told["done"]), example
                async with session.delete(FAULTS_PATH) as answer:
                    cleared = await answer.json()
                assert (cleared["armed"], cleared["scheduled"], cleared["lasting_ms"]) == ([], [], {})

    run(main())


def test_a_refusal_names_field_value_and_remedy(repository: Path) -> None:
    async def main() -> None:
        async with Bench().serving() as session:
            assert await _refusal(session, '{"fault":"reject","count":0}') == {
                "error": "no such fault: count is 0",
                "why": "Expected int >= 1",
                "fix": "give expected int >= 1",
            }
            assert "fault is 'earthquake'" in (await _refusal(session, '{"fault":"earthquake"}'))["error"]
            assert "such as" in (await _refusal(session, "{"))["fix"]

    run(main())


async def _refusal(session: aiohttp.ClientSession, body: str) -> dict[str, str]:
    async with session.post(FAULTS_PATH, data=body) as answer:
        assert answer.status == 400
        told: dict[str, str] = await answer.json()
        return told
