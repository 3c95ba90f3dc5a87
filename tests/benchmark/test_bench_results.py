"""Results, their tables, and that README's is the one that the committed results make."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from bench_parts import (
    BENCH,
    LIMIT,
    ROOT,
    TIMES,
    idle,
    made_case,
    made_result,
    made_results,
    part,
    timing,
)

# ---- results ------------------------------------------------------------------------------------


def test_a_row_has_rate_ratios_and_share() -> None:
    result = made_result()
    assert result["times"]["op"] == [2000.0, 2000.0, 2000.0]
    assert result["rows"] == [
        {
            "operation": "op",
            "rate": 4.0,
            "over_numpy": 4.0,
            "over_peers": {"slow peer": 1.5, "fast peer": 0.5},
            "share": 0.25,
        }
    ]


def test_the_limit_grows_with_the_threads() -> None:
    assert made_result(threads=2)["rows"][0]["share"] == 0.125


def test_an_unmeasured_limit_has_no_share() -> None:
    row = made_result(None)["rows"][0]
    assert row["share"] is None


def test_an_elementwise_share_is_of_a_copy() -> None:
    """5 bytes in 4 ms where a copy moves 8 bytes in 2 ms: 5/8 of half the speed."""
    case = made_case(bytes_moved=5, copy=idle("copy"), copy_bytes=8)
    timings = {name: timing(seconds) for name, seconds in TIMES.items()}
    timings |= {"op": timing(4e-3), "copy": timing(2e-3)}
    row = part("results").of_case(case, timings, LIMIT, 1)["rows"][0]
    assert row["share"] == pytest.approx(5 / 16)


def test_the_best_peer_is_the_fastest() -> None:
    results = part("results")
    row = made_result()["rows"][0]
    assert results.best_peer(row) == ("fast peer", 0.5)
    assert results.best_peer({**row, "over_peers": {}}) is None


@pytest.mark.parametrize(
    ("over_numpy", "over_peers", "lost"),
    [
        (4.0, {}, False),
        (0.9, {}, True),
        (4.0, {"a": 1.2, "b": 0.98}, False),
        (4.0, {"a": 1.2, "b": 0.5}, True),
        (0.5, {"a": 2.0}, True),
    ],
)
def test_a_row_is_lost_to_whoever_is_faster(over_numpy: float, over_peers: Any, lost: bool) -> None:
    assert part("results").loses({"over_numpy": over_numpy, "over_peers": over_peers}) is lost


def test_a_summary_counts_and_averages() -> None:
    row = made_result()["rows"][0]
    wins = {**row, "over_numpy": 9.0, "over_peers": {"a": 2.0}}
    figures = part("results").summary([{"rows": [row]}, {"rows": [wins]}])["op"]
    assert figures == pytest.approx({"rows": 2, "lost": 1, "over_numpy": 6, "over_best_peer": 1})
    two = part("results").summary([{"rows": [row, {**wins, "operation": "other"}]}])
    assert list(two) == ["op", "other", "all operations"]
    assert two["all operations"] == figures


def test_results_are_written_and_read(tmp_path: Path) -> None:
    results = part("results")
    content = made_results([made_result(), made_result()])
    results.write(content, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == content
    longest_run = max(map(len, (tmp_path / "r.json").read_text().splitlines()))
    assert longest_run < 400


# ---- tables -------------------------------------------------------------------------------------


def test_a_lost_row_is_shown_and_marked() -> None:
    report = part("report")
    columns = report.header("matmul", [made_result()])
    cells = next(iter(report.case_lines(made_result(), columns)))
    assert cells == [
        "1,2,3", "op", "2 ms", "±0 %", "4", "4.00", "0.50", "fast peer", "25 %", report.LOST
    ]  # fmt: skip
    assert len(cells) == len(columns)


def busy(case: dict[str, Any]) -> dict[str, Any]:
    """`case`, as if quantlib had kept a quarter and a peer half, where 0.5 was fair."""
    kept = {"op": 0.25, "NumPy float32": 0.125, "fast peer": 0.5}
    return {**case, "busy": {"fair_share": 0.5, "kept": kept}}


def test_what_is_kept_beside_busy_processes_is_shown() -> None:
    report, case = part("report"), busy(made_result())
    columns = report.header("matmul", [case])
    cells = dict(zip(columns, next(iter(report.case_lines(case, columns))), strict=True))
    assert cells["of fair share"] == "0.50"
    assert cells["best peer's share"] == "1.00"


def test_what_is_kept_is_summed_up() -> None:
    neighbours, report = part("neighbours"), part("report")
    cases = [busy(made_result()), made_result()]
    summary = neighbours.summary({"matmul": cases})
    assert summary["fair_share"] == 0.5
    assert summary["of_fair_share"]["op"] == [0.5, 0.5]
    run = part("results").of_run(2, {"matmul": cases}, busy=summary)
    text = "\n".join(report.neighbour_lines(run))
    assert "2 threads" in text
    assert "50 % of the throughput" in text
    assert "NumPy float32: 0.25, 0.25" in text
    assert list(report.neighbour_lines({**run, "busy": neighbours.summary({})})) == []


def test_columns_stand_under_each_other() -> None:
    text = part("report").plain_table("t", ["shape", "time"], [["a", "100 ms"], ["long", "1 ms"]])
    assert text.splitlines() == ["t", "shape    time", "a      100 ms", "long     1 ms"]


@pytest.mark.parametrize("rich", [True, False])
def test_the_report_prints_every_row_and_note(
    rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if rich:
        pytest.importorskip("rich", reason="rich draws the tables")
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    part("report").print_report(made_results([made_result()]))
    text = capsys.readouterr().out
    for expected in ("Some CPU", "1,2,3", "fast peer", "slower", "left out: because"):
        assert expected in text
    assert "int8 16 (mul) GOPS; float32 4 (fmul) GOPS" in text
    assert "busy" not in text


def test_limits_that_were_not_measured_are_not_shown() -> None:
    line = part("report").limits_line({"loops": {}, "instructions": {}, "copy_gbytes": 10.0})
    assert line.startswith("arithmetic not measured")
    assert line.endswith("copy 10 GB/s")


def test_columns_without_a_cell_are_left_out() -> None:
    columns = part("report")._without_empty_columns(
        ["a", "b", "c"], [["1", "", ""], ["2", "", "3"]]
    )
    assert columns == (["a", "c"], [["1", ""], ["2", "3"]])


def test_readme_rows_are_the_chosen_and_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    table = part("table")
    monkeypatch.setattr(table, "ROWS", (("matmul", "chosen", "op"), ("conv", "absent", "op")))
    good, bad = made_result(), made_result()
    good["rows"][0]["over_peers"] = {"fast peer": 3.0}
    content = made_results(
        [{**good, "shape": "other"}, {**bad, "shape": "worst"}, {**good, "shape": "chosen"}]
    )
    lines = table.render(content, "r.json").splitlines()[2:]
    assert lines[:2] == [
        "| `op` worst | 2 ms | 8 ms | **4.00x** | fast peer, 1 ms | 0.50x |",
        "| `op` chosen | 2 ms | 8 ms | **4.00x** | fast peer, 1 ms | **3.00x** |",
    ]
    assert "slower than NumPy or a peer in 1 of 3 rows on 1 thread." in lines[-1]


def test_readme_says_what_other_runs_lost() -> None:
    content = made_results([made_result()])
    cases = [busy(made_result())]
    beside = part("neighbours").summary({"matmul": cases})
    content["runs"].append(part("results").of_run(2, {"matmul": cases}, busy=beside))
    text = part("table").render(content, "r.json")
    assert "1 of 1 rows on 1 thread; 1 of 1 rows on 2 threads (below 0.8 of the fair share" in text
    assert "fair share in 1 of 1 beside 2 busy processes)" in text


def test_only_what_stands_between_the_markers_changes() -> None:
    table = part("table")
    text = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.with_table(text, "new") == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    with pytest.raises(ValueError, match="bench:end"):
        table.with_table(f"{table.BEGIN} without its end", "new")


def test_chosen_rows_are_measured() -> None:
    """Every row of README's table names a shape that is in the files of shapes."""
    shapes = part("shapes")
    labels = {
        "matmul": {shape.label for shape in shapes.matmul_shapes()},
        "conv": {shape.label for shape in shapes.conv_shapes()},
        "elementwise": {layout.label for layout in shapes.elementwise_layouts()},
    }
    for suite, shape, _ in part("table").ROWS:
        assert shape in labels[suite]


def committed() -> list[Path]:
    return sorted((BENCH / "results").glob("*.json"))


def test_readme_has_the_table_of_the_committed_results() -> None:
    table, results = part("table"), part("results")
    readme = ROOT / "README.md"
    if not readme.exists() or table.BEGIN not in (text := readme.read_text(encoding="utf-8")):
        pytest.skip("README.md has no place for the table yet")
    path = table.newest()
    if path is None:
        assert f"{table.BEGIN}\n{table.END}" in text, "a table without committed results"
        pytest.skip("no results are committed yet")
    assert table.with_table(text, table.render(results.read(path), path.name)) == text, (
        "run python bench/table.py"
    )


def test_committed_results_are_whole() -> None:
    for path in committed():
        content = json.loads(path.read_text(encoding="utf-8"))
        assert not content["settings"]["quick"], path.name
        assert path.stem.startswith(part("machine").slug(content["machine"])), path.name
        rows = [key for key, _, _ in part("results").all_rows(content["runs"][0])]
        assert content["runs"][0]["threads"] == 1, path.name
        assert set(part("table").ROWS) <= set(rows), path.name
