"""The program that measures, ``bench/run.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench_parts import BENCH, LIMITS, made_result, made_results, part


def test_arguments() -> None:
    run = part("run")
    options = run.parse(["--only", "conv", "matmul", "--threads", "2", "1", "--quick", "--busy"])
    assert options.shapes == ["targets"]
    assert (options.only, options.threads) == (["conv", "matmul"], [2, 1])
    assert options.quick
    assert options.busy
    assert run.parse([]).threads == [1]
    assert run.parse(["--shapes", "resnet50", "targets"]).shapes == ["resnet50", "targets"]


@pytest.mark.parametrize("threads", ["0", "257", "many"])
def test_a_wrong_number_of_threads_is_refused(
    threads: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        part("run").parse(["--threads", threads])
    assert "--threads" in capsys.readouterr().err.splitlines()[-1]


def test_every_engine_gets_the_threads() -> None:
    process = part("process")
    environment = process.environment(3)
    assert environment["OPENBLAS_NUM_THREADS"] == environment["QUANTLIB_NUM_THREADS"] == "3"
    assert environment.items() >= {
        (name, value) for name, value in os.environ.items() if name not in process.THREAD_VARIABLES
    }


def test_a_process_knows_what_it_was_started_for(monkeypatch: pytest.MonkeyPatch) -> None:
    process = part("process")
    for name in process.THREAD_VARIABLES:
        monkeypatch.setenv(name, "3")
    assert process.is_set_for(3)
    assert not process.is_set_for(1)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert not process.is_set_for(3)


def test_runs_are_merged() -> None:
    first, second = made_results([made_result()]), made_results([made_result(threads=2)])
    second["runs"][0]["threads"] = 2
    second["notes"].append("another")
    second["limits"] = {**LIMITS, "loops": {**LIMITS["loops"], "int8_portable": 17.0}}
    whole = part("run").merged([first, second])
    assert [run["threads"] for run in whole["runs"]] == [1, 2]
    assert whole["notes"] == ["a peer left out: because", "another"]
    assert whole["limits"]["loops"] == {"int8_portable": 17.0, "float32_portable": 4.0}


def test_the_program_measures_and_writes(tmp_path: Path) -> None:
    """From the command line: one case, on one and two threads, idle and beside busy processes."""
    target = tmp_path / "results.json"
    arguments = ["--quick", "--only", "1,000 quantize", "--json", str(target)]
    arguments += ["--threads", "1", "2", "--busy"]
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = part("results").read(target)
    assert content["settings"] == {"rounds": 5, "quick": True}
    assert [run["threads"] for run in content["runs"]] == [1, 2]
    for run in content["runs"]:
        (case,) = run["suites"]["elementwise"]
        assert [row["operation"] for row in case["rows"]] == ["quantize"]
        assert case["busy"]["kept"]["quantize"] > 0
        assert run["groups"]["elementwise"]["quantize"]["rows"] == 1
        assert run["busy"]["of_fair_share"]["quantize"][0] > 0
    assert "quantize: geometric mean" in done.stdout
    assert done.stderr.count("elementwise 1,000 quantize ...") == 2
