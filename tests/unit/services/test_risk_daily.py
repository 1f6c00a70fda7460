"""The daily backtest: forecasts are made before their day, judged once by what came, and follow from closes, books and record alone."""

from __future__ import annotations

import asyncio
import random
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import Conflict, IntegrityError
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.risk.var.backtests import Colour
from kedge.services.risk_colours import read_colours, risk_folder
from kedge.services.risk_daily import DailyRisk, read_record, record_name
from kedge.services.risk_daily_keep import DailyKeeper
from kedge.services.risk_daily_record import (
    ACCOUNT,
    HISTORY,
    LIVE,
    REFERENCE,
    DailyRecord,
    Forecast,
    Item,
    MethodForecast,
    NotTested,
    Realised,
    body_of,
    item_of,
    realised_e8,
)
from kedge.services.risk_inputs import Holding, Inputs

from ...builders import AAA, BBB, instrument, run_spec, settings

TODAY = 20_000
NAME = "account-main.log"
HOUR_NS = 3_600 * NS_PER_S


def closes(seed: int, last_day: int, count: int = 120) -> tuple[tuple[int, int], ...]:
    """A made series of closes up to a day: a longer one goes on where a shorter one ended."""
    draw = random.Random(seed)
    first = TODAY - 120
    price, found = 100 * E8, []
    for day in range(first, last_day + 1):
        price = int(price * (1 + draw.gauss(0, 0.03)))
        found.append((day, price))
    return tuple(found[-count:])


def books(today: int = TODAY, *, lots: tuple[int, int] = (5, -3), at_ns: int = 0, missing: str = "", equity_e8: int = 1_000 * E8) -> Inputs:
    """Two instruments whose closes end the day before; one may lack its last."""
    return Inputs(
        run_id="paper-1",
        ts_ns=today * NS_PER_DAY + at_ns,
        seq=1,
        quote="USDT",
        wallet_e8=equity_e8,
        equity_e8=equity_e8,
        holdings=tuple(
            Holding(
                spec=instrument(name),
                lots=held,
                cost_e8=0,
                mark_ticks=1_000,
                closes=closes(seed, today - 1 - (name == missing)),
            )
            for seed, (name, held) in enumerate(zip((AAA, BBB), lots, strict=True))
        ),
    )


def kept(folder: Path, name: str = NAME) -> list[Item]:
    path = risk_folder(folder) / name
    return [item_of(line.split(b" ", 1)[1]) for line in path.read_bytes().splitlines()]


def daily(folder: Path) -> DailyRisk:
    return DailyRisk(folder, wall_ns=lambda: 7)


def test_the_first_look_fills_the_reference_from_history_and_forecasts_today_for_both_portfolios(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    added = risk.look(NAME, books())
    items = kept(tmp_path)
    assert added == len(items)
    past = [item for item in items if isinstance(item, Forecast) and item.origin == HISTORY]
    assert {item.book for item in past} == {REFERENCE}
    assert len(past) > 50
    today = [item for item in items if isinstance(item, Forecast) and item.origin == LIVE]
    assert [(item.book, item.day) for item in today] == [(REFERENCE, TODAY), (ACCOUNT, TODAY)]
    standing = risk.standings()["prior"]
    assert standing.days == len(past)
    assert standing.last_day == TODAY - 1


def test_a_second_look_on_the_same_day_adds_nothing(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look(NAME, books())
    before = kept(tmp_path)
    assert not risk.is_due(NAME, books(at_ns=HOUR_NS))
    assert risk.look(NAME, books(at_ns=HOUR_NS)) == 0
    assert kept(tmp_path) == before


def test_the_next_day_judges_the_frozen_weights_by_the_closes_of_the_day(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look(NAME, books())
    risk.look(NAME, books(TODAY + 1, lots=(-50, 0)))
    items = [item for item in kept(tmp_path) if item.book == ACCOUNT]
    made, came, following = items
    assert isinstance(made, Forecast)
    assert isinstance(came, Realised)
    assert isinstance(following, Forecast)
    spec = instrument(AAA)
    weights = [lots * 1_000 * spec.tick_value_e8 * Fraction(E8, 1_000 * E8) for lots in (5, -3)]
    assert list(made.weights_e8) == [round(weight) for weight in weights]
    exact = Fraction(0)
    for seed, weight in enumerate(made.weights_e8):
        by_day = dict(closes(seed, TODAY))
        exact += weight * (Fraction(by_day[TODAY], by_day[TODAY - 1]) - 1)
    assert came.realised_e8 == exact.numerator // exact.denominator
    assert following.instruments == (AAA,)
    assert risk.record.book(ACCOUNT).rows("parametric-t")[0].realised_e8 == came.realised_e8


def test_a_flat_account_is_not_tested_and_does_not_stop_the_reference(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look(NAME, books(lots=(0, 0)))
    last = kept(tmp_path)[-1]
    assert last == NotTested(day=TODAY, book=ACCOUNT, why="flat", made_wall_ns=7)
    assert risk.record.seen(REFERENCE).open is not None
    assert risk.standings() != {}


def test_equity_that_is_gone_is_no_portfolio(tmp_path: Path) -> None:
    daily(tmp_path).look(NAME, books(equity_e8=0))
    assert isinstance(kept(tmp_path)[-1], NotTested)


def test_another_process_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    whole, cut = daily(tmp_path / "whole"), daily(tmp_path / "cut")
    for day in range(TODAY, TODAY + 12):
        whole.look(NAME, books(day))
        cut.look(NAME, books(day))
        cut.close()
        cut = daily(tmp_path / "cut")
    assert kept(tmp_path / "whole") == kept(tmp_path / "cut")
    assert read_record(tmp_path / "cut", NAME).colours() == whole.colours()


def test_days_that_nobody_looked_at_are_filled_for_the_reference_and_left_out_for_the_account(tmp_path: Path) -> None:
    daily_one = daily(tmp_path)
    daily_one.look(NAME, books())
    daily_one.look(NAME, books(TODAY + 5))
    days = {
        book: [item.day for item in kept(tmp_path) if item.book == book and isinstance(item, Forecast)] for book in (REFERENCE, ACCOUNT)
    }
    assert days[REFERENCE][-6:] == list(range(TODAY, TODAY + 6))
    assert days[ACCOUNT] == [TODAY, TODAY + 5]


def test_no_forecast_knows_a_close_of_its_day_or_after(tmp_path: Path) -> None:
    early, late = daily(tmp_path / "early"), daily(tmp_path / "late")
    early.look(NAME, books(TODAY - 20))
    late.look(NAME, books(TODAY))

    def made(folder: Path) -> dict[int, Any]:
        items = (item for item in kept(folder) if isinstance(item, Forecast) and item.book == REFERENCE)
        return {item.day: (item.methods, item.history_sha256) for item in items}

    one, other = made(tmp_path / "early"), made(tmp_path / "late")
    shared = [day for day in one if day in other]
    assert len(shared) > 20
    assert [one[day] for day in shared] == [other[day] for day in shared]


def test_a_look_waits_for_every_close_and_no_longer_than_two_hours(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look(NAME, books())
    short = books(TODAY + 1, missing=BBB)
    assert not risk.is_due(NAME, short)
    assert risk.look(NAME, short) == 0
    assert risk.is_due(NAME, books(TODAY + 1))
    risk.look(NAME, books(TODAY + 1, missing=BBB, at_ns=2 * HOUR_NS))
    judged, following = [item for item in kept(tmp_path) if item.book == ACCOUNT][1:]
    assert isinstance(judged, NotTested)
    assert BBB in judged.why
    assert isinstance(following, NotTested)
    reference = [item for item in kept(tmp_path) if item.book == REFERENCE and item.day == TODAY + 1]
    assert [item.instruments for item in reference if isinstance(item, Forecast)] == [(AAA,)]


def test_an_instrument_that_is_gone_ends_its_forecast(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look(NAME, books())
    after = books(TODAY + 1)
    risk.look(NAME, msgspec.structs.replace(after, holdings=after.holdings[:1]))
    judged = [item for item in kept(tmp_path) if item.book == ACCOUNT][1]
    assert isinstance(judged, NotTested)
    assert judged.why == "an instrument is no longer traded"


def losing(days: int, exceptions: int) -> list[Item]:
    """A record of one method: losses of 5 % against a VaR of 3 % on the first days, quiet ones after them."""
    items: list[Item] = []
    for n in range(days):
        forecast = MethodForecast(method="fhs-ewma", var_e8=3_000_000, es_e8=3_500_000, es_var_e8=2_500_000)
        shared: dict[str, Any] = {"day": n, "book": ACCOUNT, "made_wall_ns": 7}
        items.append(
            Forecast(
                **shared,
                origin=LIVE,
                instruments=(AAA,),
                weights_e8=(E8,),
                methods=(forecast,),
                main="fhs-ewma",
                flags=(),
                history_days=500,
                history_sha256="",
                late_s=0,
            )  # fmt: skip
        )
        came = -5_000_000 if n < exceptions else 100_000
        items.append(Realised(**shared, realised_e8=came, closes_e8=((1, 1),)))
    return items


@pytest.mark.parametrize(("exceptions", "colour"), [(4, Colour.GREEN), (5, Colour.YELLOW), (9, Colour.YELLOW), (10, Colour.RED)])
def test_the_light_of_a_record_is_basels(exceptions: int, colour: Colour) -> None:
    record = DailyRecord(losing(250, exceptions))
    assert record.colours() == {"fhs-ewma": colour}
    assert record.standings()["fhs-ewma"].exceptions == exceptions


def test_the_worse_portfolio_decides_the_light_of_a_method() -> None:
    record = DailyRecord([*losing(250, 0), *(msgspec.structs.replace(item, book=REFERENCE) for item in losing(250, 12))])
    assert record.colours() == {"fhs-ewma": Colour.RED}
    assert record.standings()["fhs-ewma"].exceptions == 12


def test_a_red_method_is_left_by_the_next_forecast(tmp_path: Path) -> None:
    folder = risk_folder(tmp_path)
    written = daily(tmp_path)
    written.look("seed.log", books())
    red = [msgspec.structs.replace(item, day=TODAY - 251 + item.day) for item in losing(250, 20)]
    path = folder / NAME
    from kedge.storage.risk_record import RiskRecordFile

    bodies = [body_of(item).replace(b'"method":"fhs-ewma"', b'"method":"parametric-t"') for item in red]
    file = RiskRecordFile(path)
    file.append(*bodies)
    file.close()
    written.look(NAME, books())
    made = kept(tmp_path)[-1]
    assert isinstance(made, Forecast)
    assert made.main == "prior"
    assert any("red" in flag for flag in made.flags)
    assert read_colours(tmp_path)["parametric-t"] is Colour.RED


def test_what_is_published_is_what_the_record_says(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    assert read_colours(tmp_path) == {}
    risk.look(NAME, books())
    assert read_colours(tmp_path) == risk.colours() != {}
    (risk_folder(tmp_path) / "colours.json").write_text("{")
    assert read_colours(tmp_path) == {}


def test_an_altered_record_is_refused_and_so_is_a_second_keeper(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look(NAME, books())
    with pytest.raises(Conflict):
        daily(tmp_path).look(NAME, books())
    risk.close()
    path = risk_folder(tmp_path) / NAME
    path.write_bytes(path.read_bytes().replace(b'"origin":"live"', b'"origin":"evil"', 1))
    with pytest.raises(IntegrityError):
        daily(tmp_path).look(NAME, books())


def test_a_line_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    from kedge.storage.risk_record import RiskRecordFile

    file = RiskRecordFile(risk_folder(tmp_path) / NAME)
    file.append(b'{"type":"weather"}')
    file.close()
    with pytest.raises(IntegrityError, match="line 1"):
        read_record(tmp_path, NAME)


def test_a_keeper_that_is_closed_adds_nothing(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.close()
    assert risk.look(NAME, books()) == 0
    risk.close()
    assert read_record(tmp_path, NAME).colours() == {}


def test_a_look_at_another_run_opens_its_record(tmp_path: Path) -> None:
    risk = daily(tmp_path)
    risk.look("bt-1.log", books())
    assert risk.is_due("bt-2.log", books())
    assert risk.look("bt-2.log", books(lots=(0, 0))) > 0
    assert risk.record.seen(ACCOUNT).open is None


def test_realised_losses_are_rounded_against_us() -> None:
    assert realised_e8((E8,), ((3, 2),)) == -33_333_334
    assert realised_e8((E8,), ((3, 4),)) == 33_333_333
    assert realised_e8((), ()) == 0


def test_a_live_account_keeps_one_record_and_a_made_market_one_for_each_run() -> None:
    started = msgspec.structs.replace(_started(), source="live", account="main")
    assert record_name(started) == "account-main.log"
    assert record_name(msgspec.structs.replace(started, source="synthetic")) == f"{started.run_id}.log"


def _started() -> Any:
    from kedge.services.backtest import first_record

    return first_record(run_spec([instrument()], engine=settings(run_id="")), "paper")


def test_a_defect_is_told_and_does_not_end_the_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import kedge.services.risk_daily_keep as module

    broken = msgspec.structs.replace(books(), holdings=(None,))  # type: ignore[arg-type]
    monkeypatch.setattr(module, "inputs_of", lambda replica: replica.books)
    follower: Any = SimpleNamespace(replica=SimpleNamespace(started=_started(), books=broken), caught_up=True)
    keeper = DailyKeeper(tmp_path, wall_ns=lambda: 7)
    assert asyncio.run(keeper.look(follower)) == 0
    assert keeper.problem.startswith("AttributeError")
    assert asyncio.run(keeper.look(follower)) == 0
    assert len(caplog.records) == 1
    follower.replica.books = books()
    assert asyncio.run(keeper.look(follower)) > 0
    assert keeper.problem == ""
    keeper.daily.close()


def test_the_keeper_looks_at_a_run_that_was_read_to_its_end_and_tells_of_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kedge.services.risk_daily_keep as module

    monkeypatch.setattr(module, "inputs_of", lambda replica: replica.books)
    follower: Any = SimpleNamespace(replica=None, caught_up=False)
    keeper = DailyKeeper(tmp_path, wall_ns=lambda: 7, look_s=0.001, retry_s=0.001)

    async def live() -> None:
        assert await keeper.look(follower) == 0
        follower.replica, follower.caught_up = SimpleNamespace(started=_started(), books=books()), True
        other = daily(tmp_path)
        other.look(record_name(_started()), books())
        assert await keeper.look(follower) == 0
        assert "another server" in keeper.problem
        other.close()
        keeping = asyncio.create_task(keeper.keep(follower))
        while keeper.problem:
            await asyncio.sleep(0.002)
        follower.replica.books = books(TODAY + 1)
        while keeper.daily.record.seen(ACCOUNT).day != TODAY + 1:
            await asyncio.sleep(0.002)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(live())
    daily(tmp_path).look(record_name(_started()), books(TODAY + 2))
