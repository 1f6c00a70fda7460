"""Who may do what: the whole product of role, act and standing, against a table that was written by hand."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from kedge.domain.errors import Forbidden, KedgeError, NotSignedIn, StepUpRequired
from kedge.domain.people import Actor, Role, Scope, Source
from kedge.governance import roles
from kedge.governance.roles import RULES, Action, RolesExclude, conflicts, matrix, may, require

from .people import LOCAL, MINUTE, NOW, SYSTEM, person

COLUMNS = (Role.VIEWER, Role.TRADER, Role.RESEARCHER, Role.RISK, Role.AUDITOR, Role.ADMIN)

# y: may; s: may with a fresh proof of identity; -: may not. Then no role at all, nobody before and after the first account,
# the machine's terminal before and after it, and the scopes that let a token.
TABLE = """
act               V T R K A D none | nobody | local | token
read              y y y y y y -    | y -    | y -   | read
read-acts         - - - y y y -    | - -    | - -   | audit:read
halt              - y y y - y -    | - -    | y y   | brake:engage
resume            - s - s - s -    | - -    | y -   | brake:release
flatten           - y - y - - -    | - -    | y y   | brake:engage
brake-engage      - y - y - y -    | - -    | y y   | brake:engage
limits-tighten    - y - y - - -    | - -    | - -   | risk:write
people-read       - - - y y y -    | - -    | - -   | admin audit:read
people-manage     - - - - - s -    | - -    | - -   | admin
roles-grant       - - - - - s -    | - -    | - -   | admin
setup-link        - - - - - s -    | - -    | y y   |
setup             y y y y y y y    | y y    | y y   | any
sign-in           y y y y y y y    | y y    | y y   | any
sign-out          y y y y y y y    | - -    | - -   |
step-up           y y y y y y y    | - -    | - -   |
account-read      y y y y y y y    | - -    | - -   | all
account-edit      y y y y y y y    | - -    | - -   |
factors-edit      s s s s s s s    | - -    | - -   |
session-revoke    y y y y y y y    | - -    | - -   |
token-manage      s s s s s s -    | - -    | - -   |
token-revoke      y y y y y y y    | - -    | - -   | all
device-start      y y y y y y y    | y y    | y y   | any
device-approve    s s s s s s -    | - -    | - -   |
approval-read     - y y y y y -    | - -    | - -   | read audit:read
approval-request  - y y y - y -    | - -    | - -   | admin risk:write brake:release model:approve trade:live
approval-withdraw - y y y - y -    | - -    | - -   | admin risk:write brake:release model:approve trade:live
approval-decide   - s - s - s -    | - -    | - -   |
approval-use      - s s s - s -    | - -    | - -   | admin risk:write brake:release model:approve trade:live
approval-expire   - - - - - - -    | - -    | - -   |
drill-held        - - - - - - -    | - -    | - -   |
drill-missed      - - - - - - -    | - -    | - -   |
"""


class Row:
    """A line of the table."""

    def __init__(self, line: str) -> None:
        people, nobody, local, token = (part.split() for part in line.split("|"))
        self.action = Action(people[0])
        self.person = dict(zip((*COLUMNS, None), people[1:], strict=True))
        self.nobody = dict(zip((False, True), nobody, strict=True))
        self.local = dict(zip((False, True), local, strict=True))
        self.open = token == ["any"]
        self.scopes = {str(scope) for scope in Scope} if token in (["any"], ["all"]) else set(token)


ROWS = [Row(line) for line in TABLE.strip().splitlines()[1:]]
PROOFS = {
    "fresh": (NOW - 5 * MINUTE, True),
    "just now": (NOW, True),
    "a nanosecond too old": (NOW - 5 * MINUTE - 1, False),
    "never": (None, False),
    "from the future": (NOW + 1, False),
}
PEOPLE = (*COLUMNS, None)
OF_THE_SYSTEM = {Action.APPROVAL_EXPIRE, Action.DRILL_HELD, Action.DRILL_MISSED}


def outcome(actor: Actor | None, action: Action, accounts_exist: bool = True) -> str:
    """What the check says: 'may', or the name of the error."""
    try:
        require(actor, action, now_wall_ns=NOW, accounts_exist=accounts_exist)
    except KedgeError as error:
        code = error.code if all((error.what, error.why, error.fix)) else "a refusal without words"
    else:
        code = "may"
    assert may(actor, action, now_wall_ns=NOW, accounts_exist=accounts_exist) is (code == "may")
    return code


def of(role: Role | None) -> tuple[Role, ...]:
    return () if role is None else (role,)


def test_the_table_holds_every_act_once() -> None:
    assert [row.action for row in ROWS] == list(Action) == list(RULES)
    assert set(COLUMNS) == set(Role)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize("proof", PROOFS)
def test_a_session_may_what_the_table_says(row: Row, role: Role | None, proof: str) -> None:
    proved, fresh = PROOFS[proof]
    cell = row.person[role]
    wanted = {"y": "may", "s": "may" if fresh else "STEP_UP_REQUIRED", "-": "FORBIDDEN"}[cell]
    assert outcome(person("ann", *of(role), proved=proved), row.action) == wanted


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
@pytest.mark.parametrize("role", PEOPLE)
def test_a_token_may_what_its_owner_may_and_its_scope_says(row: Row, role: Role | None) -> None:
    for scope, proved in product(Scope, (None, NOW)):
        allowed = row.open or (row.person[role] != "-" and scope in row.scopes)
        token = person("ann", *of(role), scopes=[scope], proved=proved)
        assert outcome(token, row.action) == ("may" if allowed else "FORBIDDEN"), (scope, proved)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
@pytest.mark.parametrize("role", PEOPLE)
def test_a_token_without_scopes_and_a_session_that_was_narrowed_do_nothing_more(row: Row, role: Role | None) -> None:
    for scopes, source in ((None, Source.TOKEN), ((), Source.TOKEN), ((), Source.BROWSER)):
        token = person("ann", *of(role), scopes=scopes, source=source)
        assert outcome(token, row.action) == ("may" if row.open else "FORBIDDEN")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
@pytest.mark.parametrize("accounts_exist", [False, True])
def test_who_is_not_signed_in_may_what_the_table_says(row: Row, accounts_exist: bool) -> None:
    words = {"y": "may", "-": "NOT_SIGNED_IN"}
    assert outcome(None, row.action, accounts_exist) == words[row.nobody[accounts_exist]]
    assert outcome(LOCAL, row.action, accounts_exist) == words[row.local[accounts_exist]]


@pytest.mark.parametrize("action", Action)
def test_who_only_claims_to_sit_at_the_machine_is_nobody(action: Action) -> None:
    from_a_browser = Actor(person_id="local:ann", name="ann", roles=tuple(Role), source=Source.BROWSER, step_up_wall_ns=NOW)
    without_the_name = Actor(person_id="p-ann", name="ann", roles=tuple(Role), source=Source.LOCAL, step_up_wall_ns=NOW)
    for forged in (from_a_browser, without_the_name):
        assert outcome(forged, action) == outcome(None, action)


@pytest.mark.parametrize("action", Action)
def test_the_server_itself_does_what_is_its_own_and_no_more(action: Action) -> None:
    everything = Actor(person_id="system", name="kedge", roles=tuple(Role), source=Source.SYSTEM, step_up_wall_ns=NOW)
    is_open = next(row.open for row in ROWS if row.action is action)
    for system in (SYSTEM, everything):
        assert outcome(system, action) == ("may" if is_open or action in OF_THE_SYSTEM else "FORBIDDEN")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
def test_two_roles_may_what_either_may(row: Row) -> None:
    for one, other in combinations(COLUMNS, 2):
        either = row.person[one] != "-" or row.person[other] != "-"
        assert may(person("ann", one, other), row.action, now_wall_ns=NOW, accounts_exist=True) is either


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
def test_an_account_changes_nothing_for_who_is_signed_in(row: Row) -> None:
    signed_in = person("ann", Role.TRADER)
    if row.nobody[False] == "-":
        assert outcome(signed_in, row.action, False) == outcome(signed_in, row.action, True)


def test_refusals_name_the_person_the_role_and_the_remedy() -> None:
    with pytest.raises(
        Forbidden, match=r"kim may not close every position; why: it takes the role risk or trader, and kim holds viewer; fix: ask"
    ):
        require(person("kim", Role.VIEWER), Action.FLATTEN, now_wall_ns=NOW, accounts_exist=True)
    with pytest.raises(Forbidden, match=r"holds none"):
        require(person("kim"), Action.READ, now_wall_ns=NOW, accounts_exist=True)
    with pytest.raises(StepUpRequired, match=r"let trading go on .* that you are tom; why: .* older than 300 s; fix: prove"):
        require(person("tom", Role.TRADER, proved=None), Action.RESUME, now_wall_ns=NOW, accounts_exist=True)
    with pytest.raises(Forbidden, match=r"this token may not halt trading; why: it takes the scope brake:engage"):
        require(person("tom", Role.TRADER, scopes=[Scope.READ]), Action.HALT, now_wall_ns=NOW, accounts_exist=True)
    with pytest.raises(Forbidden, match=r"a token may not make a token; .* fix: sign in with a browser"):
        require(person("tom", Role.TRADER, scopes=[Scope.ADMIN]), Action.TOKEN_MANAGE, now_wall_ns=NOW, accounts_exist=True)


def test_who_is_not_signed_in_is_told_the_way_that_exists() -> None:
    with pytest.raises(NotSignedIn, match=r"fix: sign in, or `kedge login`"):
        require(None, Action.HALT, now_wall_ns=NOW, accounts_exist=True)
    with pytest.raises(NotSignedIn, match=r"fix: set up the first account"):
        require(None, Action.HALT, now_wall_ns=NOW, accounts_exist=False)


FORBIDDEN_PAIRS = {
    (Role.TRADER, Role.RISK),
    (Role.ADMIN, Role.RISK),
    (Role.RESEARCHER, Role.RISK),
    (Role.AUDITOR, Role.TRADER),
    (Role.AUDITOR, Role.RESEARCHER),
    (Role.AUDITOR, Role.RISK),
    (Role.AUDITOR, Role.ADMIN),
}


@pytest.mark.parametrize("pair", list(combinations(Role, 2)), ids=lambda pair: "+".join(pair))
def test_each_pair_is_refused_or_allowed_as_the_rules_say(pair: tuple[Role, Role]) -> None:
    forbidden = pair in FORBIDDEN_PAIRS or pair[::-1] in FORBIDDEN_PAIRS
    (found,) = conflicts(pair) or [""]
    assert bool(found) is forbidden
    assert all(role in found for role in pair) is forbidden
    if not forbidden:
        roles.require_compatible(pair)
        return
    with pytest.raises(RolesExclude, match=rf"Ann cannot hold the roles .*{pair[0]}.* exclude each other .* fix: give") as caught:
        roles.require_compatible(pair, "Ann")
    assert caught.value.code == "ROLES_EXCLUDE"


def test_every_forbidden_pair_among_many_roles_is_named() -> None:
    assert len(conflicts(list(Role))) == len(FORBIDDEN_PAIRS)
    assert len(conflicts([Role.TRADER, Role.RISK, Role.ADMIN])) == 2
    assert conflicts([]) == conflicts([Role.ADMIN, Role.TRADER, Role.RESEARCHER, Role.VIEWER]) == []


def test_the_first_person_holds_roles_that_go_together() -> None:
    assert roles.FIRST_ROLES == (Role.ADMIN, Role.TRADER)
    assert conflicts(roles.FIRST_ROLES) == []


def test_every_role_implies_viewer_and_no_role_implies_nothing() -> None:
    assert roles.with_implied([Role.RISK]) == (Role.RISK, Role.VIEWER)
    assert roles.with_implied([Role.VIEWER, Role.VIEWER]) == (Role.VIEWER,)
    assert roles.with_implied([]) == ()


def test_only_roles_that_are_gained_need_an_approval() -> None:
    gains = roles.gains_guarded
    assert gains([Role.TRADER], [Role.ADMIN, Role.TRADER]) == (Role.ADMIN,)
    assert gains([], [Role.AUDITOR]) == (Role.AUDITOR,)
    assert gains([], [Role.RISK]) == (Role.RISK,)
    assert gains([], [Role.TRADER, Role.RESEARCHER, Role.VIEWER]) == ()
    assert gains([Role.RISK], []) == gains([Role.RISK], [Role.RISK, Role.VIEWER]) == ()


def test_the_matrix_shown_to_people_is_the_one_that_decides() -> None:
    shown = matrix()
    assert shown.roles == tuple(Role)
    assert {row.action for row in shown.rows} == set(Action) - OF_THE_SYSTEM
    for row in shown.rows:
        written = next(one for one in ROWS if one.action is row.action)
        assert set(row.roles) == {role for role in COLUMNS if written.person[role] != "-"}
        assert row.step_up is ("s" in written.person.values()) is roles.needs_step_up(row.action)
        assert set(row.scopes) == (set() if written.open else written.scopes)
        assert row.signed_in is not written.open
        assert row.what
    assert {frozenset(pair.roles) for pair in shown.exclusive} == {frozenset(pair) for pair in FORBIDDEN_PAIRS}
    assert shown.guarded == (Role.ADMIN, Role.AUDITOR, Role.RISK)
