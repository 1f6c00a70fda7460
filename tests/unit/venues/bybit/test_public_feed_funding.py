"""Settlements out of tickers and out of history: known when the next one's time moves on, at the rate told last, refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import uvloop
from tests.unit.venues.bybit.test_mapping import BTC
from tests.unit.venues.bybit.test_public_feed import History

from kedge.domain.events import BarClosed, FeedGap, FundingKnown
from kedge.domain.instrument import Instrument
from kedge.venues.bybit.codec import FundingData, TickerData, UnreadablePayload
from kedge.venues.bybit.public_feed import FeedSettings, PublicFeed
from kedge.venues.bybit.public_feed_funding import rate_of_history, settled

EIGHT_MS = 1_767_024_000_000
SIXTEEN_MS = EIGHT_MS + 28_800_000
NAME = BTC.instrument_id


def ticker(next_ms: object, rate: str | None = "0.0001") -> TickerData:
    return TickerData(symbol=BTC.venue_symbol, next_funding_text=next_ms, funding_rate=rate)  # type: ignore[arg-type]


def test_a_settlement_is_known_when_the_next_ones_time_moves_on() -> None:
    before, after = ticker(str(EIGHT_MS), "-0.00012345"), ticker(str(SIXTEEN_MS), "0.0003")
    assert settled(before, after, BTC, EIGHT_MS) == FundingKnown(EIGHT_MS * 1_000_000, NAME, -12_345)
    assert settled(before, before, BTC, EIGHT_MS) is None


def test_a_time_that_moves_before_it_has_come_is_a_change_of_the_schedule_and_no_settlement() -> None:
    hour_ms = 3_600_000
    at_four, at_eight, at_sixteen = ticker(str(EIGHT_MS - 4 * hour_ms)), ticker(str(EIGHT_MS)), ticker(str(SIXTEEN_MS))
    assert settled(at_eight, at_sixteen, BTC, EIGHT_MS - hour_ms) is None
    assert settled(at_eight, at_four, BTC, EIGHT_MS - 5 * hour_ms) is None
    assert settled(at_eight, at_sixteen, BTC, None) is None
    late = settled(at_eight, at_sixteen, BTC, SIXTEEN_MS - hour_ms)
    assert late == FundingKnown(EIGHT_MS * 1_000_000, NAME, 10_000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ticker(str(EIGHT_MS))),
        (ticker(str(EIGHT_MS)), None),
        (ticker(""), ticker(str(EIGHT_MS))),
        (ticker("0"), ticker(str(EIGHT_MS))),
        (ticker(str(EIGHT_MS)), ticker(None)),
        (ticker(str(EIGHT_MS), ""), ticker(str(SIXTEEN_MS))),
        (ticker(str(EIGHT_MS), None), ticker(str(SIXTEEN_MS))),
    ],
)
def test_a_ticker_that_does_not_say_all_of_it_says_no_settlement(before: TickerData | None, after: TickerData | None) -> None:
    assert settled(before, after, BTC, SIXTEEN_MS) is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (ticker("soon"), ticker(str(EIGHT_MS)), "nextFundingTime is 'soon'"),
        (ticker(str(EIGHT_MS)), ticker("-5"), "nextFundingTime is '-5'"),
        (ticker(str(EIGHT_MS), "much"), ticker(str(SIXTEEN_MS)), "fundingRate is 'much'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(before: TickerData, after: TickerData, words: str) -> None:
    with pytest.raises(UnreadablePayload) as told:
        settled(before, after, BTC, EIGHT_MS)
    assert words in str(told.value)


def test_a_row_of_the_history_is_the_same_fact() -> None:
    row = FundingData(symbol=BTC.venue_symbol, funding_rate="0.0001", funding_ms=EIGHT_MS)
    assert rate_of_history(row, BTC) == FundingKnown(EIGHT_MS * 1_000_000, NAME, 10_000)
    with pytest.raises(UnreadablePayload, match="fundingRateTimestamp"):
        rate_of_history(msgspec.structs.replace(row, funding_ms=0), BTC)
    with pytest.raises(UnreadablePayload, match="fundingRate"):
        rate_of_history(msgspec.structs.replace(row, funding_rate="x"), BTC)


async def _no_history(_: Instrument, from_ts_ns: int, to_ts_ns: int | None) -> Sequence[BarClosed]:
    return await History(set())(from_ts_ns, to_ts_ns)


def fed(settings: FeedSettings, *frames: tuple[str, dict[str, str]]) -> tuple[list[Any], PublicFeed]:
    """What a feed tells of these ticker frames."""
    told: list[BarClosed | FeedGap | FundingKnown] = []
    feed = PublicFeed([BTC], settings, _no_history, told.append)

    async def test() -> None:
        for n, (kind, fields) in enumerate(frames):
            data = {"symbol": BTC.venue_symbol, **fields}
            frame = {"topic": f"tickers.{BTC.venue_symbol}", "type": kind, "ts": EIGHT_MS + n, "data": data}
            feed.read(None, msgspec.json.encode(frame))  # type: ignore[arg-type]
        await asyncio.sleep(0)

    uvloop.run(test())
    return told, feed


FRAMES = (
    ("snapshot", {"nextFundingTime": str(EIGHT_MS), "fundingRate": "0.0001", "lastPrice": "1"}),
    ("delta", {"fundingRate": "0.0002"}),
    ("delta", {"lastPrice": "2"}),
    ("delta", {"nextFundingTime": str(SIXTEEN_MS), "fundingRate": "0.0009"}),
)


def test_the_feed_tells_a_settlement_once_at_the_rate_before_it() -> None:
    told, _ = fed(FeedSettings(funding=True), *FRAMES, FRAMES[2])
    assert told == [FundingKnown(EIGHT_MS * 1_000_000, NAME, 20_000)]


def test_the_feed_takes_a_schedule_that_was_changed_for_no_settlement_and_goes_on() -> None:
    times = (SIXTEEN_MS, SIXTEEN_MS - 14_400_000, SIXTEEN_MS + 28_800_000)
    frames = [("delta" if n else "snapshot", {"nextFundingTime": str(at), "fundingRate": "0.0001"}) for n, at in enumerate(times)]
    told, feed = fed(FeedSettings(funding=True), *frames)
    assert (told, feed.unreadable) == ([], 0)


def test_a_rate_that_the_venue_takes_back_is_unknown_and_its_settlement_not_told() -> None:
    told, feed = fed(FeedSettings(funding=True), FRAMES[0], ("delta", {"fundingRate": ""}), FRAMES[3])
    assert (told, feed.unreadable) == ([], 0)


def test_a_feed_that_was_not_asked_for_funding_tells_none() -> None:
    told, feed = fed(FeedSettings(), *FRAMES)
    assert told == []
    assert feed.quotes[BTC.venue_symbol].funding_rate_e8 == 90_000


def test_a_snapshot_after_an_interruption_says_nothing_of_what_was_missed() -> None:
    told, feed = fed(FeedSettings(funding=True), FRAMES[0])
    feed.quotes[BTC.venue_symbol].ticker = None  # as `greet` does
    before = feed.quotes[BTC.venue_symbol].ticker
    assert settled(before, ticker(str(SIXTEEN_MS)), BTC, EIGHT_MS) is None
    assert told == []


def test_a_frame_that_cannot_be_read_is_counted_and_the_feed_goes_on() -> None:
    told, feed = fed(FeedSettings(funding=True), FRAMES[0], ("delta", {"nextFundingTime": "soon"}), FRAMES[0], FRAMES[3])
    assert feed.unreadable >= 1
    assert told == [FundingKnown(EIGHT_MS * 1_000_000, NAME, 10_000)]


def test_tickers_are_subscribed_for_funding_alone() -> None:
    quiet = FeedSettings(book_depth=0, tickers=False, trades=False)
    for settings, topics in ((quiet, 1), (msgspec.structs.replace(quiet, funding=True), 2)):
        feed = PublicFeed([BTC], settings, _no_history, lambda _: None)
        assert len(feed.topics()) == topics
