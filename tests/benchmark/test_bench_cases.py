"""Contenders, which only race with right answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantlib as ql
from bench_parts import part


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
