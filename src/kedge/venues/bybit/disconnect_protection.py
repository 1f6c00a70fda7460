"""Disconnect protection of the venue: it cancels our orders when our private connections have been gone for a window of seconds.

Rules: it is asked for at every start and never costs one: an account that is not granted it trades under the dead-man timer alone, and
that is said. The window is set only where it differs.
"""

from __future__ import annotations

import logging
from typing import Final

from kedge.domain.errors import KedgeError
from kedge.domain.venue import Refused, Unanswered
from kedge.venues.bybit.rest import BybitRest

_LOG: Final = logging.getLogger(__name__)

PRODUCT: Final = "DERIVATIVES"


async def arm(rest: BybitRest, window_s: int) -> str:
    """Have the venue protect this account; empty where it does, else why it does not or may not."""
    why = await _arm(rest, window_s)
    if why:
        _LOG.warning("no disconnect protection at the venue: %s", why, extra={"event": "unprotected"})
    else:
        _LOG.info("the venue cancels orders %d s after we are gone", window_s, extra={"event": "protected"})
    return why


async def _arm(rest: BybitRest, window_s: int) -> str:
    try:
        found = [row for row in await rest.dcp_info() if row.product == PRODUCT and row.dcp_status == "ON"]
        if any(str(row.time_window) == str(window_s) for row in found):
            return ""
        answer = await rest.set_dcp(window_s)
    except KedgeError as error:
        return f"{error.what}: {error.why}"
    if isinstance(answer, Refused):
        return f"not granted: {answer.code} {answer.reason}"
    return f"not confirmed: {answer.why}" if isinstance(answer, Unanswered) else ""
