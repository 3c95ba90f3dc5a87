"""Search a million embeddings in int8, and compare memory, time and results with float32.

    python examples/embedding_search.py                     # 1,000,000 vectors of 384 dimensions
    python examples/embedding_search.py --vectors 50000     # in a moment

Each vector gets a scale of its own, so that one with large entries costs the others no precision.
The database is the *right* operand of the product, ``queries @ database.T``: it is packed once, and
a vector's scale becomes that of a column. Queries are few; they stay float32 and are quantized on
the way in, each by its own range. Results are float32 scores. The database is kept in blocks, so
that no more than one block of scores is in memory, and the float32 search does the same.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import quantlib as ql

DIMENSIONS, BLOCK, BEST = 384, 65_536, 10


def embeddings(count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors as language models make them: clustered, with fewer directions than numbers."""
    fixed = np.random.default_rng(1)
    topics = fixed.standard_normal((1000, 64), np.float32)
    directions = fixed.standard_normal((64, DIMENSIONS), np.float32)
    meaning = topics[rng.integers(0, len(topics), count)]
    meaning += np.float32(0.7) * rng.standard_normal(meaning.shape, np.float32)
    vectors = meaning @ directions + rng.standard_normal((count, DIMENSIONS), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def prepare(vectors: np.ndarray) -> ql.DynamicQuantizeMatMul:
    """int8 codes with a scale for each vector, packed for products with queries."""
    params = ql.QuantParams.from_range(*ql.min_max(vectors, axis=0), symmetric=True, axis=0)
    return ql.DynamicQuantizeMatMul(ql.quantize(vectors, params).T, params.scale, per_row=True)


def search(blocks: list, queries: np.ndarray) -> np.ndarray:
    """The best vectors of each query, best first. A block is a function from queries to scores."""
    best = np.full((len(queries), BEST), -np.inf, np.float32)
    rows = np.full((len(queries), BEST), -1)
    for number, block in enumerate(blocks):
        for query, scores in enumerate(block(queries)):
            better = np.flatnonzero(scores > best[query, -1])  # few, but in the first block
            if len(better) > BEST:
                better = better[np.argpartition(-scores[better], BEST)[:BEST]]
            merged = np.append(best[query], scores[better])
            order = np.argsort(-merged, kind="stable")[:BEST]
            best[query] = merged[order]
            rows[query] = np.append(rows[query], better + number * BLOCK)[order]
    return rows


def milliseconds(blocks: list, queries: np.ndarray) -> float:
    """The median of seven searches."""
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        search(blocks, queries)
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))


def resident_megabytes() -> float:
    """What this process has in memory, according to Linux."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1e3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args(arguments)

    rng = np.random.default_rng(0)
    starts = range(0, options.vectors, BLOCK)
    database = [embeddings(min(BLOCK, options.vectors - start), rng) for start in starts]
    before = resident_megabytes()
    int8_blocks = [prepare(vectors) for vectors in database]
    grown = resident_megabytes() - before
    float_blocks = [lambda queries, part=vectors: queries @ part.T for vectors in database]
    float_megabytes = sum(vectors.nbytes for vectors in database) / 1e6
    print(
        f"{options.vectors:,} vectors: {float_megabytes:.0f} MB in float32, {grown:.0f} MB in int8"
    )

    for count in options.queries:
        queries = embeddings(count, rng)
        wanted, found = search(float_blocks, queries), search(int8_blocks, queries)
        recall = np.mean([len({*w} & {*f}) / BEST for w, f in zip(wanted, found, strict=True)])
        in_float, in_int8 = milliseconds(float_blocks, queries), milliseconds(int8_blocks, queries)
        print(
            f"{count} queries: {in_float:.1f} ms in float32, {in_int8:.1f} ms in int8, "
            f"{in_float / in_int8:.1f} times as fast; {recall:.1%} of the best {BEST} are the same"
        )


if __name__ == "__main__":
    main()
