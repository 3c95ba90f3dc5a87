"""Measures quantlib against NumPy float32 on this machine: what ``quantlib bench`` runs.

`stopwatch` takes the times, `cases` says what is compared and that it is right, `products` and
`elementwise` build the contenders, `machine` describes the computer and measures its limits,
`results` and `report` keep and show the figures, `short` is the selection of ``quantlib bench``.
The project's own benchmarks, in ``bench/`` of its source, add the other engines to the same cases.
"""
