"""Passkeys over HTTP, with a software authenticator at the other side: set-up, sign-in, step-up, another key, and away with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.services.people.authenticator import Authenticator

from .people_world import Browser, World, in_world


async def made(browser: Browser, key: Authenticator, begin: str, end: str, given: Any = None, **more: Any) -> Any:
    options = await browser.post(begin, given)
    assert options.status == 200, options.text
    body = {"challenge_id": options.body["challenge_id"], "credential": key.create(options.body["public_key"]), **more}
    return await browser.post(end, body)


async def proved(browser: Browser, key: Authenticator, what: str, given: Any = None, **lies: Any) -> Any:
    options = await browser.post(f"/api/v1/{what}/options", given)
    assert options.status == 200, options.text
    credential = key.get(options.body["public_key"], **lies)
    return await browser.post(f"/api/v1/{what}/passkey", {"challenge_id": options.body["challenge_id"], "credential": credential})


def test_a_person_lives_by_passkeys_alone(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        link = await world.server.setup_url()
        assert link is not None
        ada, laptop, phone = Browser(world), Authenticator(), Authenticator()
        laptop.origin = phone.origin = ada.origin
        token = {"token": link.partition("#")[2], "name": "ada", "display_name": "Ada"}
        done = await made(ada, laptop, "/api/v1/setup/options", "/api/v1/setup/passkey", token, label="laptop")
        assert (done.status, done.body["signed_in"]) == (200, True), done.text
        ada.believe(done.body)

        world.clock.wait_s(400)
        assert (await ada.post("/api/v1/me/passkeys/options")).body["code"] == "STEP_UP_REQUIRED"
        before = ada.session_cookie
        again = await proved(ada, laptop, "step-up", {})
        assert (again.status, again.body["step_up_age_s"]) == (200, 0), again.text
        assert ada.session_cookie != before
        ada.believe(again.body)

        added = await made(ada, phone, "/api/v1/me/passkeys/options", "/api/v1/me/passkeys", label="phone")
        assert (added.status, added.body["label"]) == (201, "phone"), added.text
        rows = (await ada.get("/api/v1/me/passkeys"))["items"]
        assert {row["label"] for row in rows} == {"laptop", "phone"}
        assert "public_key" not in rows[0]

        await ada.ask("DELETE", "/api/v1/session")
        ada.csrf = ""
        inside = await proved(ada, phone, "sign-in", {})
        assert (inside.status, inside.body["person"]["name"]) == (200, "ada"), inside.text
        ada.believe(inside.body)
        lost = next(row["credential_id"] for row in rows if row["label"] == "laptop")
        left = await ada.ask("DELETE", f"/api/v1/me/passkeys/{lost}")
        assert [row["label"] for row in left.body["items"]] == ["phone"]
        last = await ada.ask("DELETE", f"/api/v1/me/passkeys/{left.body['items'][0]['credential_id']}")
        assert last.status == 409
        stranger = Browser(world)
        assert (await proved(stranger, laptop, "sign-in", {})).status == 401

    in_world(tmp_path, then)


def test_an_answer_for_another_page_or_used_before_signs_nobody_in(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        link = await world.server.setup_url()
        assert link is not None
        ada, key = Browser(world), Authenticator()
        key.origin = ada.origin
        token = {"token": link.partition("#")[2], "name": "ada", "display_name": "Ada"}
        assert (await made(ada, key, "/api/v1/setup/options", "/api/v1/setup/passkey", token)).status == 200
        stranger = Browser(world)
        options = (await stranger.post("/api/v1/sign-in/options", {})).body
        answer = {"challenge_id": options["challenge_id"], "credential": key.get(options["public_key"])}
        assert (await stranger.post("/api/v1/sign-in/passkey", answer)).status == 200
        replayed = await Browser(world).post("/api/v1/sign-in/passkey", answer)
        assert (replayed.status, "Set-Cookie" in replayed.headers) == (404, False)
        key.origin = "http://evil.example"
        phished = await proved(Browser(world), key, "sign-in", {})
        assert (phished.status, phished.body["code"], "Set-Cookie" in phished.headers) == (401, "SIGN_IN_REFUSED", False)

    in_world(tmp_path, then)
