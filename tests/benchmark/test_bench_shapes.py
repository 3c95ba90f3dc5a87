"""What is measured: shapes and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from bench_parts import part


def test_shapes_are_read() -> None:
    shapes = part("shapes")
    assert shapes.MatmulShape(1024, 1024, 1024) in shapes.matmul_shapes()
    assert shapes.ConvShape(1, 3, 224, 224, 64, 7, 2, 3) in shapes.conv_shapes()
    assert shapes.ConvShape(1, 64, 32, 32, 64, 3, 1, 1, 4) in shapes.conv_shapes()
    assert shapes.Layout((1000,)) in shapes.elementwise_layouts()
    assert {layout.axis for layout in shapes.elementwise_layouts()} == {None, 0, 1}
    assert any(layout.block for layout in shapes.elementwise_layouts())
    assert any(shape.depthwise for shape in shapes.conv_shapes())


@pytest.mark.parametrize(
    ("suite", "files"),
    [("overhead", []), ("matmul/targets", [["targets"]]), ("matmul/narrow", [["narrow"]])],
)
def test_labels_tell_shapes_apart_and_read_back(suite: str, files: Any) -> None:
    shapes = part("shapes")
    lines = list(shapes._lines(suite))
    labels = [shape.label for shape in getattr(shapes, f"{suite.split('/')[0]}_shapes")(*files)]
    assert labels == lines
    assert len(set(labels)) == len(labels)


def test_files_of_shapes_are_found_by_name() -> None:
    """A name may stand in both folders, or in one of them."""
    shapes = part("shapes")
    assert set(shapes.MATMUL_FILES) == {"narrow", "targets"}
    assert set(shapes.FILES) == {*shapes.MATMUL_FILES, *shapes.CONV_FILES}
    assert shapes.matmul_shapes(["resnet50"]) == shapes.conv_shapes(["narrow"]) == []
    both = shapes.matmul_shapes(["targets", "narrow", "targets"])
    assert both == shapes.matmul_shapes() + shapes.matmul_shapes(["narrow"])


@pytest.mark.parametrize(
    ("name", "layers"),
    [("targets", 12), ("resnet50", 23), ("mobilenet_v2", 30), ("resnext50", 7), ("groups", 27)],
)
def test_labels_of_convolutions_are_the_lines_of_their_files(name: str, layers: int) -> None:
    shapes = part("shapes")
    labels = [shape.label for shape in shapes.conv_shapes([name])]
    assert labels == list(shapes._lines(f"conv/{name}"))
    assert len(set(labels)) == len(labels) == layers
    assert name in shapes.CONV_FILES


def test_a_convolution_in_several_files_is_measured_once() -> None:
    shapes = part("shapes")
    labels = [shape.label for shape in shapes.conv_shapes(shapes.CONV_FILES)]
    assert len(set(labels)) == len(labels) == 23 + 30 + 7 + 27 + 2  # the batch, and the groups


def test_the_convolutions_of_a_network_follow_one_another() -> None:
    """Each layer but the first takes what an earlier one gives: its channels and extents."""
    shapes = part("shapes")
    for name in ("resnet50", "mobilenet_v2"):
        first, *others = shapes.conv_shapes([name])
        given = {(first.out_channels, *first.out_extent)}
        for layer in others:
            height, width = layer.height, layer.width
            pooled = (layer.channels, 2 * height, 2 * width)  # what ResNet does once
            assert {(layer.channels, height, width), pooled} & given, layer.label
            given.add((layer.out_channels, *layer.out_extent))


def test_labels_of_layouts_tell_them_apart() -> None:
    layouts = part("shapes").elementwise_layouts()
    assert len({layout.label for layout in layouts}) == len(layouts)
    assert part("shapes").Layout((4, 6), 1, 3).label == "4,6 axis=1 block=3"


def test_cases_are_chosen_by_name_and_size() -> None:
    selection = part("selection").Selection(["conv 1,9", "axis="], {"matmul": 10})
    assert selection.takes("conv", "1,96,56,56 -> 24", 10**9)
    assert selection.takes("elementwise", "4,6 axis=1", 24)
    assert not selection.takes("elementwise", "1,000", 1000)
    assert part("selection").Selection((), {"matmul": 10}).takes("matmul", "1,1,1", 10)
    assert not part("selection").Selection((), {"matmul": 10}).takes("matmul", "1,1,1", 11)


def test_operations_are_two_for_each_product() -> None:
    shapes = part("shapes")
    assert shapes.MatmulShape(2, 3, 5).operations == 60
    assert shapes.ConvShape(1, 64, 56, 56, 64, kernel=3, pad=1).operations == 2 * 3136 * 64 * 576
    depthwise = shapes.ConvShape(1, 144, 56, 56, 144, kernel=3, stride=2, pad=1, group=144)
    assert depthwise.out_extent == (28, 28)
    assert depthwise.operations == 2 * 28 * 28 * 144 * 9


def test_a_mistyped_option_is_refused() -> None:
    with pytest.raises(ValueError, match="kernal=3"):
        part("shapes")._conv_shape("1,3,8,8 -> 4 kernal=3")
