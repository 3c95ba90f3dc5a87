"""The command line: ``quantlib <command>``, also as ``python -m quantlib <command>``.

A command is one entry in `COMMANDS`. Its module is imported when it runs, so that
``quantlib --help`` stays fast and needs no extra.

Exit codes: 0 for success, 2 for wrong arguments and for errors that a user can mend, which are told
in one line on standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import NoReturn

__all__ = ["COMMANDS", "Command", "main"]


@dataclass(frozen=True)
class Command:
    """A subcommand: its name, a line of help, its arguments, and what it does."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def _run_demo(options: argparse.Namespace) -> None:
    from quantlib import demo

    report = demo.run_demo()
    if options.json:
        print(demo.as_json(report))
    else:
        demo.print_report(report)


COMMANDS = (
    Command(
        "demo",
        "quantize a small digit classifier and compare it with float32",
        _add_demo_arguments,
        _run_demo,
    ),
)


class _Parser(argparse.ArgumentParser):
    """An argparse parser that tells an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="quantlib", description="int8 quantization for NumPy.")
    parser.add_argument(
        "--version", action="version", version=f"quantlib {metadata.version('quantlib-int8')}"
    )
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name, by default those of the process.

    Returns
    -------
    int
        The exit code, 0 or 2.

    Raises
    ------
    SystemExit
        With code 2 if the arguments are wrong, 0 after ``--help`` and ``--version``.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough. What is left in the buffer has nowhere
        # to go, and Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError) as error:
        print(f"quantlib: {error}", file=sys.stderr)
        return 2
    return 0
