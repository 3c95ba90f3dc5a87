"""The command line: ``quantlib <command>``, also as ``python -m quantlib <command>``.

A command is one entry in `COMMANDS`. Its module is imported when it runs, so that
``quantlib --help`` stays fast and needs no extra.

Exit codes: 0 for success, 1 if ``inspect --lint`` finds errors, 2 for wrong arguments and for
errors that a user can mend, which are told in one line on standard error.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from quantlib.commands import compare, inspect, quantize, run

__all__ = ["COMMANDS", "Command", "main"]


@dataclass(frozen=True)
class Command:
    """A subcommand: its name, a line of help, its arguments, and what it does."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    """Its result is the exit code, None for 0."""


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def _run_demo(options: argparse.Namespace) -> None:
    from quantlib import demo

    report = demo.run_demo()
    if options.json:
        print(demo.as_json(report))
    else:
        demo.print_report(report)


def _add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of both (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    parser.add_argument(
        "--plot", type=Path, metavar="PATH", help="draw them there (.png, .svg, .pdf)"
    )


def _run_bench(options: argparse.Namespace) -> int | None:
    from quantlib.benchmark import plot, process, report, results, short

    process.check(options.threads)
    if options.plot is not None:
        plot.check(options.plot)
    for target in filter(None, (options.json, options.plot)):
        process.check_target(target)
    if not process.is_set_for(options.threads):
        return _again(options)
    figures = short.run(options.threads)
    if options.json is not None:
        results.write(figures, options.json)
    if options.plot is not None:
        plot.write(figures, options.plot)
    report.print_report(figures)
    return None


def _again(options: argparse.Namespace) -> int:
    """``quantlib bench`` in a process whose engines all use so many threads; its exit code."""
    from quantlib.benchmark import process

    arguments = ["bench", f"--threads={options.threads}"]
    for name in ("json", "plot"):
        if getattr(options, name) is not None:
            arguments.append(f"--{name}={getattr(options, name)}")
    environment = process.environment(options.threads)
    # The same quantlib, wherever this process found it.
    paths = [str(Path(__file__).parents[1]), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-P", "-m", "quantlib", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


COMMANDS = (
    Command(
        "demo",
        "quantize a small digit classifier and compare it with float32",
        _add_demo_arguments,
        _run_demo,
    ),
    Command(
        "bench",
        "measure int8 against NumPy float32 on this machine, in under a minute",
        _add_bench_arguments,
        _run_bench,
    ),
    *(
        Command(module.__name__.rsplit(".", 1)[-1], module.HELP, module.add_arguments, module.run)
        for module in (quantize, run, compare, inspect)
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
        The exit code, 0, 1 or 2; that of the process it started, if a command starts one.

    Raises
    ------
    SystemExit
        With code 2 if the arguments are wrong, 0 after ``--help`` and ``--version``.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough. What is left in the buffer has nowhere
        # to go, and Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ImportError, OSError, ValueError) as error:
        print(f"quantlib: {error}", file=sys.stderr)
        return 2
    return code
