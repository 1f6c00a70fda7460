"""Setting up, signing in, stepping up and signing out, as a browser does it; and what each cookie is worth before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from .people_world import PASSWORD, Browser, World, in_world


def test_the_first_account_is_set_up_by_the_printed_link_and_signs_in(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        nobody = await Browser(world).get("/api/v1/session")
        assert (nobody["signed_in"], nobody["accounts_exist"], nobody["csrf"], nobody["person"]) == (False, False, None, None)
        ada = await world.first()
        session = await ada.get("/api/v1/session")
        assert (session["signed_in"], session["accounts_exist"], session["source"]) == (True, True, "browser")
        assert session["person"]["name"] == "ada"
        assert session["roles"] == ["admin", "trader", "viewer"]
        assert session["csrf"] == ada.csrf
        assert session["passkeys_possible"] is True
        assert len(ada.recovery_codes) == 10
        assert await world.server.setup_url() is None
        out = await ada.ask("DELETE", "/api/v1/session")
        assert (out.status, out.body["signed_in"]) == (200, False)
        assert (await ada.ask("GET", "/api/v1/me")).status == 401
        assert (await ada.sign_in()).status == 200
        assert (await ada.get("/api/v1/me"))["factors"] == {
            "passkeys": 0, "has_password": True, "has_totp": True, "recovery_codes_left": 10
        }  # fmt: skip

    in_world(tmp_path, then)


def test_a_setup_link_works_once_and_a_new_one_replaces_it(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        old, new = await world.server.setup_url(), await world.server.setup_url()
        assert old is not None
        assert new is not None
        assert new.startswith(f"http://localhost:{world.port}/setup#")
        given = {"name": "ada", "display_name": "Ada", "password": PASSWORD}
        stale = await Browser(world).post("/api/v1/setup/password", {"token": old.partition("#")[2], **given})
        assert (stale.status, stale.body["code"]) == (404, "LINK_REFUSED")
        await Browser(world).set_up(new)
        used = await Browser(world).post("/api/v1/setup/password", {"token": new.partition("#")[2], **given, "name": "eve"})
        assert (used.status, used.body["code"]) == (404, "LINK_REFUSED")

    in_world(tmp_path, then)


def test_reading_is_open_until_the_first_account_and_closed_from_then_on(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        stranger = Browser(world)
        for path in ("/api/v1/overview", "/api/v1/runs", "/api/v1/roles"):
            assert (await stranger.ask("GET", path)).status == 200
        ada = await world.first()
        for path in ("/api/v1/overview", "/api/v1/runs", "/api/v1/roles", "/api/v1/people", "/api/v1/acts"):
            refused = await stranger.ask("GET", path)
            assert (refused.status, refused.body["code"], refused.headers["WWW-Authenticate"]) == (
                401, "NOT_SIGNED_IN", 'Bearer realm="kedge"'
            )  # fmt: skip
        assert (await ada.ask("GET", "/api/v1/overview")).status == 200
        for path in ("/health/live", "/metrics", "/", "/errors", "/sign-in"):
            assert (await stranger.ask("GET", path)).status == 200, path

    in_world(tmp_path, then)


def test_every_sign_in_and_step_up_gives_a_new_cookie_and_the_old_one_is_worth_nothing(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        seen = [ada.session_cookie]
        for renew in (ada.step_up, ada.sign_in):
            answer = await renew()
            assert answer.status == 200
            assert ada.session_cookie not in seen
            seen.append(ada.session_cookie)
        for old in seen[:-1]:
            thief = Browser(world)
            thief.cookies = {"__Host-kedge": old}
            assert (await thief.ask("GET", "/api/v1/me")).status == 401
        assert (await ada.ask("GET", "/api/v1/me")).status == 200

    in_world(tmp_path, then)


def test_a_cookie_that_somebody_planted_is_never_made_a_session(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        planted = "f" * 64
        ada.cookies = {"__Host-kedge": planted}
        ada.csrf = ""
        assert (await ada.sign_in()).status == 200
        assert ada.session_cookie != planted
        attacker = Browser(world)
        attacker.cookies = {"__Host-kedge": planted}
        assert (await attacker.get("/api/v1/session"))["signed_in"] is False

    in_world(tmp_path, then)


def test_a_dangerous_act_asks_for_a_fresh_proof_after_five_minutes(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        bob = {"name": "bob", "display_name": "Bob", "roles": ["viewer"]}
        world.clock.wait_s(301)
        refused = await ada.make("/api/v1/people", bob)
        assert (refused.status, refused.body["code"]) == (403, "STEP_UP_REQUIRED")
        assert (await ada.get("/api/v1/session"))["step_up_age_s"] == 301
        await ada.step_up()
        assert (await ada.make("/api/v1/people", bob)).status == 201

    in_world(tmp_path, then)


def test_an_idle_session_ends_and_an_absolute_end_comes_in_any_case(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        world.clock.wait_s(1801)
        assert (await ada.ask("GET", "/api/v1/me")).status == 401
        assert (await ada.sign_in()).status == 200
        for _ in range(12 * 3600 // 1500 + 1):
            assert (await ada.ask("GET", "/api/v1/me")).status == 200
            world.clock.wait_s(1500)
        assert (await ada.ask("GET", "/api/v1/me")).status == 401

    in_world(tmp_path, then)


def test_one_answer_covers_whatever_was_wrong_and_unknown_names_are_no_different(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        right = ada.code()
        tries = [("nobody", PASSWORD, right), ("ada", "another-long-password-1", right), ("ada", PASSWORD, "000000")]
        seen = []
        for name, password, code in tries:
            world.clock.wait_s(3600)
            answer = await Browser(world).post("/api/v1/sign-in/password", {"name": name, "password": password, "code": code})
            seen.append((answer.status, {**answer.body, "correlation_id": ""}, "Set-Cookie" in answer.headers))
        assert seen[0][0] == 401
        assert seen[0] == seen[1] == seen[2]
        options = [(await Browser(world).post("/api/v1/sign-in/options")).body["public_key"] for _ in range(2)]
        assert all("allowCredentials" not in one or one["allowCredentials"] == [] for one in options)

    in_world(tmp_path, then)


def test_guessing_is_slowed_down_and_does_not_lock_the_known_device_out(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        attacker, statuses = Browser(world), []
        for _ in range(12):
            answer = await attacker.post("/api/v1/sign-in/password", {"name": "ada", "password": "a-wrong-password-99", "code": "123456"})
            statuses.append(answer.status)
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.body["retryable"] is True
        ada.cookies.pop("__Host-kedge")
        ada.csrf = ""
        assert (await ada.sign_in()).status == 200

    in_world(tmp_path, then)


def test_a_recovery_code_stands_in_for_the_app_once(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        code = ada.recovery_codes[0]
        other = Browser(world)
        assert (await other.sign_in(code=code)).status == 200
        assert (await Browser(world).sign_in(code=code)).status == 401
        assert (await other.get("/api/v1/me"))["factors"]["recovery_codes_left"] == 9

    in_world(tmp_path, then)


def test_ones_own_account_is_edited_factor_by_factor(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        fresh = await ada.post("/api/v1/me/recovery-codes")
        assert (fresh.status, len(fresh.body["recovery_codes"])) == (200, 10)
        offer = await ada.post("/api/v1/me/totp")
        assert offer.body["qr_svg"].startswith("<svg")
        ada.totp_secret = offer.body["totp_secret"]
        done = await ada.post("/api/v1/me/totp/confirmation", {"ticket": offer.body["ticket"], "code": ada.code()})
        assert done.status == 200
        ada.believe(done.body["session"])
        other = Browser(world)
        assert (await other.sign_in(code=ada.code())).status == 200
        changed = await ada.post("/api/v1/me/password", {"password": "other-violet-anchor-tide-9"})
        assert changed.status == 200, changed.text
        ada.believe(changed.body)
        assert (await other.ask("GET", "/api/v1/me")).status == 401
        assert (await ada.ask("GET", "/api/v1/me")).status == 200
        assert (await ada.get("/api/v1/me/passkeys")) == {"items": []}
        options = await ada.post("/api/v1/me/passkeys/options")
        assert options.body["public_key"]["rp"]["id"] == "localhost"
        assert (await ada.ask("DELETE", "/api/v1/me/passkeys/abcd")).status == 404

    in_world(tmp_path, then)


def test_a_session_is_revoked_one_by_one_from_its_next_request_on(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada, other = await world.first(), Browser(world)
        await other.sign_in(code=ada.recovery_codes[0])
        rows = (await ada.get("/api/v1/me/sessions"))["items"]
        assert [row["current"] for row in rows].count(True) == 1
        theirs = next(row["session_id"] for row in rows if not row["current"])
        assert (await ada.ask("DELETE", f"/api/v1/me/sessions/{theirs}")).body["signed_in"] is True
        assert (await other.ask("GET", "/api/v1/me")).status == 401
        assert (await ada.ask("DELETE", f"/api/v1/me/sessions/{theirs}")).status == 404
        own = (await ada.get("/api/v1/me/sessions"))["items"][0]["session_id"]
        assert (await ada.ask("DELETE", f"/api/v1/me/sessions/{own}")).body["signed_in"] is False
        assert "__Host-kedge" not in ada.cookies

    in_world(tmp_path, then)


@pytest.mark.parametrize(("host", "possible"), [("localhost", True), ("127.0.0.1", False)])
def test_a_page_is_told_whether_its_address_may_use_passkeys(tmp_path: Path, host: str, possible: bool) -> None:
    async def then(world: World) -> None:
        assert (await Browser(world, host).get("/api/v1/session"))["passkeys_possible"] is possible

    in_world(tmp_path, then)
