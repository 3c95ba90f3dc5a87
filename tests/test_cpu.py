"""Instruction sets and threads: what can be chosen, and that no choice changes a bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`code` in an interpreter of its own, outside the source folder."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=os.sep,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def threads():
    """Set the number of threads; the one before comes back."""
    before = ql.get_num_threads()
    yield ql.set_num_threads
    ql.set_num_threads(before)


def test_portable_is_always_available():
    assert ql.cpu.available_isas()[0] == "portable"
    assert ql.cpu.isa() in ql.cpu.available_isas()


@pytest.mark.parametrize("name", ql.cpu.available_isas())
def test_the_environment_chooses_the_instruction_set(name):
    done = run_python("import quantlib; print(quantlib.cpu.isa())", QUANTLIB_ISA=name)
    assert done.stdout.strip() == name


def test_an_unknown_instruction_set_is_refused():
    done = run_python("import quantlib", QUANTLIB_ISA="sse9")
    assert done.returncode != 0
    assert "QUANTLIB_ISA is 'sse9'" in done.stderr
    assert "portable" in done.stderr


def test_the_environment_chooses_the_threads():
    code = "import quantlib; print(quantlib.get_num_threads())"
    assert run_python(code, QUANTLIB_NUM_THREADS="3").stdout.strip() == "3"


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "257"])
def test_a_bad_number_of_threads_in_the_environment_is_refused(value):
    done = run_python("import quantlib", QUANTLIB_NUM_THREADS=value)
    assert done.returncode != 0
    assert "QUANTLIB_NUM_THREADS is" in done.stderr


@pytest.mark.parametrize("value", [0, -1, 257])
def test_a_number_of_threads_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="n is"):
        ql.set_num_threads(value)


@pytest.mark.parametrize("value", [1.0, "2", None, True])
def test_a_number_of_threads_that_is_no_integer_is_refused(value):
    with pytest.raises(TypeError, match="n must be an integer"):
        ql.set_num_threads(value)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(1, 1100, 1030), (70, 500, 900), (2000, 300, 40)])
def test_products_do_not_depend_on_the_threads(threads, count, shape):
    rng = np.random.default_rng(0)
    rows, depth, columns = shape
    a = rng.integers(-128, 128, (rows, depth), dtype=np.int8)
    b = rng.integers(0, 256, (depth, columns), dtype=np.uint8)
    zero_point = np.uint8(9)  # row sums are needed
    threads(count)
    assert_bit_exact(
        ql.matmul_integer(a, b, np.int8(3), zero_point),
        reference.matmul_integer(a, b, np.int8(3), zero_point),
    )


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("group", [1, 2, 48])
def test_convolutions_do_not_depend_on_the_threads(threads, count, group):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2, 48, 33, 31), dtype=np.uint8)
    w = rng.integers(-128, 128, (48, 48 // group, 3, 3), dtype=np.int8)
    arguments = {"pads": (1, 1, 1, 1), "group": group}
    threads(count)
    assert_bit_exact(
        ql.conv_integer(x, w, np.uint8(3), **arguments),
        reference.conv_integer(x, w, np.uint8(3), **arguments),
    )


@pytest.mark.parametrize("count", [1, 4])
def test_an_overflow_in_one_chunk_is_raised(threads, count):
    a = np.full((300, 140_000), -128, np.int8)
    b = np.zeros((140_000, 40), np.int8)
    b[:, 39] = -128
    threads(count)
    with pytest.raises(OverflowError, match="int32"):
        ql.matmul_integer(a, b)
