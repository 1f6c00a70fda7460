"""The documents and overrides of one account, as its trader reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kedge.risk.limits_document import OverrideGrant
from kedge.services.limits_store import LimitsStore
from kedge.services.overrides import OverrideFiles


class AccountRulings(LimitsStore):
    """See `services.live_rules.Rulings`."""

    def __init__(self, state: Path, account: str, *, wall_ns: Callable[[], int]) -> None:
        super().__init__(state, account, wall_ns=wall_ns)
        self._files, self._now_ns = OverrideFiles(state, account), wall_ns

    def override_names(self) -> list[str]:
        """Approvals that an override was left for."""
        return self._files.names()

    def override(self, approval_id: str) -> tuple[OverrideGrant, int] | None:
        """One override, and for how long it still holds, in nanoseconds of the wall."""
        grant = self._files.read(approval_id)
        return None if grant is None else (grant, grant.expires_wall_ns - self._now_ns())
