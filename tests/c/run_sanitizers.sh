#!/bin/sh
# Builds the C core with AddressSanitizer and UndefinedBehaviorSanitizer in a temporary folder, and
# runs tests on that build: those named, or the ones that reach all of the C code in some minutes.
# Needs gcc with its sanitizer libraries, and what the tests need; PYTHON names the interpreter.
# The masked loads and stores of AVX-512 are not checked: tests/test_memory.py sees those.
#
#     tests/c/run_sanitizers.sh [pytest arguments]
set -eu

python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cp -R "$root/csrc" "$root/setup.py" "$root/pyproject.toml" "$root/quantlib" "$root/tests" "$build"
find "$build" \( -name '*.so' -o -name '*.o' \) -delete

cd "$build"
# float-cast-overflow is not part of "undefined". A first report ends the process.
sanitizers=-fsanitize=address,undefined,float-cast-overflow
CC=gcc CFLAGS="$sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer -g" \
    LDFLAGS="$sanitizers" "$python" setup.py -q build_ext -i

if [ $# -eq 0 ]; then
    set -- tests/test_strange_arguments.py tests/test_edges.py tests/test_onnx_cases.py \
        tests/test_memory.py tests/test_threads_and_fork.py tests/test_planes.py \
        tests/test_conv_groups.py tests/encoding
fi
# CPython's own allocator would hide accesses past an array; its objects that live to the end are
# no leaks of ours. With the sanitizer's bookkeeping the resident size does not stay level. Reports
# go to the real stderr, which pytest would otherwise capture and lose with the process.
PYTHONPATH="$build" PYTHONMALLOC=malloc \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so)" \
    "$python" -m pytest -q -p no:cacheprovider --capture=sys --deselect \
    tests/test_threads_and_fork.py::test_memory_stays_level "$@"
