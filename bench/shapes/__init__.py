"""What is measured: the shapes, read from the files beside this one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantlib.benchmark.elementwise import Layout
from quantlib.benchmark.products import MatmulShape

SHAPES = Path(__file__).resolve().parent
TARGETS = "targets"  # the products and convolutions that are measured unless others are asked for
MATMUL_FILES, CONV_FILES = (
    tuple(sorted(path.stem for path in (SHAPES / suite).glob("*.txt")))
    for suite in ("matmul", "conv")
)
FILES = tuple(sorted({*MATMUL_FILES, *CONV_FILES}))


@dataclass(frozen=True)
class ConvShape:
    """A two-dimensional convolution, the same along both spatial axes."""

    batch: int
    channels: int
    height: int
    width: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    group: int = 1

    @property
    def label(self) -> str:
        text = f"{self.batch},{self.channels},{self.height},{self.width} -> {self.out_channels}"
        for name, default in (("kernel", 1), ("stride", 1), ("pad", 0), ("group", 1)):
            value = getattr(self, name)
            text += f" {name}={value}" if value != default else ""
        return text

    @property
    def depthwise(self) -> bool:
        return self.group == self.channels == self.out_channels

    @property
    def out_extent(self) -> tuple[int, int]:
        height, width = (
            (extent + 2 * self.pad - self.kernel) // self.stride + 1
            for extent in (self.height, self.width)
        )
        return height, width

    @property
    def operations(self) -> int:
        height, width = self.out_extent
        products = self.channels // self.group * self.kernel**2
        return 2 * self.batch * height * width * self.out_channels * products


def matmul_shapes(files: Sequence[str] = (TARGETS,)) -> list[MatmulShape]:
    """Those of these files in the folder `matmul`, if they are there, each once."""
    return [MatmulShape(*_integers(line)) for line in _lines_of("matmul", files, MATMUL_FILES)]


def overhead_shapes() -> list[MatmulShape]:
    return [MatmulShape(*_integers(line)) for line in _lines("overhead")]


def conv_shapes(files: Sequence[str] = (TARGETS,)) -> list[ConvShape]:
    """Those of these files in the folder `conv`, if they are there, each once."""
    return [_conv_shape(line) for line in _lines_of("conv", files, CONV_FILES)]


def elementwise_layouts() -> list[Layout]:
    return [_layout(line) for line in _lines("elementwise")]


def _conv_shape(line: str) -> ConvShape:
    extents, _, rest = line.partition("->")
    out_channels, *options = rest.split()
    batch, channels, height, width = _integers(extents)
    named = _options(options, ("kernel", "stride", "pad", "group"))
    return ConvShape(batch, channels, height, width, int(out_channels), **named)


def _layout(line: str) -> Layout:
    extents, *options = line.split()
    return Layout(_integers(extents), **_options(options, ("axis", "block")))


def _options(texts: list[str], names: tuple[str, ...]) -> dict[str, int]:
    options = {}
    for text in texts:
        found = re.fullmatch(r"(\w+)=(\d+)", text)
        if found is None or found[1] not in names:
            raise ValueError(f"an option is {text!r}; it must be like '{names[0]}=1'")
        options[found[1]] = int(found[2])
    return options


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _lines_of(suite: str, files: Sequence[str], there: Sequence[str]) -> list[str]:
    lines = (line for file in files if file in there for line in _lines(f"{suite}/{file}"))
    return list(dict.fromkeys(lines))


def _lines(suite: str) -> Iterator[str]:
    """The lines of a file of shapes, without comments."""
    for line in (SHAPES / f"{suite}.txt").read_text(encoding="utf-8").splitlines():
        content = line.partition("#")[0].strip()
        if content:
            yield content
