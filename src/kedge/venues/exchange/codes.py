"""Return codes of the Bybit v5 protocol that this server sends, with the texts recorded on the wire.

The venue's own refusals (`simulation.venue_rules`) bring their code and text with them and are not repeated here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """`retCode` of the envelope; 0 is success, everything else says that nothing was done unless it is named a time-out."""

    OK = 0
    SERVER_TIMEOUT = 10000
    PARAMETER = 10001
    TIMESTAMP = 10002
    API_KEY = 10003
    SIGNATURE = 10004
    PERMISSION = 10005
    TOO_MANY_VISITS = 10006
    UNMATCHED_IP = 10010
    SERVER_ERROR = 10016
    ROUTE_NOT_FOUND = 10017
    SERVICE_RESTARTING = 10019
    IP_LIMIT = 10403
    UNKNOWN_OP = 10404
    SYSTEM_PROTECTION = 10429
    REPEATED_AUTH = 20001
    TOO_MANY_REQUESTS = 20003
    DUPLICATE_REQUEST_ID = 20006
    KEY_EXPIRED = 33004
    STOPS_UNCHANGED = 34040
    ORDER_NOT_FOUND = 110001
    MODE_UNCHANGED = 110025
    MARGIN_MODE_UNCHANGED = 110026
    LEVERAGE_UNCHANGED = 110043
    TIME_RANGE = 181010


TEXTS: Final[dict[int, str]] = {
    Code.OK: "OK",
    Code.SERVER_TIMEOUT: "Server Timeout",
    Code.PARAMETER: "params error",
    Code.TIMESTAMP: "invalid request, please check your server timestamp or recv_window param.",
    Code.API_KEY: "API key is invalid.",
    Code.SIGNATURE: "error sign! origin_string[]",
    Code.PERMISSION: "Permission denied, please check your API key permissions.",
    Code.TOO_MANY_VISITS: "Too many visits!",
    Code.UNMATCHED_IP: "Unmatched IP, please check your API key's bound IP addresses.",
    Code.SERVER_ERROR: "Request timeout, please try again later",
    Code.ROUTE_NOT_FOUND: "route not found",
    Code.SERVICE_RESTARTING: "service is restarting, please reconnect",
    Code.IP_LIMIT: "Exceeded the API Rate Limit of the IP.",
    Code.UNKNOWN_OP: "op type is not found",
    Code.SYSTEM_PROTECTION: "System level frequency protection",
    Code.REPEATED_AUTH: "Repeat auth",
    Code.TOO_MANY_REQUESTS: "Too frequent requests under the same session",
    Code.DUPLICATE_REQUEST_ID: "duplicate reqId",
    Code.KEY_EXPIRED: "Your api key has expired.",
    Code.STOPS_UNCHANGED: "not modified",
    Code.ORDER_NOT_FOUND: "order not exists or too late to cancel",
    Code.MODE_UNCHANGED: "Position mode is not modified",
    Code.MARGIN_MODE_UNCHANGED: "Cross/isolated margin mode is not modified",
    Code.LEVERAGE_UNCHANGED: "leverage not modified",
    Code.TIME_RANGE: "The time range must not exceed 7 days",
}
"""The text that goes with a code where nothing more exact is known."""

CATEGORY_INVALID: Final = "params error: category invalid"
SYMBOL_INVALID: Final = "Not supported symbols"
SYMBOL_OR_COIN_MISSING: Final = "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin"
"""Texts of 10001."""


def text_of(code: int) -> str:
    """The usual text of a code; a plain sentence for one that has none."""
    return TEXTS.get(code, "request refused")
