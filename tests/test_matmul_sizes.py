"""Integer matrix products of sizes around all blocks, and of extreme codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from matmul_cases import (
    BYTES,
    LEFT_TYPES,
    TYPES,
    assert_mostly_free,
    output_scale,
    random_codes,
)
from quantlib import reference
from quantlib.testing import (
    assert_bit_exact,
    extreme_codes,
    interesting_sizes,
)
from thread_counts import use_threads

TILE_ROWS = (4, 6, 12, 16, 32)
STRIPS = (16, 32)
DOTS = (2, 4, 64)  # products in a group, and in a step of several groups

# ---- around the blocks --------------------------------------------------------------------------


@LEFT_TYPES
@TYPES
def test_rows(isa: str, agree: Any, rng: np.random.Generator, a_type: Any, b_type: Any) -> None:
    """Every number of rows that a tile may have, and the sharing of what is left."""
    b = random_codes(rng, (37, 40), b_type)
    zero_point = random_codes(rng, 40, b_type)
    for m in (*range(70), *interesting_sizes(*TILE_ROWS)):
        a = random_codes(rng, (m, 37), a_type)
        agree("matmul_integer", a, b, a_type(100))
        agree("matmul_integer", a, b, a_type(100), zero_point)


@LEFT_TYPES
@TYPES
def test_columns(isa: str, agree: Any, rng: np.random.Generator, a_type: Any, b_type: Any) -> None:
    a = random_codes(rng, (13, 21), a_type)
    for n in range(72):
        b = random_codes(rng, (21, n), b_type)
        agree("matmul_integer", a, b, a_type(100), b_type(3))
        agree("matmul_integer", a, b.T.copy().T, random_codes(rng, 13, a_type))


@LEFT_TYPES
@TYPES
def test_depths(isa: str, agree: Any, rng: np.random.Generator, a_type: Any, b_type: Any) -> None:
    for k in (*range(70), *interesting_sizes(64, 128, 256)):
        a, b = random_codes(rng, (33, k), a_type), random_codes(rng, (k, 35), b_type)
        agree("matmul_integer", a, b)
        agree("matmul_integer", a, b, a_type(100), random_codes(rng, 35, b_type))


@pytest.mark.parametrize("m", interesting_sizes(*TILE_ROWS))
def test_all_block_sizes_together(isa: str, agree: Any, rng: np.random.Generator, m: int) -> None:
    free = []
    for n in interesting_sizes(*STRIPS):
        for k in interesting_sizes(*DOTS):
            a, b = random_codes(rng, (m, k), np.uint8), random_codes(rng, (k, n), np.int8)
            acc = agree("matmul_integer", a, b, 128)
            if acc.size and acc.any():
                y_scale = output_scale(acc, 0.02) + np.float32(1e-3)
                free.append(
                    agree("qlinear_matmul", a, 0.1, 128, b, 0.2, 0, y_scale, np.uint8(128)).ravel()
                )
    if free:
        assert_mostly_free(np.concatenate(free))


@LEFT_TYPES
@pytest.mark.parametrize("gap", [0, 5, 64])
def test_rests_of_rows(
    isa: str, agree: Any, rng: np.random.Generator, a_type: Any, gap: int
) -> None:
    """Rows whose length is no whole number of groups are read on into what lies behind them, other
    rows or other columns; the last ones, with nothing behind them, are not."""
    for m, k in [(100, 1), (100, 7), (65, 63), (66, 65), (300, 147), (40, 191), (131, 250)]:
        a = random_codes(rng, (m, k + gap), a_type)[:, :k]
        b = random_codes(rng, (k, 35), np.int8)
        acc = agree("matmul_integer", a, b, a_type(100))
        assert_bit_exact(ql.MatMulInteger(b)(a, a_type(100)), acc)


@pytest.mark.parametrize("k", [1000, 1024, 2048, 4096])
def test_blocks_of_rows(isa: str, agree: Any, rng: np.random.Generator, k: int) -> None:
    """So many rows that they are taken in several blocks; rows a power of two apart are copied."""
    sizes = [(m, 17) for m in (7, 8, 9, 59, 60, 61, 127, 129, 256, 258)]
    for m, n in (*sizes, (7, 530), (61, 530)):
        a, b = random_codes(rng, (m, k), np.uint8), random_codes(rng, (k, n), np.int8)
        agree("matmul_integer", a, b)
        agree("matmul_integer", a, b, random_codes(rng, m, np.uint8), 5)


@LEFT_TYPES
@pytest.mark.parametrize("k", [1152, 1153, 1216, 2305, 4160])
def test_pieces_of_long_rows(
    isa: str, agree: Any, rng: np.random.Generator, k: int, a_type: Any
) -> None:
    """Where strips of so many rows do not stay in the first cache, sums are begun and gone on
    with; blocks of rows end in tiles of every kind."""
    for m, n in [(255, 33), (256, 16), (257, 33), (289, 48), (450, 17), (515, 1)]:
        a, b = random_codes(rng, (m, k), a_type), random_codes(rng, (k, n), np.int8)
        acc = agree("matmul_integer", a, b, a_type(100))
        assert_bit_exact(ql.MatMulInteger(b)(a, a_type(100)), acc)
        agree("matmul_integer", a, b, random_codes(rng, m, a_type), np.int8(5))


@pytest.mark.parametrize(
    ("m", "k", "n"), [(1030, 3, 520), (599, 70, 911), (1060, 9, 2000), (1025, 512, 530)]
)
def test_results_beyond_the_caches(
    isa: str, agree: Any, rng: np.random.Generator, m: int, k: int, n: int
) -> None:
    """So many and so wide that they are computed row after row of tiles."""
    a, b = random_codes(rng, (m, k), np.int8), random_codes(rng, (k, n), np.int8)
    rows, columns = random_codes(rng, m, np.int8), random_codes(rng, n, np.int8)
    acc = agree("matmul_integer", a, b, rows, columns)
    assert_bit_exact(ql.MatMulInteger(b, columns)(a, rows), acc)
    assert_bit_exact(ql.MatMulInteger(b)(a, np.int8(-3)), agree("matmul_integer", a, b, -3))
    y_scale = output_scale(acc, 0.1 * 0.2)
    fixed: dict[str, Any] = {"bias": rng.integers(-99, 99, n, np.int32)}
    assert_mostly_free(agree("qlinear_matmul", a, 0.1, -3, b, 0.2, 5, y_scale, -3, **fixed))
    agree("qlinear_matmul", a, 0.1, rows, b, 0.2, columns, None, None, **fixed)


def test_results_past_the_caches(isa: str, rng: np.random.Generator) -> None:
    """Of more than 16 MB, which the definition takes long for: sums along both axes are compared,
    which any single wrong result changes."""
    a, b = random_codes(rng, (2100, 520), np.int8), random_codes(rng, (520, 2032), np.int8)
    exact_product, real_product = ql.MatMulInteger(b), ql.QLinearMatMul(b, 0.25, a_scale=1.0)
    for threads in (1, 2):
        with use_threads(threads):
            exact, real = exact_product(a), real_product(a)
        np.testing.assert_array_equal(exact.sum(1), a.astype(np.int64) @ b.sum(1, dtype=np.int64))
        np.testing.assert_array_equal(exact.sum(0), a.sum(0, dtype=np.int64) @ b.astype(np.int64))
        np.testing.assert_array_equal(real, exact * np.float32(0.25))


@LEFT_TYPES
@pytest.mark.parametrize(("m", "k"), [(64, 192), (64, 193), (100, 256), (161, 700), (300, 1300)])
def test_codes_of_many_tiles(
    isa: str, agree: Any, rng: np.random.Generator, a_type: Any, m: int, k: int
) -> None:
    """Several tiles down the rows, whose codes may be computed while the next one is multiplied:
    whole ones and rests of them, in both types, clipped or not."""
    za = a_type(np.mean(np.iinfo(a_type).max) // 2)
    for n in (16, 17, 32, 70):
        a, b = random_codes(rng, (m, k), a_type), random_codes(rng, (k, n), np.int8)
        y_scale = output_scale(reference.matmul_integer(a, b, za), 0.1 * 0.2)
        columns = rng.uniform(0.15, 0.25, n).astype(np.float32)
        bias = rng.integers(-5000, 5000, n).astype(np.int32)
        for zero_point, activation in ((np.uint8(128), None), (np.int8(0), "relu")):
            fixed: dict[str, Any] = {"bias": bias, "activation": activation}
            y = agree(
                "qlinear_matmul", a, 0.1, za, b, columns, np.int8(0), y_scale, zero_point, **fixed
            )
            if activation is None:
                assert_mostly_free(y)


# ---- one column or a few ------------------------------------------------------------------------


@given(
    m=st.integers(0, 20),
    k=st.integers(0, 200),
    n=st.integers(1, 5),
    gap=st.integers(0, 9),
    transposed=st.booleans(),
    types=st.tuples(st.sampled_from(BYTES), st.sampled_from(BYTES)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_product_with_few_columns(
    isa: str, agree: Any, m: int, k: int, n: int, gap: int, transposed: bool, types: Any, seed: int
) -> None:
    """Rows are read where they lie, with what is behind them, and so are columns."""
    rng = np.random.default_rng(seed)
    a = random_codes(rng, (k + gap, m) if transposed else (m, k + gap), types[0])
    a = a[:k].T if transposed else a[:, :k]
    b = random_codes(rng, (k, n + gap), types[1])[:, :n]
    za = types[0](rng.choice([0, 1, 77]))
    for zero_points in ((za, None), (za, b[0] if k else None)):
        acc = agree("matmul_integer", a, b, *zero_points)
        agree("matmul_integer", a, b[:, 0], za)
        assert_bit_exact(agree.prepared("MatMulInteger", b, zero_points[1])(a, za), acc)


@LEFT_TYPES
@TYPES
def test_results_of_few_columns(
    isa: str, agree: Any, rng: np.random.Generator, a_type: Any, b_type: Any
) -> None:
    """Every output, in the blocks that rows are taken in, with parameters of rows and without."""
    for m, k, n in [
        (1, 500, 1),
        (13, 66, 1),
        (256, 31, 1),
        (515, 196, 2),
        (300, 128, 4),
        (9000, 70, 1),
    ]:
        a, b = random_codes(rng, (m, k), a_type), random_codes(rng, (k, n), b_type)
        za, zb = a_type(np.mean(a)), b_type(np.mean(b))
        by_row = np.full(m, za) + np.arange(m, dtype=a_type) % 3
        agree("matmul_integer", a, b, by_row, zb)
        y_scale = output_scale(reference.matmul_integer(a, b, za, zb), 0.1 * 0.2) + np.float32(1)
        rows = rng.uniform(0.08, 0.12, m).astype(np.float32)
        fixed: dict[str, Any] = {"bias": np.int32(-70), "activation": (-3.0, 1e6)}
        for a_scale in (0.1, rows):
            args = a, a_scale, za, b, 0.2, zb
            agree("qlinear_matmul", *args, None, None, **fixed)
            agree("qlinear_matmul", *args, None, None, bias=0.25)
            for y in (
                (y_scale, np.uint8(128)),
                (y_scale, np.int8(5)),
                (9 * y_scale * rows, by_row),
            ):
                agree("qlinear_matmul", *args, *y, **fixed)


@pytest.mark.parametrize("k", [32768, 65793, 65794, 300_000])
def test_long_products_with_few_columns(isa: str, agree: Any, k: int) -> None:
    """Sums that need 64 bits on the way, and fit int32 in the end or do not."""
    a = np.full((9, k), 255, np.uint8)
    for n in (1, 3):
        b = np.full((k, n), -128, np.int8)
        b[: k // 2] = 127
        agree("matmul_integer", a, b)
        agree("matmul_integer", a, b, 1, 3)
    if k > 65793:
        with pytest.raises(OverflowError):
            ql.matmul_integer(a, np.full((k, 1), -128, np.int8))


# ---- operands that come with the call -----------------------------------------------------------

# Operands given with the call: few rows are multiplied with them as they lie, in ranges of 2048
# columns; more rows by panels of 64 columns and up, which are slices of K where that is deep and
# the operand is more than the caches; transposed ones are packed by columns.
GIVEN = [
    (1, 1030, 2100),
    (2, 3, 4100),
    (3, 67, 50),
    (4, 129, 2065),
    (5, 66, 2048),
    (8, 131, 2049),
    (9, 129, 70),
    (35, 4200, 257),
    (17, 2112, 513),
    (130, 4096, 97),
    (520, 40, 33),
]


@TYPES
@LEFT_TYPES
@pytest.mark.parametrize(("m", "k", "n"), GIVEN)
def test_given_operands(
    isa: str, agree: Any, rng: np.random.Generator, m: int, k: int, n: int, a_type: Any, b_type: Any
) -> None:
    a, b = random_codes(rng, (m, k), a_type), random_codes(rng, (k, n), b_type)
    za = random_codes(rng, (m,) if m % 2 else (), a_type)
    zb = random_codes(rng, (n,) if n % 2 else (), b_type)
    agree("matmul_integer", a, b, za, zb)
    agree("matmul_integer", a, b)
    agree("matmul_integer", a, np.asfortranarray(b))
    agree("matmul_integer", a, np.flip(b, 1), za, zb)
    bias = rng.integers(-1000, 1000, n, np.int32)
    agree("qlinear_matmul", a, 0.1, za, b, 0.2, zb, np.float32(k), np.uint8(99), bias=bias)


@pytest.mark.parametrize("b_type", BYTES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("k", interesting_sizes(32, 128))
def test_packing_in_either_order(
    isa: str, agree: Any, rng: np.random.Generator, k: int, order: Any, b_type: Any
) -> None:
    """Prepared weights: rows or columns that are contiguous, and zero points that need the sums."""
    b = np.array(random_codes(rng, (k, 83), b_type), order=order)
    a = random_codes(rng, (3, k), np.int8)
    za, zb = np.int8(-5), random_codes(rng, (83,), b_type)
    assert_bit_exact(ql.MatMulInteger(b, zb)(a, za), reference.matmul_integer(a, b, za, zb))


@LEFT_TYPES
@TYPES
def test_extremes(isa: str, agree: Any, a_type: Any, b_type: Any) -> None:
    """Where 16-bit lanes and saturating instructions go wrong."""
    ends = [np.iinfo(a_type).min, np.iinfo(a_type).max, 0]
    for k in interesting_sizes(4, 64, 600):
        lefts, rights = extreme_codes((14, k), a_type), extreme_codes((k, 33), b_type)
        for a in lefts.values():
            for b in rights.values():
                for za in ends:
                    zb = np.iinfo(b_type).max if za else np.iinfo(b_type).min
                    agree("matmul_integer", a, b, a_type(za))
                    agree("matmul_integer", a, b, a_type(za), b_type(zb))
