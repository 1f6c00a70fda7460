"""What the venue tells by itself, sorted: orders and money into the engine at once, bars to their gate, the rest compared or noted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from kedge.domain.events import (
    BarClosed,
    BooksDiffer,
    FeedGap,
    FundingKnown,
    FundingSettled,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.orders import GUARD_PREFIX
from kedge.domain.venue import ActionNeeded, Stream, StreamDown, StreamUp, TradingVenue, VenueNews, VenuePosition, VenueWallet
from kedge.kernel.account import WALLET
from kedge.risk.states import FLATTEN
from kedge.services.live_bars import Bars
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk, Told
from kedge.services.live_settings import LiveSettings
from kedge.services.reconcile import GUARD_ACTS, Foreign, ours_or_adopted

_log: Final = logging.getLogger("kedge.live")

MarketNews = BarClosed | FeedGap | FundingKnown
AccountNews = VenuePosition | VenueWallet
OrderNews = OrderFilled | FundingSettled | OrderAccepted | OrderRejected | OrderCanceled | OrderWaits | OrderTriggered | OrderAmended


class News:
    """Takes in one venue's news.

    Parameters
    ----------
    want : callable
        Asks for the books to be compared soon, with the reason.

    Attributes
    ----------
    streams : dict
        Which streams are connected.
    needed : dict
        What only a person can mend, by the venue's code, as it was told last.
    interruptions : int
        How often the private stream went down or came back.
    on_position : callable
        Told of each position that the venue shows.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        desk: Desk,
        bars: Bars,
        settings: LiveSettings,
        want: Callable[[str], None],
        *,
        in_step: bool,
    ) -> None:
        self.streams: dict[Stream, bool] = dict.fromkeys(Stream, False)
        self.wallet: VenueWallet | None = None
        self.needed: dict[str, ActionNeeded] = {}
        self._core, self._venue, self._desk, self._bars, self._settings = core, venue, desk, bars, settings
        self._want, self._in_step = want, in_step
        self.on_position: Callable[[VenuePosition], None] = _nobody
        self.interruptions = self._private = 0

    async def pump(self) -> None:
        """Take in news for ever."""
        news, at_hand, take = self._venue.news, self._venue.news_at_hand, self.take
        while True:
            take(await news())
            for more in at_hand():
                take(more)

    def drain(self) -> int:
        """Take in everything that has arrived; how much private news there has been so far."""
        for news in self._venue.news_at_hand():
            self.take(news)
        return self._private

    def take(self, news: VenueNews) -> None:
        """One piece of news."""
        if isinstance(news, MarketNews):
            self._bars.take(news)
        elif isinstance(news, OrderNews):
            self._private += 1
            if not self._in_step:
                self._core.clock.saw(news.ts_ns)
            self._order(news)
        elif isinstance(news, AccountNews):
            self._private += 1
            self._compare(news)
        elif isinstance(news, StreamUp):
            self._up(news)
        elif isinstance(news, ActionNeeded):
            self._need(news)
        else:
            self._down(news)

    def _order(self, event: OrderNews) -> None:
        if isinstance(event, FundingSettled) and self._is_unexplained(event):
            self._want("settlement")
        elif isinstance(event, OrderFilled | FundingSettled):
            if isinstance(event, OrderFilled):
                self._beware_of_guard(event)
            self._core.step(ours_or_adopted(self._core.state, event, self._settings.foreign))
            if isinstance(event, OrderFilled):
                self._desk.expect_trades(event.client_order_id)
        elif event.client_order_id in self._core.state.orders.by_id:
            self._desk.told(event)
        else:
            self._foreign(event)

    def _is_unexplained(self, event: FundingSettled) -> bool:
        """Whether a position was settled that is not ours: fills may be missing, which the comparison books before the settlement."""
        slot = self._core.state.slots.get(event.instrument)
        return slot is not None and slot.position_lots != event.position_lots

    def _foreign(self, event: Told) -> None:
        """News of an order that is not ours: the venue's list says what it is, so the books are compared."""
        _log.warning("foreign order: %s", type(event).__name__, extra={"event": "foreign_order"})
        self._beware_of_guard(event)
        if isinstance(event, OrderAccepted | OrderWaits):
            self._want("foreign order")

    def _beware_of_guard(self, event: Told | OrderFilled) -> None:
        """The guard acts on this account: it knows why, and we add nothing to what it takes away."""
        name, state = event.client_order_id, self._core.state
        if not name.startswith(GUARD_PREFIX) or state.halt_code in (GUARD_ACTS, FLATTEN):
            return
        _log.error("the guard acts: we stand down", extra={"event": "guard_acts", "client_order_id": name})
        self._core.step(BooksDiffer(self._core.now_ns(), GUARD_ACTS, getattr(event, "instrument", ""), name, 0, 0))

    def _compare(self, news: VenuePosition | VenueWallet) -> None:
        """What the venue says of the account by itself is compared; a difference is looked into, not believed."""
        state = self._core.state
        if isinstance(news, VenueWallet):
            self.wallet = news
            if abs(news.wallet_e8 - state.account_view[WALLET]) > self._settings.wallet_tolerance_e8:
                self._want("wallet")
            return
        self.on_position(news)
        slot = state.slots.get(news.instrument)
        foreign = slot is None and news.lots != 0 and self._settings.foreign is Foreign.REFUSE
        if foreign or (slot is not None and slot.position_lots != news.lots):
            self._want("position")

    def _up(self, news: StreamUp) -> None:
        self.streams[news.stream] = True
        if news.again:
            self.interruptions += int(news.stream is Stream.PRIVATE)
            _log.warning("%s stream back", news.stream, extra={"event": "stream_up"})
            self._core.kill.reach("reconnect")
            if news.stream is Stream.PUBLIC:
                self._bars.rates_missed()
            self._want(f"{news.stream} stream back")

    def stood_still(self, for_s: float) -> None:
        """This process did not run for so long: what it knows is as old, so the books are compared before anything adds risk."""
        _log.warning("the trader stood still for %.1f s", for_s, extra={"event": "stood_still"})
        self.interruptions += 1
        self._bars.close()
        self._want("stood still")

    def _need(self, news: ActionNeeded) -> None:
        self.needed[news.code] = news
        _log.error("a person must act: %s; %s", news.what, news.fix, extra={"event": "action_needed"})

    def _down(self, news: StreamDown) -> None:
        self.streams[news.stream] = False
        _log.warning("%s stream down: %s", news.stream, news.why, extra={"event": "stream_down"})
        if news.stream is Stream.PRIVATE:
            self.interruptions += 1
            self._bars.close()


def _nobody(_: VenuePosition) -> None:
    """Nobody wants to know."""
