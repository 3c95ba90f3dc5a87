"""Encodings: against bit strings written out in Python, and back, for codes of every width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlib.encoding import (
    Encoded,
    decode,
    decode_entropy,
    decode_indexed,
    decode_packed,
    decode_sparse,
    encode,
    encode_entropy,
    encode_indexed,
    encode_packed,
    encode_sparse,
)
from quantlib.encoding.choice import ENCODINGS
from quantlib.encoding.definition import decode_segment, encode_segment
from quantlib.encoding.entropy import Table, scaled_frequencies, spread_symbols
from quantlib.encoding.fields import cut_bits, join_bits, pack_fields, unpack_fields
from quantlib.encoding.indexed import indexed_size
from quantlib.encoding.packed import packed_size
from quantlib.encoding.sparse import sparse_size
from quantlib.encoding.varint import pack_varints, unpack_varints
from thread_counts import use_threads

EVERY_WIDTH = range(1, 17)


@st.composite
def codes_and_bits(draw: st.DrawFn, least: int = 1) -> tuple[np.ndarray, int]:
    """Codes of some width, many of them alike or not, of one to three dimensions."""
    bits = draw(st.sampled_from(EVERY_WIDTH))
    limit = 1 << (bits - 1)
    low = draw(st.integers(-limit, limit - 1))
    values = st.integers(low, draw(st.integers(low, limit - 1)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=least, max_side=12))
    fill = draw(st.one_of(st.just(st.nothing()), st.just(values)))
    return draw(hnp.arrays(np.int16, shape, elements=values, fill=fill)), bits


def gaussian(bits: int, count: int, seed: int = 0) -> np.ndarray:
    """Codes as weights have them."""
    limit = 1 << (bits - 1)
    reals = np.random.default_rng(seed).standard_normal(count) * limit / 4 - 0.5
    return np.rint(reals).clip(-limit, limit - 1).astype(np.int16)


# --- fields -------------------------------------------------------------------------------------


def bits_of(number: int, width: int, order: str) -> str:
    text = format(number, f"0{width}b")[-width:] if width else ""
    return text if order == "msb" else text[::-1]


def bytes_of(bits: str, order: str) -> list[int]:
    padded = bits + "0" * (-len(bits) % 8)
    parts = [padded[i : i + 8] for i in range(0, len(padded), 8)]
    return [int(part if order == "msb" else part[::-1], 2) for part in parts]


@pytest.mark.parametrize("order", ["lsb", "msb"])
@pytest.mark.parametrize("width", range(17))
def test_fields_are_the_bits_in_a_row(width: int, order: Any) -> None:
    rng = np.random.default_rng(width)
    for count in (0, 1, 7, 8, 9, 50):
        numbers = rng.integers(0, 1 << width, count)
        data = pack_fields(numbers, width, order)
        assert data.tolist() == bytes_of(
            "".join(bits_of(n, width, order) for n in numbers.tolist()), order
        )
        np.testing.assert_array_equal(unpack_fields(data, width, count, order), numbers)


@pytest.mark.parametrize("width", [3, 11])
def test_fields_of_several_groups(width: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << width, 3 * 8 * 8192 + 5)
    for order in ("lsb", "msb"):
        data = pack_fields(numbers, width, order)
        np.testing.assert_array_equal(unpack_fields(data, width, numbers.size, order), numbers)


@given(st.lists(st.tuples(st.text("01", max_size=40)), max_size=6))
def test_joined_bits_can_be_cut(parts: list[tuple[str]]) -> None:
    texts = [text for (text,) in parts]
    arrays = [(np.array(bytes_of(text, "msb"), np.uint8), len(text)) for text in texts]
    joined = join_bits(arrays)
    assert joined.tolist() == bytes_of("".join(texts), "msb")
    start = 0
    for (array, bits), text in zip(arrays, texts, strict=True):
        cut = cut_bits(joined, start, bits)
        mask = 0xFF << (-bits % 8) & 0xFF
        assert (cut[:-1].tolist(), [int(b) & mask for b in cut[-1:]]) == (
            array[:-1].tolist(), array[-1:].tolist(),
        )  # fmt: skip
        start += len(text)


@given(st.lists(st.integers(0, 2**42 - 1), max_size=20))
def test_varints(numbers: list[int]) -> None:
    packed = pack_varints(np.array(numbers, np.int64))
    assert packed.size == sum(max(1, -(-n.bit_length() // 7)) for n in numbers)
    found, end = unpack_varints(np.concatenate([[255], packed, [7]]).astype(np.uint8), 1,
                                len(numbers))  # fmt: skip
    assert (found.tolist(), end) == (numbers, 1 + packed.size)


# --- known bytes --------------------------------------------------------------------------------


def test_packed_examples() -> None:
    """-4, -1, 0, 3, 1 plus 4 are 0, 3, 4, 7, 5: from the lowest bit, 000 110 001 111 101."""
    assert encode_packed([-4, -1, 0, 3, 1], 3).tolist() == [0b00011000, 0b01011111] == [24, 95]
    assert encode_packed([-16, 0, 15], 5).tolist() == [0, 126]
    assert encode_packed([-512, 511, 1], 10).view("<u2").tolist() == [64512, 8223]
    assert encode_packed([-1, 0, 0, -1, 0], 1).tolist() == [0b10110]
    assert encode_packed([-128, 127], 8).tolist() == [128, 127]
    assert encode_packed([-2, 258], 16).tolist() == [254, 255, 2, 1]


def test_indexed_example() -> None:
    """Two distinct codes of 4 bits, -8 and 7, stored as 0 and 15; then a bit for each code."""
    assert encode_indexed([7, -8, -8, 7], 4).tolist() == [0b00100000, 0b11111001]
    assert encode_indexed([-1] * 9, 2).tolist() == [0b01010000]  # one code, places of no bits
    assert encode_indexed([-1, 0], 1).tolist() == [0b00101000]  # 2 of 1 bit: 0


def test_sparse_example() -> None:
    """c = 2, one listed code, two distinct ones: 0 and 1, stored as 2 and 3; place 1, distance 3"""
    text = "00000010" + format(1, "032b") + "10" + "10" + "11" + "1" + "11"
    assert encode_sparse([0, 0, 0, 1, 0, 0], 2).tolist() == bytes_of(text, "msb")
    # With two bits a gap of 5 takes a filler, a listed 0: distances 3 and 1.
    text = "00000010" + format(6, "032b") + "10" + "10" + "11" + "111101" + "00" * 4 + "1101"
    assert encode_sparse([1] * 4 + [0] * 5 + [1], 2).tolist() == bytes_of(text, "msb")
    assert encode_sparse([5] * 9, 4, 5).tolist() == [2, 0, 0, 0, 0, 0b00011101]


def test_sizes_of_the_specification() -> None:
    assert indexed_size(1000, 8, 16) == 517
    assert packed_size(1000, 8) == 1000
    codes = np.arange(1000) % 16
    assert encode_indexed(codes, 8).size == 517
    assert encode(codes, 8).encoding == "indexed"


# --- sizes --------------------------------------------------------------------------------------


def listed_with(codes: list[int], zero: list[int], width: int) -> int:
    """How many codes are listed, one by one."""
    listed, before = 0, -1
    for place, (code, empty) in enumerate(zip(codes, zero, strict=True)):
        while code != empty and place - before - 1 >= 1 << width:
            before += 1 << width
            listed += 1
        if code != empty:
            listed, before = listed + 1, place
    return listed


@given(codes_and_bits(), st.data())
def test_sizes_are_those_of_the_formulas(pair: tuple[np.ndarray, int], data: st.DataObject) -> None:
    codes, bits = pair
    distinct = len(set(codes.reshape(-1).tolist()))
    narrow = math.ceil(math.log2(distinct))
    n = codes.size
    assert encode_packed(codes, bits).size == packed_size(n, bits)
    assert packed_size(n, bits) == -(-n * bits // 8) + (-(-n * bits // 8) % 2 if bits > 8 else 0)
    size = indexed_size(n, bits, distinct)
    assert encode_indexed(codes, bits).size == size
    assert size == math.ceil((bits + bits * distinct + narrow * n) / 8)
    zero = data.draw(st.sampled_from(sorted(set(codes.reshape(-1).tolist()))))
    listed = {c: listed_with(codes.reshape(-1).tolist(), [zero] * n, c) for c in range(2, 11)}
    width = min(listed, key=lambda c: listed[c] * (c + narrow))
    size = math.ceil((8 + 32 + bits + bits * distinct + (narrow + width) * listed[width]) / 8)
    assert encode_sparse(codes, bits, zero).size == size
    assert sparse_size(listed[width], bits, distinct, width) == size


@pytest.mark.parametrize("bits", EVERY_WIDTH)
def test_the_fewest_bytes_win(bits: int) -> None:
    for count, levels in ((4000, 1 << bits), (4000, 3), (3, 4)):
        limit = 1 << (bits - 1)
        rng = np.random.default_rng(bits)
        codes = rng.integers(-limit, limit, min(levels, 1 << bits))[
            rng.integers(0, min(levels, 1 << bits), count)
        ]
        codes[rng.random(count) < 0.95 * (levels == 4)] = codes[0]
        found = encode(codes, bits, codes[0], encodings=ENCODINGS)
        sizes = {
            name: encode(codes, bits, codes[0], encodings=[name]).data.size for name in ENCODINGS
        }
        assert found.data.size == min(sizes.values())


def test_each_encoding_wins_somewhere() -> None:
    rng = np.random.default_rng(0)
    even = rng.integers(-128, 128, 5000)
    few = rng.choice([-100, 3, 90], 5000)
    rare = np.where(rng.random(5000) < 0.01, rng.integers(-128, 128, 5000), 0)
    assert [encode(codes, 8).encoding for codes in (even, few, rare)] == [*ENCODINGS[:3]]
    assert encode(gaussian(8, 5000), 8, encodings=ENCODINGS).encoding == "entropy"


# --- there and back -----------------------------------------------------------------------------


@given(codes_and_bits(), st.data())
def test_round_trips(pair: tuple[np.ndarray, int], data: st.DataObject) -> None:
    codes, bits = pair
    zero: Any = data.draw(st.sampled_from([0, int(codes.flat[0]), "channels"]))
    if zero == "channels":
        zero = codes[..., :1]
    for name in ENCODINGS:
        encoded = encode(codes, bits, zero, encodings=[name], max_segments=3)
        assert (encoded.encoding, encoded.bits, encoded.shape) == (name, bits, codes.shape)
        back = decode(encoded, zero)
        assert back.dtype == (np.int8 if bits <= 8 else np.int16)
        np.testing.assert_array_equal(back, codes)


@pytest.mark.parametrize("bits", EVERY_WIDTH)
def test_round_trips_of_all_codes_there_are(bits: int) -> None:
    limit = 1 << (bits - 1)
    codes = np.arange(-limit, limit)
    codes = np.concatenate([codes, codes[::-1], codes[:3]])
    for name in ENCODINGS[: 3 if bits == 16 else 4]:
        encoded = encode(codes, bits, -limit, encodings=[name])
        np.testing.assert_array_equal(decode(encoded, -limit), codes)


@pytest.mark.parametrize("bits", EVERY_WIDTH)
def test_round_trips_of_many(bits: int) -> None:
    codes = gaussian(bits, 300_001)
    for name in ENCODINGS:
        encoded = encode(codes, bits, encodings=[name], max_segments=4)
        np.testing.assert_array_equal(decode(encoded), codes)


def test_nothing() -> None:
    for bits in EVERY_WIDTH:
        encoded = encode(np.zeros((0, 3), np.int8), bits, encodings=["entropy", "packed"])
        assert (encoded.encoding, encoded.data.size) == ("packed", 0)
        assert decode(encoded).shape == (0, 3)
    for encoder in (encode_indexed, encode_sparse, encode_entropy):
        with pytest.raises(ValueError, match="there is nothing to encode"):
            encoder([], 4)


def test_inputs_stay_and_may_be_strided() -> None:
    codes = gaussian(6, 4000).reshape(50, 80)
    strided = codes[::2, ::-3]
    strided.setflags(write=False)
    for name in ENCODINGS:
        encoded = encode(strided, 6, encodings=[name])
        again = decode(encoded)
        np.testing.assert_array_equal(again, strided)
        assert again.flags.writeable
        encoded.data.setflags(write=False)
        again[...] = 0
        np.testing.assert_array_equal(decode(encoded), strided)
        data = encoded.data.tobytes()
        if name != "sparse":
            by_name = {"packed": decode_packed, "indexed": decode_indexed,
                       "entropy": decode_entropy}[name]  # fmt: skip
            np.testing.assert_array_equal(by_name(data, 6, strided.size), strided.reshape(-1))


# --- the entropy coder --------------------------------------------------------------------------


@given(codes_and_bits())
@settings(max_examples=50)
def test_the_coder_is_the_definition(pair: tuple[np.ndarray, int]) -> None:
    codes, bits = pair
    flat = codes.reshape(-1)
    distinct, places, counts = np.unique(flat, return_inverse=True, return_counts=True)
    table = Table.of_counts(distinct, counts)
    state, written = encode_segment(places.tolist(), table)
    assert decode_segment(state, written, flat.size, table) == flat.tolist()
    text = "".join(map(str, written))
    data = encode_entropy(codes, bits)
    tail = len(bytes_of(text, "lsb"))
    assert data[data.size - tail :].tolist() == bytes_of(text, "lsb")
    numbers, end = unpack_varints(data, 0, 4 + 2 * distinct.size - 1 + 2)
    assert end == data.size - tail
    assert numbers.tolist() == [
        distinct.size, table.log, 1, int(distinct[0]) + (1 << (bits - 1)),
        *np.diff(distinct).tolist(), *table.frequencies.tolist(), state, len(written),
    ]  # fmt: skip


def test_the_definition_by_hand() -> None:
    """Symbols a and b with 3 and 1 of 4 states, a in states 4, 5 and 7, b in state 6. From state 4,
    b gives off two bits (4 >> 2 is its frequency, 1) and leads to 6. From there a gives off one bit
    (6 >> 1 is 3, its frequency) and leads to its first state, 4."""
    table = Table(np.array([10, 20]), np.array([3, 1]), np.array([0, 0, 1, 0]), 2)
    assert encode_segment([1], table) == (2, [0, 0])
    assert encode_segment([0, 1], table) == (0, [0, 0, 0])
    assert decode_segment(0, [0, 0, 0], 2, table) == [10, 20]
    for bits, message in (([0, 0], "before"), ([0, 0, 0, 0], "do not end")):
        with pytest.raises(ValueError, match=message):
            decode_segment(0, bits, 2, table)


@given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(1, 10**9)))
def test_frequencies(counts: np.ndarray) -> None:
    log = min(16, counts.size.bit_length() + 4)
    found = scaled_frequencies(counts, 1 << log)
    assert found.sum() == 1 << log
    assert found.min() >= 1
    symbols = spread_symbols(found, log)
    assert np.bincount(symbols, minlength=counts.size).tolist() == found.tolist()
    plain = np.maximum(1, np.floor(0.5 + counts * ((1 << log) / int(counts.sum()))))
    changed = np.flatnonzero(found != plain)
    if plain.max() > plain.sum() - (1 << log):  # then the most frequent one takes the difference
        assert set(changed.tolist()) <= {int(np.argmax(plain))}


def test_frequencies_of_nearly_as_many_symbols_as_states() -> None:
    counts = np.ones(60_000, np.int64)
    counts[:10] = 10**7
    found = scaled_frequencies(counts, 1 << 16)
    assert (found.sum(), found.min()) == (1 << 16, 1)


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_near_the_entropy(bits: int) -> None:
    """Within 1 % of the information in the codes, and the table. (Its frequencies are rounded:
    most of the excess.)"""
    codes = gaussian(bits, 400_000)
    distinct, counts = np.unique(codes, return_counts=True)
    share = counts / codes.size
    information = -np.sum(share * np.log2(share)) * codes.size / 8
    size = encode_entropy(codes, bits).size
    assert information <= size <= 1.01 * information + 4 * distinct.size + 20


def test_segments() -> None:
    codes = gaussian(7, 100_003)
    one = encode_entropy(codes, 7)
    for segments in (2, 7, 64, 1000):
        data = encode_entropy(codes, 7, segments)
        assert one.size < data.size < one.size + 8 * segments
        for count in (1, 2, 5):
            with use_threads(count):
                np.testing.assert_array_equal(decode_entropy(data, 7, codes.size), codes)
    more = encode_entropy(codes[:5], 7, 65535)
    np.testing.assert_array_equal(decode_entropy(more, 7, 5), codes[:5])


def test_one_code_takes_no_bits() -> None:
    data = encode_entropy(np.full(1_000_000, -3), 4)
    assert data.size <= 8
    assert np.all(decode_entropy(data, 4, 1_000_000) == -3)


# --- damage -------------------------------------------------------------------------------------


@given(codes_and_bits(), st.sampled_from(ENCODINGS), st.data())
@settings(max_examples=300)
def test_damage_is_refused_or_decoded(
    pair: tuple[np.ndarray, int], name: str, data: st.DataObject
) -> None:
    """Whatever the bytes are, codes come out, or ValueError."""
    codes, bits = pair
    encoded = encode(codes, bits, encodings=[name], max_segments=2)
    damaged = bytearray(encoded.data.tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["change", "cut", "add"]))
        if kind == "change" and damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del damaged[data.draw(st.integers(0, len(damaged))) :]
        else:
            damaged += data.draw(st.binary(max_size=5))
    array = np.frombuffer(bytes(damaged), np.uint8)
    try:
        back = decode(Encoded(name, array, bits, codes.shape))
    except ValueError:
        return
    assert back.shape == codes.shape
    assert back.min() >= -(1 << (bits - 1))
    assert back.max() < 1 << (bits - 1)


@given(st.binary(max_size=60), st.sampled_from(EVERY_WIDTH), st.sampled_from(ENCODINGS),
       st.integers(0, 300))  # fmt: skip
@settings(max_examples=300)
def test_noise_is_refused_or_decoded(data: bytes, bits: int, name: str, count: int) -> None:
    try:
        back = decode(Encoded(name, np.frombuffer(data, np.uint8), bits, (count,)))
    except ValueError:
        return
    assert back.shape == (count,)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_cut_and_every_lost_byte_is_found(name: str) -> None:
    codes = gaussian(5, 500)
    data = encode(codes, 5, encodings=[name]).data
    for size in range(data.size):
        with pytest.raises(ValueError, match="damaged"):
            decode(Encoded(name, data[:size], 5, codes.shape))
    with pytest.raises(ValueError, match="damaged"):
        decode(Encoded(name, np.append(data, np.uint8(0)), 5, codes.shape))


def test_entropy_finds_most_changes() -> None:
    codes = gaussian(6, 2000)
    data, found = encode_entropy(codes, 6), 0
    for place in range(data.size):
        changed = data.copy()
        changed[place] ^= 1 << place % 8
        try:
            found += not np.array_equal(decode_entropy(changed, 6, codes.size), codes)
        except ValueError:
            found += 1
    assert found == data.size


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_absurd_memory(name: str) -> None:
    """A few bytes that claim to be 2**40 codes."""
    data = encode(np.zeros(100, np.int8), 4, encodings=[name]).data
    with pytest.raises(ValueError, match="cannot hold"):
        decode(Encoded(name, data, 4, (1 << 20, 1 << 20)))


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: encode([1], 0), ValueError, "bits is 0; it must be from 1 to 16"),
        (lambda: encode([1], 17), ValueError, "bits is 17"),
        (lambda: encode([1], 4.0), TypeError, "bits must be"),
        (lambda: encode([8], 4), ValueError, "codes must be from -8 to 7"),
        (lambda: encode([-9], 4), ValueError, "codes must be from -8 to 7"),
        (lambda: encode([2**63], 16), ValueError, "codes must be from"),
        (lambda: encode([1.0], 4), TypeError, "codes must be integers, not float64"),
        (lambda: encode([1], 4, 0.5), TypeError, "zero_point must be integers"),
        (lambda: encode([1, 2], 4, [1, 2, 3]), ValueError, "does not broadcast"),
        (lambda: encode([1], 4, encodings="packed"), ValueError, "encodings is 'packed'"),
        (lambda: encode([1], 4, encodings=[]), ValueError, "encodings is"),
        (lambda: encode([1], 4, encodings=["zip"]), ValueError, "encodings is 'zip'"),
        (lambda: encode_entropy([1], 4, 0), ValueError, "max_segments is 0"),
        (lambda: encode_entropy([1], 4, 65536), ValueError, "max_segments is 65536"),
        (lambda: encode_entropy(np.arange(-32768, 32768), 16), ValueError, "65536 distinct"),
        (lambda: decode(b""), TypeError, "encoded must be an Encoded"),
        (lambda: decode(Encoded("zip", b"", 4, ())), ValueError, "encoding is 'zip'"),
        (lambda: decode(Encoded("packed", "", 4, ())), TypeError, "data must be"),
        (lambda: decode(Encoded("packed", b"", 4, (-1,))), ValueError, "extents are 0 or more"),
        (lambda: decode(Encoded("packed", b"", 4, 3)), TypeError, "shape must be a sequence"),
        (lambda: decode(Encoded("packed", b"1", 99, (2,))), ValueError, "bits is 99"),
        (lambda: decode_packed(np.zeros(2, np.int8), 4, 4), TypeError, "data must be bytes"),
        (lambda: decode_packed(np.zeros((2, 2), np.uint8), 4, 8), TypeError, "not 2-D"),
        (lambda: decode_packed(b"12", 4, -4), ValueError, "count is -4"),
        (lambda: decode_packed(b"12", 4, 5), ValueError, "has 2 bytes; these codes take 3"),
        (lambda: decode_entropy(encode_entropy([1, 2], 4), 4, 0), ValueError, "damaged"),
        (lambda: decode_sparse(b"12", 4, 5), ValueError, "too few for its header"),
        (lambda: decode_indexed(b"", 4, 5), ValueError, "too few for a table"),
        (lambda: decode_indexed(b"\x21\x00", 4, 2), ValueError, "does not ascend"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
