"""A journal that groups records is made durable before anything leaves: an order, a cancel, an acknowledgement."""

from __future__ import annotations

from collections.abc import Sequence

from tests.builders import AAA, T0, ListJournal, Wish, bar, engine

from kedge.domain.events import Command, CommandGiven, Event
from kedge.domain.outputs import OrderSent, Output
from kedge.services.kill_points import NoKillPoints
from kedge.services.live_core import LiveCore
from kedge.services.seen import Seen
from kedge.services.venue_clock import VenueClock


class Grouping(ListJournal):
    """Keeps a list of what happened in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def commit(self, event: Event, outputs: Sequence[Output]) -> None:
        super().commit(event, outputs)
        self.told.append("commit")

    def flush(self) -> None:
        self.told.append("durable")


def test_bars_share_a_group_and_an_order_ends_it_before_it_is_handed_on() -> None:
    journal, wish = Grouping(), Wish()
    clock = VenueClock(lambda: 0, T0, speed=1, follows_wall=False)
    core = LiveCore(engine(wish), journal, Seen(T0), clock, NoKillPoints(), 1_000)
    core.send = lambda outputs: journal.told.extend("sent" for one in outputs if isinstance(one, OrderSent))
    core.step(bar(1))
    core.step(bar(2))
    assert journal.told == ["commit", "commit"]
    wish.say(0.1, AAA)
    core.step(bar(3))
    assert journal.told[2:] == ["commit", "durable", "sent"]


def test_what_is_no_news_of_the_market_is_durable_at_once_although_nothing_leaves() -> None:
    journal = Grouping()
    clock = VenueClock(lambda: 0, T0, speed=1, follows_wall=False)
    core = LiveCore(engine(Wish()), journal, Seen(T0), clock, NoKillPoints(), 1_000)
    core.step(bar(1))
    core.step(CommandGiven(T0, Command.HALT, "anna", "looks wrong", "c1"))
    assert journal.told == ["commit", "commit", "durable"]
