"""Races against a real server: whatever counts once counts once, however many ask for it at the same moment."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from tests.integration.people_session import PASSWORD, Answer, Browser, first_person, serving


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Admin and trader, with a passkey, a password and an app."""
    with serving(tmp_path_factory.mktemp("races") / "state") as served:
        yield first_person(served).add_password()


@pytest.fixture(scope="module")
def rita(ada: Browser) -> Browser:
    """The second person: risk."""
    rita = ada.invite("rita", "viewer")
    ada.grant(rita, "risk", "viewer")
    return rita.sign_in()


def together(*asks: Callable[[], Answer]) -> Counter[tuple[int, str]]:
    """Ask all at the same moment; how often each answer came."""
    line = Barrier(len(asks))

    def at_once(ask: Callable[[], Answer]) -> Answer:
        line.wait()
        return ask()

    with ThreadPoolExecutor(len(asks)) as pool:
        return Counter((answer.status, answer.code) for answer in pool.map(at_once, asks))


def acts(browser: Browser, action: str, subject: str) -> int:
    found = browser.get(f"/api/v1/acts?action={action}&limit=500")["items"]
    return sum(one["subject"] == subject and one["outcome"] == "done" for one in found)


def test_an_approval_is_decided_once_and_used_once(ada: Browser, rita: Browser) -> None:
    carl = ada.invite("carl", "viewer")
    approval = ada.request_grant(carl, "auditor", "viewer")
    answers = [rita.assertion("/api/v1/step-up", {"binds": approval["binds"]}) for _ in range(4)]
    told = together(*(functools.partial(rita.decide, approval, **one) for one in answers))
    assert told[200, ""] == 1
    assert sum(told.values()) == 4
    path = f"/api/v1/approvals/{approval['id']}/use"
    told = together(*(lambda: ada.post(path) for _ in range(6)))
    assert told == {(200, ""): 1, (409, "ALREADY_USED"): 5}
    assert acts(ada, "approval-use", approval["id"]) == 1


def test_a_setup_link_makes_one_account_sets_one_passkey_and_signs_one_browser_in(ada: Browser) -> None:
    link = ada.invitation("lena", "viewer").partition("#")[2]
    ready = []
    for _ in range(5):
        one = Browser(ada.served)
        options = one.post("/api/v1/setup/options", {"token": link}).body
        made = one.passkeys.create(options["public_key"])
        ready.append((one, {"challenge_id": options["challenge_id"], "credential": made}))
    told = together(*(functools.partial(one.post, "/api/v1/setup/passkey", given) for one, given in ready))
    assert told == {(200, ""): 1, (404, "LINK_REFUSED"): 4}
    inside = [one for one, _ in ready if one.cookies]
    assert len(inside) == 1
    assert len(inside[0].get("/api/v1/me/passkeys")["items"]) == 1


def test_a_recovery_code_a_code_of_the_app_and_a_question_count_once(ada: Browser) -> None:
    def by_password(code: str) -> Callable[[], Answer]:
        one = Browser(ada.served)
        return lambda: one.post("/api/v1/sign-in/password", {"name": "ada", "password": PASSWORD, "code": code})

    for code in (ada.recovery_codes[0], ada.code(1)):
        told = together(*(by_password(code) for _ in range(4)))
        assert told == {(200, ""): 1, (401, "SIGN_IN_REFUSED"): 3}
    answer = ada.assertion("/api/v1/sign-in")
    told = together(*(functools.partial(Browser(ada.served).post, "/api/v1/sign-in/passkey", answer) for _ in range(6)))
    assert told == {(200, ""): 1, (404, "LINK_REFUSED"): 5}


def test_a_confirmed_code_of_a_command_line_is_one_token(ada: Browser) -> None:
    begun = ada.served.post("/api/v1/device-codes", {"label": "race", "scopes": ["read"]}).body
    assert ada.post(f"/api/v1/device-codes/{begun['user_code']}/approval", {"approve": True}).status == 200
    told = together(*(lambda: ada.served.post("/api/v1/device-tokens", {"device_code": begun["device_code"]}) for _ in range(5)))
    assert told == {(200, ""): 1, (404, "LINK_REFUSED"): 4}
    assert sum(row["label"] == "race" for row in ada.get("/api/v1/me/tokens")["items"]) == 1


def test_a_ticket_or_a_step_up_is_not_doubled(ada: Browser) -> None:
    one = ada.elsewhere()
    answers = [one.assertion("/api/v1/step-up") for _ in range(3)]
    copies = [(one.copy(), answer) for answer in answers]
    told = together(*(functools.partial(who.post, "/api/v1/step-up/passkey", given) for who, given in copies))
    assert told[200, ""] == 1
    alive = [who for who, _ in copies if who.get("/api/v1/session")["signed_in"]]
    assert len(alive) == 1


def test_of_edits_of_one_version_one_happens(ada: Browser) -> None:
    otto = ada.invite("otto", "viewer")
    path, version = f"/api/v1/people/{otto.person_id}", ada.ask("GET", f"/api/v1/people/{otto.person_id}").headers["etag"]
    wanted = [{"roles": ["trader"]}, {"roles": ["researcher"]}, {"disabled": True}, {"display_name": "Otto the Second"}]
    told = together(*(functools.partial(ada.ask, "PATCH", path, one, **{"If-Match": version}) for one in wanted))
    assert told == {(200, ""): 1, (412, "CHANGED"): 3}


def test_two_admins_who_remove_each_other_at_once_leave_one(ada: Browser, rita: Browser) -> None:
    anna = ada.invite("anna", "viewer")
    ada.grant(anna, "admin", "viewer", approver=rita)
    anna.sign_in()

    def removing(who: Browser, whom: Browser) -> Callable[[], Answer]:
        version = who.ask("GET", f"/api/v1/people/{whom.person_id}").headers["etag"]
        return lambda: who.ask("PATCH", f"/api/v1/people/{whom.person_id}", {"disabled": True}, **{"If-Match": version})

    told = together(removing(ada, anna), removing(anna, ada))
    assert told[200, ""] == 1
    assert sum(told.values()) == 2
    left = ada if ada.get("/api/v1/session")["signed_in"] else anna
    assert [row["name"] for row in left.get("/api/v1/people")["items"] if "admin" in row["roles"] and row["state"] == "active"] == [
        left.name
    ]
    version = left.ask("GET", f"/api/v1/people/{left.person_id}").headers["etag"]
    for change in ({"disabled": True}, {"roles": ["viewer"]}):
        refused = left.ask("PATCH", f"/api/v1/people/{left.person_id}", change, **{"If-Match": version})
        assert (refused.status, refused.code) == (409, "CONFLICT")
