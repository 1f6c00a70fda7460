"""Questions to a replica: pages without loss or repeat, filters that mean what they say, everything after a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import money_e8
from kedge.services import replica_read
from kedge.services.replica import Replica
from kedge.services.replica_read import TABLES, Reading, Wanted, read_cursor, write_cursor
from kedge.services.replica_text import read_time

from ...builders import AAA, BBB, MINUTE, T0, bar, sent
from .replica_runs import Live, closed, model_run, opened, read_all


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("read")
    model_run(folder / "j.sqlite", bars=120)
    one = read_all(opened(folder / "j.sqlite", folder / "r.sqlite"))
    yield one
    closed(one)


def plain(rows: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(row) for row in rows]


def all_of(reading: Reading, what: str, **more: Any) -> list[dict[str, Any]]:
    return plain(reading.page(what, Wanted(limit=100_000, **more)).rows)


@pytest.mark.parametrize("what", TABLES)
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_give_every_row_once_newest_first(replica: Replica, what: str, limit: int) -> None:
    reading, cursor, found = Reading(replica), None, []
    while True:
        page = reading.page(what, Wanted(limit=limit, cursor=cursor))
        assert len(page.rows) <= limit
        found += plain(page.rows)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == all_of(reading, what)
    assert len(found) == replica.store.one(f"SELECT count(*) FROM {'bars' if what == 'candles' else what}")[0] > 5
    assert [row["seq"] for row in found] == sorted((row["seq"] for row in found), reverse=True)


@pytest.mark.parametrize("what", ["fills", "decisions", "predictions", "candles"])
@pytest.mark.parametrize(("first", "last"), [(0, 50), (20, 21), (33, 90), (119, 200), (50, 50), (-5, 0)])
def test_times_are_inclusive_below_and_exclusive_above(replica: Replica, what: str, first: int, last: int) -> None:
    reading = Reading(replica)
    since, until = T0 + first * MINUTE, T0 + last * MINUTE
    field = "close_at" if what == "candles" else "at"
    wanted = [row for row in all_of(reading, what) if since <= read_time(row[field], field="at") < until]
    assert all_of(reading, what, since_ns=since, until_ns=until) == wanted


def test_filters_choose_by_what_a_row_says(replica: Replica) -> None:
    reading = Reading(replica)
    fills = all_of(reading, "fills")
    for instrument in (AAA, BBB):
        for side in ("buy", "sell"):
            wanted = [row for row in fills if (row["instrument"], row["side"]) == (instrument, side)]
            assert all_of(reading, "fills", equal={"instrument": instrument, "side": side}) == wanted
    decisions = all_of(reading, "decisions")
    for flag in (True, False):
        assert all_of(reading, "decisions", flags={"vetoed": flag}) == [row for row in decisions if row["vetoed"] is flag]
    codes = {row["code"] for row in decisions}
    assert len(codes) > 1
    for code in codes:
        assert all_of(reading, "decisions", equal={"code": code}) == [row for row in decisions if row["code"] == code]


@pytest.mark.parametrize("what", TABLES)
def test_what_came_after_a_record_comes_oldest_first(replica: Replica, what: str) -> None:
    reading = Reading(replica)
    place = "updated_seq" if what == "orders" else "seq"
    for seq in (-1, 0, 40, 150, replica.seq):
        rows = reading.after(what, seq, 100_000)
        assert rows is not None
        found = plain(rows)
        assert sorted(map(str, found)) == sorted(str(row) for row in all_of(reading, what) if row[place] > seq)
        assert [row[place] for row in found] == sorted(row[place] for row in found)
    assert reading.after(what, -1, 3) is None


def test_rows_are_the_same_however_often_they_are_asked_for_and_few_are_kept(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_read, "WRITTEN_MAX", 7)
    reading = Reading(replica)
    for what in ("candles", "predictions"):
        first = reading.page(what, Wanted(limit=10)).rows
        assert reading.page(what, Wanted(limit=10)).rows == first
        assert reading.page(what, Wanted(limit=3)).rows == first[:3]
        assert reading.page(what, Wanted(limit=1000)).rows[:10] == first


def test_single_rows_are_found_by_their_id(replica: Replica) -> None:
    reading = Reading(replica)
    fill = all_of(reading, "fills")[3]
    order = all_of(reading, "orders")[3]
    assert json.loads(reading.fill(fill["fill_id"]) or b"") == fill
    assert json.loads(reading.order(order["client_order_id"]) or b"") == order
    assert reading.fill("none") is None
    assert reading.order("none") is None
    last = reading.last_prediction()
    assert last is not None
    assert json.loads(last) == all_of(reading, "predictions")[0]
    close = reading.last_close(AAA)
    assert close is not None
    assert close[0] == all_of(reading, "candles", equal={"instrument": AAA})[0]["close"]
    assert reading.last_close("none") is None


def test_every_open_order_is_among_the_newest(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.wish.say(0.1)
        (first,) = sent(live.step(bar(1)))
        live.wish.say(0.1, BBB)
        (second,) = sent(live.step(bar(2, instrument_id=BBB)))
        one = read_all(opened(live.path, tmp_path / "r.sqlite"))
        ids = [row["client_order_id"] for row in plain(Reading(one).newest("orders", 1))]
        assert ids == [second.client_order_id, first.client_order_id]
        assert Reading(one).last_prediction() is None
        closed(one)


def test_ids_are_found_by_how_they_begin(replica: Replica) -> None:
    reading = Reading(replica)
    order = all_of(reading, "orders")[0]["client_order_id"]
    assert ("order", order) in [found[:2] for found in reading.search(order[:8], 20)]
    run = replica.started.run_id
    kinds = {found[0] for found in reading.search(run, 20)}
    assert kinds == {"decision", "prediction"}
    assert len(reading.search(run, 3)) == 6
    assert ("fill", "f12") in [found[:2] for found in reading.search("f12", 20)]
    assert all(found[3].endswith("Z") for found in reading.search("f1", 20) + reading.search(order[:8], 20))
    assert reading.search("%", 20) == []


def test_the_curve_ends_at_the_equity_of_the_last_bar_at_every_resolution(replica: Replica) -> None:
    reading = Reading(replica)
    for points in (10, 30, 120, 5000):
        resolution_s, items = reading.equity(points, None, None)
        assert len(items) <= points
        assert resolution_s >= 60
        assert items == sorted(items, key=lambda item: item["at"])
        assert items[-1]["equity"] == reading.equity(5000, None, None)[1][-1]["equity"]
        assert all(money_e8(item["low"]) <= money_e8(item["equity"]) <= money_e8(item["high"]) for item in items)
    whole = reading.equity(5000, None, None)[1]
    assert len(whole) == 120
    part = reading.equity(5000, T0 + 30 * MINUTE, T0 + 60 * MINUTE)[1]
    assert part == [item for item in whole if T0 + 30 * MINUTE <= read_time(item["at"], field="at") < T0 + 60 * MINUTE]


FOREIGN = ["", "x", "bnVsbA", write_cursor(["1"]), write_cursor([1, 2]), write_cursor([-1]), write_cursor([2**63]), "\u00e9"]


@pytest.mark.parametrize("cursor", FOREIGN)
def test_a_cursor_of_another_list_is_refused(replica: Replica, cursor: str) -> None:
    assert read_cursor(write_cursor([7]), [int]) == [7]
    with pytest.raises(InvalidInput, match="cursor"):
        Reading(replica).page("fills", Wanted(limit=10, cursor=cursor))
