"""Topics there are, and who listens to them."""

from __future__ import annotations

import pytest
from tests.builders import instrument

from kedge.venues.exchange.socket_link import TOGETHER_MAX, Kind, Link
from kedge.venues.exchange.subscriptions import PRIVATE_TOPICS, Audience, Topic, mixes_categories, public_topic, topic_names

LISTED = {"AAAUSDT": instrument()}


class Wire:
    """A transport that remembers what it was told."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_aborted = False

    def is_closing(self) -> bool:
        return self.is_aborted

    def write(self, data: bytes) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return len(self.sent)

    def abort(self) -> None:
        self.is_aborted = True


def link_on(wire: Wire, buffer_max: int = 100) -> Link:
    return Link(Kind.PUBLIC, wire, "c", "127.0.0.1", lambda: 0.0, buffer_max, 600.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("orderbook.50.AAAUSDT", Topic("orderbook", "50", "AAAUSDT")),
        ("kline.D.AAAUSDT", Topic("kline", "D", "AAAUSDT")),
        ("publicTrade.AAAUSDT", Topic("publicTrade", "", "AAAUSDT")),
        ("tickers.AAAUSDT", Topic("tickers", "", "AAAUSDT")),
        ("allLiquidation.AAAUSDT", Topic("allLiquidation", "", "AAAUSDT")),
        ("priceLimit.AAAUSDT", Topic("priceLimit", "", "AAAUSDT")),
    ],
)
def test_a_topic_of_a_listed_instrument_is_read(name: str, topic: Topic) -> None:
    assert public_topic(name, LISTED) == topic


@pytest.mark.parametrize(
    "name",
    [
        "orderbook.500.AAAUSDT", "orderbook.AAAUSDT", "kline.2.AAAUSDT", "tickers.ZZZUSDT", "tickers", "order", "dcp.future", "",
        "liquidation.AAAUSDT",
    ],
)  # fmt: skip
def test_a_topic_that_there_is_not_is_none(name: str) -> None:
    assert public_topic(name, LISTED) is None


def test_private_topics_are_the_plain_and_the_categorised_ones() -> None:
    assert {"order", "execution.fast.linear", "wallet", "dcp.future", "greeks", "position.inverse"} <= PRIVATE_TOPICS
    assert not {"wallet.linear", "orders", "order.AAAUSDT", ""} & PRIVATE_TOPICS


def test_a_kind_may_not_be_asked_for_plainly_and_by_category_at_once() -> None:
    assert mixes_categories(["order", "order.linear"])
    assert not mixes_categories(["order", "execution.linear"])
    assert not mixes_categories(["execution", "execution.fast"])


@pytest.mark.parametrize("args", [None, [], "order", ["order", 1], {}])
def test_topics_are_a_list_of_texts(args: object) -> None:
    assert topic_names({"args": args}) is None
    assert topic_names({"args": ["order"]}) == ["order"]


def test_a_topic_without_listeners_is_forgotten() -> None:
    audience, first, second = Audience(), link_on(Wire()), link_on(Wire())
    audience.join(first, "t")
    audience.join(second, "t")
    assert not audience.leave(first, "t")
    assert "t" in audience
    assert audience.leave(second, "t")
    assert "t" not in audience
    assert not audience
    assert not audience.leave(second, "t")


def test_a_frame_reaches_every_listener_of_its_topic_alone() -> None:
    audience, near, far = Audience(), Wire(), Wire()
    audience.join(link_on(near), "t")
    audience.join(link_on(far), "u")
    audience.write("t", b"news")
    assert near.sent == b"news"
    assert far.sent == b""


def test_what_is_written_in_one_turn_of_the_loop_leaves_together_and_in_its_order() -> None:
    wire, later = Wire(), []
    link = Link(Kind.PRIVATE, wire, "c", "127.0.0.1", lambda: 5.0, 1 << 30, 600.0, later.append)  # type: ignore[arg-type]
    for text in (b"one ", b"two ", b"three"):
        link.write(text)
    assert (wire.sent, len(later)) == (b"", 1)
    later.pop()()
    assert (wire.sent, link.active_s) == (b"one two three", 5.0)
    link.write(b"!" * (TOGETHER_MAX + 1))
    assert len(wire.sent) == len(b"one two three") + TOGETHER_MAX + 1
    assert not later


def test_what_was_written_before_a_connection_is_cut_has_left() -> None:
    wire = Wire()
    link = Link(Kind.TRADE, wire, "c", "127.0.0.1", lambda: 0.0, 100, 600.0, lambda _: None)  # type: ignore[arg-type]
    link.write(b"answer")
    link.cut("on request")
    assert (wire.sent, wire.is_aborted) == (b"answer", True)


def test_a_link_whose_reader_is_slow_is_cut_and_takes_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire()
    link = link_on(wire, buffer_max=10)
    link.write(b"0123456789")
    assert not wire.is_aborted
    link.write(b"x")
    assert wire.is_aborted
    assert "slow reader: 11 bytes wait, at most 10 may" in caplog.text
    link.write(b"y")
    assert wire.sent == b"0123456789x"
    link.cut("again")
    assert link.end_reason.startswith("slow reader")
