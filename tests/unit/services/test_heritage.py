"""A run of other settings on the same account: it takes over what held trading and what losses are measured from, whoever dies when."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import IntegrityError
from kedge.domain.events import AccountInherited, Command, CommandGiven, RunEnded
from kedge.domain.orders import Side
from kedge.domain.outputs import OrderSent
from kedge.domain.record import Step
from kedge.domain.units import E8
from kedge.domain.venue import LedgerEntry, LedgerKind
from kedge.engine.engine import Engine
from kedge.kernel.account import DAY, DAY_START, DRAWDOWN_E8, EQUITY, PEAK
from kedge.risk.states import RiskState
from kedge.services import heritage as heritage_module
from kedge.services.heritage import Heritage, read_heritage
from kedge.services.kill_points import KillAt, KillPoints
from kedge.services.live import LiveTrader
from kedge.services.recovery import recover, replay
from kedge.storage import SqliteJournalReader

from ...builders import AAA, Wish, bar
from .live_world import Killed, World, die, play, until
from .venue_in_process import ACCOUNT, VenueInProcess, limit_order

Deed = Callable[[LiveTrader], Any]


class Account:
    """One exchange, and the runs that follow each other on its account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = 0
        self.world = self.next_run()

    def next_run(self) -> World:
        """A journal of its own for the next run, at the same exchange."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        folder.mkdir()
        world = World(folder)
        if self.runs > 1:
            world.exchange = self.world.exchange
        self.world = world
        return world

    def heritage(self) -> Heritage:
        return read_heritage(self.world.path, "paper-before")

    def trade(self, *deeds: Deed, heritage: Heritage | None = None, **given: Any) -> LiveTrader:
        """Play one run of the world: each deed is done, and awaited where it is to be waited for."""
        plan = {"heritage": heritage, "run_id": f"paper-{self.runs}"}
        trader = self.world.trader(plan=plan, **{"strategy": Wish().say(0.1), **given})

        async def script(trader: LiveTrader) -> None:
            for deed in deeds:
                waits = deed(trader)
                if waits is not None:
                    await waits

        play(self.world, trader, script)
        return trader

    def bar(self, n: int, close: int = 1_000) -> Deed:
        """Play a bar and wait until it is in the books."""

        def deed(trader: LiveTrader) -> Any:
            self.world.exchange.play(bar(n, close))
            return until(trader, lambda: trader.core.state.slots[AAA].mark_ts_ns == bar(n, close).ts_ns)

        return deed

    def transfer(self, amount_e8: int) -> None:
        self.world.exchange.core.transfer(ACCOUNT, amount_e8, self.world.exchange.now_ns)
        self.world.exchange.publish()


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    found = Account(tmp_path)
    yield found
    found.world.close()


def say(word: Command) -> Deed:
    return lambda trader: trader.command(CommandGiven(trader.core.now_ns(), word, "ann", "because"))


def flat(trader: LiveTrader) -> Any:
    slot = trader.core.state.slots[AAA]
    return until(trader, lambda: slot.position_lots == 0 and not trader.core.state.orders.of(AAA))


def holds(trader: LiveTrader) -> Any:
    return until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)


def first_event(world: World) -> Any:
    return world.steps()[0].event


def orders(world: World) -> list[OrderSent]:
    return [output for step in world.steps() for output in step.outputs if isinstance(output, OrderSent)]


def where(trader: LiveTrader) -> tuple[RiskState, str]:
    return trader.engine.state.risk_state, trader.engine.state.halt_code


def is_the_same_when_folded(world: World, engine: Engine) -> bool:
    """The journal alone gives this state, by folding it and by deciding it again."""
    with SqliteJournalReader(world.path) as reader:
        folded = recover(reader, from_snapshot=False, strategy=Wish())
        return folded.snapshot() == engine.snapshot()


def test_a_person_s_halt_holds_the_next_run_until_a_person_resumes(account: Account) -> None:
    account.trade(account.bar(1), holds, say(Command.FLATTEN), flat, say(Command.RESUME), say(Command.HALT))
    heritage = account.heritage()
    assert heritage.orders_sent == 2
    world = account.next_run()
    quiet = account.trade(account.bar(2), heritage=heritage)
    assert where(quiet) == (RiskState.HALTED, "COMMAND")
    told = first_event(world)
    assert isinstance(told, AccountInherited)
    assert (told.from_run, told.reason) == ("paper-1", "ann: because")
    assert not orders(world)
    with SqliteJournalReader(world.path) as reader:
        assert replay(reader, code_sha256="", strategy=Wish().say(0.1)).equal
    assert is_the_same_when_folded(world, quiet.engine)
    trading = account.trade(say(Command.RESUME), lambda trader: trader.ready(), account.bar(3), holds)
    assert where(trading) == (RiskState.RUNNING, "")
    assert len(orders(world)) == 1


def test_what_is_inherited_names_the_last_record_and_the_last_row(account: Account) -> None:
    account.trade(account.bar(1), holds, say(Command.HALT))
    with SqliteJournalReader(account.world.path) as reader:
        *_, last = (record for record in reader.records() if isinstance(record, Step))
        *_, row = reader.raw_rows()
    held = account.heritage().held
    assert (held.from_record, held.from_hash) == (last.seq, bytes(row[1]).hex())


def test_the_first_run_of_an_account_is_told_nothing(account: Account) -> None:
    account.trade(account.bar(1), holds)
    assert not any(isinstance(step.event, AccountInherited) for step in account.world.steps())


def lost_some(account: Account) -> tuple[int, int]:
    """A run that bought, lost on it, and is flat again; its mark and its drawdown at the end."""
    trader = account.trade(account.bar(1), holds, account.bar(2, 990), say(Command.FLATTEN), flat, say(Command.RESUME), account.bar(3, 990))
    view = trader.engine.state.account_view
    assert view[DRAWDOWN_E8] > 0
    return view[PEAK], view[DRAWDOWN_E8]


@pytest.mark.parametrize("amount", [0, 4_000 * E8, -4_000 * E8])
def test_the_mark_moves_with_flows_between_the_runs_so_that_the_drawdown_stays(account: Account, amount: int) -> None:
    peak_e8, drawdown_e8 = lost_some(account)
    heritage = account.heritage()
    if amount:
        account.transfer(amount)
    world = account.next_run()
    trader = account.trade(account.bar(4, 990), heritage=heritage, strategy=Wish())
    told, view = first_event(world), trader.engine.state.account_view
    assert (told.flows_e8, told.traded_e8, told.unexplained_e8) == (amount, 0, 0)
    assert view[DRAWDOWN_E8] == pytest.approx(drawdown_e8, abs=2)
    assert (view[PEAK] > peak_e8, view[PEAK] < peak_e8) == (amount > 0, amount < 0)
    assert view[DAY_START] > view[EQUITY], "the loss of this very day counts on"
    assert view[DAY] == heritage.account[DAY]
    assert where(trader) == (RiskState.RUNNING, "")


def test_what_was_traded_between_the_runs_is_profit_and_loss(account: Account) -> None:
    peak_e8, drawdown_e8 = lost_some(account)
    heritage = account.heritage()
    exchange = account.world.exchange
    for side in (Side.BUY, Side.SELL):
        exchange.place_foreign(**limit_order(side, 1_000, 1_010 if side is Side.BUY else 970))
    exchange.play(bar(4, 990))
    world = account.next_run()
    trader = account.trade(account.bar(5, 990), heritage=heritage, strategy=Wish())
    told = first_event(world)
    assert told.traded_e8 < 0
    assert (told.flows_e8, told.unexplained_e8, told.peak_e8) == (0, 0, peak_e8)
    assert trader.engine.state.account_view[DRAWDOWN_E8] > drawdown_e8


@pytest.mark.parametrize(("amount", "is_deeper"), [(500 * E8, False), (-500 * E8, True)])
def test_money_that_no_row_explains_hides_no_drawdown_and_is_a_loss_where_it_is_gone(
    account: Account, amount: int, is_deeper: bool
) -> None:
    _, drawdown_e8 = lost_some(account)
    heritage = account.heritage()
    account.transfer(amount)
    world = account.next_run()

    def silent(venue: VenueInProcess) -> None:
        ledger = venue.ledger

        async def without(since_ts_ns: int) -> list[LedgerEntry]:
            return [row for row in await ledger(since_ts_ns) if row.kind is not LedgerKind.TRANSFER]

        venue.ledger = without  # type: ignore[method-assign]

    world.prepare = silent
    trader = account.trade(account.bar(4, 990), heritage=heritage, strategy=Wish())
    told = first_event(world)
    assert (told.flows_e8, told.unexplained_e8) == (0, amount)
    now_e8 = trader.engine.state.account_view[DRAWDOWN_E8]
    assert now_e8 > drawdown_e8 if is_deeper else now_e8 == pytest.approx(drawdown_e8, abs=2)


def test_a_row_of_a_kind_that_nobody_knows_explains_nothing(account: Account) -> None:
    lost_some(account)
    heritage = account.heritage()
    account.transfer(-500 * E8)
    world = account.next_run()

    def strange(venue: VenueInProcess) -> None:
        ledger = venue.ledger

        async def unknown(since_ts_ns: int) -> list[LedgerEntry]:
            rows = await ledger(since_ts_ns)
            return [msgspec.structs.replace(row, kind=LedgerKind.OTHER) if row.kind is LedgerKind.TRANSFER else row for row in rows]

        venue.ledger = unknown  # type: ignore[method-assign]

    world.prepare = strange
    account.trade(account.bar(4, 990), heritage=heritage, strategy=Wish())
    assert first_event(world).unexplained_e8 == -500 * E8


def test_positions_are_the_first_comparison_s_business_and_halt_where_the_new_run_does_not_hold_them(account: Account) -> None:
    account.trade(account.bar(1), holds)
    heritage = account.heritage()
    account.next_run()
    trader = account.trade(account.bar(2), heritage=heritage)
    assert where(trader) == (RiskState.HALTED, "POSITION_DIFFERS")


@pytest.mark.parametrize("point", ["before_step", "before_commit", "after_commit"])
def test_a_run_that_is_killed_before_or_after_its_first_step_has_taken_over_once(account: Account, point: str) -> None:
    account.trade(account.bar(1), holds, say(Command.FLATTEN), flat, say(Command.RESUME), say(Command.HALT))
    heritage = account.heritage()
    world = account.next_run()
    kill: KillPoints = KillAt(point, 1, die)
    trader = world.trader(plan={"heritage": heritage, "run_id": "paper-2"}, strategy=Wish().say(0.1), kill=kill)
    with pytest.raises(Killed):
        asyncio.run(trader.run())
    world.crash()
    count = len(world.steps())
    again = account.trade(account.bar(2), heritage=None if count else heritage)
    assert count == int(point == "after_commit")
    assert where(again) == (RiskState.HALTED, "COMMAND")
    assert [isinstance(step.event, AccountInherited) for step in world.steps()].count(True) == 1
    assert isinstance(first_event(world), AccountInherited)
    assert not orders(world)


def test_a_run_with_steps_of_its_own_is_told_only_what_held_the_other_one(account: Account) -> None:
    first = account.world
    account.trade(account.bar(1), holds, say(Command.FLATTEN), flat, say(Command.RESUME))
    account.next_run()
    account.trade(account.bar(2), say(Command.HALT), strategy=Wish())
    heritage = account.heritage()
    account.world = first
    trader = account.trade(account.bar(3), heritage=heritage)
    assert where(trader) == (RiskState.HALTED, "COMMAND")
    (told,) = (step.event for step in first.steps() if isinstance(step.event, AccountInherited))
    assert (told.from_run, told.peak_e8) == ("paper-2", None)
    assert is_the_same_when_folded(first, trader.engine)


def test_a_run_that_was_ended_says_how_it_ended(account: Account) -> None:
    account.trade(account.bar(1), say(Command.HALT), lambda trader: trader.end("END_OF_DATA"), strategy=Wish())
    assert isinstance(account.world.steps()[-1].event, RunEnded)
    held = account.heritage().held
    assert (held.risk_state, held.code, held.reason) == ("halted", "COMMAND", "ann: because")


def test_a_chain_of_runs_hands_the_halt_on_with_its_first_reason(account: Account) -> None:
    account.trade(account.bar(1), say(Command.HALT), strategy=Wish())
    for n in (2, 3):
        heritage = account.heritage()
        account.next_run()
        account.trade(account.bar(n), heritage=heritage, strategy=Wish())
    held = account.heritage().held
    assert (held.from_run, held.reason) == ("paper-3", "inherited: ann: because")


def test_the_reason_is_found_however_far_back_it_stands(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heritage_module, "_PAGE_ROWS", 3)
    account.trade(account.bar(1), say(Command.HALT), *(account.bar(n) for n in range(2, 12)), strategy=Wish())
    assert account.heritage().held.reason == "ann: because"


def test_a_run_that_traded_with_a_model_is_folded_without_it(account: Account) -> None:
    account.trade(account.bar(1), holds, say(Command.HALT))
    whole = account.heritage()
    with SqliteJournalReader(account.world.path) as reader:
        started = reader.run_started()
    settings = {**started.settings, "engine": {**started.settings["engine"], "strategy": "model"}}
    journal = account.next_run()
    kept = journal.trader(strategy=Wish()).journal
    kept.start(msgspec.structs.replace(started, settings=settings))
    with SqliteJournalReader(account.folder / "run-1" / "journal.sqlite") as reader:
        for record in reader.records():
            if isinstance(record, Step):
                kept.commit(record.event, record.outputs)
    journal.close()
    assert account.heritage().account == whole.account


# journals that cannot be read -----------------------------------------------------------------------------------------


IS_HEAD = 'instr(body, CAST(\'"type":"head"\' AS BLOB))'


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rows SET body = replace(CAST(body AS TEXT), 'ann', 'bob') WHERE instr(body, CAST('\"ann\"' AS BLOB))",
        "DELETE FROM rows WHERE seq = 3",
        "DELETE FROM rows WHERE seq > 4",
        "DELETE FROM rows WHERE seq = (SELECT max(seq) FROM rows)",
        f"DELETE FROM rows WHERE seq > (SELECT seq FROM rows WHERE {IS_HEAD} ORDER BY seq DESC LIMIT 1 OFFSET 3)",
        "DELETE FROM rows",
        "DROP TABLE rows",
    ],
    ids=["altered", "a hole", "cut", "without its head", "cut at a head", "empty", "no journal"],
)
def test_a_journal_that_is_not_whole_refuses_the_next_run(account: Account, statement: str) -> None:
    account.trade(account.bar(1), holds, say(Command.HALT))
    spoil(account.world.path, statement)
    with pytest.raises(IntegrityError, match="earlier run paper-before cannot be read") as refused:
        account.heritage()
    assert "high-water mark" in refused.value.why
    assert "kedge audit verify" in refused.value.fix


def test_a_journal_without_a_copy_of_its_head_is_read_all_the_same(account: Account) -> None:
    account.trade(account.bar(1), say(Command.HALT), strategy=Wish())
    account.world.path.with_name("journal.sqlite.head").unlink()
    assert account.heritage().held.code == "COMMAND"
