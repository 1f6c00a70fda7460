"""The supervisor over real, tiny processes: starts, restarts, gives up, ends, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.ops.health_file import is_alive
from kedge.services.supervisor import Outcome, Supervisor
from kedge.services.supervisor_child import ChildSpec, ChildState, Policy

QUICK = Policy(
    probe_every_s=0.02, probe_timeout_s=0.5, backoff_first_s=0.02, backoff_max_s=0.2, healthy_after_s=0.0, final_codes=frozenset({4})
)
SLEEPS = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(60)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
TIMES_OUT_S = 20.0


async def yes(_: int) -> bool:
    return True


async def no(_: int) -> bool:
    return False


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ChildSpec]:
    def make(name: str, code: str, **more: Any) -> ChildSpec:
        return ChildSpec(
            **{
                "name": name,
                "command": (sys.executable, "-c", code),
                "console": tmp_path / "logs" / f"{name}.out",
                "probe": yes,
                "grace_s": 5.0,
                **more,
            }
        )

    return make


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMES_OUT_S):
        while not reached():
            await asyncio.sleep(0.01)


def supervised(
    specs: list[ChildSpec], then: Callable[[Supervisor], Awaitable[None]] | None = None, *, policy: Policy = QUICK, **options: Any
) -> tuple[Supervisor, Outcome]:
    """Supervise until `then` is done (and stop), or until it ends by itself."""

    async def main() -> tuple[Supervisor, Outcome]:
        supervisor = Supervisor(specs, policy=policy, seed=1, **options)
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(TIMES_OUT_S):
            if then is not None:
                await then(supervisor)
                supervisor.stop()
            return supervisor, await running

    return asyncio.run(main())


def test_what_is_killed_comes_back_with_another_pid(spec: Callable[..., ChildSpec]) -> None:
    pids: list[int] = []

    async def kill_it(supervisor: Supervisor) -> None:
        child = supervisor.children["a"]
        await until(supervisor.all_ready)
        assert child.pid is not None
        pids.append(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        await until(lambda: child.starts == 2 and child.state == ChildState.READY)
        pids.append(child.pid)

    supervisor, outcome = supervised([spec("a", SLEEPS)], kill_it)
    assert outcome.reason == "stopped"
    assert pids[0] != pids[1]
    assert not is_alive(pids[1])
    row = supervisor.children["a"].shown()
    assert (row["state"], row["restarts"], row["pid"]) == ("stopped", 1, None)


def test_children_end_in_the_order_asked_for_and_not_in_that_of_their_start(spec: Callable[..., ChildSpec], tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    open({!r}, 'a').write({!r} + ' ')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nopen({!r}, 'w').close()\ntime.sleep(60)"
    )
    specs = [spec(name, code.format(str(ended), name, str(tmp_path / name))) for name in ("exchange", "trader", "server")]

    async def wait_ready(supervisor: Supervisor) -> None:
        await until(lambda: all((tmp_path / name).exists() for name in supervisor.children))

    supervised(specs, wait_ready, stop_order=("trader", "exchange"))
    assert ended.read_text().split() == ["trader", "exchange", "server"]


def test_an_exit_code_that_a_restart_cannot_mend_is_given_up_with_its_last_words(spec: Callable[..., ChildSpec]) -> None:
    wrong_key = spec("trader", "import sys\nprint('error  the key is wrong\\nfix    make another')\nsys.exit(4)")
    supervisor, outcome = supervised([wrong_key, spec("b", SLEEPS)])
    assert (outcome.reason, outcome.child, outcome.exit_code) == ("given_up", "trader", 4)
    assert outcome.last_words == "error  the key is wrong\nfix    make another"
    assert supervisor.children["trader"].starts == QUICK.final_deaths_max
    assert supervisor.children["trader"].state == ChildState.GIVEN_UP
    assert supervisor.children["b"].pid is None


def test_giving_up_one_that_is_not_needed_leaves_the_others_running(spec: Callable[..., ChildSpec]) -> None:
    async def wait(supervisor: Supervisor) -> None:
        await until(lambda: supervisor.children["server"].state == ChildState.GIVEN_UP)
        assert supervisor.children["trader"].pid is not None
        await until(supervisor.all_ready)

    _, outcome = supervised([spec("trader", SLEEPS), spec("server", "raise SystemExit(4)", needed=False)], wait)
    assert outcome.reason == "stopped"


def test_a_death_that_may_mend_itself_is_never_given_up_and_waits_longer_each_time(spec: Callable[..., ChildSpec]) -> None:
    began = time.monotonic()
    policy = Policy(probe_every_s=0.01, backoff_first_s=0.05, backoff_max_s=10.0, jitter_frac=0.0, healthy_after_s=100.0)

    async def wait(supervisor: Supervisor) -> None:
        await until(lambda: supervisor.children["a"].starts == 4)

    supervisor, _ = supervised([spec("a", "raise SystemExit(8)")], wait, policy=policy)
    assert time.monotonic() - began >= 0.05 + 0.1 + 0.2
    assert supervisor.children["a"].buried(8, 0.0, time.monotonic()) is not None


def test_the_wait_begins_small_again_after_a_healthy_time(spec: Callable[..., ChildSpec]) -> None:
    async def main() -> list[float | None]:
        policy = Policy(backoff_first_s=1.0, backoff_max_s=8.0, jitter_frac=0.0, healthy_after_s=30.0)
        child = Supervisor([spec("a", SLEEPS)], policy=policy).children["a"]
        waits = [child.buried(1, 0.5, now_s) for now_s in range(5)]
        child.ready.set()
        return [*waits, child.buried(1, 29.0, 10.0), child.buried(1, 31.0, 50.0)]

    assert asyncio.run(main()) == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 1.0]


def test_final_deaths_outside_the_window_are_forgotten(spec: Callable[..., ChildSpec]) -> None:
    async def main() -> list[bool]:
        child = Supervisor([spec("a", SLEEPS)], policy=Policy(final_codes=frozenset({4}), final_window_s=10.0)).children["a"]
        return [child.buried(4, 0.0, now_s) is None for now_s in (0.0, 11.0, 15.0)]

    assert asyncio.run(main()) == [False, False, True]


def test_a_silent_process_is_ended_and_started_again(spec: Callable[..., ChildSpec]) -> None:
    asked: list[int] = []

    hung = spec("a", DEAF, silent_s=0.1, grace_s=0.2)

    async def first_one_falls_silent(pid: int) -> bool:
        if hung.console.read_text() != "up\n":
            return False
        asked.append(pid)
        return pid != asked[0] or asked.count(pid) < 3

    async def wait(supervisor: Supervisor) -> None:
        child = supervisor.children["a"]
        await until(lambda: child.starts == 2 and child.state == ChildState.READY)
        assert child.last_exit == -signal.SIGKILL

    supervised([msgspec.structs.replace(hung, probe=first_one_falls_silent)], wait)
    assert not is_alive(asked[0])


def test_one_that_never_becomes_ready_is_started_again(spec: Callable[..., ChildSpec]) -> None:
    async def wait(supervisor: Supervisor) -> None:
        await until(lambda: supervisor.children["a"].starts == 2)
        assert not supervisor.all_ready()

    supervised([spec("a", SLEEPS, probe=no, start_s=0.1)], wait)


def test_a_probe_that_raises_or_hangs_is_a_no(spec: Callable[..., ChildSpec]) -> None:
    async def raises(_: int) -> bool:
        raise OSError("refused")

    async def hangs(_: int) -> bool:
        await asyncio.sleep(60)
        return True

    async def wait(supervisor: Supervisor) -> None:
        await until(lambda: all(child.starts == 2 for child in supervisor.children.values()))

    policy = Policy(probe_every_s=0.02, probe_timeout_s=0.05, backoff_first_s=0.02)
    supervised([spec("a", SLEEPS, probe=raises, start_s=0.1), spec("b", SLEEPS, probe=hangs, start_s=0.1)], wait, policy=policy)


def test_what_needs_another_starts_after_it_and_starts_again_with_it(spec: Callable[..., ChildSpec]) -> None:
    seen: list[tuple[int, int]] = []

    async def wait(supervisor: Supervisor) -> None:
        exchange, trader = supervisor.children["exchange"], supervisor.children["trader"]
        await until(lambda: exchange.state == ChildState.STARTING)
        assert trader.starts == 0
        allowed.set()
        await until(supervisor.all_ready)
        assert exchange.pid is not None
        os.kill(exchange.pid, signal.SIGKILL)
        await until(lambda: (exchange.starts, trader.starts) == (2, 2))
        await until(supervisor.all_ready)
        seen.append((exchange.starts, trader.starts))

    allowed = asyncio.Event()

    async def when_allowed(_: int) -> bool:
        return allowed.is_set()

    supervised([spec("exchange", SLEEPS, probe=when_allowed), spec("trader", SLEEPS, needs="exchange")], wait)
    assert seen == [(2, 2)]


def test_the_end_of_the_work_ends_the_system(spec: Callable[..., ChildSpec]) -> None:
    supervisor, outcome = supervised([spec("exchange", SLEEPS), spec("trader", "", ends_by_itself=True)])
    assert (outcome.reason, outcome.child) == ("ended", "trader")
    assert supervisor.children["trader"].state == ChildState.ENDED
    assert supervisor.children["exchange"].pid is None


def test_one_that_was_told_to_stop_by_somebody_else_is_started_again(spec: Callable[..., ChildSpec]) -> None:
    """Exit code 0 alone is no end of the work: an operator's or the system's SIGTERM gives it too."""
    asked: list[int] = []

    def is_done(pid: int) -> bool:
        asked.append(pid)
        return len(asked) == 2

    supervisor, outcome = supervised([spec("trader", "", ends_by_itself=True, is_done=is_done)])
    assert supervisor.children["trader"].starts == 2
    assert asked[0] != asked[1]
    assert (outcome.reason, outcome.child) == ("ended", "trader")


def test_who_missed_the_death_of_its_world_is_started_again_with_the_next_one(spec: Callable[..., ChildSpec]) -> None:
    """A probe may hang for as long as the other one needs to come back; its world is gone all the same."""
    held = asyncio.Event()

    async def hangs(_: int) -> bool:
        await held.wait()
        return True

    async def wait(supervisor: Supervisor) -> None:
        exchange, trader = supervisor.children["exchange"], supervisor.children["trader"]
        await until(lambda: trader.starts == 1)
        assert exchange.pid is not None
        os.kill(exchange.pid, signal.SIGKILL)
        await until(lambda: exchange.starts == 2 and exchange.ready.is_set())
        held.set()
        await until(lambda: trader.starts == 2)

    policy = msgspec.structs.replace(QUICK, probe_timeout_s=TIMES_OUT_S)
    supervised([spec("exchange", SLEEPS), spec("trader", SLEEPS, needs="exchange", probe=hangs)], wait, policy=policy)


def test_the_group_of_a_dead_process_is_killed_once_since_its_id_may_be_anothers_later(
    spec: Callable[..., ChildSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _: killed.append(pid))
    policy = msgspec.structs.replace(QUICK, backoff_first_s=TIMES_OUT_S, backoff_max_s=TIMES_OUT_S)
    seen: list[int] = []

    async def wait(supervisor: Supervisor) -> None:
        child = supervisor.children["a"]
        await until(lambda: child.state == ChildState.WAITING and child.last_exit is not None)
        assert child.process is not None
        seen.append(child.process.pid)

    supervised([spec("a", "raise SystemExit(1)")], wait, policy=policy)
    assert killed == seen


def test_one_that_ignores_a_polite_end_is_killed_with_all_it_started(spec: Callable[..., ChildSpec], tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    code = (
        "import subprocess, sys, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r} + '.new', 'w').write(str(p.pid))\nimport os; os.rename({str(note)!r} + '.new', {str(note)!r})\ntime.sleep(60)"
    )

    async def wait(_: Supervisor) -> None:
        await until(note.exists)

    supervisor, _ = supervised([spec("a", code, grace_s=0.2)], wait)
    assert supervisor.children["a"].last_exit == -signal.SIGKILL
    assert "was killed" in supervisor.children["a"].why
    grandchild = int(note.read_text())
    deadline = time.monotonic() + 5
    while is_alive(grandchild) and _state_of(grandchild) != "Z":
        assert time.monotonic() < deadline


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_stop_during_a_wait_or_before_a_first_start_ends_at_once(spec: Callable[..., ChildSpec]) -> None:
    policy = Policy(probe_every_s=0.02, backoff_first_s=60.0, backoff_max_s=60.0)

    async def wait(supervisor: Supervisor) -> None:
        await until(lambda: supervisor.children["a"].state == ChildState.WAITING and supervisor.children["a"].starts == 1)

    began = time.monotonic()
    supervisor, outcome = supervised([spec("a", "raise SystemExit(1)"), spec("b", SLEEPS, needs="a", probe=yes)], wait, policy=policy)
    assert outcome.reason == "stopped"
    assert time.monotonic() - began < 15
    assert supervisor.children["b"].starts <= 1


def test_a_command_that_does_not_exist_ends_everything_and_says_so(spec: Callable[..., ChildSpec]) -> None:
    missing = spec("a", "", command=("/no/such/program",))
    with pytest.raises(FileNotFoundError):
        supervised([missing, spec("b", SLEEPS)])


def test_rows_are_reported_at_every_change(spec: Callable[..., ChildSpec]) -> None:
    told: list[list[dict[str, Any]]] = []

    async def wait(supervisor: Supervisor) -> None:
        await until(supervisor.all_ready)

    supervised([spec("a", SLEEPS)], wait, report=told.append)
    states = [rows[0]["state"] for rows in told]
    assert [state for n, state in enumerate(states) if n == 0 or state != states[n - 1]] == ["waiting", "starting", "ready", "stopped"]
    assert {"name", "state", "pid", "restarts", "last_exit", "why"} <= told[0][0].keys()


def test_children_see_the_end_of_their_input_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Nothing outlives it: the pipe on their standard input ends with it, however it ends."""
    note = tmp_path / "note"
    child = f"import os\nopen({str(note)!r}, 'w').write('up')\nos.read(0, 1)\nopen({str(note)!r}, 'w').write('orphan')"
    code = f"""
import asyncio, sys
from pathlib import Path
from kedge.services.supervisor import Supervisor
from kedge.services.supervisor_child import ChildSpec
async def yes(_): return True
spec = ChildSpec(name="a", command=(sys.executable, "-c", {child!r}), console=Path({str(tmp_path / "out")!r}), probe=yes)
asyncio.run(Supervisor([spec]).run())
"""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        await until(lambda: note.exists() and note.read_text() == "up")
        process.kill()
        await process.wait()
        await until(lambda: note.read_text() == "orphan")

    asyncio.run(main())
