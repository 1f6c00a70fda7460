"""Sessions: cookies, ends, renewals, and devices that are known."""

from __future__ import annotations

import pytest
from tests.unit.services.people.world import HOME, Known, World

from kedge.domain.errors import NotFound, NotSignedIn
from kedge.governance.roles import Action
from kedge.ops.identity.secret_text import hash_of
from kedge.services.people.answers import Client
from kedge.services.people.sessions import ABSOLUTE_S, IDLE_S, SESSIONS_MAX
from kedge.storage.people_rows import Session


def again(here: World, known: Known, client: Client = HOME) -> Known:
    """The same person, signed in once more."""
    options = here.desk.sign_in.options(client)
    return Known(here.desk.sign_in.by_passkey(options.challenge_id, known.keys.get(options.public_key), client), keys=known.keys)


def test_only_the_hash_of_a_cookie_is_kept(here: World) -> None:
    ada = here.first()
    row = here.rows(lambda tx: tx.find(Session))[0]
    assert row.session_hash == hash_of(ada.signed_in.cookie)
    assert len(ada.signed_in.cookie) == 64
    assert ada.signed_in.cookie.encode() not in here.everything_written()


@pytest.mark.parametrize("cookie", ["", "x", "0" * 64, "\udcff" * 64, "ä" * 64])
def test_a_cookie_of_nobody_is_nobody(here: World, cookie: str) -> None:
    here.first()
    assert here.desk.identify(cookie, None, "127.0.0.1") is None
    assert here.desk.sessions.current(cookie) is None


def test_the_hash_of_a_cookie_is_no_cookie(here: World) -> None:
    ada = here.first()
    assert here.desk.identify(hash_of(ada.signed_in.cookie), None, "") is None


def test_a_session_ends_after_half_an_hour_of_silence(here: World) -> None:
    ada = here.first()
    for _ in range(3):
        here.clock.move(IDLE_S - 1)
        assert here.desk.identify(ada.signed_in.cookie, None, "") is not None
    here.clock.move(IDLE_S)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
    assert not here.desk.sessions.is_live(ada.signed_in.session.session_id)


def test_a_session_ends_after_twelve_hours_in_any_case(here: World) -> None:
    ada = here.first()
    for _ in range(ABSOLUTE_S // 1200 - 1):
        here.clock.move(1200)
        assert here.desk.identify(ada.signed_in.cookie, None, "") is not None
    here.fresh(ada)
    here.clock.move(1200)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None


def test_the_last_use_is_written_once_a_minute(here: World) -> None:
    ada = here.first()

    def seen() -> int:
        return int(here.rows(lambda tx: tx.find(Session))[0].seen_wall_ns)

    began = seen()
    here.clock.move(59)
    here.desk.identify(ada.signed_in.cookie, None, "")
    assert seen() == began
    here.clock.move(1)
    here.desk.identify(ada.signed_in.cookie, None, "")
    assert seen() == here.clock.now_ns


def test_signing_in_ends_the_session_that_the_browser_had(here: World) -> None:
    ada = here.first()
    second = again(here, ada, ada.client)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
    assert second.signed_in.cookie != ada.signed_in.cookie
    assert len(here.desk.sessions.of(ada.actor)) == 1


def test_a_cookie_that_an_attacker_planted_becomes_nobodys_session(here: World) -> None:
    ada = here.first()
    planted = "ab" * 32
    signed_in = again(here, ada, Client("127.0.0.1", cookie=planted)).signed_in
    assert signed_in.cookie != planted
    assert here.desk.identify(planted, None, "") is None


def test_signing_out_ends_this_session_and_no_other(here: World) -> None:
    ada = here.first()
    second = again(here, ada)
    here.desk.sessions.sign_out(ada.actor, ada.client)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
    assert here.desk.identify(second.signed_in.cookie, None, "") is not None
    assert (here.last_act().action, here.last_act().ref) == ("sign-out", ada.actor.ref)


def test_one_of_ones_sessions_is_ended_by_its_public_id(here: World) -> None:
    ada = here.first()
    second = again(here, ada)
    assert [row.session_id for row in here.desk.sessions.of(ada.actor)] == [second.actor.ref, ada.actor.ref]
    here.desk.sessions.end(ada.actor, second.actor.ref, ada.client)
    assert here.desk.identify(second.signed_in.cookie, None, "") is None
    assert here.desk.sessions.is_live(ada.actor.ref)


def test_nobody_ends_somebody_elses_session(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    for session_id in (ada.actor.ref, "s-unknown"):
        with pytest.raises(NotFound, match="no session"):
            here.desk.sessions.end(eve.actor, session_id, eve.client)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is not None


def test_a_person_has_at_most_twenty_sessions_and_the_oldest_goes(here: World) -> None:
    ada = here.first()
    kept = [again(here, ada) for _ in range(SESSIONS_MAX)]
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
    assert all(here.desk.identify(one.signed_in.cookie, None, "") for one in kept)


def test_an_act_of_a_session_that_was_ended_a_moment_ago_is_refused(here: World) -> None:
    ada = here.first()
    second = again(here, ada)
    here.desk.sessions.end(ada.actor, second.actor.ref, ada.client)
    with pytest.raises(NotSignedIn):
        here.desk.factors.new_recovery_codes(second.actor, second.client)


def test_a_cookie_and_a_token_together_are_nobody(here: World) -> None:
    ada = here.first()
    assert here.desk.identify(ada.signed_in.cookie, "kedge_pat_x", "") is None
    assert here.desk.identify(None, None, "") is None


def test_the_device_cookie_is_its_persons_and_nobody_elses(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    nonce = here.desk.sessions.device_nonce(ada.signed_in.device, ada.person_id)
    assert len(nonce) == 32
    assert here.desk.sessions.device_nonce(ada.signed_in.device, eve.person_id) == ""
    forged = ada.signed_in.device.replace(ada.person_id, eve.person_id)
    assert here.desk.sessions.device_nonce(forged, eve.person_id) == ""
    for strange in ("", ".", "..", "a.b", "ä.ö.ü", f"{ada.person_id}.{nonce}.", "\udcff.\udcff.\udcff"):
        assert here.desk.sessions.device_nonce(strange, ada.person_id) == ""
    assert here.desk.sessions.device_nonce(again(here, ada, ada.client).signed_in.device, ada.person_id) == nonce


def test_what_a_browser_calls_itself_is_kept_short_and_printable(here: World) -> None:
    ada = here.first()
    signed_in = again(here, ada, Client("127.0.0.1", agent="Agent\x1b[31m" + "x" * 900)).signed_in
    assert signed_in.session.agent.startswith("Agent[31mxxx")
    assert len(signed_in.session.agent) <= 200


def test_a_refusal_is_told_of_who_is_known_and_counted_where_it_repeats(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    for _ in range(5):
        with pytest.raises(Exception, match="may not"):
            here.desk.require(bob.actor, Action.RESUME, bob.client, "c-1")
    with pytest.raises(NotSignedIn):
        here.desk.require(None, Action.RESUME, HOME)
    refused = [act for act in here.acts() if act.outcome == "refused"]
    assert [(act.person_id, act.action, act.subject) for act in refused] == [(bob.person_id, "resume", "c-1")]
    here.clock.move(15 * 60)
    here.desk.upkeep()
    assert here.last_act().details["repeated"] == "4"


def test_upkeep_sheds_what_is_over(here: World) -> None:
    here.first()
    here.desk.sign_in.options(HOME)
    here.clock.move(ABSOLUTE_S)
    here.desk.upkeep()
    assert here.rows(lambda tx: tx.count(Session)) == 0


def test_a_session_of_a_clock_that_was_far_ahead_is_over(here: World) -> None:
    ada = here.first()
    here.clock.move(-60)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is not None
    here.clock.move(-IDLE_S)
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
