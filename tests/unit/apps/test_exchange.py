"""`kedge exchange serve`: says where it answers, serves, stops cleanly, and refuses what cannot be with the remedy."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import stat
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.builders import walk
from tests.unit.apps.market_files import Answer, bars_file, funding_file, kedge, refused
from tests.unit.services.drills.crashes import crash, instruments
from tests.unit.venues.exchange.test_server import BTC, make_server

from kedge.apps import exit_codes
from kedge.apps.exchange_build import Options, build_server
from kedge.apps.exchange_file import Running, count_start, exchange_lock, read_running, remove_running, write_running
from kedge.apps.exchange_market import FUNDING_CAP_E8, Followed, Played, chosen_market, parse_span
from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.domain.events import BarClosed
from kedge.ops.config import Config, load_config
from kedge.ops.paper_keys import load_or_create_paper_keys, paper_key, paper_keys_file
from kedge.services.drills.crash import Timing, market_of
from kedge.services.drills.market_file import write_market
from kedge.services.market_span import Span


def ask(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def served(state: Path, *arguments: object, meanwhile: Callable[[str], None] = lambda url: None, number: int = signal.SIGTERM) -> Answer:
    """Serve in this process until `meanwhile(url)` has been called from another thread; then the process gets the signal."""
    failures: list[BaseException] = []
    over = threading.Event()

    def visit() -> None:
        try:
            deadline = time.monotonic() + 20
            while (running := read_running(state)) is None:
                if over.wait(0.01) or time.monotonic() > deadline:
                    return
            meanwhile(running.url)
        except BaseException as error:
            failures.append(error)
        finally:
            if not over.is_set():
                os.kill(os.getpid(), number)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        answer = kedge("exchange", "serve", "--state-dir", state, "--port", 0, *arguments)
    finally:
        over.set()
        visitor.join()
    if failures:
        raise failures[0]
    return answer


def test_it_says_where_it_answers_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    def meanwhile(url: str) -> None:
        told.update(ask(f"{url}/kedge/status"))
        told["time"] = ask(f"{url}/v5/market/time")["retCode"]
        told["file"] = json.loads((tmp_path / "exchange.json").read_bytes())

    answer = served(tmp_path, "--market", "synthetic", "--speed", 60, "--seed", 3, "--instrument", "btcusdt", "--json", meanwhile=meanwhile)
    assert answer.code == exit_codes.OK
    assert (told["speed"], told["source"], told["instruments"], told["time"]) == (60, "synthetic", ["BTCUSDT"], 0)
    assert told["alarms"] == []
    assert (answer.json["url"], answer.json["pid"], answer.json["schema"]) == (told["file"]["url"], os.getpid(), "kedge/exchange/v1")
    assert set(told["file"]) == {"pid", "url", "started", "schema"}
    assert not (tmp_path / "exchange.json").exists()
    lines = (tmp_path / "logs" / "exchange.jsonl").read_text().splitlines()
    assert "exchange answers at" in lines[0]
    assert "exchange stopped" in lines[-1]


def test_no_secret_is_printed_or_logged_and_the_keys_are_their_owner_s(tmp_path: Path) -> None:
    answer = served(tmp_path, "--market", "synthetic", "--speed", 60)
    secret = paper_key(tmp_path).api_secret
    logs = (tmp_path / "logs" / "exchange.jsonl").read_text()
    assert secret not in answer.out + answer.err + logs
    assert stat.S_IMODE((tmp_path / "paper" / "keys.json").stat().st_mode) == 0o600
    assert "Ctrl-C stops it" in answer.out


def test_ctrl_c_is_a_clean_stop_too(tmp_path: Path) -> None:
    assert served(tmp_path, "--market", "synthetic", number=signal.SIGINT).code == exit_codes.OK


def test_a_market_of_recorded_bars_plays_to_its_end_and_the_exchange_goes_on_serving(tmp_path: Path) -> None:
    file = bars_file(tmp_path, count=12)

    def meanwhile(url: str) -> None:
        while not (status := ask(f"{url}/kedge/status"))["ended"]:
            time.sleep(0.01)
        assert status["bars"] == 5
        assert ask(f"{url}/v5/market/tickers?category=linear&symbol=BTCUSDT")["result"]["list"]

    answer = served(
        tmp_path, "--market", f"replay:{file}", "--funding", funding_file(tmp_path), "--speed", "max", "--bars", 5, "--faults",
        "--wallet", 5_000, "--json", meanwhile=meanwhile,
    )  # fmt: skip
    assert answer.code == exit_codes.OK
    assert answer.json["source"] == "replay"


def test_live_prices_are_followed_from_another_exchange(tmp_path: Path) -> None:
    """The upstream has a thread and an event loop of its own, as another process would."""
    ports: queue.Queue[int] = queue.Queue()
    over = threading.Event()

    async def upstream() -> None:
        server = make_server(walk(4, 2_000, (BTC,)), speed=600)
        ports.put(await server.start("127.0.0.1", 0))
        while not over.is_set():
            await asyncio.sleep(0.01)
        await server.close()

    seen: list[dict[str, Any]] = []

    def meanwhile(url: str) -> None:
        while not (status := ask(f"{url}/kedge/status"))["playing"]:
            time.sleep(0.01)
        seen.append(status)

    thread = threading.Thread(target=lambda: asyncio.run(upstream()))
    thread.start()
    try:
        url = f"http://127.0.0.1:{ports.get(timeout=10)}"
        answer = served(tmp_path, "--market", f"live:{url}", "--instrument", "BTCUSDT", "--json", meanwhile=meanwhile)
    finally:
        over.set()
        thread.join()
    assert (answer.code, seen[0]["source"], seen[0]["speed"]) == (exit_codes.OK, "live", 1)


def test_a_port_in_use_is_a_conflict_that_names_port_and_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = kedge("exchange", "serve", "--state-dir", tmp_path, "--port", port, "--json")
    assert refused(answer) == (exit_codes.CONFLICT, "CONFLICT")
    assert f"port {port}" in answer.json["title"]
    assert "--port 0" in answer.json["fix"]
    assert not (tmp_path / "exchange.json").exists()


def test_a_key_with_a_permission_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    load_or_create_paper_keys(tmp_path)
    file = paper_keys_file(tmp_path)
    file.write_text(file.read_text(encoding="utf-8").replace("ContractTrade.Order", "ContractTrade.Everything"), encoding="utf-8")
    answer = kedge("exchange", "serve", "--state-dir", tmp_path, "--port", 0, "--json")
    assert refused(answer)[1] == "INVALID_CONFIG"
    assert "permission 'ContractTrade.Everything'" in answer.json["title"]
    assert "paper/keys.json" in answer.json["fix"]


def test_a_second_exchange_with_the_same_state_is_refused(tmp_path: Path) -> None:
    with exchange_lock(tmp_path):
        answer = kedge("exchange", "serve", "--state-dir", tmp_path, "--port", 0, "--json")
    assert refused(answer) == (exit_codes.CONFLICT, "CONFLICT")


def test_a_market_that_breaks_while_it_is_served_ends_the_process_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> Any:
        raise InvalidInput("the bars are broken", why="a test says so", fix="mend them")

    monkeypatch.setattr("kedge.venues.exchange.player.Player._reach", broken_async(broken))
    answer = kedge("exchange", "serve", "--state-dir", tmp_path, "--port", 0, "--market", "synthetic")
    assert answer.code == exit_codes.INVALID
    assert "the bars are broken" in answer.err
    assert not (tmp_path / "exchange.json").exists()


def broken_async(fail: Callable[[object], Any]) -> Callable[..., Any]:
    async def reach(self: object, ts_ns: int) -> None:
        fail(self)

    return reach


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "no TLS"),
        (["--host", "10.1.2.3"], "no TLS"),
        (["--port", "65536"], "ports are 0 to 65535"),
        (["--wait-for", "-1"], "counts clients"),
        (["--answer-delay", "1001"], "0 to 1000 ms"),
        (["--bars", "0"], "at least one bar"),
        (["--market", "live", "--speed", "2"], "speed of the wall"),
        (["--market", "live", "--wait-for", "1"], "wait for nobody"),
        (["--market", "live", "--bars", "5"], "no end"),
        (["--market", "live:ftp://x"], "http:// or https://"),
        (["--market", "live:http://[::1"], "http:// or https://"),
        (["--market", "live:http://127.0.0.1:99999"], "http:// or https://"),
        (["--market", "synthetic", "--funding", "x.csv"], "only recorded bars"),
        (["--market", "synthetic", "--instrument", "NOSUCH"], "records ship for"),
        (["--market", "synthetic", "--instrument", "BTCUSDT", "BTCUSDT"], "each once"),
        (["--market", "replay:x.csv", "--instrument", "BTCUSDT"], "what their files hold"),
        (["--speed", "0"], "demo.speed"),
    ],
)
def test_what_cannot_be_is_refused_with_why_and_fix(tmp_path: Path, arguments: Sequence[str], told: str) -> None:
    answer = kedge("exchange", "serve", "--state-dir", tmp_path, *arguments, "--json")
    assert refused(answer)[0] == exit_codes.INVALID
    assert told in json.dumps(answer.json)


def config(tmp_path: Path, **flags: Any) -> Config:
    return load_config(flags={"state_dir": str(tmp_path), **flags}, environ={}, folder=tmp_path)


def test_a_name_that_is_no_market_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--market is 'moon'"):
        chosen_market(config(tmp_path), "moon", bars=None, funding=(), symbols=("BTCUSDT",))


def test_a_synthetic_market_lists_the_newest_records_with_the_configured_fees(tmp_path: Path) -> None:
    chosen = chosen_market(
        config(tmp_path, **{"costs.taker_rate_frac": "0.001"}), "synthetic", bars=2, funding=(), symbols=("SOLUSDT", "BTCUSDT")
    )
    assert isinstance(chosen, Played)
    assert [spec.venue_symbol for spec in chosen.instruments] == ["BTCUSDT", "SOLUSDT"]
    assert {spec.taker_fee_e8 for spec in chosen.instruments} == {100_000}
    assert len([event for event in chosen.events if isinstance(event, BarClosed)]) == 4
    assert all(event.open_ts_ns >= chosen.start_ts_ns for event in chosen.events if isinstance(event, BarClosed))


def test_recorded_rates_beyond_the_usual_cap_raise_it(tmp_path: Path) -> None:
    files = [funding_file(tmp_path, rate="0.01")]
    chosen = chosen_market(config(tmp_path), f"replay:{bars_file(tmp_path)}", bars=None, funding=files, symbols=())
    assert isinstance(chosen, Played)
    assert chosen.funding_cap_e8 == 1_000_000
    plain = chosen_market(config(tmp_path), f"replay:{bars_file(tmp_path)}", bars=None, funding=(), symbols=())
    assert plain.funding_cap_e8 == FUNDING_CAP_E8


def test_several_recorded_files_play_together(tmp_path: Path) -> None:
    files = ",".join(str(bars_file(tmp_path, symbol, start=start)) for symbol, start in (("BTCUSDT", 40_000.0), ("ETHUSDT", 2_000.0)))
    chosen = chosen_market(config(tmp_path), f"replay:{files}", bars=3, funding=(), symbols=())
    assert isinstance(chosen, Played)
    assert [event.instrument for event in chosen.events if isinstance(event, BarClosed)] == [
        "bybit-linear:BTCUSDT",
        "bybit-linear:ETHUSDT",
    ] * 3


def test_a_file_across_a_change_of_tick_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    lines = ["ts,open,high,low,close,volume"]
    change_ms = 1_712_361_600_000  # 2024-04-06, when the tick of SOLUSDT changed
    lines += [f"{change_ms + n * 300_000},100.00,100.10,99.90,100.00,50" for n in range(-3, 3)]
    file = tmp_path / "bybit-linear-SOLUSDT-5m.csv"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(InvalidInput, match="tick or lot of bybit-linear:SOLUSDT change: .* from 2024-04-06") as told:
        chosen_market(config(tmp_path), f"replay:{file}", bars=None, funding=(), symbols=())
    assert "--from or --to" in told.value.fix


@pytest.mark.parametrize(
    ("market", "rest", "public"),
    [
        ("live", "https://api.bybit.com", "wss://stream.bybit.com/v5/public/linear"),
        ("live:http://127.0.0.1:8100", "http://127.0.0.1:8100", "ws://127.0.0.1:8100/v5/public/linear"),
        ("live:https://host.example/", "https://host.example", "wss://host.example/v5/public/linear"),
    ],
)
def test_live_prices_come_from_the_venue_or_from_the_named_upstream(tmp_path: Path, market: str, rest: str, public: str) -> None:
    chosen = chosen_market(config(tmp_path), market, bars=None, funding=(), symbols=("BTCUSDT",))
    assert isinstance(chosen, Followed)
    assert (chosen.rest_url, chosen.public_url, chosen.source) == (rest, public, "live")


def test_an_unknown_symbol_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="'btc'"):
        chosen_market(config(tmp_path), "synthetic", bars=None, funding=(), symbols=("btc",))


def test_what_a_killed_exchange_left_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    write_running(tmp_path, Running(os.getpid(), "http://127.0.0.1:1", "2026-01-01T00:00:00+00:00"))
    assert read_running(tmp_path) is None
    with exchange_lock(tmp_path):
        found = read_running(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()
        (tmp_path / "exchange.json").write_text("{")
        assert read_running(tmp_path) is None
    remove_running(tmp_path)
    remove_running(tmp_path)
    assert read_running(tmp_path) is None


def test_starts_are_counted_so_that_no_id_comes_twice(tmp_path: Path) -> None:
    assert [count_start(tmp_path) for _ in range(3)] == [0, 1, 2]
    (tmp_path / "paper" / "starts").write_text("garbage")
    assert count_start(tmp_path) == 0


# a part of a market ---------------------------------------------------------------------------------------------------


def hours(folder: Path, count: int = 12) -> Path:
    lines = ["ts,open,high,low,close,volume"]
    lines += [f"{1_704_067_200_000 + n * 3_600_000},{40_000 + n},{40_001 + n},{39_999 + n},{40_000 + n},50" for n in range(count)]
    file = folder / "bybit-linear-BTCUSDT-1h.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_replay_begins_and_ends_where_it_is_told_and_remembers_what_was_before(tmp_path: Path) -> None:
    span = parse_span("2024-01-01T04:00:00Z", "2024-01-01 09:00", 3)
    played = chosen_market(config(tmp_path), f"replay:{hours(tmp_path)}", bars=None, funding=(), symbols=(), span=span)
    assert isinstance(played, Played)
    opened = [event.open_ts_ns for event in played.events if isinstance(event, BarClosed)]
    assert [(at - 1_704_067_200 * 10**9) // (3_600 * 10**9) for at in opened] == [4, 5, 6, 7, 8]
    assert len(played.past) == 3
    assert played.start_ts_ns == opened[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("soon", None, 0), "--from is 'soon'"),
        ((None, "2024-13-01", 0), "--to is '2024-13-01'"),
        (("2024-01-02", "2024-01-01", 0), "nothing lies between them"),
        ((None, None, -1), "--history is -1"),
        ((None, None, 10_001), "--history is 10001"),
    ],
)
def test_a_span_that_cannot_be_is_refused(arguments: tuple[str | None, str | None, int], words: str) -> None:
    with pytest.raises(InvalidInput) as told:
        parse_span(*arguments)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("market", "span", "words"),
    [
        ("synthetic", Span(from_ts_ns=1), "--from or --to with --market synthetic"),
        ("live", Span(history_bars=5), "--history 5 with --market live"),
    ],
)
def test_a_market_without_a_recorded_past_refuses_a_span(tmp_path: Path, market: str, span: Span, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        chosen_market(config(tmp_path), market, bars=None, funding=(), symbols=("BTCUSDT",), span=span)


def test_the_past_is_answered_over_rest_and_was_never_played(tmp_path: Path) -> None:
    span = parse_span("2024-01-01T08:00:00Z", None, 5)
    funding = tmp_path / "funding-bybit-linear-BTCUSDT.csv"
    funding.write_text("ts,funding_rate,symbol\n1704096000000,0.0001,BTCUSDT\n")
    chosen = chosen_market(config(tmp_path), f"replay:{hours(tmp_path)}", bars=None, funding=(funding,), symbols=(), span=span)
    options = Options("127.0.0.1", 0, 1, 0, False, True, steps=4)
    server = build_server(config(tmp_path), chosen, options, load_or_create_paper_keys(tmp_path), None, 0)

    async def asked() -> tuple[Any, Any]:
        port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                query = {"category": "linear", "symbol": "BTCUSDT"}
                async with session.get("/v5/market/kline", params={**query, "interval": "60", "limit": "9"}) as answer:
                    klines = (await answer.json())["result"]["list"]
                async with session.get("/v5/market/funding/history", params=query) as answer:
                    return klines, (await answer.json())["result"]["list"]
        finally:
            await server.close()

    klines, rates = asyncio.run(asked())
    at = 1_704_067_200_000
    assert [(int(row[0]) - at) // 3_600_000 for row in klines] == [8, 7, 6, 5, 4, 3]
    assert [row[4] for row in klines[1:]] == ["40007.0", "40006.0", "40005.0", "40004.0", "40003.0"]
    assert [(row["fundingRateTimestamp"], row["fundingRate"]) for row in rates] == [("1704096000000", "0.0001")]


def test_a_bar_is_played_in_at_least_four_prices(tmp_path: Path) -> None:
    answer = kedge("exchange", "serve", "--steps", 3, "--state-dir", tmp_path, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "--steps is 3" in answer.json["title"]


def test_a_drills_prices_are_played_with_their_past(tmp_path: Path) -> None:
    file = write_market(tmp_path / "market.json", market_of(crash(symbols=("BTCUSDT",)), instruments(), Timing()))
    found = chosen_market(config(tmp_path), f"path:{file}", bars=None, funding=(), symbols=())
    assert isinstance(found, Played)
    assert (found.source, [one.venue_symbol for one in found.instruments]) == ("drill", ["BTCUSDT"])
    played = [event for event in found.events if isinstance(event, BarClosed)]
    assert played[0].open_ts_ns == found.start_ts_ns
    assert max(bar.ts_ns for bar in found.past) <= found.start_ts_ns
    short = chosen_market(config(tmp_path), f"path:{file}", bars=1, funding=(), symbols=())
    assert isinstance(short, Played)
    assert len(list(short.events)) == 1
    with pytest.raises(InvalidInput):
        chosen_market(config(tmp_path), f"path:{tmp_path / 'nowhere.json'}", bars=None, funding=(), symbols=())
