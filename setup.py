"""What pyproject.toml cannot say: the C extension, its compiler flags, and the abi3 tag."""

import sysconfig

from setuptools import setup
from setuptools.command.build_ext import build_ext

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # a fused multiply-add would round differently on some machines only
    "-Wall",
    "-Wextra",
]


class BuildExt(build_ext):
    """build_ext with quantlib's flags for compilers that speak GCC's."""

    def build_extensions(self) -> None:
        if self.compiler.compiler_type != "msvc":
            for extension in self.extensions:
                extension.extra_compile_args = FLAGS
        super().build_extensions()


setup(
    cffi_modules=["csrc/ffi_build.py:ffibuilder"],
    cmdclass={"build_ext": BuildExt},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
