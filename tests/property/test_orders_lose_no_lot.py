"""One order between us and a venue that answers, is silent, trades, amends, cancels and tells all of it late, twice and out of order.

The reference model is the venue's own order: what it holds, what it traded, what is still on its way there. Whatever is told in
whichever order, no lot that may still trade is ever unreserved, no story is illegal, and in the end both sides hold the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kedge.domain.events import OrderFilled
from kedge.domain.orders import Liquidity, Side
from kedge.engine.lifecycle import Report, Status
from kedge.engine.orders import Orders

from ..builders import AAA, T0, order

NAME: Final = "o1"


@dataclass(frozen=True)
class Told:
    """One message on its way to us."""

    what: str
    lots: int = 0
    ticks: int = 0
    leaves: int = 0
    number: int = 0


class OneOrder(RuleBasedStateMachine):
    """Our order, the venue's, and the wires between them."""

    @initialize(lots=st.integers(1, 20), is_shown=st.booleans())
    def place(self, lots: int, is_shown: bool) -> None:
        self.ours = Orders()
        self.ours.add(order(NAME, lots=lots, limit=100))
        self.creation = "on its way"
        self.cancel_on_its_way = False
        self.amend: tuple[int | None, int | None] | None = None
        self.amend_is_open = False
        self.is_there = self.is_over = False
        self.qty, self.ticks, self.cum, self.fills = lots, 100, 0, 0
        self.rows = 0
        self.newest_row = 0
        self.news: list[Told] = []
        self.old_news: list[Told] = []
        if is_shown:
            self.the_creation_arrives(is_taken=True, is_answered=True)
            self.a_message_comes(0)

    # the venue --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.creation == "on its way")
    @rule(is_taken=st.booleans(), is_answered=st.booleans())
    def the_creation_arrives(self, is_taken: bool, is_answered: bool) -> None:
        self.creation = "answered" if is_answered else "silent"
        self.is_there = is_taken
        if is_taken:
            self.news.append(Told("accepted"))
        elif is_answered:
            self.news.append(Told("refused"))
        if not is_answered:
            self.news.append(Told("creation lost"))

    @precondition(lambda self: self.is_alive)
    @rule(lots=st.integers(1, 5))
    def it_trades(self, lots: int) -> None:
        lots = min(lots, self.qty - self.cum)
        self.cum += lots
        self.fills += 1
        self.is_over = self.cum == self.qty
        self.news.append(Told("fill", lots, leaves=self.qty - self.cum, number=self.fills))

    @precondition(lambda self: self.is_alive)
    @rule(by_itself=st.integers(0, 9))
    def it_is_ended(self, by_itself: int) -> None:
        """By our cancel or, now and then, by the venue itself."""
        if by_itself and not self.cancel_on_its_way:
            return
        self.is_over, self.cancel_on_its_way = True, False
        self.news.append(Told("canceled", self.cum))

    @precondition(lambda self: self.amend is not None)
    @rule(is_taken=st.booleans(), is_answered=st.booleans())
    def the_amend_arrives(self, is_taken: bool, is_answered: bool) -> None:
        assert self.amend is not None
        qty = self.qty if self.amend[0] is None else self.amend[0]
        ticks = self.ticks if self.amend[1] is None else self.amend[1]
        self.amend = None
        is_done = is_taken and self.is_alive and qty > self.cum
        if is_done:
            self.qty, self.ticks = qty, ticks
            self.rows += 1
            self.news.append(Told("amended", qty, ticks, number=self.rows))
        self.news.append(Told("amend answered" if is_done else "amend refused") if is_answered else Told("amend lost"))

    # we ---------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.held.status is Status.OPEN and not self.amend_is_open)
    @rule(qty=st.integers(0, 30), ticks=st.integers(90, 110))
    def we_amend(self, qty: int | None, ticks: int) -> None:
        qty = qty or None
        self.ours.amend_sent(NAME, qty, ticks)
        self.amend, self.amend_is_open = (qty, ticks), True

    @precondition(lambda self: self.held.is_live and self.held.status is not Status.PENDING_CANCEL)
    @rule(now_and_then=st.integers(0, 4))
    def we_cancel(self, now_and_then: int) -> None:
        if now_and_then:
            return
        self.ours.report(NAME, Report.CANCEL_SENT)
        self.cancel_on_its_way = True

    @precondition(lambda self: self.held.is_amending and self.amend is None and not self.amend_is_open and self.is_alive)
    @rule()
    def we_look_the_amend_up(self) -> None:
        """After the request could still be taken: what the venue shows, stands."""
        shown = (self.qty, self.ticks)
        if shown != (self.held.qty_lots, self.held.limit_ticks) or self.held.is_as_asked(*shown):
            self.ours.amended(NAME, *shown, T0 + self.rows)
        if self.held.is_amending:
            self.ours.amend_refused(NAME)

    @precondition(lambda self: self.held.status is Status.UNKNOWN and not self.is_there and not self.news)
    @rule()
    def we_prove_it_absent(self) -> None:
        self.ours.report(NAME, Report.PROVEN_ABSENT)

    # the wires --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.news)
    @rule(pick=st.integers(0, 100))
    def a_message_comes(self, pick: int) -> None:
        told = self.news.pop(pick % len(self.news))
        self.old_news.append(told)
        self.take(told)

    @precondition(lambda self: any(told.what in ("fill", "canceled") for told in self.old_news))
    @rule(pick=st.integers(0, 100))
    def a_frame_comes_again(self, pick: int) -> None:
        frames = [told for told in self.old_news if told.what in ("fill", "canceled")]
        self.take(frames[pick % len(frames)])

    def take(self, told: Told) -> None:
        orders = self.ours
        plain = {"accepted": Report.ACCEPTED, "refused": Report.REFUSED}
        if told.what == "fill":
            fill_id = f"f{told.number}"
            orders.fill(OrderFilled(T0, fill_id, NAME, AAA, Side.BUY, told.lots, 100, 0, Liquidity.MAKER, told.leaves))
        elif told.what == "amended":
            if told.number > self.newest_row:  # a row older than the last one is no news
                self.newest_row = told.number
                orders.amended(NAME, told.lots, told.ticks, T0 + told.number)
        elif told.what == "canceled":
            orders.canceled(NAME, told.lots)
        elif told.what == "creation lost":
            orders.unanswered(NAME, is_creation=True)
        elif told.what in ("amend answered", "amend refused", "amend lost"):
            self.amend_is_open = False
            if told.what == "amend refused":
                orders.amend_refused(NAME)
            elif told.what == "amend lost":
                orders.unanswered(NAME, is_creation=False)
        else:
            orders.report(NAME, plain[told.what])

    @precondition(lambda self: not self.held.is_live)
    @rule()
    def nothing_happens(self) -> None:
        """A story may be over."""

    # laws -------------------------------------------------------------------------------------------------------------

    @property
    def held(self):  # noqa: ANN201
        return self.ours.by_id[NAME]

    @property
    def is_alive(self) -> bool:
        return self.is_there and not self.is_over

    @invariant()
    def what_may_still_trade_is_reserved(self) -> None:
        """Lots traded as we know it, and lots reserved, are never fewer than the venue can bring it to."""
        if not (self.is_alive or self.creation == "on its way"):
            return
        may_become = max(self.qty, (self.amend[0] or 0) if self.amend is not None else 0)
        assert self.held.is_live, f"{self.held.status} here, alive there"
        assert self.held.filled_lots + self.held.reserved_lots >= may_become

    @invariant()
    def nothing_traded_twice(self) -> None:
        assert self.held.filled_lots <= self.cum
        assert len(set(self.held.fill_ids)) == len(self.held.fill_ids)

    @invariant()
    def what_is_over_reserves_what_it_traded_and_nobody_told(self) -> None:
        assert (self.ours.live_count == 1) == self.held.is_live
        if not self.held.is_live:
            assert self.ours.open_lots(AAA) == (self.held.untold_lots, 0)
            assert self.ours.is_settled(AAA) == (self.held.untold_lots == 0)
        if self.held.status is Status.CANCELED:
            assert self.held.filled_lots + self.held.reserved_lots == self.cum

    @invariant()
    def what_is_kept_is_what_the_orders_say(self) -> None:
        """Sums are kept until an order changes: they are those of the orders as they stand, and a change of them is told."""
        orders, told = self.ours, getattr(self, "told", (0, None))
        live, untold = list(orders.live[AAA].values()), list(orders.untold.get(AAA, {}).values())
        ticks = [max(one.limit_ticks, one.asked_ticks or 0) for one in live]
        plain = (sum(one.reserved_lots for one in live + untold), 0, max(ticks, default=0), 0, len(live))
        assert (*orders.open_lots(AAA), *orders.best_resting(AAA), orders.live_count) == plain
        if plain != told[1]:
            assert orders.changed_since(told[0]) == [AAA]
        assert orders.changed_since(orders.version) == []
        self.told = (orders.version, plain)

    def teardown(self) -> None:
        """Everything is told in the end: then both sides agree."""
        if not hasattr(self, "ours"):
            return
        if self.creation == "on its way":
            self.the_creation_arrives(is_taken=True, is_answered=True)
        if self.amend is not None:
            self.the_amend_arrives(is_taken=True, is_answered=True)
        while self.news:
            self.a_message_comes(0)
        assert self.held.filled_lots == self.cum
        assert self.held.is_live or self.ours.is_settled(AAA)
        if self.is_alive and not self.held.is_amending:
            assert (self.held.qty_lots, self.held.limit_ticks) == (self.qty, self.ticks)
            assert self.held.reserved_lots == self.qty - self.cum
        if self.is_over:
            assert not self.held.is_live


TestOneOrder = OneOrder.TestCase
