"""Prepared operations outlive their process: pickled, copied, saved, and loaded from any file."""

from __future__ import annotations

import copy
import io
import json
import pickle
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, isas, use_isa

Array = np.ndarray[Any, Any]
BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
OTHER = {ql: reference, reference: ql}


def random_codes(shape: Any, dtype: Any, seed: int = 3) -> Array:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max + 1, shape, dtype=dtype)


def scales(n: int) -> Array:
    return np.linspace(0.01, 0.1, n, dtype=np.float32)


PRODUCT = {"a_scale": 0.1, "a_zero_point": 7, "y_scale": 30.0}
CONV = {"x_scale": 0.1, "x_zero_point": 7}
PAIR = {"a_scale": np.float32(0.5), "b_scale": [0.25], "y_scale": 0.5}
ADDENDS = random_codes(35, np.int16).astype(np.int32)
PACKED = {
    "ConvInteger": "w",
    "QLinearConv": "w",
    "QLinearConvTranspose": "w",
    "QLinearLookup": "function",
}
OF_TWO = ("QLinearAdd", "QLinearMul")
# An operation, what it is prepared with, the shape of an input.
CASES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "integer": ("MatMulInteger", (random_codes((37, 35), np.int8),), {}, (5, 37)),
    "integer of uint8": (
        "MatMulInteger", (random_codes((64, 16), np.uint8), np.uint8(3)), {}, (5, 64),
    ),
    "integer with zero points": (
        "MatMulInteger", (random_codes((3, 17), np.int8), list(range(17))), {}, (5, 3),
    ),
    "integer, a vector": ("MatMulInteger", (random_codes(70, np.int8), 5), {}, (5, 70)),
    "integer, a batch": (
        "MatMulInteger",
        (random_codes((2, 1, 9, 20), np.int8), random_codes((2, 1, 1, 20), np.int8)),
        {},
        (3, 5, 9),
    ),
    "integer, empty": ("MatMulInteger", (np.zeros((0, 7), np.int8),), {}, (5, 0)),
    "integer, no columns": ("MatMulInteger", (np.zeros((7, 0), np.uint8),), {}, (5, 7)),
    "quantized": (
        "QLinearMatMul",
        (random_codes((37, 35), np.int8), scales(35), np.int8(3)),
        {**PRODUCT, "bias": np.arange(35, dtype=np.int32), "activation": "relu"},
        (5, 37),
    ),
    "quantized to uint8": (
        "QLinearMatMul",
        (random_codes((130, 65), np.uint8), 0.1),
        {**PRODUCT, "y_zero_point": np.uint8(9), "activation": (-np.inf, 500.0)},
        (2, 5, 130),
    ),
    "quantized to float32": (
        "QLinearMatMul",
        (random_codes((37, 35), np.int8), scales(35).astype(np.float64)),
        {"a_scale": np.float16([0.5]), "a_zero_point": [7], "bias": 0.25},
        (37,),
    ),
    "dynamic": (
        "DynamicQuantizeMatMul",
        (random_codes((37, 35), np.int8), scales(35), list(range(35))),
        {"bias": scales(35), "per_row": True, "activation": "relu6"},
        (5, 37),
    ),
    "conv": (
        "QLinearConv",
        (random_codes((21, 6, 3, 2), np.int8), scales(21), np.arange(21, dtype=np.int8)),
        {**CONV, "y_scale": 9.0, "b": list(range(21)), "pads": (1, 0, 2, 1), "strides": [2, 1]},
        (2, 6, 8, 7),
    ),
    "conv in groups": (
        "QLinearConv",
        (random_codes((12, 2, 3), np.uint8), 0.1, 200),
        {**CONV, "group": np.int64(3), "auto_pad": "SAME_LOWER", "dilations": np.array([2])},
        (2, 6, 11),
    ),
    "conv, depthwise": (
        "QLinearConv",
        (random_codes((21, 1, 3, 3), np.uint8), scales(21), random_codes(21, np.uint8)),
        {**CONV, "group": 21, "layout": "NHWC", "b": 0.5, "kernel_shape": [3, 3]},
        (2, 5, 6, 21),
    ),
    "conv of int8, depthwise": (
        "QLinearConv",
        (random_codes((21, 1, 3), np.int8), 0.1, random_codes(21, np.int8)),
        {**CONV, "group": 21, "y_scale": 4.0, "y_zero_point": np.int8(-3)},
        (2, 21, 6),
    ),
    "conv with a residual": (
        "QLinearConv",
        (random_codes((6, 6, 1), np.int8), 0.1),
        {**CONV, "y_scale": 4.0, "residual_scale": np.float32(0.5), "residual_zero_point": [7]},
        (2, 6, 11),
    ),
    "sum": (
        "QLinearAdd",
        (),
        {**PAIR, "a_zero_point": 7, "y_zero_point": np.uint8(9), "activation": "relu"},
        (5, 70),
    ),
    "largest of windows": (
        "MaxPool", (), {"kernel_shape": (3, 2), "strides": np.array([2, 1]), "ceil_mode": True},
        (2, 4, 8, 7),
    ),
    "averages of windows": (
        "QLinearAveragePool",
        (),
        {**CONV, "y_scale": 0.2, "kernel_shape": [3], "pads": [1, 1], "count_include_pad": True},
        (2, 4, 8),
    ),
    "averages of images": (
        "QLinearGlobalAveragePool",
        (),
        {**CONV, "y_scale": 0.2, "y_zero_point": np.int8(3), "layout": "NHWC"},
        (2, 4, 3, 21),
    ),
    "sums of a conv": (
        "ConvInteger",
        (random_codes((21, 6, 3, 2), np.int8), np.arange(21, dtype=np.int8)),
        {"pads": (1, 0, 2, 1), "strides": [2, 1]},
        (2, 6, 8, 7),
    ),
    "transposed conv": (
        "QLinearConvTranspose",
        (random_codes((6, 7, 3, 2), np.int8), scales(21), np.arange(21, dtype=np.int8)),
        {**CONV, "y_scale": 9.0, "b": list(range(21)), "group": 3, "pads": (1, 0, 2, 1),
         "strides": [2, 3], "output_padding": [1, 0], "dilations": [2, 1]},
        (2, 6, 8, 7),
    ),
    "transposed conv of uint8": (
        "QLinearConvTranspose",
        (random_codes((6, 2, 5), np.uint8), 0.1, 200),
        {**CONV, "pads": [7, 9], "layout": "NHWC", "strides": np.array([2])},
        (2, 11, 6),
    ),
    "gemm": (
        "QGemm",
        (random_codes((37, 35), np.int8), scales(35), np.int8(3), ADDENDS),
        {"a_scale": 0.1, "a_zero_point": 7, "y_scale": 30.0, "alpha": 0.5},
        (5, 37),
    ),
    "gemm of transposed": (
        "QGemm",
        (random_codes((35, 37), np.uint8), 0.1, None, ADDENDS[:5, np.newaxis]),
        {"a_scale": 0.1, "transA": True, "transB": np.bool_(True)},
        (37, 5),
    ),
    "function": (
        "QLinearLookup",
        (np.cos,),
        {"x_scale": 0.1, "x_zero_point": 7, "y_scale": np.float32([0.01])},
        (5, 70),
    ),
    "function of uint8": (
        "QLinearLookup",
        (np.linspace(-1, 1, 512, dtype=np.float32).reshape(2, 256),),
        {"x_scale": 0.1, "y_scale": 0.01, "y_zero_point": np.uint8(128)},
        (70,),
    ),
    "softmax": ("QLinearSoftmax", (), {**CONV, "y_scale": 1 / 256, "axis": np.int64(0)}, (9, 4)),
    "joint": (
        "QLinearConcat",
        (),
        {"x_scales": [0.5, 0.25], "x_zero_points": (3, 4), "y_scale": np.float32(0.5),
         "y_zero_point": np.uint8(9), "axis": np.int64(-1)},
        (5, 7),
    ),
    "frame": ("Pad", ((1, 0, 2, -1), [9]), {"axes": np.array([0, 1])}, (5, 7)),
    "interpolated": (
        "Resize", (), {"scales": np.float32([2.0, 1.5]), "axes": (1, 2), "mode": "linear"},
        (2, 5, 7),
    ),
    "nearest": ("Resize", (), {"sizes": np.array([9]), "axes": [1]}, (5, 7)),
    "product": ("QLinearMul", (), {**PAIR, "b_zero_point": [3]}, (5, 70)),
    "conv without output channels": (
        "QLinearConv", (np.zeros((0, 6, 3), np.int8), 0.1), CONV, (2, 6, 5),
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("case", CASES)


def make(layer: Any, case: str) -> tuple[Any, list[Array]]:
    """A prepared operation and inputs for it."""
    name, arguments, keywords, shape = CASES[case]
    if name == "DynamicQuantizeMatMul":
        inputs = [np.random.default_rng(4).normal(size=shape).astype(np.float32)]
    else:
        inputs = [random_codes(shape, dtype) for dtype in (np.uint8, np.int8)]
    return getattr(layer, name)(*arguments, **keywords), inputs


def results(operation: Any, inputs: list[Array]) -> list[Array]:
    residual = operation._arguments().get("residual_scale") is not None
    of_two = residual or type(operation).__name__ in OF_TWO
    if type(operation).__name__ == "QLinearConcat":
        return [operation([x, x[::-1]]) for x in inputs]
    return [operation(x, x[::-1]) if of_two else operation(x) for x in inputs]


# ---- what comes back ----------------------------------------------------------------------------


@EACH
@BOTH
def test_pickled(layer: Any, case: str) -> None:
    operation, inputs = make(layer, case)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(operation, protocol))
        assert type(again) is type(operation)
        assert_bit_exact(results(again, inputs), results(operation, inputs))


@EACH
@BOTH
def test_copied(layer: Any, case: str) -> None:
    """It never changes, so that a copy is the operation itself, with its packed weights."""
    operation, _ = make(layer, case)
    assert copy.copy(operation) is operation
    assert copy.deepcopy({"layer": operation})["layer"] is operation


@EACH
def test_packed_again_for_another_instruction_set(case: str) -> None:
    definition, inputs = make(reference, case)
    expected = results(definition, inputs)
    for packed_on in isas():
        with use_isa(packed_on):
            pickled = pickle.dumps(make(ql, case)[0])
        for used_on in isas():
            with use_isa(used_on):
                assert_bit_exact(results(pickle.loads(pickled), inputs), expected)


@EACH
@BOTH
def test_saved_and_loaded(layer: Any, case: str, tmp_path: Path) -> None:
    """By either layer, again and again; NumPy can read the file too."""
    operation, inputs = make(layer, case)
    name = CASES[case][0]
    expected = results(operation, inputs)
    operation.save(tmp_path / "first.npz")
    for reader in (ql, reference):
        again = getattr(reader, name).load(tmp_path / "first.npz")
        assert_bit_exact(results(again, inputs), expected)
        again.save(str(tmp_path / "second.npz"))
        assert (tmp_path / "second.npz").read_bytes() == (tmp_path / "first.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.npz", "second.npz"]
    if not CASES[case][1]:
        return
    weights = CASES[case][1][0]
    if isinstance(weights, np.ndarray):
        with np.load(tmp_path / "first.npz") as archive:
            assert_bit_exact(archive[PACKED.get(name, "b")], weights)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_every_code_is_unpacked(isa: str, dtype: Any) -> None:
    """Around the sizes of strips and groups, for views that were packed in other ways."""
    for k in (0, 1, 2, 3, 4, 5, 8, 9, 63, 64, 65):
        for n in (0, 1, 15, 16, 17, 33, 64, 70):
            b = random_codes((k, n), dtype)
            for given in (b, np.asfortranarray(b), random_codes((2 * k, n), dtype)[::2]):
                _, (cls, arguments) = (None, ql.MatMulInteger(given).__reduce__()[1])
                assert cls is ql.MatMulInteger
                assert_bit_exact(arguments["b"], np.ascontiguousarray(given))


def test_weights_are_held_once() -> None:
    b = random_codes((500, 600), np.int8)
    w = random_codes((100, 50, 3, 3), np.int8)
    makers: list[Callable[[], Any]] = [
        lambda: ql.MatMulInteger(b),
        lambda: ql.QLinearMatMul(b, 0.1, a_scale=0.1),
        lambda: ql.DynamicQuantizeMatMul(b, 0.1),
        lambda: ql.QLinearConv(w, 0.1, x_scale=0.1),
    ]
    for maker in makers:
        tracemalloc.start()
        operation = maker()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 30_000, "of 300,000 bytes of weights in Python, beside those in C"
        del operation


class Named(ql.MatMulInteger):
    """A class of a user."""


def test_a_subclass(tmp_path: Path) -> None:
    a, product = random_codes((4, 9), np.int8), Named(random_codes((9, 7), np.int8))
    product.save(tmp_path / "named.npz")
    for again in (Named.load(tmp_path / "named.npz"), pickle.loads(pickle.dumps(product))):
        assert type(again) is Named
        assert_bit_exact(again(a), product(a))
    assert type(ql.MatMulInteger.load(tmp_path / "named.npz")) is ql.MatMulInteger


def test_many_threads_pickle_and_compute(tmp_path: Path) -> None:
    """One operation, pickled and saved while others use it."""
    operation, inputs = make(ql, "quantized")
    expected = [y.tobytes() for y in results(operation, inputs)]
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(30):
            if number % 2:
                again = pickle.loads(pickle.dumps(operation))
            else:
                operation.save(tmp_path / "shared.npz")
                again = ql.QLinearMatMul.load(tmp_path / "shared.npz")
            for one in (again, operation):
                if [y.tobytes() for y in results(one, inputs)] != expected:
                    wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [path.name for path in tmp_path.iterdir()] == ["shared.npz"]


# ---- arguments of every kind --------------------------------------------------------------------


@BOTH
def test_parameters_of_one_element_and_memoryviews(layer: Any, tmp_path: Path) -> None:
    a, b = random_codes((4, 9), np.uint8), random_codes((9, 2), np.int8)
    expected = layer.qlinear_matmul(a, 0.5, 7, b, 0.25, 3, 20.0, np.int8(-3), bias=[5, 6])
    one = np.float32([0.5])
    for a_scale in (one, [0.5], (0.5,), memoryview(one)):
        for a_zero_point in (np.uint8([7]), [7], memoryview(np.uint8([7]))):
            layer_ = layer.QLinearMatMul(
                memoryview(b), memoryview(np.float32([0.25, 0.25])), memoryview(np.int8([3])),
                a_scale=a_scale, a_zero_point=a_zero_point, y_scale=memoryview(np.float32([20])),
                y_zero_point=np.int8([-3]), bias=memoryview(np.int32([5, 6])),
            )  # fmt: skip
            assert_bit_exact(layer_(memoryview(a)), expected)
            layer_.save(tmp_path / "layer.npz")
            assert_bit_exact(layer.QLinearMatMul.load(tmp_path / "layer.npz")(a), expected)
    for wrong in (np.ones((1, 1)), np.ones(2), [0.1, 0.1]):
        with pytest.raises(ValueError, match="a_scale has shape"):
            layer.QLinearMatMul(b, 0.25, a_scale=wrong)
        with pytest.raises(ValueError, match="y_scale has shape"):
            layer.QLinearMatMul(b, 0.25, a_scale=1.0, y_scale=wrong)
    x, w = random_codes((1, 1, 5), np.uint8), random_codes((1, 1, 2), np.int8)
    with pytest.raises(TypeError, match="pads must be a sequence of integers, not memoryview"):
        layer.QLinearConv(w, 0.1, x_scale=0.1, pads=memoryview(b"\0\0"))
    strided = layer.QLinearConv(
        memoryview(w), memoryview(one), x_scale=memoryview(one), strides=np.array([2])
    )
    assert_bit_exact(strided(x), layer.qlinear_conv(x, 0.5, 0, w, 0.5, 0, None, None, strides=[2]))


# ---- files that hold something else -------------------------------------------------------------


def npy(array: Array, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def header(**changes: Any) -> bytes:
    whole = {
        "format": 1,
        "operation": "MatMulInteger",
        "arguments": {"b_zero_point": None},
        "arrays": ["b"],
    }
    return json.dumps({**whole, **changes}).encode()


GOOD = {"operation.json": header(), "b.npy": npy(np.ones((3, 2), np.int8))}


def with_shape(shape: str, content: bytes = bytes(6), dtype: str = "|i1") -> bytes:
    """A .npy file whose header says what it likes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


BAD: dict[str, dict[str, bytes]] = {
    "nothing in it": {},
    "no header": {"b.npy": GOOD["b.npy"]},
    "a header that is no JSON": {**GOOD, "operation.json": b"{"},
    "a header that is no object": {**GOOD, "operation.json": b"[1, 2]"},
    "a header nested deeply": {**GOOD, "operation.json": b"[" * 100_000},
    "a header that is no text": {**GOOD, "operation.json": b"\xff\xfe\x00"},
    "another format": {**GOOD, "operation.json": header(format=2)},
    "no operation": {**GOOD, "operation.json": b'{"format": 1, "arguments": {}}'},
    "no name": {**GOOD, "operation.json": header(operation=["MatMulInteger"])},
    "no arguments": {**GOOD, "operation.json": header(arguments=[])},
    "an argument too many": {**GOOD, "operation.json": header(arguments={"c": 1})},
    "an argument that is ours": {**GOOD, "operation.json": header(arguments={"self": 1})},
    "a wrong argument": {**GOOD, "operation.json": header(arguments={"b_zero_point": 200})},
    "no weights": {"operation.json": header()},
    "weights that nobody asked for": {**GOOD, "operation.json": header(arrays=[])},
    "no list of arrays": {**GOOD, "operation.json": header(arrays=3)},
    "weights of another type": {**GOOD, "b.npy": npy(np.ones((3, 2), np.float32))},
    "weights in the header": {"operation.json": header(arguments={"b": [[1, 2]]}, arrays=[])},
    "weights that are objects": {
        **GOOD, "b.npy": npy(np.array([Bomb()], object), allow_pickle=True),
    },
    "weights that are a record": {**GOOD, "b.npy": npy(np.zeros(3, [("x", "i1")]))},
    "weights that are a pickle": {**GOOD, "b.npy": pickle.dumps(Bomb())},
    "an empty member": {**GOOD, "b.npy": b""},
    "half a magic string": {**GOOD, "b.npy": b"\x93NUM"},
    "an unknown version": {**GOOD, "b.npy": b"\x93NUMPY\x09\x00" + GOOD["b.npy"][8:]},
    "a header cut off": {**GOOD, "b.npy": GOOD["b.npy"][:40]},
    "a header that is no literal": {**GOOD, "b.npy": with_shape("__import__('os')")},
    "a header of parentheses": {**GOOD, "b.npy": with_shape("(" * 5000)},
    "a shape of text": {**GOOD, "b.npy": with_shape("('3', '2')")},
    "a shape with a negative extent": {**GOOD, "b.npy": with_shape("(-3, -2)")},
    "a huge shape": {**GOOD, "b.npy": with_shape("(1 << 40, 1 << 40)")},
    "a huge shape written out": {**GOOD, "b.npy": with_shape(f"({2**40}, {2**40})")},
    "a huge shape without elements": {**GOOD, "b.npy": with_shape(f"(0, {2**50})", b"")},
    "a large type": {**GOOD, "b.npy": with_shape("(1,)", dtype="|V1000000000")},
    "fewer codes than the shape says": {**GOOD, "b.npy": with_shape("(3, 3)")},
    "more codes than the shape says": {**GOOD, "b.npy": with_shape("(1, 3)")},
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
@BOTH
def test_bad_files(layer: Any, bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "bad.npz", BAD[bad])
    with pytest.raises(ValueError, match=r"^bad.npz "):
        layer.MatMulInteger.load(path)
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above can fail; and the good file, from which the bad ones are made."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "exploded").exists()
    product = ql.MatMulInteger.load(archive(tmp_path / "good.npz", GOOD))
    assert product(np.int8([[1, 1, 1]])).tolist() == [[3, 3]]
    fortran = npy(np.asfortranarray(np.int8([[1, 2], [3, 4], [5, 6]])))
    product = ql.MatMulInteger.load(archive(tmp_path / "good.npz", {**GOOD, "b.npy": fortran}))
    assert product(np.eye(3, dtype=np.int8)).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"no archive at all", npy(np.ones(3)), pickle.dumps(Bomb())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="file is not a saved operation"):
            ql.MatMulInteger.load(path)
    compressed = archive(path, GOOD, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed"):
        ql.MatMulInteger.load(compressed)
    ql.MatMulInteger(np.ones((2, 2), np.int8)).save(path)
    with pytest.raises(ValueError, match="file holds a MatMulInteger, not a QLinearConv"):
        ql.QLinearConv.load(path)
    for wrong in (None, 3, b"file", io.BytesIO(), object()):
        with pytest.raises(TypeError, match=r"path must be a str or os.PathLike"):
            ql.MatMulInteger.load(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"path must be a str or os.PathLike"):
            ql.MatMulInteger(np.ones((2, 2), np.int8)).save(wrong)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        ql.MatMulInteger.load(tmp_path / "missing.npz")
    with pytest.raises(FileNotFoundError):
        ql.MatMulInteger(np.ones((2, 2), np.int8)).save(tmp_path / "missing" / "x.npz")


def test_damaged_files(tmp_path: Path) -> None:
    """Cut off anywhere, or with a few bytes changed, a file is refused or holds what it held."""
    operation, inputs = make(ql, "quantized")
    operation.save(tmp_path / "whole.npz")
    whole, path = (tmp_path / "whole.npz").read_bytes(), tmp_path / "damaged.npz"
    expected = results(operation, inputs)
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"damaged.npz is not a saved operation"):
            ql.QLinearMatMul.load(path)
    rng, refused = np.random.default_rng(5), 0
    for _ in range(400):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(len(damaged), size=rng.integers(1, 4))] ^= np.uint8(
            1 << rng.integers(8)
        )
        path.write_bytes(damaged.tobytes())
        try:
            again = ql.QLinearMatMul.load(path)
        except ValueError:
            refused += 1
        else:
            assert_bit_exact(results(again, inputs), expected)
    assert refused > 200


def test_headers_of_arrays_at_random(tmp_path: Path) -> None:
    """Damage that no checksum finds, because whoever did it wrote a new one."""
    rng, refused = np.random.default_rng(6), 0
    for _ in range(300):
        content = np.frombuffer(GOOD["b.npy"], np.uint8).copy()
        content[rng.integers(80, size=rng.integers(1, 4))] = rng.integers(256)
        path = archive(tmp_path / "file.npz", {**GOOD, "b.npy": content.tobytes()})
        try:
            product = ql.MatMulInteger.load(path)
        except ValueError:
            refused += 1
        else:
            assert product(np.zeros((1, 3), np.int8)).shape == (1, 2)
    assert refused > 200


def test_a_save_that_is_interrupted_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "layer.npz"
    ql.MatMulInteger(np.ones((2, 2), np.int8)).save(path)
    before = path.read_bytes()

    def interrupt(*arguments: Any, **keywords: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ql.MatMulInteger(np.zeros((2, 2), np.int8)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
