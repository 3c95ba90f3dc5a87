"""The command line, as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quantlib import cli, demo


def quantlib(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantlib", *arguments], capture_output=True, text=True, timeout=300
    )


def test_demo() -> None:
    done = quantlib("demo")
    assert (done.returncode, done.stderr) == (0, "")
    for method in demo.CALIBRATORS:
        assert method in done.stdout


def test_demo_as_json() -> None:
    done = quantlib("demo", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["float32_accuracy"] >= 0.975
    assert [result["method"] for result in report["int8"]] == list(demo.CALIBRATORS)


def test_version() -> None:
    done = quantlib("--version")
    assert done.returncode == 0
    assert done.stdout == f"quantlib {metadata.version('quantlib-int8')}\n"


def test_the_installed_command_is_this_one() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="quantlib")
    assert script.load() is cli.main


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--help"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    assert all(command.name in text for command in cli.COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-command"], "no-such-command"),
        ([], "command"),
        (["demo", "--no-such-option"], "--no-such-option"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    assert exit_info.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("quantlib")
    assert message in text
    assert text.count("\n") == 1


def test_errors_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError("the disk is full")

    monkeypatch.setattr(demo, "run_demo", fail)
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr().err == "quantlib: the disk is full\n"


@pytest.mark.parametrize(
    ("variable", "value"), [("QUANTLIB_ISA", "sse9"), ("QUANTLIB_NUM_THREADS", "many")]
)
@pytest.mark.parametrize("started_as", ["module", "script"])
def test_a_bad_environment_is_told_in_one_line(variable: str, value: str, started_as: str) -> None:
    script = Path(sysconfig.get_path("scripts"), "quantlib")
    if started_as == "script" and not script.exists():
        pytest.skip("the command is not installed in this environment")
    program = [str(script)] if started_as == "script" else [sys.executable, "-m", "quantlib"]
    done = subprocess.run(
        [*program, "--version"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"quantlib: {variable} is '{value}'")
    assert done.stderr.count("\n") == 1


def test_bench_measures_the_quantlib_that_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only the search path of this process leads to it."""
    started: list[Any] = []

    def start(command: list[str], env: dict[str, str], check: bool) -> SimpleNamespace:
        started.append((command, env))
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(cli.subprocess, "run", start)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert cli.main(["bench", "--threads", "3", "--json", "figures.json"]) == 7
    ((command, environment),) = started
    assert command[-3:] == ["bench", "--threads=3", "--json=figures.json"]
    found, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert Path(found, "quantlib", "cli.py").samefile(cli.__file__)
    assert others == ["/elsewhere"]
    assert environment["OMP_NUM_THREADS"] == "3"


def test_a_reader_may_stop_reading() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "quantlib", "demo", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
