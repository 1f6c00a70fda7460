"""What happens to an account, told to its own connections: executions, orders, positions, wallets.

Rules: one frame holds all rows of one kind of one operation; frames of an operation come in the order execution, order, position,
wallet, and operations in the order in which they happened. A frame is made once per topic, and all frames of an operation reach a
connection in one write, so that a later answer on the same connection never overtakes them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from kedge.domain.units import NS_PER_MS
from kedge.simulation.venue_types import Change, ExecType, ExecutionRow, OrderRow, PositionRow, WalletRow
from kedge.venues.exchange.frames import text_frame
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.rows import execution_fast_text, execution_text, order_text
from kedge.venues.exchange.rows_account import PositionTexts, wallet_text
from kedge.venues.exchange.socket_link import Link

_EXECUTION, _ORDER, _POSITION, _WALLET = range(4)
_RANKS: Final[dict[type, int]] = {ExecutionRow: _EXECUTION, OrderRow: _ORDER, PositionRow: _POSITION, WalletRow: _WALLET}
_TRADE: Final = ExecType.TRADE
_TOPICS: Final = (
    ("execution", "execution.linear", "execution.fast", "execution.fast.linear"),
    ("order", "order.linear"),
    ("position", "position.linear"),
    ("wallet",),
)
"""Topics by rank."""

Operation = tuple[list[Any], list[Any], list[Any], list[Any]]
"""Rows of one operation by rank."""


class PrivateFeed:
    """The private topics of one hall."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._links: dict[str, dict[Link, None]] = {}
        self._prefix, self._frames = f"{os.urandom(4).hex()}-{os.urandom(2).hex()}-4{os.urandom(2).hex()[1:]}", count(1)
        self._grids, self._coin = hall.grids, hall.coin
        self._positions = {name: PositionTexts(grid).text for name, grid in hall.grids.items()}

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
        told = self._links
        if not told:
            return
        operations: dict[str, Operation] = {}
        ranks: dict[str, int] = {}
        for row in changes:
            rank = _RANKS.get(type(row))
            if rank is None:
                continue
            account: str = row.account  # type: ignore[union-attr]
            if account not in told:
                continue
            operation = operations.get(account)
            if operation is None:
                operation = operations[account] = ([], [], [], [])
            elif rank < ranks[account]:
                self._tell(account, operations.pop(account))
                operation = operations[account] = ([], [], [], [])
            ranks[account] = rank
            operation[rank].append(row)
        for account, operation in operations.items():
            self._tell(account, operation)

    def _tell(self, account: str, operation: Operation) -> None:
        made: dict[str, bytes] = {}
        wall_ms = self._hall.clock.wall_ns() // NS_PER_MS
        for link in self._links[account]:
            link_topics, frames = link.topics, b""
            for rank, rows in enumerate(operation):
                if not rows:
                    continue
                for topic in _TOPICS[rank]:
                    if topic in link_topics:
                        frame = made.get(topic)
                        if frame is None:
                            frame = made[topic] = self._frame(account, topic, rank, rows, wall_ms)
                        frames += frame
            if frames:
                link.write(frames)

    def _frame(self, account: str, topic: str, rank: int, rows: list[Any], wall_ms: int) -> bytes:
        """One frame; empty when no row belongs to the topic (fast executions are trades alone)."""
        if rank == _WALLET:
            name = f"{account}{self._prefix}-{next(self._frames):016x}"
            texts = [wallet_text(row, self._coin) for row in rows]
        elif rank == _POSITION:
            name = f"{account}{self._prefix}-{next(self._frames):016x}"
            texts = [self._positions[row.instrument](row) for row in rows]
        elif topic.startswith("execution.fast"):
            return self._fast_frame(topic, rows, wall_ms)
        else:
            grids, to_text = self._grids, order_text if rank == _ORDER else execution_text
            name = f"{account}_{grids[rows[0].instrument].symbol}_{rows[-1].seq}"
            texts = [to_text(row, grids[row.instrument]) for row in rows]
        data = texts[0] if len(texts) == 1 else ",".join(texts)
        return text_frame(f'{{"id":"{name}","topic":"{topic}","creationTime":{wall_ms},"data":[{data}]}}'.encode())

    def _fast_frame(self, topic: str, rows: list[Any], wall_ms: int) -> bytes:
        trades = [execution_fast_text(row, self._grids[row.instrument]) for row in rows if row.exec_type is _TRADE]
        return text_frame(f'{{"topic":"{topic}","creationTime":{wall_ms},"data":[{",".join(trades)}]}}'.encode()) if trades else b""
