"""How often an account may ask for what, and how often an address may ask at all. Wall time; sliding windows.

Budgets are per account and group of endpoints. The venue plays `speed` times faster than the wall, so every budget is that many
times larger: a client meets the same limits per venue second at any speed.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from kedge.domain.units import NS_PER_MS, NS_PER_S


class Budget(NamedTuple):
    """`limit` requests (orders, in a batch) within any `window_ns`."""

    limit: int
    window_ns: int = NS_PER_S


class Allowance(NamedTuple):
    """Whether a request may go on, and what its headers say: the budget, what REMAINS of it, when it frees (wall ms)."""

    ok: bool
    limit: int
    remaining: int
    reset_ms: int


_MINUTE_NS: Final = 60 * NS_PER_S
BUDGETS: Final[dict[str, Budget]] = {
    "order.create": Budget(10),
    "order.amend": Budget(10),
    "order.cancel": Budget(10),
    "order.cancel-all": Budget(10),
    "order.create-batch": Budget(10),
    "order.amend-batch": Budget(10),
    "order.cancel-batch": Budget(10),
    "order.pre-check": Budget(10),
    "order.disconnected-cancel-all": Budget(5),
    "order.realtime": Budget(50),
    "order.history": Budget(50),
    "execution.list": Budget(50),
    "position.list": Budget(50),
    "position.closed-pnl": Budget(50),
    "position.set-leverage": Budget(10),
    "position.switch-mode": Budget(10),
    "position.trading-stop": Budget(10),
    "position.set-auto-add-margin": Budget(10),
    "position.add-margin": Budget(10),
    "position.confirm-pending-mmr": Budget(10),
    "account.wallet-balance": Budget(50),
    "account.info": Budget(50),
    "account.collateral-info": Budget(50),
    "account.withdrawal": Budget(50),
    "account.user-setting-config": Budget(50),
    "account.transaction-log": Budget(25),
    "account.fee-rate": Budget(5),
    "account.query-dcp-info": Budget(5),
    "account.smp-group": Budget(5),
    "account.set-margin-mode": Budget(5),
    "account.instruments-info": Budget(10),
    "account.set-limit-px-action": Budget(10),
    "user.query-api": Budget(10),
    "asset.deposit": Budget(100, _MINUTE_NS),
    "asset.withdraw": Budget(300, _MINUTE_NS),
    "asset.deposit-internal": Budget(300),
    "asset.transfer-list": Budget(60, _MINUTE_NS),
    "asset.coins-balance": Budget(5),
    "asset.coin-info": Budget(5),
}
"""The venue's default budgets for linear contracts."""


class RateLimits:
    """The budgets of all accounts.

    Parameters
    ----------
    speed : int
        Factor on every budget.
    budgets : dict
        Group to budget; a group that is not in it is unlimited.
    """

    def __init__(self, *, speed: int = 1, budgets: dict[str, Budget] | None = None) -> None:
        chosen = BUDGETS if budgets is None else budgets
        self._budgets = {group: Budget(budget.limit * speed, budget.window_ns) for group, budget in chosen.items()}
        self._windows: dict[tuple[str, str], _Window] = {}

    def take(self, account: str, group: str, now_wall_ns: int, cost: int = 1) -> Allowance | None:
        """Take `cost` out of the account's budget; None where the group has no budget. What does not fit takes nothing."""
        window = self._windows.get((account, group))
        if window is None:
            budget = self._budgets.get(group)
            if budget is None:
                return None
            window = self._windows[account, group] = _Window(budget)
        return window.take(now_wall_ns, cost)


class _Window:
    """Times and costs of what was taken within the last window, oldest first."""

    __slots__ = ("_limit", "_taken", "_used", "_window_ns")

    def __init__(self, budget: Budget) -> None:
        self._limit, self._window_ns = budget
        self._taken: deque[tuple[int, int]] = deque()
        self._used = 0

    def take(self, now_ns: int, cost: int) -> Allowance:
        taken, limit = self._taken, self._limit
        if taken and now_ns < taken[-1][0]:
            now_ns = self._set_back(now_ns)
        since = now_ns - self._window_ns
        while taken and taken[0][0] <= since:
            self._used -= taken.popleft()[1]
        if self._used + cost > limit:
            frees_ns = taken[0][0] + self._window_ns if taken else now_ns + self._window_ns
            return Allowance(False, limit, limit - self._used, -(-frees_ns // NS_PER_MS))  # never before it frees
        taken.append((now_ns, cost))
        self._used += cost
        return Allowance(True, limit, limit - self._used, now_ns // NS_PER_MS)

    def _set_back(self, now_ns: int) -> int:
        """The wall's clock went back: a little is waited for, by more than a window makes all that was counted meaningless."""
        newest_ns = self._taken[-1][0]
        if newest_ns - now_ns <= self._window_ns:
            return newest_ns
        self._taken.clear()
        self._used = 0
        return now_ns

    def is_idle(self, now_ns: int) -> bool:
        """Whether nothing was taken within the last window."""
        return not self._taken or self._taken[-1][0] <= now_ns - self._window_ns


ADDRESS_BUDGET: Final = Budget(600, 5 * NS_PER_S)
"""Requests of one address over HTTP, all endpoints together."""
BAN_NS: Final = 600 * NS_PER_S
"""How long an address that asked too often is turned away."""

_ADDRESSES_KEPT: Final = 4_096


class AddressLimits:
    """How often an address may ask; whoever asks too often is banned for a while, and lifted by itself.

    Parameters
    ----------
    speed : int
        Factor on the budget.
    ban_ns : int
        Wall time that a ban lasts.
    """

    def __init__(self, *, speed: int = 1, budget: Budget = ADDRESS_BUDGET, ban_ns: int = BAN_NS) -> None:
        self._budget = Budget(budget.limit * speed, budget.window_ns)
        self._ban_ns = ban_ns
        self._windows: dict[str, _Window] = {}
        self._banned_until: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Addresses that are remembered."""
        return len(self._windows)

    def admits(self, address: str, now_wall_ns: int) -> bool:
        """Count one request; False when the address is banned, or is from now on."""
        until = self._banned_until.get(address)
        if until is not None:
            if until - self._ban_ns <= now_wall_ns < until:
                return False
            del self._banned_until[address]
        window = self._windows.get(address)
        if window is None:
            self._forget(now_wall_ns)
            window = self._windows[address] = _Window(self._budget)
        if window.take(now_wall_ns, 1).ok:
            return True
        self.ban(address, now_wall_ns)
        return False

    def ban(self, address: str, now_wall_ns: int) -> None:
        """Turn an address away for the length of a ban."""
        self._banned_until[address] = now_wall_ns + self._ban_ns

    def lift(self) -> None:
        """End all bans now."""
        self._banned_until.clear()
        self._windows.clear()

    def _forget(self, now_wall_ns: int) -> None:
        """Drop addresses that have not been heard of for a window, so that strangers cannot fill the memory."""
        if len(self._windows) >= _ADDRESSES_KEPT:
            self._windows = {name: window for name, window in self._windows.items() if not window.is_idle(now_wall_ns)}
            self._banned_until = {name: until for name, until in self._banned_until.items() if until > now_wall_ns}
