"""The guard of a day as a process: it stands still, dies and comes back; what was written is there, what was forged lets nothing go."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.clock import Process, VirtualLoop
from tests.simulation.day import run
from tests.simulation.guard_limits import CELLS, GUARDS, OFF, WATCH, limits_of, losses_of
from tests.simulation.releases import FORGED, GOOD, SERVER_KEY, record_of
from tests.simulation.script import Script, read
from tests.simulation.themes import TURNS, script_of
from tests.simulation.world import ACCOUNT

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import KedgeError
from kedge.services.guard_release import read_release

NOW = 1_700_000_000 * 10**9
HEAD = "seed 7\ntheme made\nstyle market\nseconds 14\nlatency_ms 8\nguard {guard}\npeople {people}\n"


def made(guard: str, *acts: str, people: str = "two") -> Script:
    return read(HEAD.format(guard=guard, people=people) + "\n".join(acts))


def test_a_process_that_is_held_hears_nothing_and_then_all_of_it_in_order() -> None:
    loop, heard = VirtualLoop(), list[tuple[str, float]]()

    async def work() -> None:
        process = Process(loop)

        async def sleepy() -> None:
            await asyncio.sleep(1)
            heard.append(("slept", loop.time()))

        process.soon(lambda: loop.create_task(sleepy()))
        await asyncio.sleep(0.5)
        process.hold()
        process.hold()
        process.soon(lambda: heard.append(("told", loop.time())))
        await asyncio.sleep(2)
        assert heard == []
        process.go_on()
        process.go_on()
        await asyncio.sleep(0.1)

    loop.run_until_complete(work())
    loop.close()
    assert heard == [("told", 2.5), ("slept", 2.5)]


@pytest.mark.parametrize("kind", [*GOOD, *FORGED])
def test_a_release_is_believed_only_where_two_people_or_a_declared_solo_mode_stand_behind_it(kind: str) -> None:
    def asked() -> int:
        text = record_of(kind, "AB" * 12, 3, "keep", NOW).text
        return read_release(text, SERVER_KEY, account=ACCOUNT, solo_is_declared=kind == "solo", now_wall_ns=NOW).generation

    if kind in (*GOOD, "replayed"):  # that it was used before is for the guard's journal to say
        assert asked() == 3
    elif kind == "wrong_generation":
        assert asked() == 4
    else:
        with pytest.raises(KedgeError):
            asked()


def test_a_person_flattens_two_release_and_the_day_goes_on() -> None:
    day = run(made(WATCH, "at 6000 engage level=flatten", "at 12000 release kind=good high_water=keep", "at 13000 resume"))
    assert (day.rule, day.figures) == ("", "")
    assert day.brakes == {("manual", "flattening"): 1}
    assert day.guarded["declared flat"] == day.guarded["released"] == 1
    assert day.codes["BRAKE"]


def test_a_guard_that_dies_amid_a_flattening_goes_on_from_its_latch() -> None:
    day = run(made(WATCH, "at 6000 guard_kill point=after_slice_sent count=1 ms=500", "at 6001 engage level=flatten"))
    assert (day.rule, day.figures) == ("", "")
    assert day.guarded["declared flat"] == 1


def test_a_torn_latch_is_halted_when_the_guard_comes_back() -> None:
    day = run(made(WATCH, "at 6000 latch_torn keep=20", "at 6001 guard_crash ms=500"))
    assert (day.rule, day.figures) == ("", "")
    assert day.brakes == {("unreadable", "halted"): 1}


def test_forged_releases_and_permits_let_nothing_go() -> None:
    acts = [f"at {7_000 + 300 * n} release kind={kind} high_water=reset" for n, kind in enumerate(FORGED)]
    day = run(made(WATCH, "at 4000 permit_forged ms=2000", "at 5000 permit_repeat ms=2000", "at 6500 engage level=halt", *acts))
    assert (day.rule, day.figures) == ("", "")
    assert day.guarded["released"] == 1, "in the evening, by two people"


def test_a_loss_brakes_and_a_withdrawal_does_not() -> None:
    day = run(made("drawdown", "at 5000 withdraw amount=3000"))
    assert (day.rule, day.brakes) == ("", {})
    day = run(made("drawdown", "at 5000 loss bps=300"))
    assert (day.rule, day.figures) == ("", "")
    assert {trigger for trigger, _ in day.brakes} == {"drawdown"}


def test_a_script_from_before_has_no_guard() -> None:
    script = read("seed 7\ntheme made\nstyle market\nseconds 12\n")
    assert (script.guard, script.people) == ("none", "two")
    day = run(script)
    assert (day.rule, day.brakes, day.guarded) == ("", {}, {})
    assert read(script.text()) == script


def test_one_day_in_four_is_about_the_brake_and_every_other_one_is_watched() -> None:
    scripts = [script_of(seed) for seed in range(len(TURNS) * 4)]
    assert all(script.guard in GUARDS for script in scripts)
    about = sum(1 for script in scripts if any(act.what in ("engage", "release") for act in script.actions))
    assert 0.22 <= about / len(scripts) <= 0.30


def test_limits_are_off_but_for_those_of_the_name_and_every_cell_is_a_trigger_and_a_level() -> None:
    assert limits_of(WATCH) == OFF
    assert losses_of("drawdown") == {("drawdown", "halted"): 1_500_000, ("drawdown", "flattening"): 2_500_000}
    assert losses_of("none") == losses_of(WATCH) == {}
    assert {trigger for trigger, _ in CELLS} == set(Trigger)
    assert {level for _, level in CELLS} <= set(BrakeLevel)
