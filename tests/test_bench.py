"""The benchmarks: their arithmetic on a clock that the tests turn, their shapes and baselines, and
that README's table is the one that the committed results make."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import quantlib as ql

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"


@pytest.fixture(scope="module", autouse=True)
def package() -> None:
    """Makes ``bench`` importable without putting the source tree on the path, where its
    ``quantlib`` would stand before the installed one."""
    if "bench" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "bench", BENCH / "__init__.py", submodule_search_locations=[str(BENCH)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)


def part(name: str) -> ModuleType:
    return importlib.import_module(f"bench.{name}")


class Clock:
    """Time that passes only when a contender says so. `load` multiplies what it takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.load: Callable[[], float] = lambda: 1.0

    def __call__(self) -> float:
        return self.now

    def taking(self, name: str, seconds: float) -> Any:
        def call() -> None:
            self.now += seconds * self.load()

        return part("harness").Contender(name, call)


# ---- the stopwatch ------------------------------------------------------------------------------


def plan(**changes: Any) -> Any:
    defaults = {"rounds": 9, "sample_seconds": 1e-3, "warmup_seconds": 1e-2}
    return part("harness").Plan(**{**defaults, **changes})


def test_what_takes_twice_as_long_is_half_as_fast() -> None:
    harness, clock = part("harness"), Clock()
    timings = harness.measure(
        [clock.taking("quick", 3e-6), clock.taking("slow", 6e-6)], plan(), clock
    )
    assert harness.speedup(timings["quick"], timings["slow"]) == pytest.approx(2.0)
    assert harness.speedup(timings["slow"], timings["quick"]) == pytest.approx(0.5)
    assert timings["quick"].median == pytest.approx(3e-6)
    assert len(timings["quick"].seconds) == plan().rounds


def test_a_drifting_machine_does_not_decide() -> None:
    """Load that doubles from round to round cancels in the quotient of one round."""
    harness, clock, calls = part("harness"), Clock(), 0

    def load() -> float:
        nonlocal calls
        calls += 1
        return 2.0 ** ((calls - 1) // 4)  # two contenders, each called twice a round

    clock.load = load
    timings = harness.measure([clock.taking("a", 1.0), clock.taking("b", 3.0)], plan(), clock)
    first, third = timings["a"].quartiles
    assert third > 8 * first
    assert harness.speedup(timings["a"], timings["b"]) == pytest.approx(3.0)


def test_a_sample_lasts_as_long_as_planned() -> None:
    clock = Clock()
    timings = part("harness").measure(
        [clock.taking("short", 1e-6), clock.taking("long", 1.0)], plan(), clock
    )
    assert timings["short"].repetitions * 1e-6 >= plan().sample_seconds
    assert timings["short"].repetitions * 1e-6 < 4 * plan().sample_seconds
    assert timings["long"].repetitions == 1


def test_every_contender_runs_once_a_round_and_begins_in_turn() -> None:
    harness, clock, order = part("harness"), Clock(), []
    contenders = []
    for name in "abc":
        timed = clock.taking(name, 1.0)
        contenders.append(
            harness.Contender(
                name, lambda name=name, timed=timed: (order.append(name), timed.call())
            )
        )
    harness.measure(contenders, plan(rounds=4), clock)
    turns = "".join(order[6:])  # after two calls each to warm up
    assert turns == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"  # the first of each is not counted


def test_contenders_are_warm_before_they_are_timed() -> None:
    harness, clock = part("harness"), Clock()
    clock.load = lambda: 100.0 if clock.now < 5e-3 else 1.0
    timings = harness.measure([clock.taking("a", 1e-4)], plan(), clock)
    assert timings["a"].seconds == pytest.approx([1e-4] * plan().rounds)


def test_the_first_call_of_a_turn_does_not_count() -> None:
    """Caches cold after another contender: the first call takes ten times as long."""
    harness, clock, last = part("harness"), Clock(), [""]

    def cold_after_others(name: str) -> Any:
        def call() -> None:
            clock.now += 1.0 if last[0] == name else 10.0
            last[0] = name

        return harness.Contender(name, call)

    timings = harness.measure([cold_after_others("a"), cold_after_others("b")], plan(), clock)
    assert timings["a"].seconds == (1.0,) * plan().rounds


def test_quartiles_hold_half_of_the_samples() -> None:
    harness = part("harness")
    assert harness.Timing((1.0, 2.0, 3.0, 4.0, 5.0), 1).quartiles == (2.0, 4.0)
    assert harness.Timing((7.0,), 1).quartiles == (7.0, 7.0)


def test_two_contenders_of_one_name_are_refused() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="different names"):
        part("harness").measure([clock.taking("a", 1.0), clock.taking("a", 1.0)], plan(), clock)


def test_garbage_is_not_collected_while_timing() -> None:
    harness, clock, seen = part("harness"), Clock(), []
    timed = clock.taking("a", 1.0)
    watching = harness.Contender("a", lambda: (seen.append(gc.isenabled()), timed.call()))
    harness.measure([watching], plan(), clock)
    assert seen
    assert not any(seen)
    assert gc.isenabled()


# ---- shapes -------------------------------------------------------------------------------------


def test_shapes_are_read() -> None:
    cases = part("cases")
    assert cases.MatmulShape(1024, 1024, 1024) in cases.matmul_shapes()
    assert cases.ConvShape(1, 3, 224, 224, 64, 7, 2, 3) in cases.conv_shapes()
    assert cases.ConvShape(1, 64, 32, 32, 64, 3, 1, 1, 4) in cases.conv_shapes()
    assert cases.elementwise_sizes() == sorted(cases.elementwise_sizes())
    assert any(shape.depthwise for shape in cases.conv_shapes())


@pytest.mark.parametrize("suite", ["matmul", "conv"])
def test_labels_tell_shapes_apart_and_read_back(suite: str) -> None:
    cases = part("cases")
    lines = list(cases._lines(suite))
    labels = [shape.label for shape in getattr(cases, f"{suite}_shapes")()]
    assert labels == lines
    assert len(set(labels)) == len(labels)


def test_operations_are_two_for_each_product() -> None:
    cases = part("cases")
    assert cases.MatmulShape(2, 3, 5).operations == 60
    assert cases.ConvShape(1, 64, 56, 56, 64, kernel=3, pad=1).operations == 2 * 3136 * 64 * 576
    depthwise = cases.ConvShape(1, 144, 56, 56, 144, kernel=3, stride=2, pad=1, group=144)
    assert depthwise.out_extent == (28, 28)
    assert depthwise.operations == 2 * 28 * 28 * 144 * 9


def test_a_mistyped_option_is_refused() -> None:
    with pytest.raises(ValueError, match="kernal=3"):
        part("cases")._conv_shape("1,3,8,8 -> 4 kernal=3")


# ---- only right answers are timed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (np.array([1, 2, 4], np.int32), "off by 1"),
        (np.array([1, 2, 3], np.int64), "int64"),
        (np.array([1, 2], np.int32), r"\(2,\)"),
    ],
)
def test_a_wrong_result_of_quantlib_ends_the_run(result: Any, problem: str) -> None:
    cases = part("cases")
    with pytest.raises(cases.WrongResultError, match=problem):
        cases.Admission().required("op", lambda: result, np.array([1, 2, 3], np.int32))


@pytest.mark.parametrize("value", [1.001, np.nan, np.inf])
def test_a_wrong_float_is_noticed(value: float) -> None:
    cases = part("cases")
    with pytest.raises(cases.WrongResultError):
        cases.verify("op", np.float32([value, 1.0]), np.float32([1.0, 1.0]))


def test_rounding_of_floats_is_no_error() -> None:
    part("cases").verify("op", np.float32([1.00001, 0.0]), np.float32([1.0, 0.00001]))


def test_a_peer_that_is_wrong_or_raises_stays_out() -> None:
    cases = part("cases")

    def broken() -> Any:
        raise RuntimeError("not built with this\nsecond line")

    admission = cases.Admission()
    expected = np.array([5], np.uint8)
    admitted = admission.peers(
        [
            cases.Candidate("right", lambda: lambda: expected.copy(), expected),
            cases.Candidate("near", lambda: lambda: expected + np.uint8(1), expected, steps=1),
            cases.Candidate("far", lambda: lambda: expected + np.uint8(2), expected, steps=1),
            cases.Candidate("broken", broken, expected),
        ]
    )
    assert [contender.name for contender in admitted] == ["right", "near"]
    assert admission.notes == [
        "far left out: WrongResultError: far is off by 2, where 1 is allowed",
        "broken left out: RuntimeError: not built with this",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2,6,9,8 -> 5 kernel=3 stride=2 pad=1",
        "1,6,7,7 -> 4",
        "1,6,5,5 -> 8 kernel=3 pad=1 group=2",
        "2,6,9,8 -> 6 kernel=3 stride=2 pad=1 group=6",
        "1,6,5,5 -> 6 kernel=5 pad=2 group=6",
    ],
)
def test_the_convolution_in_numpy_is_one(text: str) -> None:
    conv = part("conv")
    layer = conv.Layer(part("cases")._conv_shape(text))
    x, w, shape = layer.real_x.astype(np.float64), layer.real_w.astype(np.float64), layer.shape
    padded = np.pad(x, ((0, 0), (0, 0), (shape.pad,) * 2, (shape.pad,) * 2))
    height, width = shape.out_extent
    ins, outs = shape.channels // shape.group, shape.out_channels // shape.group
    expected = np.zeros((shape.batch, height, width, shape.out_channels))
    for n, h, v, o in np.ndindex(expected.shape):
        top, left, begin = h * shape.stride, v * shape.stride, o // outs * ins
        patch = padded[n, begin : begin + ins]
        patch = patch[:, top : top + shape.kernel, left : left + shape.kernel]
        expected[n, h, v, o] = np.sum(patch * w[o])
    np.testing.assert_allclose(conv.float_convolution(layer)(), expected, atol=1e-4)
    np.testing.assert_allclose(conv.real_result(layer), conv.first(expected), atol=1e-4)


SMALL = {
    "matmul": ("matmul_shapes", lambda cases: [cases.MatmulShape(3, 20, 5)]),
    "conv": ("conv_shapes", lambda cases: [cases._conv_shape("1,4,6,6 -> 4 kernel=3 group=4")]),
    "elementwise": ("elementwise_sizes", lambda cases: [100]),
}


@pytest.fixture
def small_case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The first case of a suite, of a small shape."""
    reader, shapes = SMALL[request.param]
    suite, cases = part(request.param), part("cases")
    monkeypatch.setattr(suite, reader, lambda: shapes(cases))
    return next(suite.cases(1, sys.maxsize, cases.Admission()))


@pytest.mark.parametrize("small_case", SMALL, indirect=True)
def test_a_case_has_quantlib_numpy_and_every_installed_peer(small_case: Any) -> None:
    names = {contender.name for contender in small_case.contenders}
    assert "NumPy float32" in names
    for race in small_case.races:
        engines = {peer.name.partition(" ")[0] for peer in race.peers}
        assert ("ONNX" in engines) == part("peers").installed("onnx", "onnxruntime")
        assert ("torch" in engines) == part("peers").installed("torch")


@pytest.mark.parametrize(
    ("suite", "name", "breaking"),
    [
        ("matmul", "QLinearMatMul", lambda y: y ^ 1),
        ("conv", "QLinearConv", lambda y: y ^ 1),
        ("elementwise", "quantize", lambda y: y ^ 1),
    ],
)
def test_a_broken_quantlib_is_not_timed(
    suite: str, name: str, breaking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(ql, name)
    if isinstance(right, type):

        class Broken(right):  # type: ignore[misc, valid-type]
            def __call__(self, *arguments: Any, **named: Any) -> Any:
                return breaking(super().__call__(*arguments, **named))

        monkeypatch.setattr(ql, name, Broken)
    else:
        monkeypatch.setattr(ql, name, lambda *all, **named: breaking(right(*all, **named)))
    reader, shapes = SMALL[suite]
    cases = part("cases")
    monkeypatch.setattr(part(suite), reader, lambda: shapes(cases))
    with pytest.raises(cases.WrongResultError, match=name):
        list(part(suite).cases(1, sys.maxsize, cases.Admission()))


# ---- results ------------------------------------------------------------------------------------


def timing(*seconds: float) -> Any:
    return part("harness").Timing(seconds, 1)


def idle(name: str) -> Any:
    return part("harness").Contender(name, lambda: None)


def made_case(**changes: Any) -> Any:
    cases = part("cases")
    races = (cases.Race(idle("op"), (idle("slow peer"), idle("fast peer"))),)
    named = {"suite": "matmul", "shape": "1,2,3", "work": 8_000_000, "races": races}
    return cases.Case(**{**named, "baseline": idle("NumPy float32"), **changes})


TIMES = {"op": 2e-3, "NumPy float32": 8e-3, "slow peer": 3e-3, "fast peer": 1e-3}
LIMITS = {"int8_gops": 16.0, "float32_gflops": 4.0, "copy_gbytes": 10.0}


def made_result(limits: Any = LIMITS, threads: int = 1) -> dict[str, Any]:
    timings = {name: timing(seconds, seconds) for name, seconds in TIMES.items()}
    return part("results").of_case(made_case(), timings, limits, threads)


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
    row = made_result({**LIMITS, "int8_gops": None})["rows"][0]
    assert row["share"] is None


def test_an_elementwise_share_is_of_a_copy() -> None:
    """5 bytes in 4 ms where a copy moves 8 bytes in 2 ms: 5/8 of half the speed."""
    case = made_case(bytes_moved=5, copy=idle("copy"), copy_bytes=8)
    timings = {name: timing(seconds) for name, seconds in TIMES.items()}
    timings |= {"op": timing(4e-3), "copy": timing(2e-3)}
    row = part("results").of_case(case, timings, LIMITS, 1)["rows"][0]
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


def test_results_are_written_and_read(tmp_path: Path) -> None:
    results = part("results")
    content = made_results([made_result(), made_result()])
    results.write(content, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == content
    longest_run = max(map(len, (tmp_path / "r.json").read_text().splitlines()))
    assert longest_run < 400


def made_results(cases: list[Any]) -> dict[str, Any]:
    return {
        "machine": {
            "date": "2026-01-02",
            "cpu": "Some CPU",
            "cores": 2,
            "isa": "portable",
            "system": "Linux 1.2",
            "blas": "blas 1",
            "compiler": "gcc 1.2.3",
            "commit": "abc",
            "packages": {"numpy": "2.0"},
        },
        "settings": {"threads": 1, "rounds": 3, "quick": False},
        "limits": {**LIMITS, "int8_gops": None},
        "suites": {"matmul": cases},
        "notes": ["a peer left out: because"],
    }


# ---- tables -------------------------------------------------------------------------------------


def test_a_lost_row_is_shown_and_marked() -> None:
    report = part("report")
    cells = next(iter(report.case_lines(made_result())))
    assert cells == [
        "1,2,3", "op", "2 ms", "±0 %", "4", "4.00", "0.50", "fast peer", "25 %", report.LOST
    ]  # fmt: skip
    assert len(cells) == len(report.header("matmul"))


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
    assert "int8 not measured" in text


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
    assert "1 of the 3 rows" in lines[-1]


def test_only_what_stands_between_the_markers_changes() -> None:
    table = part("table")
    text = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.with_table(text, "new") == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    with pytest.raises(ValueError, match="bench:end"):
        table.with_table(f"{table.BEGIN} without its end", "new")


def test_chosen_rows_are_measured() -> None:
    """Every row of README's table names a shape that is in the files of shapes."""
    cases = part("cases")
    labels = {
        "matmul": {shape.label for shape in cases.matmul_shapes()},
        "conv": {shape.label for shape in cases.conv_shapes()},
        "elementwise": {f"{size:,}" for size in cases.elementwise_sizes()},
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
    path = results.newest()
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
        rows = [
            (suite, case["shape"], row["operation"])
            for suite, cases in content["suites"].items()
            for case in cases
            for row in case["rows"]
        ]
        assert set(part("table").ROWS) <= set(rows), path.name


# ---- the machine --------------------------------------------------------------------------------


def test_the_description_names_no_host_user_or_path() -> None:
    machine = part("machine")
    description = machine.describe()
    text = json.dumps({key: value for key, value in description.items() if key != "cpu"})
    assert platform.node() not in text.split('"')
    assert str(ROOT) not in text
    assert f"{Path.home()}/" not in text
    assert description["isa"] == ql.cpu.isa()
    assert description["packages"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ("Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz", "intel-xeon-gold-6230-avx2-2026-01-02"),
        ("AMD EPYC 9R14", "amd-epyc-9r14-avx2-2026-01-02"),
    ],
)
def test_results_are_named_after_the_processor(cpu: str, expected: str) -> None:
    slug = part("machine").slug({"cpu": cpu, "isa": "avx2", "date": "2026-01-02"})
    assert slug == expected


def test_a_kernel_release_is_cut_to_its_numbers() -> None:
    assert part("machine")._numbers("6.1.0-13-someone") == "6.1.0"


@pytest.fixture
def small_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part("machine"), "COPY_BYTES", 2**20)


@pytest.mark.usefixtures("small_copy")
def test_without_a_compiler_limits_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = part("machine")
    monkeypatch.setenv("CC", "no-such-compiler")
    limits = machine.limits({"isa": "avx2", "flags": ["fma"]})
    assert limits["int8_gops"] is None
    assert limits["float32_gflops"] is None
    assert limits["copy_gbytes"] > 0


@pytest.mark.usefixtures("small_copy")
def test_the_limits_of_a_core_are_plausible() -> None:
    """An upper bound: eight times what the widest units in sale do a cycle, at 8 GHz."""
    machine = part("machine")
    description = machine.describe()
    if description["compiler"] == "none" or platform.machine() != "x86_64":
        pytest.skip("the limits are measured with a C compiler on x86-64")
    limits = machine.limits(description)
    if description["isa"] != "portable":
        assert 1 < limits["int8_gops"] < 100_000
    if "fma" in description["flags"]:
        assert 1 < limits["float32_gflops"] < 10_000


# ---- the program --------------------------------------------------------------------------------


def test_arguments() -> None:
    run = part("run")
    options = run.parse(["--suite", "conv,matmul", "--threads", "2", "--quick"])
    assert (options.suites, options.threads, options.quick) == (["conv", "matmul"], 2, True)
    assert run.parse([]).suites == list(run.SUITES)


@pytest.mark.parametrize("wrong", [["--suite", "pooling"], ["--threads", "0"]])
def test_wrong_arguments_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        part("run").parse(wrong)
    assert f"error: {wrong[0]}" in capsys.readouterr().err


def test_the_process_is_prepared_before_numpy_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    run = part("run")
    environment: dict[str, str] = {}
    monkeypatch.setattr(run.os, "environ", environment)
    monkeypatch.setattr(sys, "path", [str(BENCH), "/elsewhere"])
    run.prepare_process(3)
    assert environment["OPENBLAS_NUM_THREADS"] == "3"
    assert sys.path == ["/elsewhere", str(ROOT)]


def test_the_program_measures_and_writes(tmp_path: Path) -> None:
    """From the command line, elements only, quick."""
    target = tmp_path / "results.json"
    arguments = ["--quick", "--suite", "elementwise", "--json", str(target)]
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(target.read_text(encoding="utf-8"))
    assert content["settings"] == {"threads": 1, "rounds": 5, "quick": True}
    operations = [row["operation"] for case in content["suites"]["elementwise"]
                  for row in case["rows"]]  # fmt: skip
    assert operations[:3] == ["quantize", "dequantize", "min_max"]
    assert "min_max" in done.stdout
