"""``quantlib bench``, the short version that is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_parts import part
from quantlib.benchmark import plot


@pytest.fixture(scope="module")
def short_figures() -> dict[str, Any]:
    """Of a few small cases."""
    plan = part("stopwatch").Plan(rounds=2, sample_seconds=1e-5, warmup_seconds=0)
    patch = pytest.MonkeyPatch()
    patch.setattr(part("machine"), "COPY_BYTES", 2**20)
    patch.setattr(part("machine"), "ITERATIONS", 1000)
    try:
        return part("short").run(1, plan, shapes=[(2, 3, 4)], sizes=[100])
    finally:
        patch.undo()


def test_the_short_version_measures_products_and_elements(short_figures: dict[str, Any]) -> None:
    (run,) = short_figures["runs"]
    assert [key for key, _, _ in part("results").all_rows(run)] == [
        ("matmul", "2,3,4", "MatMulInteger int8"),
        ("matmul", "2,3,4", "matmul_integer int8, not prepared"),
        ("matmul", "2,3,4", "QLinearMatMul uint8"),
        ("elementwise", "100", "quantize"),
        ("elementwise", "100", "dequantize"),
        ("elementwise", "100", "min_max"),
    ]
    json.dumps(short_figures)


def test_the_short_version_is_shown_without_peers(
    short_figures: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    part("report").print_report(short_figures)
    text = capsys.readouterr().out
    assert "measured limits" in text
    assert "MatMulInteger int8" in text
    assert "peer" not in text


def test_the_short_versions_progress_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with part("short")._progress(2) as advance:
        advance("first")
        advance("second")
    assert capsys.readouterr().err == "first ...\nsecond ...\n"


def test_the_short_versions_progress_is_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich", reason="the extra `cli` draws the bar")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with part("short")._progress(2) as advance:
        advance("first")
        advance("second")
    text = capsys.readouterr().err
    assert "second" in text
    assert "..." not in text


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_drawn(short_figures: dict[str, Any], suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` draws the picture")
    target = tmp_path / f"picture{suffix}"
    plot.check(target)
    plot.write(short_figures, target)
    content = target.read_bytes()
    if suffix == ".png":
        assert content.startswith(b"\x89PNG")
    else:
        assert b"MatMulInteger int8" in content or b"<path" in content
    assert len(content) > 10_000


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantlib", "bench", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_files_are_written_before_a_reader_may_stop_reading(tmp_path: Path) -> None:
    source = (
        "import sys, io; from pathlib import Path; from quantlib import cli\n"
        "from quantlib.benchmark import process, report, short\n"
        "short.run = lambda threads: {'runs': []}; process.is_set_for = lambda threads: True\n"
        "def stop(figures): raise BrokenPipeError\n"
        "report.print_report = stop\n"
        "sys.exit(cli.main(['bench', '--json', sys.argv[1]]))"
    )
    target = tmp_path / "figures.json"
    command = [sys.executable, "-c", source, str(target)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
    assert part("results").read(target) == {"runs": []}


def test_quantlib_bench(tmp_path: Path) -> None:
    """As a user calls it: in a process of its own that has the threads, with figures in a file."""
    target = tmp_path / "figures.json"
    done = bench("--threads", "2", "--json", str(target))
    assert done.returncode == 0, done.stderr
    content = part("results").read(target)
    assert [run["threads"] for run in content["runs"]] == [2]
    assert {*content["runs"][0]["suites"]} == {"matmul", "elementwise"}
    assert "matmul, 2 threads" in done.stdout
    assert "1024,1024,1024" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "--threads is 0; it must be 1 to 256"),
        (["--plot", "picture.txt"], "the picture is 'picture.txt'; it must end in .png"),
        (["--plot", "no/such/folder/p.png"], "the folder of 'no/such/folder/p.png' does not exist"),
        (["--json", "no/such/folder/f.json"], "the folder of 'no/such/folder/f.json' does not"),
    ],
)
def test_what_cannot_be_is_told_before_measuring(arguments: list[str], message: str) -> None:
    if arguments[0] == "--plot":
        pytest.importorskip("matplotlib", reason="the extra `plot` draws the picture")
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"quantlib: {message}")
    assert done.stderr.count("\n") == 1


def test_a_picture_without_matplotlib_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "quantlib-int8\[plot\]"'):
        plot.check(Path("p.png"))
