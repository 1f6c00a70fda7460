"""Every route that changes something, for every role, for nobody and for tokens of every scope: the server does what the matrix says."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.integration.people_session import Answer, Browser, Served, bearer, first_person, serving

from kedge.domain.errors import Forbidden, KedgeError, NotSignedIn, StepUpRequired
from kedge.domain.people import Actor, Role, Scope, Source
from kedge.governance.actions import RULES, Action
from kedge.governance.roles import require

FIRST_REFUSALS = {NotSignedIn: (401, "NOT_SIGNED_IN"), Forbidden: (403, "FORBIDDEN"), StepUpRequired: (403, "STEP_UP_REQUIRED")}
CREDENTIAL = {"id": "aa", "rawId": "aa", "type": "public-key", "response": {}}


class Route(NamedTuple):
    """One route with the act that it takes, and a body that does nothing where it is let in."""

    method: str
    path: str
    action: Action
    body: Any = None


ROUTES = [
    Route("DELETE", "session", Action.SIGN_OUT),
    Route("POST", "step-up/options", Action.STEP_UP, {"binds": "x"}),
    Route("POST", "step-up/passkey", Action.STEP_UP, {"challenge_id": "x", "credential": CREDENTIAL}),
    Route("POST", "step-up/password", Action.STEP_UP, {}),
    Route("GET", "me", Action.ACCOUNT_READ),
    Route("PATCH", "me", Action.ACCOUNT_EDIT, {"display_name": "X"}),
    Route("POST", "me/passkeys", Action.FACTORS_EDIT, {}),
    Route("POST", "me/passkeys/options", Action.FACTORS_EDIT),
    Route("DELETE", "me/passkeys/none", Action.FACTORS_EDIT),
    Route("POST", "me/password", Action.FACTORS_EDIT, {"password": "short"}),
    Route("POST", "me/totp", Action.FACTORS_EDIT),
    Route("POST", "me/totp/confirmation", Action.FACTORS_EDIT, {"ticket": "x", "code": "1"}),
    Route("POST", "me/recovery-codes", Action.FACTORS_EDIT),
    Route("DELETE", "me/sessions/none", Action.SESSION_REVOKE),
    Route("POST", "me/tokens", Action.TOKEN_MANAGE, {"label": "x", "scopes": []}),
    Route("DELETE", "me/tokens/none", Action.TOKEN_REVOKE),
    Route("GET", "people", Action.PEOPLE_READ),
    Route("POST", "people", Action.PEOPLE_MANAGE, {"name": "x", "display_name": "X", "roles": []}),
    Route("PATCH", "people/none", Action.PEOPLE_MANAGE, {"disabled": True}),
    Route("PATCH", "people/none", Action.ROLES_GRANT, {"roles": ["viewer"]}),
    Route("POST", "people/none/setup-links", Action.SETUP_LINK, {}),
    Route("GET", "roles", Action.READ),
    Route("GET", "acts?limit=1", Action.READ_ACTS),
    Route("GET", "approvals", Action.APPROVAL_READ),
    Route("POST", "approvals", Action.APPROVAL_REQUEST, {}),
    Route("POST", "approvals/none/withdrawal", Action.APPROVAL_WITHDRAW, {}),
    Route("POST", "approvals/none/use", Action.APPROVAL_USE, {}),
    Route("POST", "commands", Action.HALT, {"command": "halt", "reason": "drill"}),
    Route("POST", "commands", Action.FLATTEN, {"command": "flatten", "reason": "drill"}),
    Route("POST", "commands", Action.RESUME, {"command": "resume", "reason": "drill"}),
    Route("GET", "commands?limit=1", Action.READ),
    Route("POST", "brake", Action.BRAKE_ENGAGE, {}),
    Route("POST", "risk/limits", Action.LIMITS_TIGHTEN, {}),
    Route("POST", "device-codes/none/approval", Action.DEVICE_APPROVE, {"approve": False}),
    Route("POST", "stream-tickets", Action.READ),
]


class World(NamedTuple):
    """A server with one person for each role, and a session of each that proved itself long ago."""

    served: Served
    people: dict[Role, Browser]
    stale: dict[Role, Browser]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("roles") / "state") as served:
        ada = first_person(served)
        people = {role: ada.invite(f"the-{role}", role if role in ("trader", "researcher") else "viewer") for role in Role}
        ada.grant(people[Role.RISK], "risk", "viewer")
        people[Role.RISK].sign_in()
        for role in (Role.AUDITOR, Role.ADMIN):
            ada.grant(people[role], role, "viewer", approver=people[Role.RISK])
            people[role].sign_in()
        stale = {role: person.elsewhere() for role, person in people.items()}
        for one in stale.values():
            served.age_proof(one.session_id)
        yield World(served, people, stale)


def actor(role: Role, source: Source = Source.BROWSER, scopes: tuple[Scope, ...] | None = None, *, fresh: bool = True) -> Actor:
    proved = time.time_ns() if fresh and source is Source.BROWSER else None
    roles = tuple(sorted({role, Role.VIEWER}))
    return Actor(person_id="p", name="x", roles=roles, source=source, ref="s", scopes=scopes, step_up_wall_ns=proved)


def expected(who: Actor | None, action: Action) -> tuple[int, str] | None:
    """What the matrix says: a refusal, or None where the act is let in."""
    try:
        require(who, action, now_wall_ns=time.time_ns(), accounts_exist=True)
    except KedgeError as error:
        return FIRST_REFUSALS[type(error)]
    return None


def agrees(answer: Answer, wanted: tuple[int, str] | None) -> bool:
    """Whether the server did what the matrix says; what is let in may fail for what it asks for, and for nothing else."""
    told = (answer.status, answer.code)
    return told == wanted if wanted else told not in FIRST_REFUSALS.values() and answer.status < 500


def more() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4()), "If-Match": '"1"'}


def test_the_table_names_every_act_that_has_a_route_of_its_own() -> None:
    elsewhere = {Action.SETUP, Action.SIGN_IN, Action.DEVICE_START, Action.APPROVAL_DECIDE, Action.APPROVAL_EXPIRE}
    elsewhere |= {Action.DRILL_HELD, Action.DRILL_MISSED}
    assert {route.action for route in ROUTES} | elsewhere == set(Action)
    assert all(RULES[action].open or RULES[action].system for action in elsewhere - {Action.APPROVAL_DECIDE})


def test_the_table_names_every_route_that_changes_something(world: World) -> None:
    described = world.served.ask("GET", "/api/v1/openapi.json").body["paths"]
    changing = {
        (method.upper(), re.sub(r"\{[^}]*\}", "none", path.removeprefix("/api/v1/")))
        for path, methods in described.items()
        for method in methods
        if method not in ("get", "head", "parameters")
    }
    listed = {(route.method, route.path) for route in ROUTES}
    proofs = {path for method, path in changing - listed}
    assert proofs == {
        *("setup/options", "setup/passkey", "setup/password", "setup/totp", "sign-in/options", "sign-in/passkey", "sign-in/password"),
        *("device-codes", "device-tokens", "approvals/none/decisions"),
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "stale"])
def test_a_session_of_each_role_does_what_the_matrix_says(world: World, role: Role, fresh: bool) -> None:
    wrong = []
    for route in ROUTES:
        who = (world.people if fresh else world.stale)[role]
        asking = who if route.action is not Action.SIGN_OUT else who.elsewhere()
        answer = asking.ask(route.method, f"/api/v1/{route.path}", route.body, **more())
        wanted = expected(actor(role, fresh=fresh), route.action)
        if route.action is Action.ROLES_GRANT and wanted is None:
            wanted = expected(actor(role, fresh=fresh), Action.PEOPLE_MANAGE)
        if not agrees(answer, wanted):
            wrong.append((route.method, route.path, route.action, answer.status, answer.code, wanted))
    assert not wrong


def test_nobody_does_nothing(world: World) -> None:
    for route in ROUTES:
        answer = world.served.ask(route.method, f"/api/v1/{route.path}", route.body, **more())
        assert agrees(answer, expected(None, route.action)), (route, answer.text)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.TRADER, Role.RISK, Role.VIEWER])
def test_a_token_of_each_scope_does_what_the_matrix_says_and_no_more(world: World, role: Role) -> None:
    wrong = []
    owner = world.people[role]
    for scope in Scope:
        token = owner.token(scope)
        for route in ROUTES:
            answer = world.served.ask(route.method, f"/api/v1/{route.path}", route.body, address=owner.address, **bearer(token, **more()))
            if not agrees(answer, expected(actor(role, Source.TOKEN, (scope,)), route.action)):
                wrong.append((scope, route.method, route.path, route.action, answer.status, answer.code))
    assert not wrong


def test_no_token_decides_an_approval_however_many_scopes_it_has(world: World) -> None:
    target = world.people[Role.VIEWER]
    approval = world.people[Role.ADMIN].request_grant(target, "auditor", "viewer")
    body = {"decision": "approve", "payload_sha256": approval["payload_sha256"]}
    token = world.people[Role.RISK].token(*Scope)
    answer = world.served.post(f"/api/v1/approvals/{approval['id']}/decisions", body, **bearer(token))
    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    for role in (Role.VIEWER, Role.TRADER, Role.RESEARCHER, Role.AUDITOR, Role.ADMIN):
        refused = world.people[role].decide(approval)
        assert refused.status in (403, 409), role
    assert world.people[Role.RISK].get(f"/api/v1/approvals/{approval['id']}")["state"] == "requested"


def test_nobody_gives_guarded_or_excluding_roles_by_themselves(world: World) -> None:
    admin, viewer = world.people[Role.ADMIN], world.people[Role.VIEWER]
    path = f"/api/v1/people/{viewer.person_id}"
    for roles, codes in (
        (["risk"], {"APPROVAL_REQUIRED"}),
        (["admin"], {"APPROVAL_REQUIRED"}),
        (["auditor"], {"APPROVAL_REQUIRED"}),
        (["trader", "risk"], {"ROLES_EXCLUDE"}),
        (["risk", "researcher"], {"ROLES_EXCLUDE"}),
        (["auditor", "trader"], {"ROLES_EXCLUDE"}),
        ([], {"INVALID_INPUT"}),
    ):
        version = admin.ask("GET", path).headers["etag"]
        answer = admin.ask("PATCH", path, {"roles": roles}, **{"If-Match": version})
        assert answer.code in codes, answer.text
        invited = admin.make("/api/v1/people", {"name": "sock", "display_name": "Sock", "roles": roles})
        assert invited.code in codes, invited.text
    assert viewer.get("/api/v1/me")["roles"] == ["viewer"]
