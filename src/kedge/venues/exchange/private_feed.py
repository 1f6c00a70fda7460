"""What happens to an account, told to its own connections: executions, orders, positions, wallets.

Rules: one frame holds all rows of one kind of one operation; frames of an operation come in the order execution, order, position,
wallet, and operations in the order in which they happened. A frame is made once per topic, and all frames of an operation reach a
connection in one write, so that a later answer on the same connection never overtakes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

from kedge.domain.units import NS_PER_MS
from kedge.simulation.venue_types import Change, ExecType, ExecutionRow, OrderRow, PositionRow, WalletRow
from kedge.venues.exchange.frames import text_frame
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.rows import execution_fast_ws, execution_ws, order_ws
from kedge.venues.exchange.rows_account import position_ws, wallet_ws
from kedge.venues.exchange.socket_link import Link

_EXECUTION, _ORDER, _POSITION, _WALLET = range(4)
_RANKS: Final[dict[type, int]] = {ExecutionRow: _EXECUTION, OrderRow: _ORDER, PositionRow: _POSITION, WalletRow: _WALLET}
_TOPICS: Final = (
    (_EXECUTION, ("execution", "execution.linear", "execution.fast", "execution.fast.linear")),
    (_ORDER, ("order", "order.linear")),
    (_POSITION, ("position", "position.linear")),
    (_WALLET, ("wallet",)),
)

Operation = tuple[list[Any], list[Any], list[Any], list[Any]]
"""Rows of one operation by rank."""


class PrivateFeed:
    """The private topics of one hall."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._links: dict[str, dict[Link, None]] = {}
        self._prefix, self._frames = f"{os.urandom(4).hex()}-{os.urandom(2).hex()}-4{os.urandom(2).hex()[1:]}", count(1)
        self._encoders: dict[str, Callable[[Any], bytes]] = {
            "execution": lambda row: execution_ws(row, hall.grids[row.instrument]),
            "execution.fast": lambda row: execution_fast_ws(row, hall.grids[row.instrument]),
            "order": lambda row: order_ws(row, hall.grids[row.instrument]),
            "position": lambda row: position_ws(row, hall.grids[row.instrument]),
            "wallet": lambda row: wallet_ws(row, hall.coin),
        }

    def admit(self, link: Link) -> None:
        """From now on tell an authenticated link what it subscribes to."""
        self._links.setdefault(link.account, {})[link] = None

    def dismiss(self, link: Link) -> None:
        """Stop telling it; one that was never admitted is no error."""
        links = self._links.get(link.account, {})
        links.pop(link, None)
        if not links:
            self._links.pop(link.account, None)

    def hear(self, changes: Sequence[Change]) -> None:
        """Tell what changed; the hall calls it."""
        if not self._links:
            return
        operations: dict[str, Operation] = {}
        ranks: dict[str, int] = {}
        for row in changes:
            rank = _RANKS.get(type(row))
            if rank is None:
                continue
            account: str = row.account  # type: ignore[union-attr]
            if account not in self._links:
                continue
            if rank < ranks.get(account, 0):
                self._tell(account, operations.pop(account))
            ranks[account] = rank
            operation = operations.get(account)
            if operation is None:
                operation = operations[account] = ([], [], [], [])
            operation[rank].append(row)
        for account, operation in operations.items():
            self._tell(account, operation)

    def _tell(self, account: str, operation: Operation) -> None:
        made: dict[str, bytes] = {}
        wall_ms = self._hall.clock.wall_ns() // NS_PER_MS
        for link in self._links[account]:
            link_topics, frames = link.topics, []
            for rank, topics in _TOPICS:
                rows = operation[rank]
                if not rows:
                    continue
                for topic in topics:
                    if topic in link_topics:
                        frame = made.get(topic)
                        if frame is None:
                            frame = made[topic] = self._frame(account, topic, rank, rows, wall_ms)
                        frames.append(frame)
            if whole := b"".join(frames):
                link.write(whole)

    def _frame(self, account: str, topic: str, rank: int, rows: list[Any], wall_ms: int) -> bytes:
        """One frame; empty when no row belongs to the topic (fast executions are trades alone)."""
        to_json = self._encoders[topic.removesuffix(".linear")]
        if topic.startswith("execution.fast"):
            trades = [to_json(row) for row in rows if row.exec_type is ExecType.TRADE]
            return (
                text_frame(b'{"topic":"%b","creationTime":%d,"data":[%b]}' % (topic.encode(), wall_ms, b",".join(trades)))
                if trades
                else b""
            )
        if rank <= _ORDER:
            name = f"{account}_{self._hall.grids[rows[0].instrument].symbol}_{rows[-1].seq}"
        else:
            name = f"{account}{self._prefix}-{next(self._frames):016x}"
        data = to_json(rows[0]) if len(rows) == 1 else b",".join([to_json(row) for row in rows])
        return text_frame(f'{{"id":"{name}","topic":"{topic}","creationTime":{wall_ms},"data":['.encode() + data + b"]}")
