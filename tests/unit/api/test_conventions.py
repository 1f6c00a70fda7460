"""Idempotency keys, versions, rates, correlation ids and the pages of errors: what every route does alike."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from kedge.api.rates import KEPT_MAX, Policy, Rates, refuse
from kedge.api.server import ApiServer
from kedge.domain.errors import TooMany
from kedge.domain.problems import KINDS

from .people_world import Browser, World, in_world

BOB = {"name": "bob", "display_name": "Bob", "roles": ["viewer"]}


async def ids(browser: Browser) -> list[str]:
    return [one["person_id"] for one in (await browser.get("/api/v1/people"))["items"]]


def test_what_makes_something_needs_a_key(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        for key in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": '"'}, {"Idempotency-Key": "a b"}, {"Idempotency-Key": "k" * 129}):
            refused = await ada.post("/api/v1/people", BOB, **key)
            assert (refused.status, refused.body["code"]) == (400, "KEY_MISSING"), key
        assert len(await ids(ada)) == 1

    in_world(tmp_path, then)


def test_a_secret_is_shown_once_and_a_repeat_is_told_so(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        first = await ada.make("/api/v1/people", BOB, **{"Idempotency-Key": "k"})
        assert first.status == 201
        assert first.headers["Location"] == f"/api/v1/people/{first.body['person']['person_id']}"
        again = await ada.make("/api/v1/people", BOB, **{"Idempotency-Key": '"k"'})
        assert (again.status, again.body["code"]) == (409, "ANSWER_NOT_KEPT")
        assert len(await ids(ada)) == 2
        kept = (tmp_path / "people" / "people.sqlite").read_bytes() + (tmp_path / "people" / "people.sqlite-wal").read_bytes()
        assert first.body["setup_link"].partition("#")[2].encode() not in kept

    in_world(tmp_path, then)


def test_a_repeat_gets_the_same_answer_and_makes_nothing_anew(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        await world.invited(ada, "bob", "trader")
        bob = next(one.person_id for one in world.desk.accounts.people() if one.name == "bob")
        asked = {"kind": "role-grant", "payload": {"person_id": bob, "roles": ["risk"]}, "reason": "a second pair of eyes"}
        first = await ada.make("/api/v1/approvals", asked, **{"Idempotency-Key": "k"})
        assert first.status == 201, first.text
        again = await ada.make("/api/v1/approvals", asked, **{"Idempotency-Key": "k"})
        assert (again.status, again.text, again.headers["Idempotent-Replayed"]) == (201, first.text, "true")
        assert again.headers["Location"] == first.headers["Location"]
        assert "Idempotent-Replayed" not in first.headers
        other = await ada.make("/api/v1/approvals", {**asked, "reason": "another"}, **{"Idempotency-Key": "k"})
        assert (other.status, other.body["code"]) == (422, "KEY_REUSED")
        elsewhere = await ada.make("/api/v1/people", {**BOB, "name": "eve"}, **{"Idempotency-Key": "k"})
        assert (elsewhere.status, elsewhere.body["code"]) == (422, "KEY_REUSED")
        world.clock.wait_s(24 * 3600 + 1)
        await ada.sign_in()
        renewed = await ada.make("/api/v1/approvals", asked, **{"Idempotency-Key": "k"})
        assert renewed.status != 422
        assert "Idempotent-Replayed" not in renewed.headers

    in_world(tmp_path, then)


def test_a_key_belongs_to_who_sends_it(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        bob = await world.invited(ada, "bob", "trader")
        key = {"Idempotency-Key": "the-same"}
        tokens = [await one.make("/api/v1/me/tokens", {"label": "x", "scopes": ["read"]}, **key) for one in (ada, bob)]
        assert [one.status for one in tokens] == [201, 201]

    in_world(tmp_path, then)


def test_many_repeats_at_once_have_one_effect(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        answers = await asyncio.gather(*(ada.make("/api/v1/people", BOB, **{"Idempotency-Key": "k"}) for _ in range(20)))
        told = sorted({(one.status, one.body.get("code", "")) for one in answers})
        assert [one.status for one in answers].count(201) == 1
        assert set(told) <= {(201, ""), (409, "STILL_RUNNING"), (409, "ANSWER_NOT_KEPT")}
        assert len(await ids(ada)) == 2

    in_world(tmp_path, then)


def test_what_failed_is_not_kept_and_its_refusal_stays_an_act(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        wrong = {**BOB, "roles": ["trader", "auditor"]}
        refused = await ada.make("/api/v1/people", wrong, **{"Idempotency-Key": "k"})
        assert (refused.status, refused.body["code"]) == (422, "ROLES_EXCLUDE")
        assert (await ada.make("/api/v1/people", wrong, **{"Idempotency-Key": "k"})).body["code"] == "ROLES_EXCLUDE"
        acts = (await ada.get("/api/v1/acts"))["items"]
        (act,) = [one for one in acts if one["code"] == "ROLES_EXCLUDE"]
        assert (act["name"], act["outcome"], act["correlation_id"]) == ("ada", "refused", refused.headers["X-Correlation-Id"])
        assert refused.body["correlation_id"] == refused.headers["X-Correlation-Id"]

    in_world(tmp_path, then)


def test_an_edit_names_the_version_it_changes(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        me = await ada.ask("GET", "/api/v1/me")
        new = {"display_name": "Countess"}
        assert (await ada.ask("PATCH", "/api/v1/me", new)).body["code"] == "VERSION_MISSING"
        for stale in ('"99"', "1", '"x"', '"-1"', "*", '"', f'"{"9" * 30}"', 'W/"1"'):
            refused = await ada.ask("PATCH", "/api/v1/me", new, **{"If-Match": stale})
            assert (refused.status, refused.body["code"]) == (412, "CHANGED"), stale
        done = await ada.ask("PATCH", "/api/v1/me", new, **{"If-Match": me.headers["ETag"]})
        assert (done.status, done.body["display_name"]) == (200, "Countess")
        assert done.headers["ETag"] != me.headers["ETag"]
        assert (await ada.ask("PATCH", "/api/v1/me", new, **{"If-Match": me.headers["ETag"]})).status == 412

    in_world(tmp_path, then)


def test_people_are_edited_and_what_they_hold_follows_at_once(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        bob = await world.invited(ada, "bob", "trader")
        token = {"Authorization": f"Bearer {await world.token(bob, 'read')}"}
        bob_id = (await bob.get("/api/v1/session"))["person"]["person_id"]
        read = await ada.ask("GET", f"/api/v1/people/{bob_id}")
        assert (read.body["state"], read.headers["ETag"]) == ("active", f'"{read.body["version"]}"')
        assert (await bob.ask("GET", f"/api/v1/people/{bob_id}")).status == 403
        done = await ada.ask("PATCH", f"/api/v1/people/{bob_id}", {"disabled": True}, **{"If-Match": read.headers["ETag"]})
        assert (done.status, done.body["state"]) == (200, "disabled")
        assert (await bob.ask("GET", "/api/v1/me")).status == 401
        assert (await world.ask("GET", "/api/v1/overview", **token)).status == 401
        link = await ada.make(f"/api/v1/people/{bob_id}/setup-links", {})
        assert link.status == 403
        back = await ada.ask("PATCH", f"/api/v1/people/{bob_id}", {"disabled": False}, **{"If-Match": done.headers["ETag"]})
        assert back.status == 200
        link = await ada.make(f"/api/v1/people/{bob_id}/setup-links", {})
        assert (link.status, "/setup#" in link.body["setup_link"]) == (201, True)

    in_world(tmp_path, then)


def test_what_is_left_is_told_and_one_too_many_is_refused(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        stranger = Browser(world)
        first = await stranger.post("/api/v1/sign-in/options")
        assert first.headers["RateLimit-Policy"] == '"proof";q=120;w=60'
        assert re.fullmatch(r'"proof";r=119;t=\d+', first.headers["RateLimit"])
        for _ in range(119):
            world.server.app.state.rates.take(Policy("proof", 120), "address:127.0.0.1")
        refused = await stranger.post("/api/v1/sign-in/options")
        assert (refused.status, refused.body["code"], refused.body["retryable"]) == (429, "TOO_MANY", True)
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await stranger.ask("GET", "/api/v1/session")).headers["RateLimit"].startswith('"read";r=')

    in_world(tmp_path, then)


def test_an_account_is_counted_besides_its_address(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        person = (await ada.get("/api/v1/session"))["person"]["person_id"]
        for _ in range(599):
            world.server.app.state.rates.take(Policy("write", 600), person)
        assert (await ada.post("/api/v1/stream-tickets")).headers["RateLimit"].startswith('"write";r=0')
        assert (await ada.post("/api/v1/stream-tickets")).status == 429

    in_world(tmp_path, then)


def test_a_window_ends_and_memory_is_bounded() -> None:
    now = [0.0]
    rates, policy = Rates(lambda: now[0]), Policy("few", 2, 10)
    assert [rates.take(policy, "a").remaining for _ in range(3)] == [1, 0, -1]
    with pytest.raises(TooMany) as refused:
        refuse(rates.take(policy, "a"))
    assert refused.value.retry_after_s == 10
    assert rates.take(policy, "b").remaining == 1
    now[0] = 10.0
    assert rates.take(policy, "a").remaining == 1
    for number in range(KEPT_MAX + 5):
        rates.take(policy, str(number))
    assert len(rates._windows) == KEPT_MAX
    assert rates.take(policy, "a").remaining == 1


def test_every_answer_has_a_correlation_id_of_its_own(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        seen = [
            (await world.ask("GET", path, **{"X-Correlation-Id": "mine"})).headers["X-Correlation-Id"]
            for path in ("/", "/x", "/health/live")
        ]
        assert len(set(seen)) == 3
        assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in seen)

    in_world(tmp_path, then)


def test_the_type_of_a_problem_leads_to_a_page_about_it(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        problem = (await world.ask("GET", "/api/v1/me")).body
        page = await world.ask("GET", problem["type"])
        assert (page.status, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
        assert problem["code"] in page.text
        every = (await world.ask("GET", "/errors")).text
        assert all(f'href="/errors/{kind.slug}"' in every for kind in KINDS)
        assert "<script" not in every
        assert (await world.ask("GET", "/errors/none")).status == 404

    in_world(tmp_path, then)


def test_a_command_line_signs_in_by_a_code_that_a_person_confirms(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        begun = await world.ask("POST", "/api/v1/device-codes", {"label": "laptop", "scopes": ["read"]})
        assert begun.status == 201
        code = begun.body["user_code"]
        assert begun.body["verification_url"] == f"http://localhost:{world.port}/device?code={code}"
        ask = {"device_code": begun.body["device_code"]}
        waiting = await world.ask("POST", "/api/v1/device-tokens", ask)
        assert (waiting.status, waiting.body["state"]) == (202, "pending")
        assert (await world.ask("GET", f"/api/v1/device-codes/{code}")).status == 401
        assert (await ada.get(f"/api/v1/device-codes/{code}"))["label"] == "laptop"
        assert (await ada.post(f"/api/v1/device-codes/{code}/approval", {"approve": True})).body["state"] == "approved"
        world.clock.wait_s(10)
        got = await world.ask("POST", "/api/v1/device-tokens", ask)
        assert got.status == 200, got.text
        me = await world.ask("GET", "/api/v1/me", Authorization=f"Bearer {got.body['token']}")
        assert (me.status, me.body["name"]) == (200, "ada")
        world.clock.wait_s(10)
        assert (await world.ask("POST", "/api/v1/device-tokens", ask)).status in (404, 409)

    in_world(tmp_path, then)


def test_no_secret_of_the_api_is_in_the_files_that_it_leaves(tmp_path: Path) -> None:
    secrets: list[str] = []

    async def then(world: World) -> None:
        link = await world.server.setup_url()
        assert link is not None
        ada = Browser(world)
        await ada.set_up(link)
        secrets.extend([link.partition("#")[2], ada.session_cookie, ada.totp_secret, *ada.recovery_codes])
        secrets.append(await world.token(ada, "read"))
        invited = await ada.make("/api/v1/people", BOB)
        secrets.append(invited.body["setup_link"].partition("#")[2])
        ticket = (await ada.post("/api/v1/stream-tickets")).body["ticket"]
        begun = await world.ask("POST", "/api/v1/device-codes", {"label": "laptop", "scopes": ["read"]})
        secrets.extend([ticket, begun.body["device_code"]])

    in_world(tmp_path, then)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"ada" in written
    assert [secret for secret in secrets if secret.encode() in written] == []


def test_a_server_without_accounts_shows_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> list[tuple[int, Any]]:
        import aiohttp

        server = ApiServer(tmp_path)
        port = await server.start("127.0.0.1", 0)
        found = []
        try:
            assert await server.setup_url() is None
            async with aiohttp.ClientSession() as http:
                for method, path in (("GET", "session"), ("GET", "roles"), ("GET", "people"), ("POST", "sign-in/options")):
                    async with http.request(method, f"http://127.0.0.1:{port}/api/v1/{path}") as answer:
                        found.append((answer.status, (await answer.json(content_type=None)).get("code")))
        finally:
            await server.close()
        return found

    assert asyncio.run(main()) == [(200, None), (200, None), (503, "NO_PEOPLE"), (503, "NO_PEOPLE")]


def test_a_secret_is_never_part_of_what_is_printed_about_a_request() -> None:
    from kedge.api.asked import Asked
    from kedge.api.cookies import Given
    from kedge.services.people.answers import Client

    asked = Asked("1", Client("127.0.0.1", cookie="canary"), Given("canary", "canary", "canary"))
    assert "canary" not in repr(asked) + repr(asked.given)
