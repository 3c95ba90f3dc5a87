"""`Observer`: the same bits for any partition and order, bounded memory, defined results."""

from __future__ import annotations

import copy
import io
import pickle
import tracemalloc
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib.calibration import METHODS, SEARCHES

BATCHED = ("moving_average", "removal_outlier")
ARRAYS = hnp.arrays(
    np.float64,
    st.integers(0, 40),
    elements=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9).map(float),
)


def observed(*batches: np.ndarray, **keywords: object) -> ql.Observer:
    observer = ql.Observer(**keywords)
    for batch in batches:
        observer.update(batch)
    return observer


def merged_in_a_tree(observers: list[ql.Observer]) -> ql.Observer:
    while len(observers) > 1:
        pairs = [observers[i : i + 2] for i in range(0, len(observers), 2)]
        for pair in pairs:
            if len(pair) == 2:
                pair[0].merge(pair[1])
        observers = [pair[0] for pair in pairs]
    return observers[0]


DATA = {
    "student": np.random.default_rng(0).standard_t(2, 20_000).astype(np.float32),
    "float64": np.random.default_rng(1).standard_normal(5_000),
    "integers": np.random.default_rng(2).integers(-300, 300, 9_000),
    "all magnitudes": np.ldexp(1.5, np.random.default_rng(3).integers(-140, 120, 5_000)).astype(
        np.float32
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_one_seven_and_a_thousand_batches_give_identical_parameters(name: str) -> None:
    x = DATA[name]
    whole = observed(x)
    shuffled = np.random.default_rng(9).permutation(x)
    several = [
        observed(*np.array_split(x, 7)),
        observed(*np.array_split(x, 1000)),
        observed(*np.array_split(shuffled, 7)[::-1]),
        merged_in_a_tree([observed(part) for part in np.array_split(shuffled, 23)]),
    ]
    for other in several:
        assert other == whole
        assert (other.mean, other.variance) == (whole.mean, whole.variance)
        assert other.histograms == whole.histograms
        for method in SEARCHES:
            for symmetric in (False, True):
                assert other.params(method, "int8", symmetric) == whole.params(
                    method, "int8", symmetric
                )


@settings(max_examples=60, deadline=None)
@given(ARRAYS, st.data())
def test_any_partition_and_order(x: np.ndarray, data: st.DataObject) -> None:
    shuffled = x[data.draw(st.permutations(range(x.size)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, x.size), max_size=4)))
    parts = np.split(shuffled, cuts)
    assert merged_in_a_tree([observed(part) for part in parts]) == observed(x)
    assert observed(*parts) == observed(x)


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 4)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.data(),
)
def test_channels_equal_observers_of_their_own(x: np.ndarray, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(x)))
    observer = observed(x[:cut], x[cut:], axis=-1)
    for channel in range(x.shape[1]):
        alone = observed(x[:cut, channel], x[cut:, channel])
        assert observer.histograms[channel] == alone.histograms[0]
        for field in ("count", "minimum", "maximum", "mean", "variance", "batches"):
            assert getattr(observer, field)[channel] == getattr(alone, field)
        assert [end[channel] for end in observer.moving_average] == [*alone.moving_average]


@given(ARRAYS.filter(lambda x: x.size > 0))
def test_moments_are_exact(x: np.ndarray) -> None:
    values = [Fraction(v) for v in x.tolist()]
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    observer = observed(x)
    assert observer.mean == float(mean)
    if variance < Fraction(np.finfo(np.float64).max):
        assert observer.variance == float(variance)
    else:
        assert observer.variance == np.inf


def test_range_grows_by_ten_to_the_thirty() -> None:
    """Every step widens the bins; the state stays what the whole data gives, and as small."""
    steps = [np.linspace(-0.5, 1, 1000) * 10.0**k for k in range(-15, 16)]
    growing, shrinking = observed(*steps), observed(*steps[::-1])
    assert growing == shrinking == observed(np.concatenate(steps))
    assert len(pickle.dumps(growing)) < 80_000
    assert growing.maximum == 1e15
    assert np.isfinite(growing.params("mse").scale)


def test_a_thousand_million_values() -> None:
    """Streamed through one buffer, the last batch of another size, in the memory of one batch."""
    eighths = np.arange(-1250, 1250, dtype=np.float32) / 8
    buffer = np.tile(eighths, 4000)
    observer = ql.Observer()
    tracemalloc.start()
    try:
        for _ in range(99):
            observer.update(buffer)
        observer.update(buffer[:7_000_000])
        observer.update(buffer[:3_000_000])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert len(pickle.dumps(observer)) < 80_000
    assert (observer.count, observer.batches) == (10**9, 101)
    assert (observer.minimum, observer.maximum) == (-1250 / 8, 1249 / 8)
    assert observer.mean == -0.5 / 8
    assert observer.variance == float(Fraction(2500**2 - 1, 12 * 64))
    (histogram,) = observer.histograms
    assert histogram.zeros == 400_000
    assert {*histogram.counts[histogram.counts > 0].tolist()} == {400_000}
    assert observer.params("mse") == observed(eighths).params("mse")


def test_far_more_values() -> None:
    """Counts of 2**30 and 2**60, by merging an observer with itself, are exact."""
    x = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)
    one = observed(x)
    many = copy.deepcopy(one)
    for _ in range(10):
        many.merge(copy.deepcopy(many))
    assert many.count == 1 << 30
    assert many.mean == one.mean
    assert many.variance == one.variance
    assert many.params("kl") == one.params("kl")
    for _ in range(30):
        many.merge(copy.deepcopy(many))
    assert many.count == 1 << 60
    assert many.params("mse") == one.params("mse")
    assert len(pickle.dumps(many)) < 80_000


def test_a_last_batch_of_another_size() -> None:
    x = np.random.default_rng(0).standard_normal((70, 3, 5))
    whole = observed(x, axis=1)
    assert observed(x[:32], x[32:64], x[64:], axis=1) == whole
    assert observed(x[:64], x[64:], x[:0], axis=1) == whole


def test_not_a_number_and_infinity() -> None:
    clean = np.random.default_rng(0).standard_normal(1000)
    dirty = np.insert(clean, [3, 500, 999], [np.nan, np.inf, -np.inf])
    observer = observed(clean)
    before = pickle.dumps(observer)
    with pytest.raises(ValueError, match="x holds nan"):
        observer.update(dirty)
    assert pickle.dumps(observer) == before
    ignoring = observed(dirty, np.array([np.nan]), nonfinite="ignore")
    assert (ignoring.nonfinite_count, ignoring.count, ignoring.batches) == (4, 1000, 1)
    for method in METHODS:
        assert ignoring.params(method) == observer.params(method)
    assert observed(np.array([np.nan]), clean, nonfinite="ignore").params(
        "moving_average"
    ) == observer.params("moving_average")


class TestBatchMethods:
    """What depends on the batches."""

    def test_moving_average(self) -> None:
        """The first value, then a constant: the loop of the training literature."""
        batches = [np.array([-1.0, k, 2.0 * k]) for k in (1, 5, 2, 9)]
        low, high = -1.0, 2.0
        for batch in batches[1:]:
            low += 0.1 * (batch.min() - low)
            high += 0.1 * (batch.max() - high)
        observer = observed(*batches, averaging_constant=0.1)
        assert [float(end) for end in observer.moving_average] == [low, high]
        expected = ql.QuantParams.from_range(low, high, "uint8")
        assert observer.params("moving_average", "uint8") == expected

    def test_order_shows(self) -> None:
        a, b = np.array([-1.0, 1.0]), np.array([-4.0, 4.0])
        assert observed(a, b).params("moving_average") != observed(b, a).params("moving_average")
        assert observed(a, b).params("removal_outlier") == observed(b, a).params("removal_outlier")

    def test_merged_averages_continue(self) -> None:
        rng = np.random.default_rng(0)
        batches = [rng.standard_normal(50) * k for k in range(1, 9)]
        together = observed(*batches)
        one, other = observed(*batches[:3]), observed(*batches[3:])
        one.merge(other)
        np.testing.assert_allclose(one.moving_average, together.moving_average, rtol=1e-14)
        assert one.batches == 8
        assert one.params("removal_outlier") == together.params("removal_outlier")
        step_by_step = observed(batches[0])
        for batch in batches[1:]:
            step_by_step.merge(observed(batch))
        assert step_by_step.moving_average == together.moving_average

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize(
        "kind",
        ["gaussian", "relu", "relu6", "integers", "edges", "negative", "mostly zeros", "constant",
         "one outlier", "tiny"],
    )  # fmt: skip
    def test_removal_outlier(self, kind: str, dtype: type) -> None:
        """Against sorting, as MindSpore Lite does: ranks int(0.0001 n) and int(0.9999 n)."""
        rng = np.random.default_rng(0)
        make = {
            "gaussian": lambda n: rng.standard_normal(n),
            "relu": lambda n: np.maximum(rng.standard_normal(n), 0),
            "integers": lambda n: rng.integers(-50, 50, n),
            "relu6": lambda n: np.clip(rng.normal(0, 6, n), 0, 6),
            "edges": lambda n: np.append(rng.integers(-50, 50, n - 1) / 4, 0.1),
            "constant": lambda n: np.full(n, 0.1),
            "one outlier": lambda n: np.append(rng.standard_normal(n - 1), -1e9),
            "tiny": lambda n: rng.standard_normal(n) * 1e-43,
            "negative": lambda n: -rng.exponential(size=n),
            "mostly zeros": lambda n: rng.standard_normal(n) * (rng.random(n) < 1e-4),
        }[kind]
        batches = [make(n).astype(dtype) for n in (7, 9_999, 10_000, 10_001, 60_000)]
        batches[-1][11] = np.nan
        ends = []
        for batch in batches:
            ordered = np.sort(batch[np.isfinite(batch)]).astype(np.float64)
            ranks = int(0.0001 * ordered.size), int(0.9999 * ordered.size)
            ends.append([Fraction(ordered[rank]) for rank in ranks])
        low, high = (float(sum(column) / len(ends)) for column in zip(*ends, strict=True))
        observer = observed(*batches, nonfinite="ignore")
        assert observer.params("removal_outlier") == ql.QuantParams.from_range(low, high)
        channels = observed(
            *(batch[:, np.newaxis] for batch in batches), axis=1, nonfinite="ignore"
        )
        assert (
            channels.params("removal_outlier").scale[0] == observer.params("removal_outlier").scale
        )


class TestCopies:
    """Pickling, copying, saving and loading."""

    def example(self) -> ql.Observer:
        x = np.random.default_rng(0).standard_normal((30_000, 2)) * [1e-20, 3.0]
        return observed(x[:100], x[100:], axis=1, averaging_constant=0.25, nonfinite="ignore")

    def same(self, one: ql.Observer, other: ql.Observer) -> None:
        assert one == other
        for method in METHODS:
            assert one.params(method) == other.params(method)
        for observer in (one, other):
            observer.update(np.array([[1.0, 9.0]]))
        assert [*map(np.ndarray.tolist, one.moving_average)] == [
            *map(np.ndarray.tolist, other.moving_average)
        ]

    def test_pickle_and_copy(self) -> None:
        self.same(self.example(), pickle.loads(pickle.dumps(self.example())))
        original = self.example()
        twin = copy.deepcopy(original)
        twin.update(np.ones((1, 2)))
        assert twin != original
        self.same(original, self.example())

    def test_save(self, tmp_path: Path) -> None:
        path = tmp_path / "observer"
        self.example().save(path)
        assert [*tmp_path.iterdir()] == [path]
        self.same(self.example(), ql.Observer.load(path))
        self.same(self.example(), ql.Observer.load(str(path)))
        stream = io.BytesIO()
        self.example().save(stream)
        stream.seek(0)
        self.same(self.example(), ql.Observer.load(stream))

    def test_save_without_axis(self) -> None:
        stream = io.BytesIO()
        observed(np.zeros(3)).save(stream)
        stream.seek(0)
        assert ql.Observer.load(stream) == observed(np.zeros(3))

    def test_nothing_to_save(self) -> None:
        with pytest.raises(ValueError, match="seen no batch"):
            ql.Observer().save(io.BytesIO())

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            ql.Observer.load(tmp_path / "none")

    @pytest.mark.parametrize(
        "changes",
        [
            {"format": np.array(2)},
            {"format": np.array("one")},
            {"axis": np.array([0, 1])},
            {"averaging_constant": np.array(7.0)},
            {"nonfinite": np.array("drop")},
            {"statistics.counts": np.zeros((2, 10), np.int64)},
            {"statistics.counts": np.zeros((2, 8192), np.float64)},
            {"statistics.counts": np.full((2, 8192), -1, np.int64)},
            {"statistics.exponent": np.array([5, 5], np.int32)},
            {"statistics.minimum": np.array([0.0, np.nan])},
            {"statistics.maximum": np.array([0.0, np.inf])},
            {"statistics.zeros": np.array([-1, 0])},
            {"statistics.nonfinite": np.array([-1, 0])},
            {"statistics.squares": np.zeros((2, 134), np.uint32)},
            {"statistics.sum": np.zeros((1, 68), np.uint32)},
            {"batches.batches": np.array([-1, 1])},
            {"batches.low": np.array([np.nan, 1.0])},
            {"batches.lower": np.zeros((2, 3), np.uint32)},
            {"statistics.counts": None},
            {"batches.high": None},
            {"other.high": np.zeros(3)},
        ],
        ids=str,
    )
    def test_damaged_files(self, changes: dict[str, np.ndarray | None]) -> None:
        stream = io.BytesIO()
        self.example().save(stream)
        stream.seek(0)
        arrays = dict(np.load(stream)) | changes
        damaged = io.BytesIO()
        np.savez(damaged, **{name: array for name, array in arrays.items() if array is not None})
        damaged.seek(0)
        with pytest.raises(ValueError, match="file holds no saved Observer"):
            ql.Observer.load(damaged)

    def test_other_files(self) -> None:
        stream = io.BytesIO()
        self.example().save(stream)
        whole = stream.getvalue()
        array, objects, empty = io.BytesIO(), io.BytesIO(), io.BytesIO()
        np.save(array, np.zeros(3))
        np.savez(objects, format=np.array([{}], object))
        zipfile.ZipFile(empty, "w").close()
        contents = [b"", b"text", whole[:2000], array.getvalue(), objects.getvalue()]
        contents += [empty.getvalue(), whole[:500] + bytes(50) + whole[550:]]
        for content in contents:
            with pytest.raises(ValueError, match="file holds no saved Observer"):
                ql.Observer.load(io.BytesIO(content))


class TestErrors:
    """What cannot be observed, merged or asked."""

    def test_batches_that_do_not_fit(self) -> None:
        observer = observed(np.ones((2, 3)), axis=1)
        for other in (np.ones((2, 4)), np.ones((2, 3, 1))):
            with pytest.raises(ValueError, match="different \\(dimensions, channels\\)"):
                observer.update(other)
        with pytest.raises(ValueError, match="data of 1 dimensions has no such axis"):
            observer.update(np.ones(3))
        assert observer == observed(np.ones((2, 3)), axis=1)

    def test_observers_that_do_not_fit(self) -> None:
        observer = observed(np.ones((2, 3)), axis=1)
        for keywords in ({}, {"axis": 0}, {"axis": 1, "averaging_constant": 0.5}):
            with pytest.raises(ValueError, match="they must be"):
                observer.merge(observed(np.ones((2, 3)), **keywords))
        with pytest.raises(ValueError, match="different"):
            observer.merge(observed(np.ones((2, 4)), axis=1))
        with pytest.raises(TypeError, match="other must be an Observer"):
            observer.merge(np.ones((2, 3)))
        observer.merge(ql.Observer(axis=1))
        assert observer == observed(np.ones((2, 3)), axis=1)

    def test_nothing_seen(self) -> None:
        for ask in (
            lambda o: o.count,
            lambda o: o.mean,
            lambda o: o.histograms,
            lambda o: o.moving_average,
        ):
            with pytest.raises(ValueError, match="seen no batch"):
                ask(ql.Observer())
        for observer in (ql.Observer(), observed(np.zeros(0)), observed(np.zeros((2, 0)), axis=1)):
            for method in METHODS:
                with pytest.raises(ValueError, match="x holds no values"):
                    observer.params(method)
            with pytest.raises(ValueError, match="x holds no values"):
                observer.percentile()
            with pytest.raises(ValueError, match="x holds no values"):
                observer.compare()
        with pytest.raises(ValueError, match="channel 0 of x holds no finite values"):
            observed(np.full((2, 2), np.nan), axis=1, nonfinite="ignore").params("mse")

    @pytest.mark.parametrize(
        ("error", "message", "arguments"),
        [
            (TypeError, "axis must be an integer", {"axis": 0.5}),
            (TypeError, "averaging_constant must be a number", {"averaging_constant": "x"}),
            (ValueError, "averaging_constant is nan;", {"averaging_constant": float("nan")}),
            (ValueError, "nonfinite is 'drop'", {"nonfinite": "drop"}),
        ],
    )
    def test_arguments(self, error: type[Exception], message: str, arguments: dict) -> None:
        with pytest.raises(error, match=message):
            ql.Observer(**arguments)

    def test_data(self) -> None:
        for x in (np.array([True]), np.array([1j]), None, "text"):
            with pytest.raises(TypeError, match="x must be"):
                ql.Observer().update(x)


def test_percentile_of_channels() -> None:
    x = np.random.default_rng(0).standard_normal((5000, 3)) * [1.0, 10.0, 0.0]
    answer = observed(x, axis=1).percentile(99.0, "upper")
    for channel in range(3):
        alone = observed(x[:, channel]).percentile(99.0, "upper")
        assert [field[channel] for field in answer] == [*alone]


def test_repr() -> None:
    assert repr(ql.Observer()) == "<Observer axis=None: nothing yet>"
    text = repr(observed(np.array([[-1.0, 2.5]]), axis=1))
    assert text == "<Observer axis=1: 2 values from -1 to 2.5>"


def test_equality() -> None:
    assert observed(np.ones(3)) != observed(np.ones(4))
    assert observed(np.ones(3)) != ql.Observer()
    assert ql.Observer() == ql.Observer()
    assert ql.Observer() != ql.Observer(axis=0)
    assert ql.Observer() != "observer"
    with pytest.raises(TypeError, match="unhashable"):
        hash(ql.Observer())


class TestCompare:
    """All methods side by side."""

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_expected_errors_are_those_of_the_data(self, symmetric: bool) -> None:
        rng = np.random.default_rng(0)
        x = rng.laplace(size=(40_000, 2)) * [1.0, 3.0]
        for observer, axis in ((observed(x), None), (observed(x, axis=1), 1)):
            for row in observer.compare("int6", symmetric).rows:
                assert row.params.axis == axis
                error = (x - ql.fake_quantize(x, row.params)) ** 2
                assert row.error == pytest.approx(error.mean(), rel=0.02)
                assert row.error == pytest.approx(row.rounding + row.clipping)
                codes = ql.quantize(x, row.params)
                inside = ql.dequantize(codes, row.params)
                span = ql.dequantize(np.array([[-32, -32], [31, 31]], np.int8), row.params)
                beyond = (x < span[0]) | (x > span[1])
                clipping = np.sum(((x - inside) ** 2)[beyond]) / x.size
                assert row.clipping == pytest.approx(clipping, rel=0.1, abs=1e-7)
                assert row.sqnr == pytest.approx(10 * np.log10(np.mean(x**2) / row.error))

    def test_rows(self) -> None:
        report = observed(np.random.default_rng(0).standard_normal(9000)).compare("uint8")
        names = [row.method for row in report.rows]
        assert {*names} == {*METHODS} - {"lp"} | {"kl, tensorrt", "kl, mindspore_lite"}
        assert min(report.rows, key=lambda row: row.error).method == "mse"
        assert report.rows[0].method == "minmax"
        assert report.rows[0].clipping < 1e-4 * report.rows[0].error  # the zero point is rounded

    def test_table(self) -> None:
        text = str(observed(np.array([-1.0, 0.25, 1.0])).compare("int8", True))
        lines = text.splitlines()
        assert lines[0].split() == [
            "method",
            "low",
            "high",
            "error",
            "rounding",
            "clipping",
            "SQNR",
        ]
        assert len({len(line) for line in lines}) == 1
        assert lines[1].startswith("minmax")

    def test_zeros_have_no_error(self) -> None:
        for row in observed(np.zeros(5)).compare().rows:
            assert (row.error, row.clipping) == (0, 0)
            assert np.isnan(row.sqnr)

    def test_plot(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="pictures are the extra `plot`")
        report = observed(np.random.default_rng(0).standard_normal((500, 2)), axis=1).compare(
            "int4"
        )
        figure = report.plot(tmp_path / "picture.png", channel=1)
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
        top, bottom = figure.axes
        labels = [label.get_text() for label in bottom.get_yticklabels()]
        assert labels == [row.method for row in report.rows]
        codes = bottom.lines[0].get_xdata()
        assert len(codes) == 16
        assert float(codes[-1]) == pytest.approx(
            7 * float(report.rows[0].params.scale[1])
            - float(report.rows[0].params.scale[1]) * int(report.rows[0].params.zero_point[1])
        )
        assert len(top.lines) == 2 * len(report.rows)
        with pytest.raises(IndexError):
            report.plot(channel=2)
