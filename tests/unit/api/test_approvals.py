"""Approvals over HTTP: asked once however often, decided by another person, carried out once, and shown with what proves them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.unit.api.people_world import Answer, Browser, World, in_world
from tests.unit.services.people.authenticator import Authenticator

from kedge.domain.people import Role
from kedge.services.people.approval_record import findings, read_record
from kedge.storage.keys import PublicKey

APPROVALS = "/api/v1/approvals"


class Scene:
    """Ada (admin, trader), Rita (risk) and Carl, who is to get a role."""

    def __init__(self, world: World, ada: Browser, rita: Browser, carl: str) -> None:
        self.world, self.ada, self.rita, self.carl = world, ada, rita, carl

    @classmethod
    async def of(cls, world: World) -> Scene:
        ada = await world.first()
        rita = await world.invited(ada, "rita", "viewer")
        person = next(one for one in world.desk.accounts.people() if one.name == "rita")
        with world.desk.store.writing() as tx:
            world.desk.accounts.grant(tx, person, [Role.RISK])
        assert (await rita.sign_in("rita")).status == 200
        await world.invited(ada, "carl", "viewer")
        return cls(world, ada, rita, next(one.person_id for one in world.desk.accounts.people() if one.name == "carl"))

    def body(self, *roles: str, **more: Any) -> dict[str, Any]:
        return {"kind": "role-grant", "payload": {"person_id": self.carl, "roles": list(roles or ["auditor"])}, "reason": "audit", **more}

    async def asked(self) -> Any:
        answer = await self.ada.make(APPROVALS, self.body())
        assert answer.status == 201, answer.text
        return answer.body

    async def decide(self, by: Browser, approval: Any, decision: str = "approve", **more: Any) -> Answer:
        said = {"decision": decision, "reason": "seen", "payload_sha256": approval["payload_sha256"], **more}
        return await by.post(f"{APPROVALS}/{approval['id']}/decisions", said)


def in_scene(state: Path, then: Any) -> None:
    async def whole(world: World) -> None:
        await then(await Scene.of(world))

    in_world(state, whole)


def test_asked_decided_by_another_person_and_carried_out_once(tmp_path: Path):
    async def then(scene: Scene) -> None:
        asked = await scene.asked()
        assert (asked["state"], asked["own"], asked["obstacle_code"]) == ("requested", True, "OWN_REQUEST")
        assert asked["payload"] == {"person_id": scene.carl, "roles": ["auditor"]}
        seen = await scene.rita.get(f"{APPROVALS}/{asked['id']}")
        assert (seen["own"], seen["obstacle"]) == (False, None)
        own = await scene.decide(scene.ada, asked)
        assert (own.status, own.body["code"]) == (409, "OWN_REQUEST")
        changed = await scene.decide(scene.rita, {**asked, "payload_sha256": "0" * 64})
        assert (changed.status, changed.body["code"]) == (409, "PAYLOAD_CHANGED")
        approved = await scene.decide(scene.rita, asked)
        assert (approved.status, approved.body["state"], approved.body["four_eyes"]) == (200, "approved", True)
        used = await scene.ada.post(f"{APPROVALS}/{asked['id']}/use")
        assert used.body["state"] == "used"
        assert (await scene.ada.get(f"/api/v1/people/{scene.carl}"))["roles"] == ["auditor", "viewer"]
        again = await scene.ada.post(f"{APPROVALS}/{asked['id']}/use")
        assert (again.status, again.body["code"]) == (409, "ALREADY_USED")
        record, key = used.body["record"], PublicKey.from_text(used.body["key"])
        assert findings(read_record(record), key) == []
        assert [step["method"] for step in used.body["steps"]] == [None, "password+totp", None]

    in_scene(tmp_path, then)


def test_one_tap_over_the_approval_itself_is_proof_enough(tmp_path: Path):
    """The session's last proof is old; the passkey signs the hash of the request, and that is both."""

    async def then(scene: Scene) -> None:
        rita, keys = scene.rita, Authenticator(origin=scene.rita.origin)
        options = (await rita.post("/api/v1/me/passkeys/options")).body
        made = {"challenge_id": options["challenge_id"], "credential": keys.create(options["public_key"]), "label": "key"}
        assert (await rita.make("/api/v1/me/passkeys", made)).status == 201
        asked = await scene.asked()
        scene.world.clock.wait_s(301)
        assert (await scene.decide(rita, asked)).body["code"] == "STEP_UP_REQUIRED"
        options = (await rita.post("/api/v1/step-up/options", {"binds": asked["binds"]})).body
        proof = {"challenge_id": options["challenge_id"], "credential": keys.get(options["public_key"])}
        half = await scene.decide(rita, asked, challenge_id=options["challenge_id"])
        assert half.status == 422
        approved = await scene.decide(rita, asked, **proof)
        assert (approved.status, approved.body["steps"][1]["method"]) == (200, "passkey")
        assert findings(read_record(approved.body["record"]), PublicKey.from_text(approved.body["key"])) == []
        again = await scene.decide(rita, asked, **proof)
        assert (again.status, again.body["code"]) == (404, "LINK_REFUSED")

    in_scene(tmp_path, then)


def test_twenty_repeats_of_a_request_at_once_are_one_approval(tmp_path: Path):
    async def then(scene: Scene) -> None:
        key = {"Idempotency-Key": "k-1"}
        answers = await asyncio.gather(*(scene.ada.post(APPROVALS, scene.body(), **key) for _ in range(20)))
        assert {answer.status for answer in answers} <= {201, 409}
        assert all(answer.body["code"] == "STILL_RUNNING" for answer in answers if answer.status == 409)
        made = {answer.body["id"] for answer in answers if answer.status == 201}
        assert len(made) == 1
        again = await scene.ada.post(APPROVALS, scene.body(), **key)
        assert (again.status, {again.body["id"]}, again.headers["Idempotent-Replayed"]) == (201, made, "true")
        other = await scene.ada.post(APPROVALS, scene.body("admin"), **key)
        assert (other.status, other.body["code"]) == (422, "KEY_REUSED")
        assert len((await scene.ada.get(APPROVALS))["items"]) == 1

    in_scene(tmp_path, then)


def test_refused_withdrawn_and_listed_by_state(tmp_path: Path):
    async def then(scene: Scene) -> None:
        first, second = await scene.asked(), await scene.asked()
        mute = await scene.decide(scene.rita, first, "refuse", reason="")
        assert mute.status == 422
        assert (await scene.decide(scene.rita, first, "refuse")).body["state"] == "refused"
        foreign = await scene.rita.post(f"{APPROVALS}/{second['id']}/withdrawal")
        assert (foreign.status, foreign.body["code"]) == (409, "NOT_OWN_REQUEST")
        assert (await scene.ada.post(f"{APPROVALS}/{second['id']}/withdrawal", {"reason": "a slip"})).body["state"] == "withdrawn"
        page = await scene.rita.get(f"{APPROVALS}?limit=1")
        rest = await scene.rita.get(f"{APPROVALS}?limit=1&cursor={page['next_cursor']}")
        assert [page["items"][0]["id"], rest["items"][0]["id"]] == [second["id"], first["id"]]
        assert rest["next_cursor"] is None
        refused = await scene.rita.get(f"{APPROVALS}?state=refused&kind=role-grant")
        assert [row["id"] for row in refused["items"]] == [first["id"]]
        assert (await scene.rita.ask("GET", f"{APPROVALS}?state=lost")).status == 422
        assert (await scene.rita.ask("GET", f"{APPROVALS}/none")).status == 404

    in_scene(tmp_path, then)


def test_who_may_not_look_is_told_nothing_of_what_is_there(tmp_path: Path):
    async def then(scene: Scene) -> None:
        asked = await scene.asked()
        bob = await scene.world.invited(scene.ada, "bob", "viewer")
        for path in (APPROVALS, f"{APPROVALS}/{asked['id']}", f"{APPROVALS}/none"):
            assert (await bob.ask("GET", path)).status == 403
        assert (await bob.make(APPROVALS, scene.body())).status == 403
        assert (await scene.decide(bob, asked)).status == 403
        assert (await Browser(scene.world).ask("GET", APPROVALS)).status == 401

    in_scene(tmp_path, then)


def test_a_payload_that_could_be_read_two_ways_is_refused(tmp_path: Path):
    async def then(scene: Scene) -> None:
        for payload in ({"person_id": scene.carl, "roles": ["auditor"], "share": 0.5}, {"roles": ["auditor"]}, {"person_id": "a\u202eb"}):
            refused = await scene.ada.make(APPROVALS, scene.body(payload=payload))
            assert refused.status == 422, refused.text

    in_scene(tmp_path, then)
