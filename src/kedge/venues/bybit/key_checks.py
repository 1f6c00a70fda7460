"""What a key and its account must be before anything trades: a list of findings, some of which forbid it.

Rules: a key that can withdraw is refused, always; the account must be unified, in cross or isolated margin and in one-way mode;
every finding says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from kedge.domain.errors import AccessRefused
from kedge.domain.units import NS_PER_DAY
from kedge.venues.bybit.codec_account import AccountInfo, KeyInfo
from kedge.venues.bybit.codec_orders import PositionData
from kedge.venues.bybit.credentials import Rung

EXPIRY_WARNING_NS: Final = 14 * NS_PER_DAY
UNIFIED: Final = frozenset({3, 4, 5, 6})
MARGIN_MODES: Final = frozenset({"REGULAR_MARGIN", "ISOLATED_MARGIN"})


class KeyFinding(NamedTuple):
    """One remark; `refuses` where trading must not start."""

    refuses: bool
    what: str
    fix: str


def check_key(info: KeyInfo, rung: Rung, now_wall_ns: int, *, trades: bool = True) -> list[KeyFinding]:
    """What is wrong or weak about the key.

    Parameters
    ----------
    trades : bool
        False for a key that only watches: it may be read-only.
    """
    found: list[KeyFinding] = []
    powers = {name: frozenset(words) for name, words in info.permissions.items()}
    wallet = powers.get("Wallet", frozenset())
    if "Withdraw" in wallet:
        found.append(KeyFinding(True, "the key may withdraw", "make a key without Withdraw: whoever steals this one takes the money"))
    moving = sorted(wallet & {"AccountTransfer", "SubMemberTransfer"})
    if moving:
        found.append(KeyFinding(False, f"the key may move money ({', '.join(moving)})", "take the transfer permissions away"))
    if trades:
        found += _trading(info, powers)
    found += _addresses(info, rung)
    found += _expiry(info, now_wall_ns)
    return found


def _trading(info: KeyInfo, powers: dict[str, frozenset[str]]) -> list[KeyFinding]:
    found = []
    if info.read_only:
        found.append(KeyFinding(True, "the key is read-only", "make a key with read and write for trading"))
    contract = powers.get("ContractTrade", frozenset())
    missing = [word for word in ("Order", "Position") if word not in contract]
    if missing and not powers.get("Derivatives"):
        found.append(KeyFinding(True, f"the key lacks Contract - {' and '.join(missing)}", "give it Contract - Orders and Positions"))
    return found


def _addresses(info: KeyInfo, rung: Rung) -> list[KeyFinding]:
    if rung is Rung.PAPER or (info.ips and "*" not in info.ips):
        return []
    fix = "bind the key to this machine's public address; unbound keys also expire after 90 days"
    return [KeyFinding(False, "the key works from any address", fix)]


def _expiry(info: KeyInfo, now_wall_ns: int) -> list[KeyFinding]:
    if info.deadline_day is not None and 0 <= info.deadline_day * NS_PER_DAY <= EXPIRY_WARNING_NS:
        return [KeyFinding(False, f"the key expires in {info.deadline_day} days", "make a new one in time")]
    expires_ns = _time_ns(info.expired_at)
    if expires_ns is None or expires_ns <= 0:
        return []
    if expires_ns <= now_wall_ns:
        return [KeyFinding(True, f"the key expired at {info.expired_at}", "make a new one")]
    if expires_ns - now_wall_ns <= EXPIRY_WARNING_NS:
        return [KeyFinding(False, f"the key expires at {info.expired_at}", "make a new one in time")]
    return []


def _time_ns(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return None


def check_account(info: AccountInfo, positions: Iterable[PositionData]) -> list[KeyFinding]:
    """What is wrong about the account's kind and modes; `positions` are the rows of the symbols to trade, flat ones too."""
    found: list[KeyFinding] = []
    if info.unified_margin_status not in UNIFIED:
        found.append(KeyFinding(True, "the account is not a unified trading account", "upgrade it at the venue"))
    if info.margin_mode not in MARGIN_MODES:
        fix = "set cross margin (REGULAR_MARGIN): our margin arithmetic knows cross and isolated"
        found.append(KeyFinding(True, f"the margin mode is {info.margin_mode}", fix))
    hedged = sorted({row.symbol for row in positions if row.position_idx != 0})
    if hedged:
        fix = "close positions and orders, then switch to one-way mode: one symbol must have one position"
        found.append(KeyFinding(True, f"{', '.join(hedged)} in hedge mode", fix))
    return found


def refuse_if_needed(findings: Sequence[KeyFinding]) -> list[KeyFinding]:
    """The findings that only warn.

    Raises
    ------
    AccessRefused
        At least one forbids trading; all such are named.
    """
    fatal = [finding for finding in findings if finding.refuses]
    if fatal:
        raise AccessRefused(
            "; ".join(finding.what for finding in fatal),
            why="trading does not start with such a key or account",
            fix="; ".join(finding.fix for finding in fatal),
        )
    return [finding for finding in findings if not finding.refuses]
