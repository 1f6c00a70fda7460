"""Guessing is slow for whoever guesses, and for nobody else."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.services.people.world import HOME, PASSWORD, World, world

from kedge.domain.errors import TooMany
from kedge.ops.identity.passwords import Argon2Cost
from kedge.services.people.answers import Client
from kedge.services.people.errors import SignInRefused
from kedge.services.people.throttle import network_of
from kedge.storage.people_rows import Challenge, Failure

ELSEWHERE = Client(address="203.0.113.9")


def fail(here: World, name: str = "ada", client: Client = ELSEWHERE) -> None:
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_password(name, "wrong password 123", "000000", client)


def waits(here: World, name: str = "ada", client: Client = ELSEWHERE) -> int:
    """Seconds that the next attempt is told to wait."""
    with pytest.raises(TooMany) as told:
        here.desk.sign_in.by_password(name, "wrong password 123", "000000", client)
    return told.value.retry_after_s


def test_the_wait_doubles_from_a_second_to_a_quarter_of_an_hour(here: World) -> None:
    here.first_by_password()
    told = []
    for _ in range(13):
        fail(here)
        told.append(waits(here))
        here.clock.move(told[-1])
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_names_that_nobody_has_wait_alike(here: World) -> None:
    here.first_by_password()
    told = []
    for name in ("ada", "nobody"):
        for _ in range(4):
            fail(here, name)
            told.append(waits(here, name))
            here.clock.move(told[-1])
    assert told == [1, 2, 4, 8] * 2


def test_trying_early_costs_nothing_and_gains_nothing(here: World) -> None:
    ada = here.first_by_password()
    fail(here)
    hashes = here.desk.shared.passwords.computed
    for _ in range(50):
        assert waits(here) == 1
    assert here.desk.shared.passwords.computed == hashes
    here.clock.move(1)
    here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), ELSEWHERE)


def test_an_attacker_elsewhere_does_not_delay_the_person_at_home(here: World) -> None:
    ada = here.first_by_password()
    for _ in range(8):
        fail(here)
        here.clock.move(waits(here))
    fail(here)
    here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), HOME)


def test_an_attacker_at_the_same_address_does_not_delay_a_known_device_nor_a_passkey(here: World) -> None:
    ada = here.first_by_password()
    for _ in range(6):
        fail(here, client=HOME)
        here.clock.move(waits(here, client=HOME))
    fail(here, client=HOME)
    assert waits(here, client=HOME) == 64
    known_device = replace(HOME, device=ada.signed_in.device)
    here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), known_device)
    assert waits(here, client=HOME) == 64


def test_a_passkey_is_never_delayed(here: World) -> None:
    ada = here.first()
    for number in range(21):
        fail(here, f"name{number}", HOME)
    assert waits(here, client=HOME) == 1
    here.sign_in(ada)


def test_a_stolen_device_cookie_is_slowed_like_everybody(here: World) -> None:
    ada = here.first_by_password()
    thief = replace(ELSEWHERE, device=ada.signed_in.device)
    fail(here, client=thief)
    assert waits(here, client=thief) == 1
    here.clock.move(1)
    fail(here, client=thief)
    assert waits(here, client=thief) == 2


def test_another_persons_device_cookie_is_worth_nothing(here: World) -> None:
    ada = here.first_by_password()
    eve = here.desk.accounts.invite(ada.actor, ada.client, name="eve", display_name="", roles=[])
    device = here.by_password(eve.link_secret, "eve").signed_in.device
    fail(here)
    assert waits(here, client=replace(ELSEWHERE, device=device)) == 1


def test_a_success_clears_the_persons_count(here: World) -> None:
    ada = here.first_by_password()
    for _ in range(3):
        fail(here)
        here.clock.move(waits(here))
    here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), ELSEWHERE)
    fail(here)
    assert waits(here) == 1


def test_a_network_that_tries_many_names_waits_as_a_whole(here: World) -> None:
    ada = here.first_by_password()
    for number in range(21):
        fail(here, f"name{number}")
    assert waits(here, "ada") == 1
    here.clock.move(1)
    fail(here, "one-more")
    assert waits(here, "ada") == 2
    here.clock.move(2)
    here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), ELSEWHERE)
    fail(here, "another")
    assert waits(here, "yet-another") == 4  # the success was not counted; the failures before it still are


def test_a_clock_that_is_set_back_locks_nobody_out_for_longer(here: World) -> None:
    here.first_by_password()
    fail(here)
    here.clock.move(-365 * 24 * 3600)
    assert waits(here) == 900


def test_failures_are_forgotten_after_a_day(here: World) -> None:
    here.first_by_password()
    for _ in range(5):
        fail(here)
        here.clock.move(waits(here))
    here.clock.move(24 * 3600 + 1)
    fail(here)
    assert waits(here) == 1


def test_a_hundred_guesses_at_once_are_one(here: World) -> None:
    here.first_by_password()
    before, told = here.desk.shared.passwords.computed, []

    def guess() -> None:
        try:
            here.desk.sign_in.by_password("ada", "wrong password 123", "000000", ELSEWHERE)
        except (SignInRefused, TooMany) as error:
            told.append(type(error))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count(SignInRefused) == 1
    assert told.count(TooMany) == 19
    assert here.desk.shared.passwords.computed == before + 1


def test_what_is_kept_of_a_name_that_was_tried_is_not_the_name(here: World) -> None:
    here.first_by_password()
    fail(here, "my-secret-as-name")
    rows = here.rows(lambda tx: tx.find(Failure))
    assert len(rows) == 2
    assert not any("secret" in row.bucket for row in rows)


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_failed_sign_ins_of_one_source_fill_no_journal(here: World, name: str) -> None:
    here.first_by_password()
    before = len(here.acts())
    for _ in range(6):
        fail(here, name)
        here.clock.move(waits(here, name))
    assert len(here.acts()) == before + 1


def test_the_first_failure_under_each_name_is_told_of_its_own_whether_somebody_has_it_or_not(here: World) -> None:
    ada = here.first_by_password()
    for name in ("nobody", "ada", "nobody-else", "ADA", "nobody"):
        fail(here, name)
        here.clock.move(2)
    refused = [(act.subject, act.details["address"]) for act in here.acts() if act.outcome == "refused"]
    assert refused == [("unknown", "203.0.113.9"), (ada.person_id, "203.0.113.9"), ("unknown", "203.0.113.9")]


def test_an_attempt_that_nobody_could_look_at_because_of_a_crowd_is_no_failure(here: World) -> None:
    ada = here.first_by_password()
    crowd = here.desk.shared.passwords._crowd
    held = [crowd.acquire(blocking=False) for _ in range(20)].count(True)
    for _ in range(3):
        with pytest.raises(TooMany, match="being checked"):
            here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), ELSEWHERE)
    for _ in range(held):
        crowd.release()
    assert here.rows(lambda tx: tx.find(Failure)) == []
    assert here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), ELSEWHERE).person.name == "ada"


def test_questions_that_wait_are_bounded(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kedge.services.people.proofs.CHALLENGES_MAX", 3)
    for _ in range(3):
        here.desk.sign_in.options(HOME)
    with pytest.raises(TooMany, match="under way"):
        here.desk.sign_in.options(HOME)
    here.clock.move(300)
    here.desk.sign_in.options(HOME)
    assert here.rows(lambda tx: tx.count(Challenge)) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("testclient", "unknown"),
    ],
)
def test_a_network_is_an_address_or_one_households(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.slow
def test_time_does_not_tell_who_exists(tmp_path: Path) -> None:
    """Medians of interleaved attempts, in this thread's own time because a busy machine's disk would drown it.

    The tolerance is a third of one hash: a name that was answered without one would exceed it threefold.
    """
    with world(tmp_path, cost=Argon2Cost(memory_kib=8192, passes=2, lanes=1)) as here:
        here.first_by_password()
        took: dict[str, list[float]] = {"ada": [], "nobody": []}
        for _ in range(40):
            for name, spent in took.items():
                here.clock.move(1000)
                began = time.thread_time()
                fail(here, name)
                spent.append(time.thread_time() - began)
        hashes = []
        for _ in range(9):
            began = time.thread_time()
            here.desk.shared.passwords.verify(None, "wrong password 123")
            hashes.append(time.thread_time() - began)
        assert abs(statistics.median(took["ada"]) - statistics.median(took["nobody"])) < statistics.median(hashes) / 3
