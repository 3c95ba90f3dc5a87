"""Calibration data from folders: pairing, the steps of images, raw tensors, and every error."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlib as ql

pytest.importorskip("onnx", reason="models are an extra that needs onnx")
Image = pytest.importorskip("PIL.Image", reason="the extra `onnx` brings Pillow")

from quantlib.model import CalibrationData, ModelError, read_config  # noqa: E402
from quantlib.model.graph import Value  # noqa: E402
from quantlib.model.preprocessing import data as module  # noqa: E402
from quantlib.model.preprocessing.images import read_image  # noqa: E402
from quantlib.model.preprocessing.resize import resize  # noqa: E402

FLOAT = np.dtype(np.float32)
BGR = np.random.default_rng(7).integers(0, 256, (6, 8, 3), np.uint8)


def write(path: Path, bgr: np.ndarray = BGR) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(path)
    return path


def image_value(*shape: Any, name: str = "x", dtype: Any = FLOAT) -> Value:
    return Value(name, np.dtype(dtype), shape or ("n", 3, None, None))


def only_image(folder: Path, value: Value | None = None, **keys: Any) -> np.ndarray:
    """What becomes of `BGR`."""
    write(folder / "a.png")
    data = CalibrationData(
        [value or image_value()], calibrate_path={"x": folder}, calibrate_size=1,
        input_type="IMAGE", **keys,
    )  # fmt: skip
    (feed,) = data
    assert [*feed] == ["x"]
    return feed["x"]


class TestSteps:
    """From pixels to what the model takes."""

    def test_pixels_as_they_are(self, tmp_path: Path) -> None:
        x = only_image(tmp_path)
        assert (x.dtype, x.flags.c_contiguous) == (FLOAT, True)
        assert np.array_equal(x, BGR.transpose(2, 0, 1)[np.newaxis])

    def test_colours(self, tmp_path: Path) -> None:
        rgb = only_image(tmp_path, image_to_format="RGB")
        assert np.array_equal(rgb[0, ::-1], BGR.transpose(2, 0, 1))
        assert np.array_equal(only_image(tmp_path, image_to_format="BGR")[:, ::-1], rgb)
        gray = only_image(tmp_path, image_value(1, 1, 6, 8), image_to_format="GRAY")
        exact = BGR @ [0.114, 0.587, 0.299]
        assert gray.shape == (1, 1, 6, 8)
        assert np.all(gray == np.rint(gray))
        assert np.abs(gray[0, 0] - exact).max() <= 0.51

    def test_gray_by_hand(self, tmp_path: Path) -> None:
        """29, 150 and 76 are what OpenCV makes of pure blue, green and red."""
        for channel, level in enumerate((29, 150, 76)):
            pure = np.zeros((1, 1, 3), np.uint8)
            pure[..., channel] = 255
            write(tmp_path / str(channel) / "a.png", pure)
            data = CalibrationData(
                [image_value(1, 1, 1, 1)], calibrate_path={"x": tmp_path / str(channel)},
                calibrate_size=1, input_type="IMAGE", image_to_format="GRAY",
            )  # fmt: skip
            assert next(iter(data))["x"].item() == level

    def test_normalization(self, tmp_path: Path) -> None:
        mean, std = [1.5, 100.1, -3.0], [2.0, 0.3, 57.0]
        pixels = BGR.astype(np.float32)
        expected = (pixels - np.float32(mean)) / np.float32(std)
        found = only_image(tmp_path, normalize_mean=mean, normalize_std=std)
        assert np.array_equal(found[0].transpose(1, 2, 0), expected)
        found = only_image(tmp_path, normalize_mean=mean)
        assert np.array_equal(found[0].transpose(1, 2, 0), pixels - np.float32(mean))
        found = only_image(tmp_path, normalize_std=std)
        assert np.array_equal(found[0].transpose(1, 2, 0), pixels / np.float32(std))

    def test_crop(self, tmp_path: Path) -> None:
        """An odd rest leaves the smaller half before: (6 - 3) // 2 and (8 - 5) // 2 are 1."""
        x = only_image(tmp_path, center_crop_width=5, center_crop_height=3)
        assert np.array_equal(x[0].transpose(1, 2, 0), BGR[1:4, 1:6])
        x = only_image(tmp_path, center_crop_width=8, center_crop_height=6)
        assert np.array_equal(x[0].transpose(1, 2, 0), BGR)

    def test_order_of_steps(self, tmp_path: Path) -> None:
        """Normalization is in the order of the new colours, and comes before the size."""
        x = only_image(
            tmp_path, image_to_format="RGB", normalize_mean=[10, 20, 30], normalize_std=[1, 2, 4],
            resize_method="LINEAR", resize_width=5, resize_height=9, center_crop_width=2,
            center_crop_height=4,
        )  # fmt: skip
        normal = (BGR[:, :, ::-1].astype(np.float32) - [10, 20, 30]) / [1, 2, 4]
        expected = resize(normal.astype(np.float32), 9, 5, "LINEAR")[2:6, 1:3]
        np.testing.assert_array_equal(x[0].transpose(1, 2, 0), expected)

    def test_no_method_no_resize(self, tmp_path: Path) -> None:
        x = only_image(tmp_path, resize_width=2, resize_height=2)
        assert x.shape == (1, 3, 6, 8)

    @pytest.mark.parametrize(
        ("shape", "layout", "expected"),
        [
            ((1, 3, 6, 8), None, "NCHW"),
            ((1, 6, 8, 3), None, "NHWC"),
            (("n", None, None, 3), None, "NHWC"),
            (("n", None, None, None), None, "NCHW"),
            ((1, 3, 6, None), None, "NCHW"),
            ((1, None, None, None), "NHWC", "NHWC"),
            ((None, None, None, 3), "NCHW", "error"),
        ],
    )
    def test_layouts(self, tmp_path: Path, shape: Any, layout: Any, expected: str) -> None:
        value = image_value(*shape)
        if expected == "error":
            with pytest.raises(ModelError, match=r"a\.png: the image becomes 1x3x6x8, but input"):
                only_image(tmp_path, value, layout=layout)
            return
        found = only_image(tmp_path, value, layout=layout)
        wanted = BGR if expected == "NHWC" else BGR.transpose(2, 0, 1)
        assert np.array_equal(found, wanted[np.newaxis])

    def test_layout_that_could_be_both(self, tmp_path: Path) -> None:
        x = only_image(tmp_path, image_value(1, 3, 3, 3), center_crop_width=3, center_crop_height=3)
        assert np.array_equal(x[0].transpose(1, 2, 0), BGR[1:4, 2:5])

    def test_unknown_rank(self, tmp_path: Path) -> None:
        assert only_image(tmp_path, Value("x", FLOAT)).shape == (1, 3, 6, 8)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, np.int8])
    def test_types(self, tmp_path: Path, dtype: Any) -> None:
        x = only_image(tmp_path, image_value(dtype=dtype), normalize_std=[2, 2, 2])
        halves = BGR.transpose(2, 0, 1)[np.newaxis] / 2
        if np.dtype(dtype).kind != "f":
            halves = np.minimum(np.rint(halves), np.iinfo(dtype).max)
        assert x.dtype == dtype
        assert np.array_equal(x, halves)


class TestReading:
    """Image files, as OpenCV reads them."""

    @pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm"])
    def test_formats(self, tmp_path: Path, ending: str) -> None:
        assert np.array_equal(read_image(write(tmp_path / f"a.{ending}")), BGR)

    def test_gray_and_transparent(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.fromarray(BGR[:, :, 0]).save(path)
        assert np.array_equal(read_image(path), np.repeat(BGR[:, :, :1], 3, axis=2))
        alpha = np.dstack([BGR[:, :, ::-1], BGR[:, :, 0]])
        Image.fromarray(alpha).save(path)
        assert np.array_equal(read_image(path), BGR)

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        levels = np.uint16([[0, 255, 256, 65535, 32768]])
        Image.fromarray(levels).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png")[0, :, 1].tolist() == [0, 0, 1, 255, 128]

    def test_turned_cameras(self, tmp_path: Path) -> None:
        tags = Image.Exif()
        tags[0x0112] = 6  # to be turned clockwise
        Image.fromarray(np.ascontiguousarray(BGR[:, :, ::-1])).save(tmp_path / "a.png", exif=tags)
        assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(BGR, -1))

    def test_no_images(self, tmp_path: Path) -> None:
        whole = write(tmp_path / "whole.png").read_bytes()
        for content in (b"", b"text", whole[:60], whole[:-40], whole[:45] + bytes(20) + whole[65:]):
            path = tmp_path / "damaged.png"
            path.write_bytes(content)
            with pytest.raises(ModelError, match=r"damaged\.png: no image that can be read"):
                read_image(path)

    def test_too_many_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(ModelError, match=r"a\.png: Image size \(48 pixels\) exceeds limit"):
            read_image(write(tmp_path / "a.png"))


def exact_weight(distance: float, method: str) -> float:
    """What a pixel counts for at a distance, as Keys and OpenCV's manual define it."""
    d = abs(distance)
    if method == "LINEAR":
        return max(0.0, 1 - d)
    if d <= 1:
        return 1.25 * d**3 - 2.25 * d**2 + 1
    return -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3 if d < 2 else 0.0


def exact_resize(row: list[float], size: int, method: str) -> list[float]:
    result = []
    for index in range(size):
        if method == "NEAREST":
            result.append(row[min(index * len(row) // size, len(row) - 1)])
            continue
        place = (index + 0.5) * len(row) / size - 0.5
        near = range(math.floor(place) - 1, math.floor(place) + 3)
        result.append(
            sum(
                row[min(max(pixel, 0), len(row) - 1)] * exact_weight(place - pixel, method)
                for pixel in near
            )
        )
    return result


class TestResize:
    """Against the definitions, pixel by pixel, and OpenCV itself."""

    @pytest.mark.parametrize("method", ["LINEAR", "NEAREST", "CUBIC"])
    @pytest.mark.parametrize(
        ("before", "after"), [(1, 5), (5, 1), (7, 7), (8, 4), (3, 11), (40, 7)]
    )
    def test_rows_and_columns(self, method: str, before: int, after: int) -> None:
        row = np.random.default_rng(1).uniform(0, 255, before).astype(np.float32)
        expected = exact_resize(row.tolist(), after, method)
        across = resize(row.reshape(1, -1, 1), 1, after, method)
        down = resize(row.reshape(-1, 1, 1), after, 1, method)
        assert across.dtype == np.float32
        np.testing.assert_allclose(across[0, :, 0], expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(down[:, 0, 0], expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("method", ["LINEAR", "NEAREST", "CUBIC"])
    @pytest.mark.parametrize("size", [(13, 4), (6, 8), (3, 16), (224, 224), (1, 1)])
    def test_opencv(self, method: str, size: tuple[int, int]) -> None:
        cv2 = pytest.importorskip("cv2", reason="a witness that the group `witnesses` installs")
        image = BGR.astype(np.float32)
        flag = getattr(cv2, f"INTER_{method}")
        expected = cv2.resize(image, size[::-1], interpolation=flag)
        np.testing.assert_allclose(resize(image, *size, method), expected, rtol=0, atol=1e-3)


class TestFolders:
    """Which files make up which sample."""

    def test_pairs_by_name(self, tmp_path: Path) -> None:
        for name in ("10.png", "9.png", "a.png", "B.png"):
            level = np.full((2, 2, 3), ord(name[0]), np.uint8)
            write(tmp_path / "left" / name, level)
        for index, name in enumerate(("p.bmp", "q.png", "r.png", "s.png")):
            write(tmp_path / "right" / name, np.full((1, 1, 3), index, np.uint8))
        write(tmp_path / "left" / ".hidden.png")
        (tmp_path / "left" / "0").mkdir()
        data = CalibrationData(
            [image_value(name="in:2"), image_value(name="in:1")],
            calibrate_path=f"in:1:{tmp_path / 'right'},in:2:{tmp_path / 'left'}",
            calibrate_size=3, input_type="IMAGE",
        )  # fmt: skip
        assert len(data) == 3
        for _ in range(2):
            feeds = [*data]
            assert [[*feed] for feed in feeds] == [["in:2", "in:1"]] * 3
            assert [chr(int(feed["in:2"].max())) for feed in feeds] == ["1", "9", "B"]
            assert [feed["in:1"].item(0) for feed in feeds] == [0, 1, 2]

    def test_one_sample_at_a_time(self, tmp_path: Path) -> None:
        """The second file is read when the second sample is asked for."""
        write(tmp_path / "a.png")
        (tmp_path / "b.png").write_text("not yet an image")
        samples = iter(
            CalibrationData(
                [image_value()],
                calibrate_path={"x": tmp_path},
                calibrate_size=2,
                input_type="IMAGE",
            )
        )
        next(samples)
        with pytest.raises(ModelError, match=r"b\.png"):
            next(samples)

    def test_raw_tensors(self, tmp_path: Path) -> None:
        values = [Value("f", np.dtype(np.float32), ("n", 2, 3)), Value("i", np.dtype("int64"), ())]
        for name, dtype, shape in (("f", "<f4", (1, 2, 3)), ("i", "<i8", ())):
            (tmp_path / name).mkdir()
            for index in range(2):
                array = np.arange(math.prod(shape)).reshape(shape) + 100 * index
                (tmp_path / name / f"{index}.bin").write_bytes(array.astype(dtype).tobytes())
        paths = {name: tmp_path / name for name in ("f", "i")}
        data = CalibrationData(values, calibrate_path=paths, calibrate_size=2, input_type="BIN")
        for index, feed in enumerate(data):
            assert (feed["f"].dtype, feed["f"].shape) == (FLOAT, (1, 2, 3))
            assert feed["f"].ravel().tolist() == [100 * index + k for k in range(6)]
            assert (feed["i"].dtype, feed["i"].shape, feed["i"].item()) == (
                np.dtype(np.int64), (), 100 * index,
            )  # fmt: skip

    def test_pickled_and_compared(self, tmp_path: Path) -> None:
        write(tmp_path / "a.png")
        keys: dict[str, Any] = {"calibrate_path": {"x": tmp_path}, "calibrate_size": 1}
        data = CalibrationData([image_value()], input_type="IMAGE", **keys)
        again = pickle.loads(pickle.dumps(data))
        assert again == data
        assert data != CalibrationData([image_value()], input_type="IMAGE", layout="NHWC", **keys)
        assert np.array_equal(next(iter(again))["x"], next(iter(data))["x"])


class TestQuantize:
    """What it is all for."""

    TEXT = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, 3, 4, 4] x) => (float[n, 2, 4, 4] y) <float[2, 3, 1, 1] w = {1, 2, 3, -1, 0, 1}>
    { y = Conv (x, w) }"""
    CONFIG = """[common_quant_param]
    quant_type=FULL_QUANT
    [data_preprocess_param]
    calibrate_path=x:FOLDER
    calibrate_size=3
    input_type=IMAGE
    image_to_format=RGB
    normalize_mean=[127.5, 127.5, 127.5]
    normalize_std=[127.5, 127.5, 127.5]
    resize_width=6
    resize_height=5
    resize_method=CUBIC
    center_crop_width=4
    center_crop_height=4
    """

    def test_same_as_feeds(self, tmp_path: Path) -> None:
        import onnx
        import onnx.parser

        from quantlib.cli import main

        proto = onnx.parser.parse_model(self.TEXT)
        onnx.save(proto, tmp_path / "net.onnx")
        rng = np.random.default_rng(0)
        for index in range(4):
            write(tmp_path / "images" / f"{index}.png", rng.integers(0, 256, (9, 7, 3), np.uint8))
        (tmp_path / "full.cfg").write_text(self.CONFIG.replace("FOLDER", str(tmp_path / "images")))
        model = ql.model.load(proto)
        given = read_config(tmp_path / "full.cfg")
        data = CalibrationData(model, given.data)
        feeds = [*data]
        assert len(feeds) == 3
        assert max(np.abs(feed["x"]).max() for feed in feeds) < 1.5
        quantized = ql.model.quantize(model, data, given.quant_config())
        twin = ql.model.quantize(model, feeds, given.quant_config())
        arguments = ["quantize", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out.onnx")]
        assert main([*arguments, "--config", str(tmp_path / "full.cfg"), "--quiet"]) == 0
        by_command = ql.model.load(tmp_path / "out.onnx")
        for other in (twin, by_command):
            assert np.array_equal(quantized.run(feeds[0])[0], other.run(feeds[0])[0])


class TestErrors:
    """Each names the file, the folder or the key."""

    def make(self, folder: Path, value: Value | None = None, **changes: Any) -> CalibrationData:
        keys = {"calibrate_path": {"x": folder}, "calibrate_size": 1, "input_type": "IMAGE"}
        return CalibrationData([value or image_value()], **{**keys, **changes})

    @pytest.mark.parametrize(
        ("message", "keys"),
        [
            ("calibrate_path is missing", {"calibrate_path": None}),
            ("calibrate_size is missing", {"calibrate_size": 0}),
            ("calibrate_size is 65536", {"calibrate_size": 65536}),
            ("input_type is missing", {"input_type": None}),
            ("input_type is 'JPEG'; it must be IMAGE or BIN", {"input_type": "JPEG"}),
            ("calibrate_path is 'x'; it must be name:folder", {"calibrate_path": "x"}),
            ("image_to_format is 'rgb'", {"image_to_format": "rgb"}),
            ("resize_method is 'AREA'", {"resize_method": "AREA"}),
            ("resize_width is missing", {"resize_method": "CUBIC", "resize_height": 3}),
            ("resize_height is missing", {"resize_method": "CUBIC", "resize_width": 3}),
            ("resize_width is 0", {"resize_width": 0}),
            ("center_crop_height is missing", {"center_crop_width": 3}),
            ("center_crop_width is missing", {"center_crop_height": 3}),
            ("normalize_mean has 1 numbers; images of 3 channels", {"normalize_mean": [1.0]}),
            (
                "normalize_std has 3 numbers; images of 1 channels need 1",
                {"normalize_std": [1, 2, 3], "image_to_format": "GRAY"},
            ),
            ("normalize_std holds 0", {"normalize_std": [1, 0, 3]}),
            ("normalize_mean is", {"normalize_mean": [1, float("nan"), 3]}),
            ("layout is 'HWC'", {"layout": "HWC"}),
        ],
    )
    def test_keys(self, tmp_path: Path, message: str, keys: dict[str, Any]) -> None:
        write(tmp_path / "a.png")
        with pytest.raises(ValueError, match=message):
            self.make(tmp_path, **keys)

    def test_unknown_key(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="resize_filter"):
            self.make(tmp_path, resize_filter="BOX")

    @pytest.mark.parametrize("names", [["y"], ["x", "y"], []])
    def test_names(self, tmp_path: Path, names: list[str]) -> None:
        with pytest.raises(ModelError, match=r"calibrate_path has folders for .*; the model's"):
            self.make(tmp_path, calibrate_path=dict.fromkeys(names, tmp_path) or {"z": tmp_path})

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="none: No such file or directory; calibrate_path"):
            self.make(tmp_path / "none")
        with pytest.raises(ModelError, match=r"a\.png: Not a directory"):
            self.make(write(tmp_path / "a.png"))

    def test_too_few_files(self, tmp_path: Path) -> None:
        write(tmp_path / "a.png")
        with pytest.raises(ModelError, match=f"{tmp_path.name}: 1 files; calibrate_size is 2"):
            self.make(tmp_path, calibrate_size=2)

    def test_too_many_entries(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert module.MOST_ENTRIES == 100_000
        monkeypatch.setattr(module, "MOST_ENTRIES", 3)
        write(tmp_path / "a.png")
        write(tmp_path / "b.png")
        assert len(self.make(tmp_path)) == 1
        write(tmp_path / "c.png")
        with pytest.raises(ModelError, match="the folder has 3 entries or more"):
            self.make(tmp_path)

    def test_crop_beyond_the_image(self, tmp_path: Path) -> None:
        write(tmp_path / "a.png")
        for width, height in ((9, 6), (8, 7)):
            data = self.make(tmp_path, center_crop_width=width, center_crop_height=height)
            with pytest.raises(ModelError, match=rf"a\.png: .*{width} x {height}, more than .*8 x"):
                next(iter(data))

    def test_size_of_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a.bin").write_bytes(bytes(23))
        data = self.make(tmp_path, Value("x", FLOAT, ("n", 2, 3)), input_type="BIN")
        with pytest.raises(ModelError, match=r"a\.bin: 23 bytes; .*'x', float32 1x2x3, needs 24"):
            next(iter(data))

    @pytest.mark.parametrize("shape", [None, (1, None, 3)])
    def test_bytes_of_unknown_shape(self, tmp_path: Path, shape: Any) -> None:
        (tmp_path / "a.bin").write_bytes(bytes(24))
        data = self.make(tmp_path, Value("x", FLOAT, shape), input_type="BIN")
        with pytest.raises(ModelError, match=r"a\.bin: bytes need a known shape"):
            next(iter(data))

    def test_shape_of_the_input(self, tmp_path: Path) -> None:
        write(tmp_path / "a.png")
        data = self.make(tmp_path, image_value(1, 3, 224, 224))
        with pytest.raises(ModelError, match=r"a\.png: .* becomes 1x3x6x8, but .* 1x3x224x224"):
            next(iter(data))
