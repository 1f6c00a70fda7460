"""The table of commands: what a reader may type, which function answers, and the line that help shows for it.

The rule: the table is plain text, so that help costs no import of what the commands need.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """`path` is what is typed, `target` the function as `module:name`, `help` one line."""

    path: tuple[str, ...]
    target: str
    help: str

    @property
    def name(self) -> str:
        """The command as typed, without `kedge`."""
        return " ".join(self.path)


COMMANDS: Final = (
    Command(("up",), "kedge.apps.up:up", "run the system: exchange, trader, dashboard, kept alive, with a live view"),
    Command(("trial",), "kedge.apps.trial:trial", "learn from part of recorded bars, trade the rest on paper, say what came of it"),
    Command(("demo",), "kedge.apps.demo:demo", "run engine and market in one process, without sockets"),
    Command(("trade",), "kedge.apps.trade:trade", "run one trader against a venue, on paper, demo or testnet"),
    Command(("serve",), "kedge.apps.serve:serve", "answer /health over HTTP"),
    Command(("guard",), "kedge.apps.guard:guard", "watch one account and brake it, in a process of its own"),
    Command(("exchange", "serve"), "kedge.apps.exchange:serve", "serve the simulated exchange: Bybit v5 over HTTP and WebSocket"),
    Command(("status",), "kedge.apps.status:status", "what the running trader or the last run did"),
    Command(("fill", "list"), "kedge.apps.fill:list_", "the newest fills of a run, each by the id to trace"),
    Command(("system", "status"), "kedge.apps.system:status", "processes, restarts and health"),
    Command(("halt",), "kedge.apps.command:halt", "tell the trader to stop adding risk"),
    Command(("flatten",), "kedge.apps.command:flatten", "tell the trader to close every position"),
    Command(("resume",), "kedge.apps.command:resume", "tell a halted trader to trade again"),
    Command(("brake", "status"), "kedge.apps.brake:status", "where the brake stands, why, and how far each trigger is"),
    Command(("brake", "engage"), "kedge.apps.brake:engage", "engage the brake: reduce-only, halt or flatten"),
    Command(("brake", "test"), "kedge.apps.brake_test:drill", "hold a drill of the brake on a private simulated exchange"),
    Command(("brake", "release"), "kedge.apps.brake:release", "ask for the release of the brake"),
    Command(("brake", "history"), "kedge.apps.brake:history", "what the guard recorded, newest first"),
    Command(("login",), "kedge.apps.login:login", "sign this command line in, by a code that you confirm in a browser"),
    Command(("logout",), "kedge.apps.login:logout", "revoke and forget this command line's token"),
    Command(("whoami",), "kedge.apps.login:whoami", "who this command line acts as, with which roles"),
    Command(("people", "list"), "kedge.apps.people:list_", "who has an account, with which roles"),
    Command(("people", "invite"), "kedge.apps.people:invite", "make an account and print its set-up link"),
    Command(("people", "roles"), "kedge.apps.people:roles", "show or set a person's roles"),
    Command(("people", "disable"), "kedge.apps.people:disable", "end a person's access, or give it back"),
    Command(("people", "setup-link"), "kedge.apps.people:setup_link", "a new one-time set-up link"),
    Command(("token", "list"), "kedge.apps.token:list_", "your API tokens"),
    Command(("token", "create"), "kedge.apps.token:create", "make an API token and print it once"),
    Command(("token", "revoke"), "kedge.apps.token:revoke", "end an API token of yours"),
    Command(("approval", "list"), "kedge.apps.approval:list_", "what needs two people, and where it stands"),
    Command(("approval", "show"), "kedge.apps.approval:show", "one approval, and whether its signatures fit"),
    Command(("approval", "request"), "kedge.apps.approval:request", "ask for an approval of an exact payload"),
    Command(("approval", "approve"), "kedge.apps.approval:approve", "approve what somebody else asked for"),
    Command(("approval", "refuse"), "kedge.apps.approval:refuse", "refuse it"),
    Command(("approval", "withdraw"), "kedge.apps.approval:withdraw", "take your own request back"),
    Command(("approval", "use"), "kedge.apps.approval:use", "carry out what was approved, once"),
    Command(("risk", "show"), "kedge.apps.risk:show", "every measure against its limits, and what is left"),
    Command(("risk", "var"), "kedge.apps.risk:var", "VaR and ES of one day by every method, and how each did"),
    Command(("risk", "stress"), "kedge.apps.risk:stress", "what the book would lose in every named crisis"),
    Command(("risk", "limits"), "kedge.apps.risk:limits", "the limits in force, their changes, and tightening them"),
    Command(("risk", "explain"), "kedge.apps.risk:explain", "why an order was refused or let pass, rule by rule"),
    Command(("doctor",), "kedge.apps.doctor:doctor", "check this machine and say what to mend"),
    Command(("backtest", "run"), "kedge.apps.backtest:run", "run a strategy over recorded bars into a journal"),
    Command(("replay",), "kedge.apps.replay:replay", "decide a recorded run again and compare to the byte"),
    Command(("audit", "verify"), "kedge.apps.audit:verify", "check a journal's chain, signatures and tail"),
    Command(("audit", "trace"), "kedge.apps.audit_trace:trace", "take a fill apart, up to the raw data it comes from"),
    Command(("audit", "orphans"), "kedge.apps.audit_trace:orphans", "search journals for what comes from nowhere"),
    Command(("train",), "kedge.apps.train:train", "train a model from files or a synthetic market, and register it"),
    Command(("model", "list"), "kedge.apps.model:list_", "the trained models, their versions, aliases and figures"),
    Command(("model", "show"), "kedge.apps.model:show", "one model's card: data, figures, thresholds, code and machine"),
    Command(("data", "import"), "kedge.apps.data:import_", "validate a file of bars and keep it as a snapshot"),
    Command(("data", "validate"), "kedge.apps.data:validate", "report every defect of a file of bars"),
    Command(("data", "show"), "kedge.apps.data:show", "span, gaps and quality of a file or snapshot"),
    Command(("config", "show"), "kedge.apps.config:show", "the configuration in force, and where each value comes from"),
    Command(("config", "validate"), "kedge.apps.config:validate", "check a configuration file"),
    Command(("config", "schema"), "kedge.apps.config:schema", "JSON schema of the configuration, for editors"),
    Command(("help", "exit-codes"), "kedge.apps.help_topics:exit_codes", "what each exit code means"),
    Command(("completion",), "kedge.apps.help_topics:completion", "print a completion script for bash, zsh or fish"),
)
NOUNS: Final = tuple(dict.fromkeys(command.path[0] for command in COMMANDS if len(command.path) > 1))
GLOBAL_OPTIONS: Final = (
    ("--json", "one JSON document on stdout, where the command has an answer; errors too"),
    ("--progress MODE", "auto (a bar on a terminal), plain (lines) or none"),
    ("--no-color", "no colour; the variable NO_COLOR does the same"),
    ("--debug", "show the traceback of an error"),
    ("--help, -h", "this text, or that of a command"),
    ("--version", "the version"),
)
