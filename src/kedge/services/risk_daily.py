"""The daily backtest of VaR and ES: what each method says of the day that begins, kept before it is known, and judged when the day is over.

Rules: a day is the market's own, 00:00 to 24:00 UTC, and is looked at once, as soon as bars show that it has begun; everything follows
from the books, the closes and the record so far, so that a second look, or another process after a kill, adds nothing and changes nothing.
GARCH is fitted to the closes before the present week, so that a restart fits the same. What a light says of a method goes to whoever
chooses one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from kedge.domain.canonical import content_hash
from kedge.domain.errors import IntegrityError
from kedge.domain.record import RunStarted
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S, to_grid
from kedge.risk.var import choice
from kedge.risk.var.backtests import Colour
from kedge.risk.var.chain import Fit, fit_all
from kedge.risk.var.measure import VarEs
from kedge.risk.var.record import WINDOW_DAYS, Standing
from kedge.services.risk_colours import publish_colours, risk_folder
from kedge.services.risk_daily_record import (
    ACCOUNT,
    BOOKS,
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
    frac_e8,
    item_of,
    realised_e8,
)
from kedge.services.risk_inputs import Holding, Inputs, history
from kedge.storage.risk_record import RiskRecordFile, read_risk_record

WEEK_DAYS: Final = 7
FLAT: Final = "flat"
FITS_KEPT: Final = 4
GRACE_NS: Final = 2 * 3_600 * NS_PER_S
DROPPED: Final = "an instrument is no longer traded"


def record_name(started: RunStarted) -> str:
    """A live account has one record through all its runs; a replayed or made market has one for each run, since its days come again."""
    return f"account-{started.account}.log" if started.source == "live" else f"{started.run_id}.log"


class Roller:
    """What a look at the books adds to a record: pure, but for the time that stands on it.

    Parameters
    ----------
    wall_ns : callable
        Stands in the items; nothing follows from it.
    """

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self._wall_ns = wall_ns
        self._fits: dict[str, tuple[Fit, ...]] = {}

    def due(self, record: DailyRecord, inputs: Inputs) -> bool:
        """Whether a look would add anything: the market's day was not looked at, and the closes of the day before it have come.

        They come one after the other; what has none a while into the day has had no bar, and is waited for no longer.
        """
        today = day_of(inputs)
        if all(record.seen(book).day >= today for book in BOOKS):
            return False
        come = all(one.closes[-1][0] >= today - 1 for one in inputs.holdings if one.closes)
        return come or inputs.ts_ns - today * NS_PER_DAY >= GRACE_NS

    def roll(self, record: DailyRecord, inputs: Inputs) -> Iterator[Item]:
        """Everything that is due, in order; the record learns each item before the next is made."""
        today = day_of(inputs)
        for book in BOOKS:
            seen = record.seen(book)
            if seen.day >= today:
                continue
            if seen.open is not None:
                yield self._learnt(record, self._judged(seen.open, inputs))
            if book == REFERENCE:
                yield from self._past(record, inputs, max(today - WINDOW_DAYS, seen.day + 1), today)
            late_s = (inputs.ts_ns - today * NS_PER_DAY) // NS_PER_S
            yield self._learnt(record, self._forecast(record, book, today, inputs, LIVE, late_s))

    def _learnt(self, record: DailyRecord, item: Item) -> Item:
        record.take(item)
        return item

    def _past(self, record: DailyRecord, inputs: Inputs, first: int, today: int) -> Iterator[Item]:
        """The reference's days that nobody looked at, each forecast from the closes before it alone."""
        for day in range(first, today):
            made = self._forecast(record, REFERENCE, day, inputs, HISTORY, 0)
            if isinstance(made, Forecast):
                yield self._learnt(record, made)
                yield self._learnt(record, self._judged(made, inputs))

    def _judged(self, forecast: Forecast, inputs: Inputs) -> Item:
        """What came of a forecast, by the closes before its day and of it."""
        known = {one.spec.instrument_id: dict(one.closes) for one in inputs.holdings}
        pairs = []
        for name, weight in zip(forecast.instruments, forecast.weights_e8, strict=True):
            before, after = (known.get(name, {}).get(day) for day in (forecast.day - 1, forecast.day))
            if weight and (before is None or after is None):
                why = f"no close of {name} before or of its day" if name in known else DROPPED
                return NotTested(day=forecast.day, book=forecast.book, why=why, made_wall_ns=self._wall_ns())
            pairs.append((before or 1, after or 1))
        came = realised_e8(forecast.weights_e8, pairs)
        return Realised(day=forecast.day, book=forecast.book, realised_e8=came, closes_e8=tuple(pairs), made_wall_ns=self._wall_ns())

    def _forecast(self, record: DailyRecord, book: str, day: int, inputs: Inputs, origin: str, late_s: int) -> Item:
        """Every method's forecast for a day, or why there is none."""
        past = tuple(_before(one, day) for one in inputs.holdings)
        weights = _frozen(book, past, inputs, day)
        why = _why_not(past, weights, day)
        if why:
            return NotTested(day=day, book=book, why=why, made_wall_ns=self._wall_ns())
        held = tuple(one for one in past if weights[one.spec.instrument_id])
        parts = tuple(weights[one.spec.instrument_id] for one in held)
        returns = history(held)
        told = choice.measure(returns, np.array(parts) / E8, colours=record.colours(), fits=self._fits_of(held, day))
        return Forecast(
            day=day,
            book=book,
            origin=origin,
            instruments=tuple(one.spec.instrument_id for one in held),
            weights_e8=parts,
            methods=tuple(_method(one) for one in (told.main, *told.others)),
            main=told.main.method,
            flags=told.main.flags,
            history_days=int(returns.shape[0]),
            history_sha256=content_hash([one.closes for one in held]),
            late_s=late_s,
            made_wall_ns=self._wall_ns(),
        )

    def _fits_of(self, held: tuple[Holding, ...], day: int) -> tuple[Fit, ...]:
        """Fits to the closes before the week of a day: the same after a restart, and made once a week."""
        monday = day - (day + 3) % WEEK_DAYS
        known = tuple(_before(one, monday) for one in held)
        key = content_hash([(one.spec.instrument_id, one.closes) for one in known])
        if key not in self._fits:
            self._fits = dict([*self._fits.items()][1 - FITS_KEPT :])
            self._fits[key] = fit_all(history(known))
        return self._fits[key]


class DailyRisk:
    """The daily backtest of one state folder, through all its runs: its file, its fold, and what it says.

    Parameters
    ----------
    state : Path
        The state folder.
    wall_ns : callable
    """

    def __init__(self, state: Path, wall_ns: Callable[[], int]) -> None:
        self._folder = risk_folder(state)
        self._roller = Roller(wall_ns)
        self._file: RiskRecordFile | None = None
        self._name = ""
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self.record = DailyRecord()

    def is_due(self, name: str, inputs: Inputs) -> bool:
        """Whether `look` would do anything for these books and the record of this name."""
        return name != self._name or self._roller.due(self.record, inputs)

    def look(self, name: str, inputs: Inputs) -> int:
        """Judge and forecast what is due, durably; gives how many items were added. Slow: seconds where a record begins.

        Parameters
        ----------
        name : str
            Of the record, see `record_name`.

        Raises
        ------
        Conflict
            Another process keeps this record.
        IntegrityError
            The record was altered.
        RecordingFailed
            It could not be written: nothing of this look is kept.
        """
        with self._one_at_a_time:
            file = self._opened(name)
            record = DailyRecord(items_of(file.path, file.bodies))
            items = []
            for item in self._roller.roll(record, inputs) if self._roller.due(record, inputs) else ():
                items.append(item)
                if self._closed:
                    return 0
            if items:
                file.append(*(body_of(item) for item in items))
            self.record = record
            publish_colours(self._folder, name, day_of(inputs), self.colours())
            return len(items)

    def standings(self) -> Mapping[str, Standing]:
        """What the record says of each method."""
        return self.record.standings()

    def colours(self) -> Mapping[str, Colour]:
        """The light of each method, as `risk.var.choice` takes them."""
        return self.record.colours()

    def close(self) -> None:
        """Let go of the file; a look under way in another thread is waited for, and adds nothing."""
        self._closed = True
        with self._one_at_a_time:
            self._let_go()

    def _opened(self, name: str) -> RiskRecordFile:
        if self._file is not None and name == self._name:
            return self._file
        self._let_go()
        self.record = DailyRecord()
        self._file = RiskRecordFile(self._folder / name)
        self._name = name
        return self._file

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._name = None, ""


def items_of(path: Path, bodies: list[bytes]) -> Iterator[Item]:
    """The items of a record's bodies.

    Raises
    ------
    IntegrityError
        A body is none.
    """
    for number, body in enumerate(bodies, start=1):
        try:
            yield item_of(body)
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"{path}: line {number}", why=str(error), fix="was it written by another version?") from None


def read_record(state: Path, name: str) -> DailyRecord:
    """A record as it stands, for readers; empty where there is none."""
    path = risk_folder(state) / name
    return DailyRecord(items_of(path, read_risk_record(path)))


def day_of(inputs: Inputs) -> int:
    """The market's UTC day at the moment of the books; midnight begins a day."""
    return inputs.ts_ns // NS_PER_DAY


def _before(one: Holding, day: int) -> Holding:
    """An instrument with the closes of the days before one only."""
    return msgspec.structs.replace(one, closes=tuple(pair for pair in one.closes if pair[0] < day))


def _frozen(book: str, past: tuple[Holding, ...], inputs: Inputs, day: int) -> dict[str, int]:
    """Weights in 1e-8 by instrument: what is held, or an equal part of everything that closed yesterday."""
    if book == ACCOUNT:
        equity_e8 = inputs.equity_e8
        return {one.spec.instrument_id: frac_e8(one.value_e8, equity_e8) if equity_e8 > 0 else 0 for one in past}
    closed = {one.spec.instrument_id for one in past if len(one.closes) > 1 and one.closes[-1][0] == day - 1}
    return {one.spec.instrument_id: E8 // len(closed) if one.spec.instrument_id in closed else 0 for one in past}


def _why_not(past: tuple[Holding, ...], weights: dict[str, int], day: int) -> str:
    """Why a day cannot be forecast; empty where it can."""
    held = [one for one in past if weights[one.spec.instrument_id]]
    if not held:
        return FLAT
    for one in held:
        if not one.closes or one.closes[-1][0] != day - 1:
            return f"no close of {one.spec.instrument_id} of the day before"
    return ""


def _method(one: VarEs) -> MethodForecast:
    var, es, at_es = (to_grid(frac, E8) for frac in (one.var_frac, one.es_frac, one.var_at_es_frac))
    return MethodForecast(method=one.method, var_e8=var, es_e8=es, es_var_e8=at_es)
