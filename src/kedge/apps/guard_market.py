"""Which market the guard watches: a simulated exchange that begins again has other prices, wallets and dates than the account knew before.

Rules: the brake's level never changes by that, since the account stays halted until people release it; but the high-water mark and what
explained the wallet belong to the market that is gone, and would make a loss of a new beginning.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

import msgspec

from kedge.apps.trade_market import Market, ask_market
from kedge.domain.errors import RecordingFailed, VenueUnavailable
from kedge.domain.instrument import InstrumentId
from kedge.ops.atomic_file import replace_content
from kedge.ops.latch_file import LatchFile, guard_folder
from kedge.ops.logs import fields
from kedge.services.guard_record import KeptRecords, MarketMet
from kedge.venues.bybit.public_feed import FeedSettings
from kedge.venues.bybit.venue_settings import VenueSettings, addresses

FILE: Final = "market.json"
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 2.0
REQUEST_PREFIX: Final = "guard"


class _Kept(msgspec.Struct, frozen=True):
    session: str


async def ask_patiently(url: str, logger: logging.Logger) -> Market:
    """What the exchange plays, asked until it answers."""
    wait_s = RETRY_FIRST_S
    while True:
        try:
            return await ask_market(url)
        except VenueUnavailable as error:
            logger.warning("exchange unavailable", extra=fields(why=str(error), again_s=wait_s))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)


def venue_settings(url: str, instruments: tuple[InstrumentId, ...], speed: int) -> VenueSettings:
    """How the guard reaches the exchange: no public stream, and its own names for its requests."""
    return VenueSettings(
        addresses=addresses(url),
        instruments=instruments,
        feed=FeedSettings(book_depth=0, tickers=False, trades=False, funding=False),
        speed=speed,
        request_prefix=REQUEST_PREFIX,
    )


class MarketKnown:
    """Remembers the market that was met last, and forgets with it what belonged to it."""

    def __init__(self, state_folder: Path, latch: LatchFile, records: KeptRecords, logger: logging.Logger) -> None:
        self._path = guard_folder(state_folder) / FILE
        self._latch, self._records, self._log = latch, records, logger

    def meet(self, market: Market) -> None:
        """Before the guard begins: where this market is another one than before, losses count from its own beginning.

        Raises
        ------
        RecordingFailed
            The latch cannot be written.
        """
        before, latch = self._before(), self._latch.read()
        if not market.session or market.session == before:
            return
        self._keep(market.session)  # first: a mark forgotten and no market kept would be forgotten again by every start
        if not before and (latch.high_water_e8 or self._records.baseline() is not None):
            self._log.warning("which market was met before is not known: the high-water mark stays", extra=fields(session=market.session))
            return
        if latch.high_water_e8 and not self._latch.why_unreadable:
            now_wall_ns = time.time_ns()
            self._latch.write(msgspec.structs.replace(latch, generation=latch.generation + 1, high_water_e8=0, changed_wall_ns=now_wall_ns))
        self._records.forget(MarketMet(wall_ns=time.time_ns(), session=market.session, high_water_e8=latch.high_water_e8))
        self._log.info("a market that began anew", extra=fields(session=market.session, high_water_e8=latch.high_water_e8))

    def _keep(self, session: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_content(self._path, msgspec.json.encode(_Kept(session)))
        except OSError as error:
            raise RecordingFailed(
                f"cannot write {self._path}", why=error.strerror or str(error), fix="free space, mend permissions"
            ) from None

    def _before(self) -> str:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept).session
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return ""
