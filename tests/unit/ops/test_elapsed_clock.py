"""The clock by which safety ages goes on in suspend where the system has such a clock, and is monotonic where it has none."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kedge.ops.elapsed_clock import elapsed_clock, elapsed_ns
from kedge.services.permits import PERMIT_AGE_MAX_NS, LocalIssuer, may_add_risk

LID_NS = 3_600 * 10**9


class Laptop:
    """A machine's clocks: awake they go together, with the lid closed only one of them goes on."""

    CLOCK_BOOTTIME = 7

    def __init__(self, *, refuses: bool = False) -> None:
        self.awake_ns, self.asleep_ns, self.refuses = 10**12, 0, refuses

    def monotonic_ns(self) -> int:
        return self.awake_ns

    def clock_gettime_ns(self, clock: int) -> int:
        assert clock == self.CLOCK_BOOTTIME
        if self.refuses:
            raise OSError(22, "Invalid argument")
        return self.awake_ns + self.asleep_ns


class Other:
    """A system without that clock."""

    @staticmethod
    def monotonic_ns() -> int:
        return 42


def test_time_passes_while_the_lid_is_closed() -> None:
    laptop = Laptop()
    clock = elapsed_clock(laptop)
    before_ns = clock()
    laptop.asleep_ns = LID_NS
    assert clock() - before_ns == LID_NS


@pytest.mark.parametrize("system", [Other(), Laptop(refuses=True)])
def test_without_it_the_monotonic_clock_has_to_do(system: Any) -> None:
    assert elapsed_clock(system)() == system.monotonic_ns()


def test_a_permit_from_before_the_lid_was_closed_is_void_after_it() -> None:
    laptop = Laptop()
    permits = LocalIssuer("paper", elapsed_clock(laptop))
    permits.renew()
    laptop.awake_ns += PERMIT_AGE_MAX_NS // 2
    assert may_add_risk(permits, permits.clock_ns())
    laptop.asleep_ns = LID_NS
    assert not may_add_risk(permits, permits.clock_ns())


def test_this_machines_clock_only_goes_forward_and_no_slower_than_the_monotonic_one() -> None:
    begun_ns, monotonic_ns = elapsed_ns(), time.monotonic_ns()
    passed_ns = time.monotonic_ns() - monotonic_ns
    assert elapsed_ns() - begun_ns >= passed_ns
