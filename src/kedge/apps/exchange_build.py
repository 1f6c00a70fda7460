"""A simulated exchange put together: venue with its paper accounts and its past, clock, market, server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from kedge.apps.exchange_market import Followed, Played
from kedge.domain.errors import InvalidConfig
from kedge.ops.config import Config
from kedge.ops.paper_keys import PaperKey
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import VenueLimits, VenueSettings
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import PlayClock, WallVenueClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.live_prices import LivePrices
from kedge.venues.exchange.player import STEPS_PER_BAR, Player
from kedge.venues.exchange.prices_funding import FundingFeed
from kedge.venues.exchange.routes import Permission
from kedge.venues.exchange.server import ExchangeServer
from kedge.venues.exchange.socket_settings import SocketSettings


class Options(NamedTuple):
    """How to serve: where, how fast, whom to wait for, faults or none, how to tell, how long answers wait, prices of a bar."""

    host: str
    port: int
    speed: int
    wait_for: int
    faults: bool
    as_json: bool
    answer_delay_ms: int = 0
    steps: int = STEPS_PER_BAR


def build_server(
    settings: Config, chosen: Played | Followed, options: Options, keys: Sequence[PaperKey], wallet_e8: int | None, starts: int
) -> ExchangeServer:
    """Put the exchange together: venue with its paper accounts, clock, market, server.

    Parameters
    ----------
    wallet_e8 : int or None
        What accounts are opened with; None takes what stands with each key.
    starts : int
        How many exchanges this state folder had before, so that no id is given twice.
    """
    clock = PlayClock(chosen.start_ts_ns, options.speed) if isinstance(chosen, Played) else WallVenueClock()
    start_ns = clock.venue_ns()
    past = chosen.past if isinstance(chosen, Played) else ()
    limits = VenueLimits()
    limits = msgspec.structs.replace(limits, klines_max=limits.klines_max + len(past) // len(chosen.instruments))
    rules = VenueSettings(seed=settings.settings.demo.seed, id_salt=starts, funding_cap_e8=chosen.funding_cap_e8, limits=limits)
    venue = Venue(chosen.instruments, rules, start_ns)
    if isinstance(chosen, Played):
        venue.remember(chosen.past, chosen.past_rates)
    for account, money_e8 in sorted({key.account: key.wallet_e8 for key in keys}.items()):
        venue.open_account(account, money_e8 if wallet_e8 is None else wallet_e8, start_ns)
    faults = Faults(time.time_ns) if options.faults else None
    if faults is None:
        hall = Hall(venue, clock, chosen.instruments, speed=options.speed)
    else:
        hall = FaultyHall(venue, clock, chosen.instruments, speed=options.speed, faults=faults)
    control = Control(options.speed, clock.venue_ns)
    market = _market(chosen, hall, clock, control, options)
    admitted = ApiKeys(_admitted(key) for key in keys)
    sockets = SocketSettings(answer_delay_s=options.answer_delay_ms / 1_000)
    return ExchangeServer(hall, clock, admitted, market, control, source=chosen.source, settings=sockets, faults=faults)


def _market(
    chosen: Played | Followed, hall: Hall, clock: PlayClock | WallVenueClock, control: Control, options: Options
) -> Player | LivePrices:
    if isinstance(chosen, Played) and isinstance(clock, PlayClock):
        feed = FundingFeed(chosen.fundings, chosen.instruments, chosen.start_ts_ns)
        return Player(hall, clock, chosen.events, feed, control, steps=options.steps, wait_for=options.wait_for)
    if isinstance(chosen, Followed):
        return LivePrices(hall, chosen.rest_url, chosen.public_url)
    raise TypeError("bars are played by a PlayClock")


def _admitted(key: PaperKey) -> ApiKey:
    return ApiKey(
        key=key.api_key,
        secret=key.api_secret,
        account=key.account,
        permissions=frozenset(_permission(name, key) for name in key.permissions),
        created_ns=key.created_ns,
        note=key.name,
    )


def _permission(name: str, key: PaperKey) -> Permission:
    try:
        return Permission(name)
    except ValueError:
        known = ", ".join(Permission)
        raise InvalidConfig(
            f"paper key {key.name!r}: permission {name!r}", why=f"known are {known}", fix="correct paper/keys.json in the state folder"
        ) from None
