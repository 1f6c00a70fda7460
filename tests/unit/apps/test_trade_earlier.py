"""Which earlier run of an account counts, when a run is gone on with, and what `kedge trade` does with other settings after a halt."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.apps.system_loop import Stopping
from kedge.apps.trade_earlier import Chosen, choose_run
from kedge.apps.trade_plan import Options
from kedge.apps.trade_process import TraderProcess
from kedge.apps.trade_run_folder import RunNote
from kedge.domain.errors import IntegrityError
from kedge.domain.events import AccountInherited, Command, CommandGiven, Event, OrderFilled
from kedge.domain.outputs import OrderSent
from kedge.domain.record import RunStarted
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.ops.paper_keys import load_or_create_paper_keys
from kedge.ops.state_folder import INBOX_NAME, JOURNAL_NAME, run_folder
from kedge.services.backtest import engine_of, first_record
from kedge.services.inbox import Inbox
from kedge.services.kill_points import NoKillPoints
from kedge.storage import SigningKey, SqliteJournal
from kedge.storage.journal_files import seal_path

from ...builders import MINUTE, T0, Wish, bar, filled, run_spec, sent
from .market_files import kedge, steps
from .test_trade import config_of, exchange, run, until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HALT = CommandGiven(T0 + 2 * MINUTE, Command.HALT, "ann", "enough")


class Runs:
    """The runs of one state folder, with journals that engines wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, SigningKey.generate()
        self._minute = 0

    def choose(self, settings: dict[str, Any], market: str = "m1", rung: str = "paper") -> Chosen:
        self._minute += 1
        return choose_run(self.folder, rung, settings, market, NOW + timedelta(minutes=self._minute))

    def path(self, note: RunNote) -> Path:
        return run_folder(self.folder, note.run_id) / JOURNAL_NAME

    def started(self, chosen: Chosen) -> RunStarted:
        """The first record of a chosen run."""
        return msgspec.structs.replace(first_record(run_spec(), "paper"), run_id=chosen.note.run_id)

    def write(self, chosen: Chosen, *events: Event, seal: bool = False, trades: bool = False) -> None:
        """A journal with a first record, what the run inherits, and these events."""
        started = self.started(chosen)
        with SqliteJournal(self.path(chosen.note), signer=self.key, source="test") as journal:
            strategy = Wish()
            engine = engine_of(started, strategy)
            journal.start(started)
            for event in (*([chosen.heritage.held] if chosen.heritage is not None else []), *events):
                journal.commit(event, engine.step(event))
            if trades:
                self._trade(journal, engine, strategy.say(0.1))
            journal.close(seal=seal)

    def _trade(self, journal: SqliteJournal, engine: Engine, strategy: Wish) -> None:
        event = bar(engine.state.ts_ns // MINUTE - T0 // MINUTE + 1)
        outputs = engine.step(event)
        journal.commit(event, outputs)
        (order,) = sent(outputs)
        fill: OrderFilled = filled(order, event.ts_ns + 1, 1_000)
        journal.commit(fill, engine.step(fill))
        assert strategy.seen


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_the_first_run_inherits_nothing_and_is_gone_on_with_as_before(runs: Runs) -> None:
    first = runs.choose({"a": 1})
    assert (first.known, first.heritage) == (False, None)
    runs.write(first, bar(1), HALT)
    again = runs.choose({"a": 1})
    assert (again.note, again.known, again.heritage) == (first.note, True, None)


@pytest.mark.parametrize("seal", [False, True])
def test_another_setting_inherits_from_the_run_before_whether_or_not_it_was_sealed(runs: Runs, seal: bool) -> None:
    runs.write(runs.choose({"a": 1}), bar(1), HALT, seal=seal)
    other = runs.choose({"a": 2})
    assert not other.known
    assert other.heritage is not None
    assert (other.heritage.held.code, other.heritage.held.from_record) == ("COMMAND", 2)


def test_the_same_settings_after_a_sealed_run_inherit_as_well(runs: Runs) -> None:
    runs.write(runs.choose({"a": 1}), bar(1), HALT, seal=True)
    again = runs.choose({"a": 1})
    assert not again.known
    assert again.heritage is not None


def test_another_market_and_another_rung_are_other_accounts(runs: Runs) -> None:
    runs.write(runs.choose({"a": 1}), bar(1), HALT)
    assert runs.choose({"a": 2}, "m2").heritage is None
    assert runs.choose({"a": 2}, "m1", "demo").heritage is None


def test_a_run_that_was_killed_before_its_first_step_is_told_again_and_hides_nothing(runs: Runs) -> None:
    runs.write(runs.choose({"a": 1}), bar(1), HALT)
    bare = runs.choose({"a": 2})
    again = runs.choose({"a": 2})
    assert (again.note, again.known) == (bare.note, True)
    assert again.heritage is not None
    runs.path(bare.note).touch()
    assert runs.choose({"a": 2}).heritage is not None
    with SqliteJournal(runs.path(bare.note), signer=runs.key, source="test") as journal:
        journal.start(runs.started(bare))
    with_record = runs.choose({"a": 2})
    assert with_record.known
    assert with_record.heritage is not None
    third = runs.choose({"a": 3})
    assert third.heritage is not None
    assert third.heritage.held.from_record == 2, "the run that had taken over nothing is passed over"


def test_the_last_of_several_runs_counts(runs: Runs) -> None:
    runs.write(runs.choose({"a": 1}), bar(1), HALT)
    second = runs.choose({"a": 2})
    runs.write(second, bar(3), CommandGiven(T0 + 4 * MINUTE, Command.RESUME, "ann", "looked at it"), trades=True)
    third = runs.choose({"a": 3})
    assert third.heritage is not None
    assert (third.heritage.held.risk_state, third.heritage.orders_sent) == ("running", 1)


def test_of_two_that_reach_as_far_the_one_begun_later_counts(runs: Runs) -> None:
    runs.write(runs.choose({"a": 1}), bar(1))
    runs.write(runs.choose({"a": 2}), CommandGiven(bar(1).ts_ns, Command.HALT, "ann", "enough"))
    third = runs.choose({"a": 3})
    assert third.heritage is not None
    assert third.heritage.held.code == "COMMAND"


def test_a_run_that_another_one_traded_after_is_not_gone_on_with(runs: Runs) -> None:
    first = runs.choose({"a": 1})
    runs.write(first, bar(1), trades=True)
    second = runs.choose({"a": 2})
    runs.write(second, bar(5), CommandGiven(T0 + 6 * MINUTE, Command.CANCEL_ALL, "ann", "tidy"), trades=True)
    back = runs.choose({"a": 1})
    assert not back.known
    assert back.note.run_id not in (first.note.run_id, second.note.run_id)
    assert back.heritage is not None
    assert back.heritage.orders_sent == 1


def test_a_halt_of_a_run_that_traded_nothing_reaches_the_one_that_is_gone_on_with_once(runs: Runs) -> None:
    first = runs.choose({"a": 1})
    runs.write(first, bar(1), trades=True)
    second = runs.choose({"a": 2})
    runs.write(second, bar(5), CommandGiven(T0 + 6 * MINUTE, Command.HALT, "ann", "enough"))
    back = runs.choose({"a": 1})
    assert (back.note, back.known) == (first.note, True)
    assert back.heritage is not None
    assert back.heritage.held.code == "COMMAND"


def test_what_was_told_is_not_told_again(runs: Runs) -> None:
    first = runs.choose({"a": 1})
    runs.write(first, bar(1))
    second = runs.choose({"a": 2})
    runs.write(second, bar(5), CommandGiven(T0 + 6 * MINUTE, Command.HALT, "ann", "enough"))
    told = AccountInherited(T0 + 6 * MINUTE, second.note.run_id, 3, "ab", risk_state="halted", code="COMMAND")
    for path in runs.path(first.note).parent.glob("journal*"):
        path.unlink()
    runs.write(first, bar(1), told)
    assert runs.choose({"a": 1}).heritage is None


def test_a_bare_run_that_another_one_came_after_is_left(runs: Runs) -> None:
    bare = runs.choose({"a": 1})
    runs.write(runs.choose({"a": 2}), bar(1), HALT)
    back = runs.choose({"a": 1})
    assert not back.known
    assert back.note.run_id != bare.note.run_id
    assert back.heritage is not None


# journals that cannot be read -----------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nothing_left(path: Path) -> None:
    path.unlink()


def other_file(path: Path) -> None:
    path.write_bytes(b"not a journal at all" * 100)


@pytest.mark.parametrize("spoil", [cut, nothing_left, other_file])
@pytest.mark.parametrize("is_last", [True, False])
def test_nothing_begins_while_an_earlier_run_cannot_be_read(runs: Runs, spoil: Any, is_last: bool) -> None:
    first = runs.choose({"a": 1})
    runs.write(first, bar(1), HALT, seal=True)
    if not is_last:
        runs.write(runs.choose({"a": 2}), bar(5))
    spoil(runs.path(first.note))
    folders = sorted((runs.folder / "runs").iterdir())
    with pytest.raises(IntegrityError, match=f"earlier run {first.note.run_id} cannot be read") as refused:
        runs.choose({"a": 3})
    assert "forgotten" in refused.value.why
    assert sorted((runs.folder / "runs").iterdir()) == folders, "no run was begun"
    assert seal_path(runs.path(first.note)).exists()


# through the trader ---------------------------------------------------------------------------------------------------


def process(state: Path, url: str, **params: int) -> TraderProcess:
    options = Options(url, "paper", ("BTCUSDT",), "trend", params, "1m", "leave")
    paper = load_or_create_paper_keys(state)[0]
    return TraderProcess(config_of(state), options, paper, NoKillPoints(), logging.getLogger("kedge.trader"))


async def trade_until(one: TraderProcess, bars: int) -> dict[str, Any]:
    stopping = Stopping()
    running = asyncio.create_task(one.run(stopping, quiet=True))
    await until(lambda: one.status().get("bars", 0) >= bars, running)
    stopping.ask("STOPPED_BY_TEST")
    return await running


def test_a_trader_with_another_setting_stays_halted_sends_nothing_and_goes_on_after_a_resume(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with Inbox(state / INBOX_NAME) as inbox:
        inbox.put(Command.HALT, "ann", "enough", wall_ns=1)

    async def main() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        async with exchange(state, 60) as url:
            first = await trade_until(process(state, url, fast=3, slow=6), 8)
            second = await trade_until(process(state, url, fast=3, slow=7), 12)
            with Inbox(state / INBOX_NAME) as inbox:
                inbox.put(Command.RESUME, "ann", "looked at it", wall_ns=2**62)
            return first, second, await process(state, url, fast=3, slow=7).run(Stopping(), quiet=True)

    first, second, third = run(main)
    assert first["risk_state"] == second["risk_state"] == "halted"
    assert second["run_id"] == third["run_id"] != first["run_id"]
    assert second["funnel"]["sent"] == 0
    assert third["funnel"]["sent"] > 0
    events = steps(state / "runs" / second["run_id"] / JOURNAL_NAME)
    told, outputs = events[0]
    assert isinstance(told, AccountInherited)
    assert (told.from_run, told.code, told.reason, told.unexplained_e8) == (first["run_id"], "COMMAND", "ann: enough", 0)
    assert told.peak_e8 is not None
    assert told.peak_e8 >= 10_000 * E8
    resumed = next(n for n, (event, _) in enumerate(events) if isinstance(event, CommandGiven))
    assert not any(isinstance(output, OrderSent) for _, made in events[:resumed] for output in made)
    assert [output.code for output in outputs] == ["COMMAND"]
    assert kedge("replay", second["run_id"], "--state-dir", state, "--json").json["equal"]
    assert kedge("audit", "verify", second["run_id"], "--state-dir", state, "--json").json["ok"]
