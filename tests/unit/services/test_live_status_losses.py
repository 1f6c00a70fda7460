"""What a trader's status says of losses: true at once, also where no bar comes any more; unknown where nobody knows."""

from __future__ import annotations

from pathlib import Path

from kedge.domain.events import BarClosed, Command, CommandGiven, PositionAdopted
from kedge.domain.orders import Side
from kedge.engine.engine import Engine
from kedge.services.live import LiveTrader
from kedge.services.live_status import losses, status

from ...builders import AAA, DAY, MINUTE, T0, WALLET_E8, S, Wish, accepted, bar, engine, filled, sent
from .live_world import World, play, until


def bought(one: Engine, strategy: Wish, exposure: float) -> int:
    """Buy at 1,000 ticks; how many lots."""
    strategy.say(exposure)
    (order,) = sent(one.step(bar(1, 1_000)))
    one.step(accepted(order, T0 + MINUTE))
    one.step(filled(order, T0 + MINUTE, 1_000))
    return order.qty_lots


def test_what_was_lost_since_the_last_mark_counts_at_once():
    wish = Wish()
    one = engine(wish)
    lots = bought(one, wish, 0.1)
    before = one.summary()
    one.step(CommandGiven(T0 + 61 * S, Command.FLATTEN, "ann", "out"))
    (out,) = one.state.orders.of(AAA).values()
    assert (out.order.side, out.order.qty_lots) == (Side.SELL, lots)
    one.step(accepted(out.order, T0 + 61 * S))
    one.step(filled(out.order, T0 + 61 * S, 900, fill_id="f2"))
    told = losses(one.state, T0 + 2 * MINUTE)
    lost_e8 = WALLET_E8 - one.state.account_view[2]
    assert lost_e8 == lots * 100 * 10_000
    assert one.summary()["drawdown_now"] == before["drawdown_now"], "the engine judges it with the next mark"
    assert told["drawdown"] == told["drawdown_now"] == told["daily_loss"] == f"0.{-(-lost_e8 * 10**8 // WALLET_E8):08d}"


def test_the_worst_drawdown_stays_when_equity_comes_back():
    wish = Wish()
    one = engine(wish)
    bought(one, wish, 0.1)
    one.step(bar(2, 900))
    worst = losses(one.state, T0 + 2 * MINUTE)
    one.step(bar(3, 1_000))
    told = losses(one.state, T0 + 3 * MINUTE)
    assert told["drawdown"] == worst["drawdown"]
    assert float(told["drawdown_now"] or 1) < float(worst["drawdown_now"] or 0)


def test_a_day_without_a_mark_has_no_loss_that_anybody_knows():
    wish = Wish()
    one = engine(wish)
    bought(one, wish, 0.1)
    one.step(bar(2, 900))
    told = losses(one.state, T0 + DAY)
    assert told["daily_loss"] is None
    assert float(told["drawdown_now"] or 0) > 0


def test_a_position_that_never_had_a_mark_leaves_all_losses_unknown():
    one = engine(Wish())
    one.step(PositionAdopted(T0, AAA, 10, 100_000_000))
    assert losses(one.state, T0) == {"drawdown": None, "drawdown_now": None, "daily_loss": None}


def test_the_status_of_a_halted_trader_tells_what_was_lost_while_no_bar_came(tmp_path: Path):
    world, wish = World(tmp_path), Wish()
    last: BarClosed = bar(2, 1_000)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.bars == 1)
        wish.say(0.2)
        world.exchange.play(last)
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots > 0 and not trader.desk.under_way)
        trader.command(CommandGiven(trader.core.now_ns(), Command.FLATTEN, "ann", "out"))
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == 0 and not trader.desk.under_way)
        trader.command(CommandGiven(trader.core.now_ns(), Command.HALT, "ann", "enough"))
        told = status(trader)
        lost = 1 - float(told["equity"]) / float(told["peak_equity"])
        assert lost > 0
        assert abs(float(told["drawdown_now"]) - lost) < 1e-7
        assert abs(float(told["daily_loss"]) - lost) < 1e-7

    play(world, world.trader(strategy=wish), script)
