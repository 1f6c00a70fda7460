"""How the sockets treat their clients: the venue's numbers, and the few that it does not publish."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class SocketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds of the wall; counts per second grow with the venue's speed.

    Attributes
    ----------
    ack_delay_s : float
        Between a subscription and its acknowledgement, and again until the first snapshot: clients exist that remember a request only
        after they have sent it.
    answer_delay_s : float
        How long the trade socket holds every answer back, for the same reason; requests behind it are served meanwhile. 0 by default,
        since whoever waits for each answer would trade that much slower.
    idle_s : float
        Silence after which a connection is cut.
    buffer_max : int
        Bytes that may wait for one connection.
    message_max : int
        Bytes of one message from a client.
    topic_chars_max : int
        Characters of all topics of one public connection.
    connects_max, connects_window_s : int, float
        New connections of one address to one socket within a window.
    live_max : int
        Open public connections of one address.
    sessions_max, session_requests_max, address_requests_max : int
        Trade sockets of one account; requests a second on one of them, and of one address. The first two the venue does not publish.
    request_ids_kept : int
        How many request ids of a trade socket are remembered, so that one that comes twice is refused.
    """

    ack_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.004
    answer_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    idle_s: Positive = 600.0
    buffer_max: Count = 8 * 1024 * 1024
    message_max: Count = 256 * 1024
    topic_chars_max: Count = 21_000
    connects_max: Count = 500
    connects_window_s: Positive = 300.0
    live_max: Count = 1_000
    sessions_max: Count = 50
    session_requests_max: Count = 1_000
    address_requests_max: Count = 3_000
    request_ids_kept: Count = 10_000
