"""docs/people.md: who may do what, drawn from the tables of `kedge.governance`, and how accounts and approvals work, in words."""

from __future__ import annotations

from kedge.domain.people import Role
from kedge.governance.approval_checks import SOLO_COOLING_NS
from kedge.governance.approval_kinds import KINDS, KindRule
from kedge.governance.approval_record import ILLEGAL, NEXT, Code, Move, State
from kedge.governance.roles import STEP_UP_MAX_NS, Local, MatrixRow, matrix

HEAD = """# People: who may do what

{made}

Stopping is always one step by one person. Everything that adds risk, changes who may do what, or reads figures takes a person with an
account, a role, and for what is dangerous a fresh proof of identity. Whatever takes two people is an approval.

## The first account

There is no default password. While nobody has an account, `kedge serve` and `kedge up` print a one-time link, good for 24 hours;
`kedge people setup-link` prints a new one and ends the older. Its secret stands behind the `#`, which no browser sends and no log keeps.
Whoever opens it first becomes {first_roles}.

Until then everything on this machine may be read without an account, and nothing may be done but to stop from the machine's terminal and
to let trading go on there. From the first account on, reading needs a person too.

An admin invites others with `kedge people invite` or on the page People, and gives each the link, out of sight of others. Nobody is ever
deleted, since records name them: people are disabled, which ends their sessions and tokens at once. Who lost every factor gets a new link;
it takes away the old factors, sessions and tokens, and the roles that need a second person's word as well, since whoever made the link
could be using it. One that is made at the machine (`kedge people setup-link NAME --local`) keeps the roles. When an admin is
disabled, loses
the role or begins anew, no link opens anything any more that an admin made; the others make new ones.

## Signing in

1. **A passkey** is the first choice: one touch, nothing to guess, nothing to give away. Passkeys belong to names, not to numbers: on this
   machine open the pages at `localhost`, not at `127.0.0.1`.
2. **A password and a code** of an authenticator app, asked for together. The password has at least 12 characters, is none of the common
   ones and not mainly the name; a code works once. Whatever was wrong, the answer is the same `SIGN_IN_REFUSED`.
3. **A recovery code** in place of the app's code: ten of them, each works once, shown once.

A session ends after 30 minutes without use and after 12 hours at the latest; every sign-in and every proof of identity gives it a new
secret. The page Account lists sessions, passkeys and tokens, and ends each of them. Changed roles or a changed password end what was
signed in before.

A failed attempt makes the next one from there wait, first 1 s and twice as long each time, up to 15 minutes. Counted is who tries from
where, so nobody is locked out by a stranger's attempts: a browser that signed in before has its own count, and passkeys have none.

**Dangerous acts** need a proof of identity that is at most {step_up} minutes old. The pages ask for it and go on with the act.

**Programs** use tokens (`kedge token create`, or the page Account). A token never does more than its scopes say and its owner may at that
moment; it expires, can be tied to addresses, and is shown once. `kedge login` signs a command line in: it shows a code, you confirm it in a
browser. What the matrix gives to no token needs a person in a session.

## Roles

{roles}

Every role implies viewer. These pairs are never in one person:

{exclusive}

## The matrix

`yes`, `fresh` (with a fresh proof of identity), or nothing. A token needs one of the scopes, and its owner the role. The last column is
what somebody at the machine's terminal may do without signing in.

{grid}

## Approvals

What takes two people is asked for by one, approved by another, and carried out once. A request binds the SHA-256 of its exact payload:
what was shown is what is approved and what is carried out, to the byte. Payloads hold text, whole numbers, `true`, `false`, lists and
objects; fractions are text, and invisible characters are refused.

{kinds}

Both must hold their roles when it is decided and still when it is carried out. Nobody approves their own request, nor one that they gain
by, nor a model that they made, and an unknown maker counts as everybody.

Who approves signs with a passkey over the hash of this very request; the signature and the key that checks it are kept, so that anybody
can check it later without us. Without a passkey the record says how the session proved it, `password+totp`, `password+recovery` or
`session`. The server signs every state, and every state is an act in the journal. `kedge approval show ID --verify` checks hash, signatures
and proof. The server checks them too before it acts, and that the journal of acts knows no later state: a record that somebody
wrote into the
store, or set back, is refused as `INTEGRITY`.

Whoever approves a role vouches that the account is in that person's own hands. Ask them, not the screen. It is asked for and given only to
somebody who has set the account up, and who can still prove who they are with something that is as old as the request.

### States

{states}

A refusal of the table has its code. Others are:

{codes}

### One person alone

**Solo mode** is declared in the configuration with its reason (`governance.solo_reason`). Then the person who asked may approve after
{cooling} minutes, with a reason. It is marked `SOLO` with that declaration, and `four_eyes` is false wherever it is shown. It does not
reach {no_solo}.

**The beginning.** While nobody but the first admin holds or ever held a role that approves it, that admin gives out a guarded role by a
fresh proof of identity alone, marked `BOOTSTRAP`. It is over for ever once a second such person was made: disabling them does not bring it
back, so that nobody can become the only one by removing the others.

## What is written down

Every act is a record in a journal of its own, chained and signed like a run's: who, in which roles, from where (browser, token, the
terminal, the system), what, to whom, and for what reason; refusals too, where they repeat as a count. It holds no secret, and
`kedge audit verify` checks it. Commands to a trader stand in the run's journal as well, with the person and the roles.
"""

ROLE_WORDS = {
    Role.VIEWER: "sees figures and records",
    Role.TRADER: "runs trading: halts, closes, lets it go on",
    Role.RESEARCHER: "builds models and asks for their promotion; may halt",
    Role.RISK: "holds the second key: approves what others ask for, may halt and close",
    Role.AUDITOR: "reads everything, with who did what, and does nothing",
    Role.ADMIN: "invites people and gives out roles",
}

CODE_WORDS = {
    Code.OWN_REQUEST: "it is your own request, and another person decides it",
    Code.NOT_OWN_REQUEST: "it is somebody else's request: only who asked withdraws it, only the two carry it out",
    Code.NOT_INDEPENDENT: "you gain by it, or had a part in making it, or nobody knows who made it",
    Code.WRONG_ROLE: "your role does not ask for or approve this kind, or one of the two lost the role",
    Code.PAYLOAD_CHANGED: "what you were shown, or what is to be carried out, is not what the request binds",
    Code.PROOF_ELSEWHERE: "the passkey signed something else than this request",
    Code.NOT_APPROVED: "nobody approved it",
    Code.ALREADY_DECIDED: "it was approved, refused or withdrawn before",
    Code.ALREADY_USED: "it was carried out before",
    Code.EXPIRED: "its time is over",
    Code.NOT_EXPIRED: "its time is not over",
    Code.COOLING: "in solo mode, your own request has not stood long enough",
    Code.SOLO_NOT_ALLOWED: "solo mode does not reach this kind",
    Code.NO_BOOTSTRAP: "the beginning is over: somebody else may approve it, or once could have",
}


def people_page(made: str) -> str:
    """The page; `made` says by what."""
    table = matrix()
    in_states = {Code(code) for code in ILLEGAL.values()}
    return HEAD.format(
        made=made,
        first_roles="admin and trader",
        step_up=STEP_UP_MAX_NS // (60 * 10**9),
        cooling=SOLO_COOLING_NS // (60 * 10**9),
        roles="\n".join(f"- **{role}** {ROLE_WORDS[role]}{' *(guarded)*' if role in table.guarded else ''}" for role in Role)
        + "\n\nA guarded role is given by two people: see the approval `role-grant`.",
        exclusive="\n".join(f"- {' and '.join(pair.roles)}: {pair.why}" for pair in table.exclusive),
        grid=_grid(table.rows),
        kinds=_kinds(),
        states=_states(),
        codes="\n".join(f"- `{code}`: {words}" for code, words in CODE_WORDS.items() if code not in in_states)
        + "\n\nThe codes of the table: "
        + "; ".join(f"`{code}`, {words}" for code, words in CODE_WORDS.items() if code in in_states)
        + ".",
        no_solo=" and ".join(f"`{kind}`" for kind, rule in KINDS.items() if not rule.may_solo),
    )


def _grid(rows: tuple[MatrixRow, ...]) -> str:
    lines = [
        "| act | what | " + " | ".join(str(role) for role in Role) + " | scope of a token | terminal |",
        "|---" * (len(Role) + 4) + "|",
    ]
    for row in rows:
        word = "anybody" if not row.signed_in else "fresh" if row.step_up else "yes"
        cells = [word if role in row.roles else "" for role in Role]
        terminal = {Local.NEVER: "", Local.UNTIL_ACCOUNTS: "until accounts exist", Local.ALWAYS: "always"}[row.local]
        scopes = "any" if len(row.scopes) > len(Role) else " ".join(f"`{scope}`" for scope in row.scopes)
        lines.append(f"| `{row.action}` | {row.what} | " + " | ".join(cells) + f" | {scopes} | {terminal} |")
    return "\n".join(lines)


def _kinds() -> str:
    lines = ["| kind | what | asks and approves | waits | then used within | scope of a token | solo |", "|---|---|---|---|---|---|---|"]
    for kind, rule in KINDS.items():
        solo = "yes" if rule.may_solo else ""
        lines.append(
            f"| `{kind}` | {rule.what} | {_pairs(rule)} | {_span(rule.ttl_s)} | {_span(rule.use_ttl_s)} | `{rule.scope}` | {solo} |"
        )
    return "\n".join(lines)


def _pairs(rule: KindRule) -> str:
    return "; ".join(f"{' or '.join(sorted(pair.requester))} asks, {' or '.join(sorted(pair.approver))} approves" for pair in rule.pairs)


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} s"


def _states() -> str:
    lines = ["| state | " + " | ".join(f"`{move}`" for move in Move) + " |", "|---" * (len(Move) + 1) + "|"]
    for state in State:
        cells = [str(NEXT[state, move]) if (state, move) in NEXT else f"`{ILLEGAL[state, move]}`" for move in Move]
        lines.append(f"| {state} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
