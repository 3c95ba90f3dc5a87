"""threadpoolctl sees quantlib's threads, and limits them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import quantlib as ql

threadpoolctl = pytest.importorskip("threadpoolctl", reason="limits the threads of libraries")


def entry() -> dict[str, object]:
    (found,) = (info for info in threadpoolctl.threadpool_info() if info["user_api"] == "quantlib")
    return found


@pytest.fixture(autouse=True)
def three_threads():
    before = ql.get_num_threads()
    ql.set_num_threads(3)
    yield
    ql.set_num_threads(before)


def test_quantlib_is_listed() -> None:
    found = entry()
    assert found["internal_api"] == "quantlib"
    assert found["num_threads"] == 3
    assert found["version"]
    assert "_quantlib" in str(found["filepath"])


@pytest.mark.parametrize(
    "limits",
    [
        {"limits": 1},
        {"limits": 1, "user_api": "quantlib"},
        {"limits": {"quantlib": 1}},
    ],
)
def test_a_limit_holds_inside_and_ends(limits: dict[str, object]) -> None:
    with threadpoolctl.threadpool_limits(**limits):
        assert ql.get_num_threads() == 1
        assert entry()["num_threads"] == 1
    assert ql.get_num_threads() == 3


def test_a_limit_of_others_is_not_quantlibs() -> None:
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert ql.get_num_threads() == 3


def test_a_limit_beyond_the_most_is_the_most() -> None:
    with threadpoolctl.threadpool_limits(10_000, user_api="quantlib"):
        assert ql.get_num_threads() == 256


def test_a_nonsensical_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="num_threads is 0"):
        threadpoolctl.threadpool_limits(0, user_api="quantlib")


CHECK = "assert [i for i in threadpoolctl.threadpool_info() if i['user_api'] == 'quantlib'], 'no'"
GONE = "assert not [f for f in sys.meta_path if 'quantlib' in type(f).__module__]"


@pytest.mark.parametrize(
    "code",
    [
        f"import sys, quantlib, threadpoolctl; {CHECK}; {GONE}",
        f"import sys, threadpoolctl, quantlib; {CHECK}; {GONE}",
        "import sys, quantlib; assert 'threadpoolctl' not in sys.modules",
        "import sys, quantlib, importlib.util as u; assert u.find_spec('threadpoolctl').origin",
        "import sys, quantlib, threadpoolctl, importlib; importlib.reload(threadpoolctl)",
        # It is nowhere to be found.
        "import sys, quantlib; sys.path.clear(); sys.path_importer_cache.clear()\n"
        "try: import threadpoolctl\nexcept ModuleNotFoundError: pass\nelse: raise SystemExit(1)",
    ],
)
def test_either_may_be_imported_first(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
