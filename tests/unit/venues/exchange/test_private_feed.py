"""The private feed: quiet operations, told on a short way, are told to the byte as any others are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.orders import OrderKind, Side
from kedge.domain.units import E8
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Change, Crowd, OrderRequest, OrderRow, VenueSettings
from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.private_feed import PrivateFeed
from kedge.venues.exchange.socket_link import Kind, Link

from ....builders import AAA, instrument

START_NS = 1_767_000_000 * 10**9
PRICE = 1_000
TOPICS = (("order", "execution", "position", "wallet"), ("order.linear", "execution.fast", "wallet"), ("execution.linear",), ())


class StoppedClock:
    def venue_ns(self) -> int:
        return START_NS

    def wall_ns(self) -> int:
        return START_NS


class Paper(asyncio.WriteTransport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.sent.append(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


def follow(feed: PrivateFeed, account: str) -> list[Paper]:
    """Links of an account with every choice of topics."""
    papers = []
    for topics in TOPICS:
        paper = Paper()
        link = Link(Kind.PRIVATE, paper, "1", "127.0.0.1", lambda: 0.0, 1 << 20, 60.0)
        link.key = ApiKey(key=account, secret="s", account=account)
        link.topics.update(dict.fromkeys(topics))
        feed.admit(link)
        papers.append(paper)
    return papers


orders = st.tuples(st.sampled_from("abü"), st.sampled_from(Side), st.sampled_from(OrderKind), st.integers(1, 9), st.integers(-5, 5))


@given(st.lists(orders | st.none(), max_size=25), st.integers(1, 3))
def test_the_short_way_and_the_long_way_tell_the_same_bytes(wishes: Sequence[tuple[str, Side, OrderKind, int, int] | None], n: int) -> None:
    spec = instrument(AAA)
    venue = Venue([spec], VenueSettings(crowd=Crowd(levels=3)), START_NS)
    hall = Hall(venue, StoppedClock(), [spec])
    short, long = PrivateFeed(hall), PrivateFeed(hall)
    long._prefix = short._prefix
    for account in "abü":
        venue.open_account(account, 10_000_000 * E8, START_NS)
    papers = [[*follow(feed, "a"), *follow(feed, "ü")] for feed in (short, long)]
    batches: list[Sequence[Change]] = []
    hall.listen(batches.append)
    hall.listen(short.hear)
    venue.set_prices(AAA, PRICE, PRICE * spec.tick_e8, PRICE * spec.tick_e8, START_NS)
    hall.publish()
    resting: list[OrderRow] = []
    for k, wish in enumerate(wishes):
        if wish is not None:
            account, side, kind, lots, away = wish
            price = PRICE + away if kind is OrderKind.LIMIT else 0
            qty = lots * spec.order_qty_min_lots * 100
            request = OrderRequest(instrument=AAA, side=side, kind=kind, qty_lots=qty, limit_ticks=price)
            answer = venue.place(account, request, START_NS)
            resting += [answer] if isinstance(answer, OrderRow) and answer.is_open else []
        elif resting:
            order = resting.pop()
            venue.cancel(order.account, AAA, START_NS, order_id=order.order_id)
        if not k % n:
            hall.publish()
    hall.publish()
    for batch in batches:
        long._tell_all(batch)
    assert [paper.sent for paper in papers[0]] == [paper.sent for paper in papers[1]]
    if any(isinstance(change, OrderRow) and change.account == "a" for batch in batches for change in batch):
        assert papers[0][0].sent
