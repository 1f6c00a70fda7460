"""What happens to an account, told to its own connections: executions, orders, positions, wallets.

Rules: one frame holds all rows of one kind of one operation; frames of an operation come in the order execution, order, position,
wallet, and operations in the order in which they happened. A frame is made once per topic, and all frames of an operation reach a
connection in one write, so that a later answer on the same connection never overtakes them.

Frames are made as one text and encoded at once: every character stands for one byte, so that their headers can be part of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final

from kedge.domain.units import NS_PER_MS
from kedge.simulation.venue_types import BookDelta, Change, ExecType, ExecutionRow, OrderRow, PositionRow, WalletRow
from kedge.venues.exchange.frames import bytes_as_text, frame_head
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.rows import execution_fast_text, execution_text, order_text
from kedge.venues.exchange.rows_account import PositionTexts, WalletTexts
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

_QUIET: Final = frozenset({(OrderRow, PositionRow, WalletRow), (OrderRow, PositionRow, WalletRow, BookDelta)})
"""What an order that only rests, leaves or is refused its lots changes; most operations are so."""

Operation = tuple[list[Any], list[Any], list[Any], list[Any]]
"""Rows of one operation by rank."""


@lru_cache(1_024)
def _wanted(topics: tuple[str, ...]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Ranks that subscriptions ask for, with their topics, in the order of the frames."""
    found = ((rank, tuple(topic for topic in named if topic in topics)) for rank, named in enumerate(_TOPICS))
    return tuple((rank, named) for rank, named in found if named)


class PrivateFeed:
    """The private topics of one hall."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._links: dict[str, dict[Link, None]] = {}
        prefix = f"{os.urandom(4).hex()}-{os.urandom(2).hex()}-4{os.urandom(2).hex()[1:]}"
        self._prefix, self._frames = prefix, count(1)
        self._names: dict[str, str] = {}
        self._grids = hall.grids
        self._positions = {name: PositionTexts(grid).text for name, grid in hall.grids.items()}
        self._wallet = WalletTexts(hall.coin).text
        self._makers = (self._execution_frame, self._order_frame, self._position_frame, self._wallet_frame)

    def admit(self, link: Link) -> None:
        """From now on tell an authenticated link what it subscribes to."""
        self._links.setdefault(link.account, {})[link] = None
        self._names[link.account] = bytes_as_text(link.account)

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
        if tuple(map(type, changes)) in _QUIET:
            order, position, wallet = changes[:3]
            account: str = order.account  # type: ignore[union-attr]
            if account in told and position.account == account == wallet.account:  # type: ignore[union-attr]
                self._tell(account, ([], [order], [position], [wallet]))
                return
        self._tell_all(changes)

    def _tell_all(self, changes: Sequence[Change]) -> None:
        """Sort any changes into operations and tell them."""
        told = self._links
        operations: dict[str, Operation] = {}
        ranks: dict[str, int] = {}
        for row in changes:
            rank = _RANKS.get(type(row))
            if rank is None:
                continue
            account: str = row.account  # type: ignore[union-attr]
            operation = operations.get(account)
            if operation is None:
                if account not in told:
                    continue
                operation = operations[account] = ([], [], [], [])
            elif rank < ranks[account]:
                self._tell(account, operations.pop(account))
                operation = operations[account] = ([], [], [], [])
            ranks[account] = rank
            operation[rank].append(row)
        for account, operation in operations.items():
            self._tell(account, operation)

    def _tell(self, account: str, operation: Operation) -> None:
        made: dict[str, str] = {}
        name, wall_ms = self._names[account], str(self._hall.clock.wall_ns() // NS_PER_MS)
        for link in self._links[account]:
            parts: list[str] = []
            for rank, topics in _wanted(tuple(link.topics)):
                rows = operation[rank]
                if rows:
                    for topic in topics:
                        text = made.get(topic)
                        if text is None:
                            text = made[topic] = self._makers[rank](name, topic, rows, wall_ms)
                        if text:
                            parts.append(frame_head(len(text)))
                            parts.append(text)
            if parts:
                link.write("".join(parts).encode("latin-1"))

    def _execution_frame(self, name: str, topic: str, rows: list[Any], wall_ms: str) -> str:
        if topic.startswith("execution.fast"):
            return self._fast_frame(topic, rows, wall_ms)
        grids, row = self._grids, rows[0]
        grid = grids[row.instrument]
        data = execution_text(row, grid) if len(rows) == 1 else ",".join([execution_text(row, grids[row.instrument]) for row in rows])
        return f'{{"id":"{name}_{grid.symbol}_{rows[-1].seq}","topic":"{topic}","creationTime":{wall_ms},"data":[{data}]}}'

    def _fast_frame(self, topic: str, rows: list[Any], wall_ms: str) -> str:
        """Trades alone; empty when there are none."""
        trades = [execution_fast_text(row, self._grids[row.instrument]) for row in rows if row.exec_type is _TRADE]
        if not trades:
            return ""
        return f'{{"topic":"{topic}","creationTime":{wall_ms},"data":[{",".join(trades)}]}}'

    def _order_frame(self, name: str, topic: str, rows: list[Any], wall_ms: str) -> str:
        grids, row = self._grids, rows[0]
        grid = grids[row.instrument]
        data = order_text(row, grid) if len(rows) == 1 else ",".join([order_text(row, grids[row.instrument]) for row in rows])
        return f'{{"id":"{name}_{grid.symbol}_{rows[-1].seq}","topic":"{topic}","creationTime":{wall_ms},"data":[{data}]}}'

    def _position_frame(self, name: str, topic: str, rows: list[Any], wall_ms: str) -> str:
        texts, row = self._positions, rows[0]
        data = texts[row.instrument](row) if len(rows) == 1 else ",".join([texts[row.instrument](row) for row in rows])
        number = next(self._frames)
        return f'{{"id":"{name}{self._prefix}-{number:016x}","topic":"{topic}","creationTime":{wall_ms},"data":[{data}]}}'

    def _wallet_frame(self, name: str, topic: str, rows: list[Any], wall_ms: str) -> str:
        data = self._wallet(rows[0]) if len(rows) == 1 else ",".join([self._wallet(row) for row in rows])
        number = next(self._frames)
        return f'{{"id":"{name}{self._prefix}-{number:016x}","topic":"{topic}","creationTime":{wall_ms},"data":[{data}]}}'
