"""The command `brakepoint`: each verb of the table is imported only when it is called.

Arguments go in; output and an exit code (docs/cli.md) come out. Prints a refusal as one message; a
traceback is a defect of brakepoint. The verbs are in `edge/verbs.py`.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence

import typer
from rich.table import Table
from rich.text import Text

from edge.backends.abandoned import process_end
from edge.contract.urls import text_without_secrets
from edge.install import PACKAGES, pip_install
from edge.terminal import echo, new_console, outlets, styled
from edge.verbs import VERBS, Verb
from firmware_bridge.errors import DeviceFault, Missing, Refusal, UsageError

ARGUMENTS: type[Exception] = next(
    kind
    for kind in reversed(typer.BadParameter.__mro__)
    if issubclass(kind, Exception) and hasattr(kind, "format_message")
)
"""typer's exception for invalid arguments; the class has no public name there."""

EXIT_CODES = {
    0: "ok",
    1: "the answer is no: a gate failed",
    2: "usage: the command or the mission cannot be meant like this",
    3: "something is missing",
    4: "not trusted",
    5: "device or link fault",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `brakepoint`; always ends in SystemExit, also where its output fails."""
    with process_end(own=argv is None), outlets():
        _run(list(sys.argv[1:] if argv is None else argv))


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _overview()
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        from importlib.metadata import version

        echo(f"brakepoint {version('brakepoint')}")
        raise SystemExit(0)
    if arguments[0] in {name.split()[0] for name in VERBS} - set(VERBS) and (
        len(arguments) == 1 or arguments[1] in ("-h", "--help")
    ):
        _verbs_of(arguments[0])
        raise SystemExit(0 if len(arguments) > 1 else 2)
    try:
        _call(arguments)
    except Refusal as refusal:
        echo(f"brakepoint: {text_without_secrets(str(refusal))}", error=True)
        raise SystemExit(refusal.exit_code) from None
    except OSError as error:
        fault = _system_fault(error)
        echo(f"brakepoint: {text_without_secrets(str(fault))}", error=True)
        raise SystemExit(fault.exit_code) from None


def _call(arguments: list[str]) -> None:
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in VERBS:
            verb, rest = VERBS[name], arguments[words:]
            break
    else:
        raise _unknown_verb(arguments)
    module_name, function_name = verb.target.split(":")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        app.command(help=verb.help if function.__doc__ is None else None)(function)
        code = app(rest, prog_name=f"brakepoint {name}", standalone_mode=False)
    except ModuleNotFoundError as error:
        raise _missing_package(name, verb, error) from error
    except ARGUMENTS as error:
        message = getattr(error, "format_message")()  # noqa: B009 # all these exceptions have it
        echo(f"brakepoint: {message}\n  to mend:  brakepoint {name} --help", error=True)
        raise SystemExit(2) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _unknown_verb(arguments: list[str]) -> UsageError:
    first, second = arguments[0], " ".join(arguments[1:2])
    family = _family(first)
    near = nearest_verbs(first, second)
    remedy = f"did you mean {' or '.join(near)}? brakepoint {near[0]} --help" if near else None
    if first.startswith("-"):
        remedy = f"options follow the verb: brakepoint VERB {first}"
    return UsageError(
        f"no verb '{first} {second}'" if family else f"no verb '{first}'",
        expected=", ".join(family or VERBS),
        found=f"{first} {second}".strip(),
        remedy=remedy or "brakepoint --help",
    )


def nearest_verbs(first: str, second: str) -> list[str]:
    """At most three verbs that are similar to two words, the most similar first.

    Where `first` begins verbs of two words, compares `second` with their second words. Else `first`
    may resemble a verb, begin one, or be the second word of one ("lock" for "data lock").
    """
    if family := _family(first):
        scores = {name: _alike(second, name.split()[1]) for name in family}
        if max(scores.values()) < 0.5:
            return family[:3]
    else:
        scores = {name: _likely(first, second, name.split()) for name in VERBS}
        scores = {name: score for name, score in scores.items() if score >= 0.65}
    near = sorted(scores, key=lambda name: -scores[name])
    return [name for name in near if scores[name] >= scores[near[0]] - 0.1][:3]


def _family(first: str) -> list[str]:
    """The verbs of two words that begin with this one."""
    return [name for name in VERBS if name.startswith(f"{first} ")]


def _likely(first: str, second: str, words: list[str]) -> float:
    if len(words) == 1:
        begun = len(first) >= 3 and words[0].startswith(first.lower())
        return 0.9 if begun else _alike(first, words[0])
    both = max(_alike(f"{first} {second}".strip(), " ".join(words)), _alike(first, " ".join(words)))
    return max(both, 0.95 * _alike(first, words[1]))


def _alike(one: str, other: str) -> float:
    """Similarity 0 to 1 by difflib: twice the matching letters over all letters."""
    return difflib.SequenceMatcher(None, one.lower(), other).ratio()


def _missing_package(name: str, verb: Verb, error: ModuleNotFoundError) -> Refusal:
    if verb.extra is None or (error.name or "").split(".")[0] in PACKAGES:
        raise error  # a module of this program is missing: a defect, so show the traceback
    return Missing(
        f"`brakepoint {name}` needs a package that is not installed",
        expected=f"the extra [{verb.extra}]",
        found=str(error),
        remedy=pip_install(verb.extra),
    )


def _system_fault(error: OSError) -> DeviceFault:
    return DeviceFault(
        "the system refused a file operation",
        expected="space, permission and a working device",
        found=str(error),
        remedy="free space or correct the permission, then run the same command again: "
        "nothing was left half-written",
    )


def _verbs_of(first: str) -> None:
    """Print the verbs of two words that begin with `first`."""
    console = new_console()
    console.print(f"usage: brakepoint {first} VERB [OPTIONS]\n")
    console.print(_table({n: verb for n, verb in VERBS.items() if n.split()[0] == first}))


def _table(verbs: Mapping[str, Verb]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, verb in verbs.items():
        needs = Text(f"[{verb.extra}]" if verb.extra else "", style="dim")
        table.add_row(Text(name, style="bold", no_wrap=True), verb.help, needs)
    return table


def _overview() -> None:
    console = new_console()
    what = " takes a perception model to a safety action on a vehicle.\n"
    console.print(styled(("brakepoint", "bold"), what))
    console.print("usage: brakepoint VERB [OPTIONS]      brakepoint VERB --help\n")
    console.print(_table(VERBS))
    console.print(f"\n[EXTRA] is needed beside the base: {pip_install('EXTRA')}", soft_wrap=True)
    console.print("exit codes:")
    for code, meaning in EXIT_CODES.items():
        console.print(f"  {code}  {meaning}")


if __name__ == "__main__":
    main()
