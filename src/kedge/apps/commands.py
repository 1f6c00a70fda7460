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
    Command(("exchange", "serve"), "kedge.apps.exchange:serve", "serve the simulated exchange: Bybit v5 over HTTP and WebSocket"),
    Command(("status",), "kedge.apps.status:status", "what the running trader or the last run did"),
    Command(("fill", "list"), "kedge.apps.fill:list_", "the newest fills of a run, each by the id to trace"),
    Command(("system", "status"), "kedge.apps.system:status", "processes, restarts and health"),
    Command(("halt",), "kedge.apps.system:halt", "tell the trader to stop adding risk"),
    Command(("resume",), "kedge.apps.system:resume", "tell a halted trader to trade again"),
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
