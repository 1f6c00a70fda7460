"""How a law is compiled: one decorator, one register, and the READY rule.

Rules: a law names its signature and is compiled when its module is imported, from a cache that `kedge/__init__.py`
names by the hash of all sources. It is then sealed: a call with other types is refused, because Numba would
otherwise truncate a float to an integer (a given signature) or quietly compile a float version of the law (none given).
Anything compiled after `mark_ready` is an alarm: `late_compilations` lists it.

With NUMBA_DISABLE_JIT=1 laws are plain Python functions; coverage is measured so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar, cast

import numba
from numba.core import event, sigutils, types

from kedge.domain.errors import InvalidInput

# Numba's own hints cover little of what is asked of it here.
_numba: Final[Any] = numba
_sigutils: Final[Any] = sigutils
_types: Final[Any] = types
_register_listener: Final[Any] = event.register

Law = TypeVar("Law", bound=Callable[..., Any])

LAW_MODULES: Final = ("arithmetic", "positions", "fees", "funding", "account", "margin", "matching", "limits")

LAWS: Final[dict[str, Any]] = {}
"""Every law by `module.name`, such as `kedge.kernel.fees.fee_e8`; `.py_func` is its plain twin."""

_late: Final[list[str]] = []
_at_ready: Final[dict[str, int]] = {}


class WrongType(InvalidInput, TypeError):
    """A law was called with types that it is not compiled for, such as a float. Reaction: fix the call."""

    code = "WRONG_TYPE"


def law(*signatures: str) -> Callable[[Law], Law]:
    """Compile a function for exactly these Numba signatures, such as `int64(int64, int64)`, and seal it.

    Raises
    ------
    WrongType
        On a call, or on compiling a caller, with any other types. A flag is 0 or 1, not a `bool`.

    Notes
    -----
    `error_model="python"`: a division by zero raises, while NumPy's model would answer 0. No fastmath: there are no floats.
    """

    def compiled(function: Law) -> Law:
        name = f"{function.__module__}.{function.__qualname__}"
        LAWS[name] = _plain(function) if _numba.config.DISABLE_JIT else _sealed(name, function, signatures)
        return cast(Law, LAWS[name])

    return compiled


def compile_all() -> int:
    """Import every module of laws, which compiles them or loads them from the cache; returns how many laws there are."""
    for module in LAW_MODULES:
        importlib.import_module(f"kedge.kernel.{module}")
    return len(LAWS)


def mark_ready() -> None:
    """Declare that everything needed is compiled; from now on every compilation in this process is late."""
    if not _at_ready:
        _register_listener("numba:compile", _Watch())
    _late.clear()
    _at_ready.clear()
    _at_ready.update({name: _overloads(entry) for name, entry in LAWS.items()})


def late_compilations() -> list[str]:
    """What was compiled after `mark_ready`: laws that came or grew, and any other function that Numba compiled."""
    if not _at_ready:
        return []
    grown = [name for name, entry in LAWS.items() if _at_ready.get(name) != _overloads(entry)]
    return sorted({*_late, *grown})


class _Watch(event.Listener):
    """Hears of every compilation Numba really does; loads from the cache are silent."""

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        _late.append(f"{function.__module__}.{function.__qualname__}")

    def on_end(self, event: event.Event) -> None:
        """Nothing: the start was enough."""


def _plain(function: Callable[..., Any]) -> Any:
    cast(Any, function).py_func = function
    return function


def _sealed(name: str, function: Callable[..., Any], signatures: tuple[str, ...]) -> Any:
    dispatcher = _numba.njit(cache=True, error_model="python")(function)
    for signature in signatures:
        dispatcher.compile(signature)

    def compile_known(signature: Any) -> Any:
        arguments, _ = _sigutils.normalize_signature(signature)
        known = dispatcher.overloads.get(tuple(_types.unliteral(argument) for argument in arguments))
        return known.entry_point if known is not None else refuse(*arguments)

    def refuse(*arguments: Any, **named: Any) -> NoReturn:
        given = ", ".join(str(argument) for argument in (*arguments, *named.values()))
        raise WrongType(
            f"{name}({given})",
            why=f"compiled for {' or '.join(signatures)} only",
            fix="pass 64-bit integers (0 or 1 for a flag) and contiguous int64 arrays",
        )

    dispatcher.compile = compile_known  # asked while a caller is compiled
    dispatcher._compile_for_args = refuse  # asked by a call from Python that fits no signature
    return dispatcher


def _overloads(entry: Any) -> int:
    return len(getattr(entry, "overloads", ()))
