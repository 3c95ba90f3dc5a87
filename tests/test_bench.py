"""The benchmarks: their arithmetic on a clock that the tests turn, their shapes and baselines, what
``quantlib bench`` shows, and that README's table is the one that the committed results make."""

from __future__ import annotations

import gc
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib.benchmark import plot

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


MEASURING = {"cases", "machine", "process", "products", "report", "results", "short", "stopwatch"}


def part(name: str) -> ModuleType:
    """A module of ``quantlib.benchmark``, or of ``bench`` around it."""
    package = "quantlib.benchmark" if name in MEASURING else "bench"
    return importlib.import_module(f"{package}.{name}")


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

        return part("stopwatch").Contender(name, call)


# ---- the stopwatch ------------------------------------------------------------------------------


def plan(**changes: Any) -> Any:
    defaults = {"rounds": 9, "sample_seconds": 1e-3, "warmup_seconds": 1e-2}
    return part("stopwatch").Plan(**{**defaults, **changes})


def test_what_takes_twice_as_long_is_half_as_fast() -> None:
    stopwatch, clock = part("stopwatch"), Clock()
    timings = stopwatch.measure(
        [clock.taking("quick", 3e-6), clock.taking("slow", 6e-6)], plan(), clock
    )
    assert stopwatch.speedup(timings["quick"], timings["slow"]) == pytest.approx(2.0)
    assert stopwatch.speedup(timings["slow"], timings["quick"]) == pytest.approx(0.5)
    assert timings["quick"].median == pytest.approx(3e-6)
    assert len(timings["quick"].seconds) == plan().rounds


def test_a_drifting_machine_does_not_decide() -> None:
    """Load that doubles from round to round cancels in the quotient of one round."""
    stopwatch, clock, calls = part("stopwatch"), Clock(), 0

    def load() -> float:
        nonlocal calls
        calls += 1
        return 2.0 ** ((calls - 1) // 4)  # two contenders, each called twice a round

    clock.load = load
    timings = stopwatch.measure([clock.taking("a", 1.0), clock.taking("b", 3.0)], plan(), clock)
    first, third = timings["a"].quartiles
    assert third > 8 * first
    assert stopwatch.speedup(timings["a"], timings["b"]) == pytest.approx(3.0)


def spinning(until: Callable[[], bool]) -> threading.Thread:
    """A thread that computes outside the interpreter's lock, until it is to end."""
    data, started = b"0" * 1_000_000, threading.Event()

    def spin() -> None:
        started.set()
        while not until():
            hashlib.sha256(data)

    thread = threading.Thread(target=spin)
    thread.start()
    started.wait()
    return thread


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what threads do")
def test_settling_waits_for_threads_that_compute() -> None:
    begin = time.perf_counter()
    thread = spinning(lambda: time.perf_counter() > begin + 0.1)
    part("stopwatch").settle(limit=30.0)
    assert 0.1 < time.perf_counter() - begin < 20
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what threads do")
def test_settling_gives_up_in_the_end() -> None:
    stop = threading.Event()
    thread, begin = spinning(stop.is_set), time.perf_counter()
    part("stopwatch").settle(limit=0.05)
    assert time.perf_counter() - begin >= 0.05
    stop.set()
    thread.join()


def test_settling_does_not_wait_for_threads_that_sleep() -> None:
    stop, begin = threading.Event(), time.perf_counter()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    part("stopwatch").settle(limit=20.0)
    assert time.perf_counter() - begin < 10
    stop.set()
    thread.join()


def test_a_sample_lasts_as_long_as_planned() -> None:
    clock = Clock()
    timings = part("stopwatch").measure(
        [clock.taking("short", 1e-6), clock.taking("long", 1.0)], plan(), clock
    )
    assert timings["short"].repetitions * 1e-6 >= plan().sample_seconds
    assert timings["short"].repetitions * 1e-6 < 4 * plan().sample_seconds
    assert timings["long"].repetitions == 1


def test_every_contender_runs_once_a_round_and_begins_in_turn() -> None:
    stopwatch, clock, order = part("stopwatch"), Clock(), []
    contenders = []
    for name in "abc":
        timed = clock.taking(name, 1.0)
        contenders.append(
            stopwatch.Contender(
                name, lambda name=name, timed=timed: (order.append(name), timed.call())
            )
        )
    stopwatch.measure(contenders, plan(rounds=4), clock)
    turns = "".join(order[6:])  # after two calls each to warm up
    assert turns == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"  # the first of each is not counted


def test_contenders_are_warm_before_they_are_timed() -> None:
    stopwatch, clock = part("stopwatch"), Clock()
    clock.load = lambda: 100.0 if clock.now < 5e-3 else 1.0
    timings = stopwatch.measure([clock.taking("a", 1e-4)], plan(), clock)
    assert timings["a"].seconds == pytest.approx([1e-4] * plan().rounds)


def test_the_first_call_of_a_turn_does_not_count() -> None:
    """Caches cold after another contender: the first call takes ten times as long."""
    stopwatch, clock, last = part("stopwatch"), Clock(), [""]

    def cold_after_others(name: str) -> Any:
        def call() -> None:
            clock.now += 1.0 if last[0] == name else 10.0
            last[0] = name

        return stopwatch.Contender(name, call)

    timings = stopwatch.measure([cold_after_others("a"), cold_after_others("b")], plan(), clock)
    assert timings["a"].seconds == (1.0,) * plan().rounds


def test_quartiles_hold_half_of_the_samples() -> None:
    stopwatch = part("stopwatch")
    assert stopwatch.Timing((1.0, 2.0, 3.0, 4.0, 5.0), 1).quartiles == (2.0, 4.0)
    assert stopwatch.Timing((7.0,), 1).quartiles == (7.0, 7.0)


def test_two_contenders_of_one_name_are_refused() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="different names"):
        part("stopwatch").measure([clock.taking("a", 1.0), clock.taking("a", 1.0)], plan(), clock)


def test_garbage_is_not_collected_while_timing() -> None:
    stopwatch, clock, seen = part("stopwatch"), Clock(), []
    timed = clock.taking("a", 1.0)
    watching = stopwatch.Contender("a", lambda: (seen.append(gc.isenabled()), timed.call()))
    stopwatch.measure([watching], plan(), clock)
    assert seen
    assert not any(seen)
    assert gc.isenabled()


# ---- shapes -------------------------------------------------------------------------------------


def test_shapes_are_read() -> None:
    shapes = part("shapes")
    assert shapes.MatmulShape(1024, 1024, 1024) in shapes.matmul_shapes()
    assert shapes.ConvShape(1, 3, 224, 224, 64, 7, 2, 3) in shapes.conv_shapes()
    assert shapes.ConvShape(1, 64, 32, 32, 64, 3, 1, 1, 4) in shapes.conv_shapes()
    assert shapes.Layout((1000,)) in shapes.elementwise_layouts()
    assert {layout.axis for layout in shapes.elementwise_layouts()} == {None, 0, 1}
    assert any(layout.block for layout in shapes.elementwise_layouts())
    assert any(shape.depthwise for shape in shapes.conv_shapes())


@pytest.mark.parametrize(
    ("suite", "files"),
    [("overhead", []), ("matmul/targets", [["targets"]]), ("matmul/narrow", [["narrow"]])],
)
def test_labels_tell_shapes_apart_and_read_back(suite: str, files: Any) -> None:
    shapes = part("shapes")
    lines = list(shapes._lines(suite))
    labels = [shape.label for shape in getattr(shapes, f"{suite.split('/')[0]}_shapes")(*files)]
    assert labels == lines
    assert len(set(labels)) == len(labels)


def test_files_of_shapes_are_found_by_name() -> None:
    """A name may stand in both folders, or in one of them."""
    shapes = part("shapes")
    assert set(shapes.MATMUL_FILES) == {"narrow", "targets"}
    assert set(shapes.FILES) == {*shapes.MATMUL_FILES, *shapes.CONV_FILES}
    assert shapes.matmul_shapes(["resnet50"]) == shapes.conv_shapes(["narrow"]) == []
    both = shapes.matmul_shapes(["targets", "narrow", "targets"])
    assert both == shapes.matmul_shapes() + shapes.matmul_shapes(["narrow"])


@pytest.mark.parametrize(
    ("name", "layers"), [("targets", 12), ("resnet50", 23), ("mobilenet_v2", 30), ("resnext50", 7)]
)
def test_labels_of_convolutions_are_the_lines_of_their_files(name: str, layers: int) -> None:
    shapes = part("shapes")
    labels = [shape.label for shape in shapes.conv_shapes([name])]
    assert labels == list(shapes._lines(f"conv/{name}"))
    assert len(set(labels)) == len(labels) == layers
    assert name in shapes.CONV_FILES


def test_a_convolution_in_several_files_is_measured_once() -> None:
    shapes = part("shapes")
    labels = [shape.label for shape in shapes.conv_shapes(shapes.CONV_FILES)]
    assert len(set(labels)) == len(labels) == 23 + 30 + 7 + 2  # the batch, and the groups


def test_the_convolutions_of_a_network_follow_one_another() -> None:
    """Each layer but the first takes what an earlier one gives: its channels and extents."""
    shapes = part("shapes")
    for name in ("resnet50", "mobilenet_v2"):
        first, *others = shapes.conv_shapes([name])
        given = {(first.out_channels, *first.out_extent)}
        for layer in others:
            height, width = layer.height, layer.width
            pooled = (layer.channels, 2 * height, 2 * width)  # what ResNet does once
            assert {(layer.channels, height, width), pooled} & given, layer.label
            given.add((layer.out_channels, *layer.out_extent))


def test_labels_of_layouts_tell_them_apart() -> None:
    layouts = part("shapes").elementwise_layouts()
    assert len({layout.label for layout in layouts}) == len(layouts)
    assert part("shapes").Layout((4, 6), 1, 3).label == "4,6 axis=1 block=3"


def test_cases_are_chosen_by_name_and_size() -> None:
    selection = part("selection").Selection(["conv 1,9", "axis="], {"matmul": 10})
    assert selection.takes("conv", "1,96,56,56 -> 24", 10**9)
    assert selection.takes("elementwise", "4,6 axis=1", 24)
    assert not selection.takes("elementwise", "1,000", 1000)
    assert part("selection").Selection((), {"matmul": 10}).takes("matmul", "1,1,1", 10)
    assert not part("selection").Selection((), {"matmul": 10}).takes("matmul", "1,1,1", 11)


def test_operations_are_two_for_each_product() -> None:
    shapes = part("shapes")
    assert shapes.MatmulShape(2, 3, 5).operations == 60
    assert shapes.ConvShape(1, 64, 56, 56, 64, kernel=3, pad=1).operations == 2 * 3136 * 64 * 576
    depthwise = shapes.ConvShape(1, 144, 56, 56, 144, kernel=3, stride=2, pad=1, group=144)
    assert depthwise.out_extent == (28, 28)
    assert depthwise.operations == 2 * 28 * 28 * 144 * 9


def test_a_mistyped_option_is_refused() -> None:
    with pytest.raises(ValueError, match="kernal=3"):
        part("shapes")._conv_shape("1,3,8,8 -> 4 kernal=3")


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
    layer = conv.Layer(part("shapes")._conv_shape(text))
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
    "overhead": ("matmul", "overhead_cases", lambda: [part("products").MatmulShape(3, 20, 5)]),
    "matmul": ("matmul", "cases", lambda: [part("products").MatmulShape(3, 20, 5)]),
    "conv": (
        "conv",
        "cases",
        lambda: [part("shapes")._conv_shape("1,4,6,6 -> 4 kernel=3 group=4")],
    ),
    "elementwise": (
        "elementwise",
        "cases",
        lambda: [
            part("shapes")._layout(line)
            for line in ("100", "6,10 axis=0", "2,5,8 axis=1", "6,8 axis=1", "6,8 axis=1 block=4")
        ],
    ),
}
READERS = {"elementwise": "elementwise_layouts"}


@pytest.fixture
def small_cases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The cases of a suite of small shapes, and the notes of who was left out."""
    admission = part("cases").Admission()
    return list(make_small(request.param, admission, monkeypatch)), admission.notes


def make_small(suite: str, admission: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module, function, made = SMALL[suite]
    reader = READERS.get(suite, f"{suite}_shapes")
    monkeypatch.setattr(part("shapes"), reader, lambda *_files: made())
    return getattr(part(module), function)(1, part("selection").Selection(), admission)


@pytest.mark.parametrize("small_cases", SMALL, indirect=True)
def test_a_case_has_quantlib_numpy_and_every_installed_peer(small_cases: Any) -> None:
    """`requantize` has no peer, some operations have none in ONNX, and blocks none in torch."""
    cases, notes = small_cases
    without_onnx = {"fake_quantize", "summarize"}
    assert notes == []
    for case in cases:
        assert "NumPy float32" in {contender.name for contender in case.contenders}
        for race in case.races:
            engines = {peer.name.partition(" ")[0] for peer in race.peers}
            if race.ours.name not in without_onnx | {"requantize"} and "block" not in case.shape:
                assert ("ONNX" in engines) == part("peers").installed("onnx", "onnxruntime")
            if race.ours.name != "requantize" and "block" not in case.shape:
                assert ("torch" in engines) == part("peers").installed("torch")


def test_layers_have_right_baselines_and_peers() -> None:
    layers, admission = part("layers"), part("cases").Admission()
    selection = part("selection").Selection(most_work={"layers": 300_000})
    cases = list(layers.cases(1, selection, admission))
    names = {layer.prepared or layer.name for layer in layers.LAYERS}
    assert {case.races[0].ours.name for case in cases} == names - {"MaxPool"}  # the largest
    assert admission.notes == []
    for case in cases:
        assert bool(case.races[0].peers) == part("peers").installed("onnx", "onnxruntime")


def test_a_wrong_baseline_of_a_layer_is_noticed() -> None:
    layers, cases = part("layers"), part("cases")
    wrong = layers.Layer("qlinear_add", ((9,), (9,)), np.subtract, "QLinearAdd")
    with pytest.raises(cases.WrongResultError, match="NumPy"):
        layers._case(wrong, 1, cases.Admission())


@pytest.mark.parametrize("small_cases", ["matmul", "elementwise"], indirect=True)
def test_every_operation_is_measured(small_cases: Any) -> None:
    cases, _ = small_cases
    names = [race.ours.name for case in cases for race in case.races]
    if cases[0].suite == "elementwise":
        assert len(names) == 6 + 3 * 5 + 4
        return
    assert names == [
        "MatMulInteger int8",
        "matmul_integer int8, not prepared",
        "MatMulInteger uint8",
        "matmul_integer uint8, not prepared",
        "QLinearMatMul int8",
        "QLinearMatMul uint8",
        "qlinear_matmul uint8, not prepared",
        "QLinearMatMul uint8 to float32",
        "DynamicQuantizeMatMul",
    ]


@pytest.mark.parametrize(
    ("suite", "name"),
    [("matmul", "QLinearMatMul"), ("conv", "QLinearConv"), ("elementwise", "quantize")],
)
def test_a_broken_quantlib_is_not_timed(
    suite: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(ql, name)
    if isinstance(right, type):

        class Broken(right):  # type: ignore[misc, valid-type]
            def __call__(self, *arguments: Any, **named: Any) -> Any:
                return super().__call__(*arguments, **named) ^ 1

        monkeypatch.setattr(ql.ops, name, Broken)
    else:
        monkeypatch.setattr(ql.ops, name, lambda *all, **named: right(*all, **named) ^ 1)
    cases = part("cases")
    with pytest.raises(cases.WrongResultError, match=name):
        list(make_small(suite, cases.Admission(), monkeypatch))


# ---- results ------------------------------------------------------------------------------------


def timing(*seconds: float) -> Any:
    return part("stopwatch").Timing(seconds, 1)


def idle(name: str) -> Any:
    return part("stopwatch").Contender(name, lambda: None)


def made_case(**changes: Any) -> Any:
    cases = part("cases")
    races = (cases.Race(idle("op"), (idle("slow peer"), idle("fast peer"))),)
    named = {"suite": "matmul", "shape": "1,2,3", "work": 8_000_000, "races": races}
    return cases.Case(**{**named, "baseline": idle("NumPy float32"), **changes})


TIMES = {"op": 2e-3, "NumPy float32": 8e-3, "slow peer": 3e-3, "fast peer": 1e-3}
LIMIT = 16.0
LIMITS = {
    "loops": {"int8_portable": 16.0, "float32_portable": 4.0},
    "instructions": {"int8_portable": "mul", "float32_portable": "fmul"},
    "copy_gbytes": 10.0,
}


def made_result(limit: float | None = LIMIT, threads: int = 1) -> dict[str, Any]:
    timings = {name: timing(seconds, seconds) for name, seconds in TIMES.items()}
    return part("results").of_case(made_case(), timings, limit, threads)


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
        "settings": {"rounds": 3, "quick": False},
        "limits": LIMITS,
        "runs": [part("results").of_run(1, {"matmul": cases})],
        "notes": ["a peer left out: because"],
    }


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
    limits = machine.limits()
    assert limits["loops"] == {}
    assert machine.int8_limit(limits, ql.cpu.isa()) is None
    assert limits["copy_gbytes"] > 0


@pytest.mark.usefixtures("small_copy")
def test_the_limits_of_a_core_are_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upper bound: eight times what the widest units in sale do a cycle, at 8 GHz."""
    machine = part("machine")
    if machine.describe()["compiler"] == "none" or platform.machine() != "x86_64":
        pytest.skip("the limits are measured with a C compiler on x86-64")
    monkeypatch.setattr(machine, "ITERATIONS", 1000)
    limits = machine.limits()
    assert limits["loops"].keys() == limits["instructions"].keys()
    for isa in set(ql.cpu.available_isas()) - {"portable"}:
        assert 1 < machine.int8_limit(limits, isa) < 100_000
    floats = [rate for name, rate in limits["loops"].items() if name.startswith("float32")]
    assert all(1 < rate < 10_000 for rate in floats)


# ---- busy neighbours ----------------------------------------------------------------------------


def test_throughput_is_calls_over_elapsed_time() -> None:
    neighbours, clock = part("neighbours"), Clock()
    assert neighbours.throughput(clock.taking("a", 0.04).call, clock) == pytest.approx(25)
    assert neighbours.throughput(clock.taking("slow", 2.0).call, clock) == pytest.approx(0.5)


def test_shares_are_taken_in_turns() -> None:
    """`calm` keeps all, `torn` a quarter, whatever the machine does meanwhile."""
    neighbours, state = part("neighbours"), {"busy": False, "speed": 1.0}

    def switch(running: bool) -> None:
        state["busy"] = running
        state["speed"] *= 1.0 if running else 2.0

    meters = {
        "calm": lambda: state["speed"],
        "torn": lambda: state["speed"] / (4 if state["busy"] else 1),
    }
    assert neighbours.shares(meters, switch) == pytest.approx({"calm": 1.0, "torn": 0.25})
    assert not state["busy"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="neighbours are stopped by signals")
def test_neighbours_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours, started = part("neighbours"), []
    popen = subprocess.Popen

    def watched(command: list[str]) -> Any:
        started.append(popen(command))
        return started[-1]

    monkeypatch.setattr(neighbours.subprocess, "Popen", watched)
    with neighbours.started(2) as switch:
        switch(True)
        assert [process.poll() for process in started] == [None, None]
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_the_yardstick_uses_the_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours, seen = part("neighbours"), set()

    def meter(call: Any) -> float:
        seen.add(threading.get_ident())
        call()
        time.sleep(0.05)  # so that no thread is over before the next is there
        return 2.0

    monkeypatch.setattr(neighbours, "throughput", meter)
    assert neighbours.hashing(threads) == 2.0 * threads
    assert len(seen) == threads


# ---- the program --------------------------------------------------------------------------------


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


# ---- quantlib bench -----------------------------------------------------------------------------


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
