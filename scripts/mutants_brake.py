"""Bugs around the brake for `scripts.mutants` to plant: in the guard, its latch, its permits, and the trader that lives by them."""

from __future__ import annotations

from scripts.mutants_list import Mutant

BRAKE: tuple[Mutant, ...] = (
    Mutant(
        "a permit counts from its receipt",
        "services/guard_permits.py",
        "        self.granted_ns = sent_ns if found.granted else None\n",
        "        self.granted_ns = self.clock_ns() if found.granted else None\n",
    ),
    Mutant(
        "an old permit answers another question",
        "services/guard_permits.py",
        "    if found.nonce != nonce:\n",
        "    if found.nonce != nonce and not found.granted:\n",
    ),
    Mutant(
        "a permit needs no signature",
        "services/guard_permits.py",
        '    if not hmac.compare_digest(mac_of(found, key), found.mac if found.mac.isascii() else ""):\n',
        "    if not found.mac:\n",
    ),
    Mutant(
        "the latch is written after the cancels",
        "services/guard/holder.py",
        '        self._timeline.mark("permits_stopped", began_ns)\n        self.write()\n',
        '        self._timeline.mark("permits_stopped", began_ns)\n'
        "        __import__('asyncio').get_running_loop().call_later(0.3, self.write)\n",
    ),
    Mutant(
        "flat is declared before an old order could arrive",
        "risk/brake/flatness.py",
        "        if begun_ns < self.from_ns:\n            return False\n",
        "",
    ),
    Mutant(
        "a closing order is not reduce-only",
        "risk/brake/flatten.py",
        "            reduce_only=True,\n",
        "            reduce_only=False,\n",
        ((("risk/brake/gate.py"), '        (order.reduce_only, "it must be reduce-only"),\n', ""),),
    ),
    Mutant(
        "the collar is ten times as wide",
        "risk/brake/flatten.py",
        '    """The worst price on the grid that lies within the collar: rounded towards the mark."""\n',
        "    bps *= 10\n",
    ),
    Mutant(
        "one person alone releases the brake",
        "services/guard_release.py",
        "    if approval.four_eyes:\n        return\n",
        "    if approval.four_eyes or approval.mark is Mark.SOLO:\n        return\n",
    ),
    Mutant(
        "a request that nobody approved releases the brake",
        "services/guard_release.py",
        "    _require_standing(approval, now_wall_ns, known_from_wall_ns)\n"
        "    _require_people(approval, solo_is_declared=solo_is_declared)\n",
        "",
        (
            (
                "services/guard_release.py",
                "    assert approval.approver is not None\n",
                "    from msgspec.structs import replace\n\n"
                "    if approval.approver is None:\n"
                "        approval = replace(approval, steps=(*approval.steps, replace(approval.steps[0], state=State.APPROVED)))\n"
                "    assert approval.approver is not None\n",
            ),
        ),
    ),
    Mutant(
        "a release is good for any generation",
        "services/guard/release.py",
        "    if order.generation != latch.generation:\n",
        "    if order.generation < 0:\n",
    ),
    Mutant(
        "an unreadable latch is read as RUNNING",
        "ops/latch_file.py",
        '            return self._halted(generation, f"{self.path.name} is no latch: {error}")\n',
        "            return Latch(account=self.account, generation=(generation or 0) + 1, level=BrakeLevel.RUNNING)\n",
    ),
    Mutant(
        "a guard that starts again forgets its latch",
        "services/guard/holder.py",
        "        self.latch = port.read()\n",
        "        self.latch = port.read()\n"
        "        self.latch = msgspec.structs.replace(self.latch, level=BrakeLevel.RUNNING, trigger=None)\n",
    ),
    Mutant(
        "the guard's drawdown takes a withdrawal for a loss",
        "risk/brake/losses.py",
        "        if before_e8 > 0:\n",
        "        if before_e8 > 1 << 62:\n",
    ),
    Mutant(
        "money that nothing explains is a loss",
        "risk/brake/earnings.py",
        "            judged_e8 = base_e8 + equity_e8 - shown.wallet_e8 - self._unrealised_e8\n",
        "            judged_e8 = equity_e8\n",
    ),
    Mutant(
        "permits go on while the brake is on",
        "services/guard/permitting.py",
        "        if not permits_risk(latch.level):\n",
        "        if not latch.account:\n",
    ),
    Mutant(
        "permits are given on an old view",
        "services/guard/permitting.py",
        "        age_ns = self._monotonic_ns() - seen_ns\n",
        "        age_ns = (self._monotonic_ns() - seen_ns) // 10\n",
        (
            (
                "services/guard/permitting.py",
                "        age_ns = self._monotonic_ns() - judged_ns  #",
                "        age_ns = (self._monotonic_ns() - judged_ns) // 10  #",
            ),
        ),
    ),
    Mutant(
        "the stops go with the orders",
        "services/guard/cancelling.py",
        "        if self.all_sent_ns is None:\n            self.sweep(venue, CancelKind.RESTING)\n",
        "        if self.all_sent_ns is None:\n            self.sweep(venue, CancelKind.EVERY)\n"
        "            self.sweep(venue, CancelKind.RESTING)\n",
    ),
    Mutant(
        "the guard sees a loss and does nothing",
        "services/guard/judging.py",
        "        if breaches:\n            self._brake(breaches[0], begun_ns)\n",
        "        if len(breaches) > 3:\n            self._brake(breaches[0], begun_ns)\n",
    ),
    Mutant(
        "a closing ends with the first slice",
        "services/guard/closing.py",
        "            elif plan.is_ready(name, read_ns=read_ns, now_ns=now_ns):\n",
        "            elif not self._timeline.slices and plan.is_ready(name, read_ns=read_ns, now_ns=now_ns):\n",
    ),
    Mutant(
        "the trader does not listen to the brake",
        "services/live.py",
        "        self.permits.listen(self._braked)\n",
        "",
    ),
    Mutant(
        "a reduction leaves although the brake was heard",
        "services/live_desk.py",
        "        return may_send(self._core.state.brake_level)\n",
        "        return True\n",
    ),
)
