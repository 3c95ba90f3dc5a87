"""The published helpers: an oracle that accepts wrong answers is worse than none."""

from __future__ import annotations

import math
import subprocess
import sys
import tomllib
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib import QType, QuantParams, reference
from quantlib.testing import (
    assert_bit_exact,
    exact,
    extreme_codes,
    interesting_sizes,
    isas,
    memory_layouts,
    strategies,
    use_isa,
)
from quantlib.testing.hypothesis_plugin import register

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def reach(strategy: st.SearchStrategy[Any], wanted: Any) -> Any:
    """An example that is wanted, not made small; NoSuchExample if 2000 hold none."""
    return find(strategy, wanted, settings=settings(max_examples=2000, phases=[Phase.generate]))


# ---- assert_bit_exact ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (np.int8([1, 2]), np.int16([1, 2]), "actual is int8, expected is int16"),
        (np.int8([1, 2]), np.int8([[1, 2]]), r"shape \(2,\), expected has \(1, 2\)"),
        (np.int8([1]), np.int8(1), r"shape \(1,\), expected has \(\)"),
        (np.int8([[1, 2], [3, 5]]), np.int8([[1, 2], [3, 4]]), r"1 of 4 .* \(1, 1\): actual 5"),
        (np.float32([0.0]), np.float32([-0.0]), "0x00000000.*0x80000000"),
        (np.float64(1), np.nextafter(np.float64(1), 2), "1 of 1"),
        ((np.int8(1),), np.int8(1), "actual is a tuple"),
        ((np.int8(1),), (np.int8(1), np.int8(1)), "1 results, expected 2"),
        ((np.int8(1), np.int8(2)), (np.int8(1), np.int8(3)), "result 1: .* actual 2, expected 3"),
        (np.float32([np.nan]), -np.float32([np.nan]), "0x7fc00000.*0xffc00000"),
    ],
)
def test_differences_are_found(actual: Any, expected: Any, message: str) -> None:
    for left, right in ((actual, expected), (expected, actual)):
        with pytest.raises(AssertionError):
            assert_bit_exact(left, right)
    with pytest.raises(AssertionError, match=message):
        assert_bit_exact(actual, expected)


def test_equal_bits_pass() -> None:
    for x in (np.float32([np.nan, -0.0, np.inf]), np.int8(3), np.zeros((2, 0)), np.uint8([[1]])):
        assert_bit_exact(x, x.copy())
        assert_bit_exact((x, x), (x, x))
        for layout, same in memory_layouts(x).items():
            if layout != "swapped":
                assert_bit_exact(same, x)


@given(data=st.data(), x=hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), unique=False))
def test_any_changed_bit_is_found(data: st.DataObject, x: np.ndarray) -> None:
    changed = x.copy()
    bits = changed.reshape(-1).view(np.uint32)
    bits[data.draw(st.integers(0, x.size - 1))] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    with pytest.raises(AssertionError, match=f"1 of {x.size} elements differ"):
        assert_bit_exact(changed, x)


# ---- instruction sets ---------------------------------------------------------------------------


def test_isas_are_those_of_the_machine() -> None:
    assert isas() == ql.cpu.available_isas()
    assert isas()[0] == "portable"


@pytest.mark.parametrize("name", isas())
def test_use_isa_chooses_and_restores(name: str) -> None:
    before = ql.cpu.isa()
    with use_isa(name):
        assert ql.cpu.isa() == name
        with use_isa("portable"):
            assert ql.cpu.isa() == "portable"
        assert ql.cpu.isa() == name
    assert ql.cpu.isa() == before

    @use_isa(name)
    def decorated() -> str:
        return ql.cpu.isa()

    assert (decorated(), decorated(), ql.cpu.isa()) == (name, name, before)
    with pytest.raises(ZeroDivisionError), use_isa(name):
        raise ZeroDivisionError
    assert ql.cpu.isa() == before


@pytest.mark.parametrize("name", ["", "AVX2", "sse9", None, 3])
def test_use_isa_knows_its_names(name: Any) -> None:
    with pytest.raises(ValueError, match="instruction sets here are portable"), use_isa(name):
        pass


# ---- inputs -------------------------------------------------------------------------------------


def test_interesting_sizes() -> None:
    assert interesting_sizes() == [0, 1]
    assert interesting_sizes(1) == [0, 1, 2, 3]
    assert interesting_sizes(16) == [0, 1, 15, 16, 17, 33]
    with pytest.raises(ValueError, match="block sizes are 1 or more"):
        interesting_sizes(4, 0)


@pytest.mark.parametrize("name", ["int8", "uint8", "int4", "uint16"])
def test_extreme_codes(name: str) -> None:
    t, arrays = QType(name), extreme_codes((3, 5), name)
    assert set(arrays) == {"lowest", "highest", "alternating"}
    assert all(array.dtype == t.dtype and array.shape == (3, 5) for array in arrays.values())
    assert np.all(arrays["lowest"] == t.qmin)
    assert np.all(arrays["highest"] == t.qmax)
    assert set(np.unique(arrays["alternating"])) == {t.qmin, t.qmax}


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 4), (0, 3)])
@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64, np.int32])
def test_memory_layouts_are_what_they_say(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    layouts = memory_layouts(x)
    for view in layouts.values():
        assert type(view) is np.ndarray
        np.testing.assert_array_equal(view, x)
    if 0 not in shape and x.itemsize > 1:
        assert not layouts["unaligned"].flags.aligned
        assert not layouts["swapped"].dtype.isnative
    if x.size > 1:
        assert not layouts["strided"].flags.contiguous
        assert all(s < 0 for s, n in zip(layouts["reversed"].strides, shape, strict=True) if n > 1)
    if x.ndim > 1 and x.size:
        assert layouts["fortran"].flags.f_contiguous
        assert not layouts["fortran"].flags.c_contiguous
    assert not layouts["read-only"].flags.writeable


# ---- exact --------------------------------------------------------------------------------------


@given(st.fractions(), st.integers(-160, 130))
def test_round_to_is_the_rounding_of_the_machine(value: Fraction, exponent: int) -> None:
    """float64 by Python's own correctly rounded division; float32 never by way of float64."""
    value *= Fraction(2) ** exponent
    assert exact.round_to(value, np.float64) == Fraction(value.numerator / value.denominator)
    try:
        rounded = exact.round_to(value, np.float32)
    except OverflowError:
        assert abs(value) > Fraction(float(np.finfo(np.float32).max))
        return
    near = np.float32(float(rounded))
    assert Fraction(float(near)) == rounded
    with np.errstate(over="ignore"):
        for other in (
            np.nextafter(near, np.float32(-np.inf)),
            np.nextafter(near, np.float32(np.inf)),
        ):
            if np.isfinite(other):
                assert abs(rounded - value) <= abs(Fraction(float(other)) - value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(2**24 + 1), 2**24),  # ties go to the even significand
        (Fraction(2**24 + 3), 2**24 + 4),
        (Fraction(1, 2**150), 0),  # half of the smallest subnormal
        (Fraction(3, 2**150), Fraction(1, 2**148)),
        (-Fraction(1, 3), -Fraction(11184811, 2**25)),
        (Fraction(0), 0),
    ],
)
def test_round_to_float32(value: Fraction, expected: Fraction) -> None:
    assert exact.round_to(value, np.float32) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_round_to_overflows_where_the_type_does(dtype: Any) -> None:
    largest = Fraction(float(np.finfo(dtype).max))
    step = largest - Fraction(float(np.nextafter(np.finfo(dtype).max, dtype(0))))
    assert exact.round_to(largest + step / 2 - Fraction(1, 10**9), dtype) == largest
    with pytest.raises(OverflowError):
        exact.round_to(largest + step / 2, dtype)


# ---- strategies ---------------------------------------------------------------------------------


@given(data=st.data(), p=strategies.quant_params((6,), granularity="per-tensor"))
def test_reals_fit_what_was_asked(data: st.DataObject, p: QuantParams) -> None:
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = data.draw(strategies.reals((6,), dtype, params=p, finite=True))
    assert (x.dtype, x.shape) == (dtype, (6,))
    assert np.isfinite(x).all()


@pytest.mark.parametrize(
    "kind", ["nan", "infinite", "negative zero", "tie", "beside a tie", "huge"]
)
def test_reals_reach_everything(kind: str) -> None:
    p = QuantParams(0.5, 0, "int8")
    reaches = {
        "nan": np.isnan,
        "infinite": np.isinf,
        "negative zero": lambda x: x == 0 and np.signbit(x),
        "tie": lambda x: abs(x) < 100 and x % 0.5 == 0.25,
        "beside a tie": lambda x: 1 < abs(x) < 100 and np.nextafter(x, np.float32(0)) % 0.5 == 0.25,
        "huge": lambda x: 1e30 < abs(x) < np.inf,
    }
    with np.errstate(invalid="ignore"):
        reach(strategies.reals(params=p), lambda x: bool(reaches[kind](x)))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda c: c["group"] == c["w"].shape[0] > 1 and c["w"].shape[1] == 1,
        lambda c: 1 < c["group"] < c["w"].shape[0],
        lambda c: c["group"] == c["w"].shape[0] // 3 > 1 and c["w"].shape[1] == 1,
        lambda c: max(c["w"].shape[2:]) == 7 and len(c["strides"]) == 3,
        lambda c: min(c["w"].shape[2:]) == 7 and len(c["strides"]) == 2,
        lambda c: c["pads"][0] > 2 * c["w"].shape[2],
        lambda c: max(c["strides"]) == 4,
        lambda c: max(c["dilations"]) == 3 and max(c["w"].shape[2:]) > 2,
        lambda c: len(c["pads"]) == 6,
        lambda c: c["pads"][0] != c["pads"][len(c["pads"]) // 2],
        lambda c: c["layout"] == "NHWC" and c["x"].dtype == np.int8 and c["w"].dtype == np.uint8,
        lambda c: np.ndim(c["w_zero_point"]) == 1 and c["w_zero_point"].any(),
        lambda c: c["x_zero_point"] is not None and c["x_zero_point"] > 0 and max(c["pads"]) > 0,
        lambda c: not c["x"].flags.c_contiguous,
    ],
)
def test_conv_calls_reach_everything(wanted: Any) -> None:
    reach(strategies.conv_calls(), wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        lambda c: c["a"].ndim == 1 and c["b"].ndim == 2,
        lambda c: c["b"].ndim == 3 and c["a"].ndim == 4,
        lambda c: np.ndim(c["a_zero_point"]) == 1 and c["a_zero_point"].size > 1,
        lambda c: np.ndim(c["b_zero_point"]) == 3 and c["b_zero_point"].size > 1,
        lambda c: c["a"].shape[-1] == 0 and c["a"].size == 0 and c["b"].shape[-1] > 1,
        lambda c: c["a"].shape[-1] > 32 and c["a"].dtype == np.int8,
        lambda c: c["b"].ndim == 2 and c["b"].strides[0] < 0,
    ],
)
def test_matmul_calls_reach_everything(wanted: Any) -> None:
    reach(strategies.matmul_calls(), wanted)


@given(call=strategies.qlinear_matmul_calls(max_side=6))
def test_calls_are_valid(call: dict[str, Any]) -> None:
    y = reference.qlinear_matmul(**call)
    assert y.dtype == (np.float32 if call["y_scale"] is None else call["y_zero_point"].dtype)


def test_a_wrong_kernel_is_found() -> None:
    """What the strategies are for: pairs that saturate in 16 bits, a known fault."""

    def saturating(a: np.ndarray, b: np.ndarray, **_: Any) -> np.ndarray:
        pairs = a[:, :, np.newaxis].astype(int) * b.astype(int)
        pairs = np.concatenate([pairs, np.zeros_like(pairs[:, : pairs.shape[1] % 2])], axis=1)
        sums = pairs.reshape(a.shape[0], -1, 2, b.shape[1]).sum(axis=2)
        return np.clip(sums, -32768, 32767).sum(axis=1).astype(np.int32)

    def is_wrong(call: dict[str, Any]) -> bool:
        a, b = call["a"], call["b"]
        if a.ndim != 2 or b.ndim != 2 or 0 in (*a.shape, *b.shape):
            return False
        return not np.array_equal(saturating(a, b), reference.matmul_integer(a, b))

    call = reach(strategies.matmul_calls(), is_wrong)
    with pytest.raises(AssertionError, match="elements differ"):
        assert_bit_exact(saturating(**call), reference.matmul_integer(call["a"], call["b"]))


# ---- the plugin and the extra -------------------------------------------------------------------


def test_from_type() -> None:
    register()
    assert isinstance(reach(st.from_type(QType), lambda t: t.bits > 8), QType)
    assert isinstance(reach(st.from_type(QuantParams), lambda p: p.zero_point > 0), QuantParams)


def test_entry_point_names_the_plugin() -> None:
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["hypothesis"]["quantlib"].partition(":")
    assert getattr(import_module(module), name) is register
    assert any(
        need.startswith("hypothesis") for need in project["optional-dependencies"]["testing"]
    )


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_helpers_need_no_hypothesis() -> None:
    imports = (
        "import sys, quantlib.testing, quantlib.testing.exact, quantlib.testing.hypothesis_plugin"
    )
    assert run(f"{imports}\nprint('hypothesis' in sys.modules, 'pytest' in sys.modules)") == (
        "False False"
    )


def test_strategies_say_what_they_need() -> None:
    code = (
        "import sys\nsys.modules['hypothesis'] = None\n"
        "try:\n    import quantlib.testing.strategies\n"
        "except ImportError as error:\n    print(error)"
    )
    assert run(code).endswith('needs Hypothesis: pip install "quantlib-int8[testing]"')


@pytest.mark.parametrize("first", ["hypothesis", "quantlib.testing.strategies"])
def test_plugin_loads_in_any_order(first: str) -> None:
    """Hypothesis calls register() while it is imported, maybe by the strategies themselves."""
    code = (
        f"import {first}\nfrom quantlib.testing.hypothesis_plugin import register\nregister()\n"
        "from hypothesis import strategies as st\nimport quantlib\n"
        "print(type(st.from_type(quantlib.QType).example()).__name__)"
    )
    assert run(f"import warnings\nwarnings.simplefilter('ignore')\n{code}") == "QType"
