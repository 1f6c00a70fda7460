"""An order book is the exchange's own at the update it says, or it says that it is broken: whatever is lost, doubled or turned round."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.venues.bybit.test_mapping import BTC

from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.venues.bybit.book import Book
from kedge.venues.bybit.codec import BookData, UnreadablePayload
from kedge.venues.bybit.public_feed_book import Quotes

Levels = dict[int, int]


class Frame(NamedTuple):
    row: BookData
    is_snapshot: bool


def row(u: int, bids: Sequence[tuple[int, int]] = (), asks: Sequence[tuple[int, int]] = (), seq: int | None = None) -> BookData:
    def texts(levels: Sequence[tuple[int, int]]) -> list[list[str]]:
        return [[f"{ticks / 10:.1f}", f"{lots / 1000:.3f}"] for ticks, lots in levels]

    return msgspec.convert({"s": "BTCUSDT", "b": texts(bids), "a": texts(asks), "u": u, "seq": seq}, BookData)


class Tape:
    """What an exchange sends: a snapshot, changes, now and then a snapshot again; and how its book stood at each update."""

    def __init__(self, seed: int, length: int, *, has_seq: bool) -> None:
        chance = random.Random(seed)
        self.truth: dict[int, tuple[Levels, Levels]] = {}
        self.frames: list[Frame] = []
        bids: Levels = {20: 5}
        asks: Levels = {21: 5}
        first = chance.randint(2, 100)
        for update in range(first, first + length):
            changes: tuple[list[tuple[int, int]], ...] = ([], [])
            if update > first:
                for levels, change, low in ((bids, changes[0], 1), (asks, changes[1], 21)):
                    for ticks in chance.sample(range(low, low + 20), chance.randint(0, 3)):
                        lots = chance.randint(0, 4)
                        if lots or ticks in levels:
                            change.append((ticks, lots))
                            levels[ticks] = lots
                        if not lots:
                            levels.pop(ticks, None)
            self.truth[update] = (dict(bids), dict(asks))
            seq = update * 10 if has_seq else None
            if update > first:
                self.frames.append(Frame(row(update, *changes, seq=seq), False))
            if update == first or chance.random() < 0.15:
                self.frames.append(Frame(row(update, list(bids.items()), list(asks.items()), seq), True))

    def stands_as(self, book: Book) -> bool:
        return (book.bids, book.asks) == self.truth[book.update]


Blow = st.tuples(st.sampled_from(("drop", "twice", "later", "again_later")), st.integers(0, 60), st.integers(1, 12))


@given(seed=st.integers(0, 10**6), length=st.integers(1, 40), has_seq=st.booleans(), blows=st.lists(Blow, max_size=12))
def test_a_book_that_says_it_is_whole_is_the_exchanges_at_its_update(
    seed: int, length: int, has_seq: bool, blows: list[tuple[str, int, int]]
) -> None:
    tape = Tape(seed, length, has_seq=has_seq)
    frames = list(tape.frames)
    for what, place, by in blows:
        at = place % len(frames) if frames else 0
        if not frames:
            break
        if what == "drop":
            del frames[at]
        elif what == "twice":
            frames.insert(at, frames[at])
        elif what == "later":
            frames.insert(min(at + by, len(frames) - 1), frames.pop(at))
        else:
            frames.insert(min(at + by, len(frames)), frames[at])
    book = Book(BTC)
    for frame in frames:
        breaks, was, before = book.breaks, book.is_whole, book.update
        assert book.apply(frame.row, is_snapshot=frame.is_snapshot) is (book.breaks == breaks)
        if book.is_whole:
            assert tape.stands_as(book)
            assert book.why == ""
            assert not was or book.update >= before
        else:
            assert (book.bids, book.asks, book.best()) == ({}, {}, None)
            assert book.why
    last = max(tape.truth)  # whatever happened, a fresh subscription mends it: at the latest with the second snapshot
    bids, asks = tape.truth[last]
    fresh = row(last, list(bids.items()), list(asks.items()), last * 10 if has_seq else None)
    assert any(book.apply(fresh, is_snapshot=True) and book.is_whole for _ in range(2))
    assert tape.stands_as(book)


@given(seed=st.integers(0, 10**6), length=st.integers(1, 40), has_seq=st.booleans())
def test_an_untouched_stream_never_breaks_a_book(seed: int, length: int, has_seq: bool) -> None:
    tape, book = Tape(seed, length, has_seq=has_seq), Book(BTC)
    for frame in tape.frames:
        assert book.apply(frame.row, is_snapshot=frame.is_snapshot)
        assert tape.stands_as(book)
    assert book.breaks == 0


def whole(*, u: int = 10, seq: int | None = 100) -> Book:
    book = Book(BTC)
    assert book.apply(row(u, [(9, 1), (10, 2)], [(11, 3), (12, 4)], seq), is_snapshot=True)
    return book


def test_a_missing_update_breaks_and_empties_it_until_a_snapshot() -> None:
    book = whole()
    assert not book.apply(row(12, [(8, 1)], seq=120), is_snapshot=False)
    assert (book.is_whole, book.breaks, book.why) == (False, 1, "update 12 came after 10")
    assert book.levels(Side.BUY, 5) == []
    assert book.apply(row(13, [(8, 1)], seq=130), is_snapshot=False)
    assert not book.is_whole
    assert book.apply(row(14, [(8, 1)], [(9, 1)], 140), is_snapshot=True)
    assert (book.best(), book.levels(Side.BUY, 5), book.why) == ((8, 9), [(8, 1)], "")


def test_what_comes_twice_or_late_changes_nothing() -> None:
    book = whole()
    assert book.apply(row(11, [(10, 0)], seq=110), is_snapshot=False)
    for again in (row(11, [(10, 7)], seq=110), row(10, [(10, 7)], seq=100)):
        assert book.apply(again, is_snapshot=False)
    assert book.apply(row(10, [(10, 7)], [], 100), is_snapshot=True)
    assert (book.update, book.levels(Side.BUY, 5)) == (11, [(9, 1)])


@pytest.mark.parametrize("ask", [10, 9])
def test_a_bid_at_or_above_an_ask_breaks_it(ask: int) -> None:
    book = whole()
    assert not book.apply(row(11, [], [(ask, 1)], 110), is_snapshot=False)
    assert (book.is_whole, book.best()) == (False, None)
    assert f"crossed: bid 10 ticks, ask {ask} ticks" in book.why
    assert not book.apply(row(12, [(10, 1)], [(10, 1)], 120), is_snapshot=True)
    assert book.breaks == 2


def test_a_sequence_that_goes_back_breaks_it() -> None:
    book = whole()
    assert not book.apply(row(11, [], [], 99), is_snapshot=False)
    assert book.why == "sequence 99 came after 100"
    assert not whole().apply(row(9, [], [], 120), is_snapshot=False)


def test_a_snapshot_older_than_what_was_told_is_asked_for_again_and_believed_in_the_end() -> None:
    book = whole()
    assert not book.apply(row(13, [], [], 130), is_snapshot=False)
    old = row(11, [(9, 1)], [(11, 3)], 110)
    assert not book.apply(old, is_snapshot=True)
    assert book.why == "its snapshot is of sequence 110, and 130 was told before"
    assert not book.apply(old, is_snapshot=True)  # it may be the same frame, twice
    assert book.apply(old, is_snapshot=True)
    assert book.update == 11


def test_a_price_that_cannot_be_read_breaks_it_and_leaves_nothing_half_done() -> None:
    book = whole()
    broken = msgspec.convert({"s": "BTCUSDT", "b": [["1.0", "0.009"]], "a": [["1.15", "0.001"]], "u": 11, "seq": 110}, BookData)
    with pytest.raises(UnreadablePayload):
        book.apply(broken, is_snapshot=False)
    assert (book.is_whole, book.bids, book.breaks) == (False, {}, 1)
    assert "1.15" in book.why


def test_a_restarted_service_replaces_the_book_and_the_same_row_twice_does_nothing() -> None:
    book = whole()
    restart = row(1, [(4, 1)], [(6, 1)], 200)
    assert book.apply(restart, is_snapshot=False)
    assert book.apply(restart, is_snapshot=True)
    assert (book.update, book.best(), book.breaks) == (1, (4, 6), 0)


def test_a_book_of_a_new_connection_begins_anew() -> None:
    book = whole()
    book.forget("its connection is new")
    assert (book.is_whole, book.best(), book.why, book.breaks) == (False, None, "its connection is new", 0)
    assert book.apply(row(3, [(4, 1)], [], 5), is_snapshot=True)
    assert (book.is_whole, book.best()) == (True, None)


def test_a_quote_is_of_a_whole_book_with_both_sides_that_trades_have_not_left_behind() -> None:
    quotes = Quotes(BTC)
    assert quotes.quote(0) is None
    assert quotes.on_book(row(10, [(10, 2)], [(11, 3)], 100), 5 * NS_PER_S, is_snapshot=True)
    quote = quotes.quote(NS_PER_S)
    assert quote is not None
    assert (quote.instrument, quote.bid_ticks, quote.ask_ticks, quote.bid_lots, quote.ask_lots) == (BTC.instrument_id, 10, 11, 2, 3)
    assert (quote.ts_ns, quotes.data_ts_ns) == (5 * NS_PER_S, 5 * NS_PER_S)
    quotes.trade_ts_ns = 6 * NS_PER_S
    assert quotes.quote(NS_PER_S) is not None
    quotes.trade_ts_ns += 1
    assert quotes.quote(NS_PER_S) is None
    assert quotes.on_book(row(11, [(10, 0)], [], 110), None, is_snapshot=False)
    assert quotes.quote(10 * NS_PER_S) is None  # nobody buys


def test_a_snapshot_that_was_refused_is_not_believed_when_it_comes_twice() -> None:
    book = Book(BTC)
    book.apply(row(10, [(20, 5)], [(21, 5)], 100), is_snapshot=True)
    assert not book.apply(row(12, [(20, 7)], [], 120), is_snapshot=False)  # 11 is missing
    old = row(11, [(20, 6)], [(21, 5)], 110)  # made before the change that we know of
    assert not book.apply(old, is_snapshot=True)
    assert not book.apply(old, is_snapshot=True)
    assert book.best() is None
    assert book.apply(row(12, [(20, 7)], [(21, 5)], 120), is_snapshot=True)
    assert book.best() == (20, 21)
