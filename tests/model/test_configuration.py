"""Configuration files: every key at its default, at its bounds, beyond them, and misspelt.

What is expected stands here once more, written from the format's documentation and not read from
the package's table.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("onnx", reason="models need onnx")

import quantlib as ql
from quantlib.model import configuration
from quantlib.model.configuration.reader import parse
from quantlib.model.configuration.table import documentation

FOLDER = Path(__file__).parent / "configurations"


class Expected(NamedTuple):
    section: str
    key: str
    default: Any
    accepted: dict[str, Any]
    refused: tuple[str, ...]
    allowed: str


FLAGS = {"true": True, "false": False, "True": True, "FALSE": False, "tRuE": True}
NO_FLAGS = ("yes", "1", "0", "truee", "on")
NO_INTEGERS = ("1.5", "0x10", "ten", "1_000", "7 8", "-", "--5", "1e2", "5 # five", "١٢")
UP_TO = {"0": 0, "1": 1, "+7": 7, "007": 7, "65535": 65535}
FROM_1 = {"1": 1, "65535": 65535}
VECTORS = {
    "[127.5, 127.5, 127.5]": (127.5, 127.5, 127.5),
    "[1]": (1.0,),
    "[-1,+2.5,.5e-2,3.]": (-1.0, 2.5, 0.005, 3.0),
}
NO_VECTORS = ("127.5", "1,2,3", "[1,2", "1,2]", "[]", "[1,,2]", "[a]", "(1,2)", "[nan]", "[1 2]")

C, M, W, F, D, Y, T = (
    "common_quant_param", "mixed_bit_weight_quant_param", "weight_quant_param", "full_quant_param",
    "data_preprocess_param", "dynamic_quant_param", "transform_quant_param",
)  # fmt: skip


def flag(section: str, key: str, default: bool) -> Expected:
    return Expected(section, key, default, FLAGS, NO_FLAGS, "true or false")


def number(section: str, key: str, default: Any, lowest: int) -> Expected:
    accepted = {0: UP_TO, 1: FROM_1, 40: {"40": 40, "65535": 65535}}[lowest]
    refused = (str(lowest - 1), "65536", "-1", "9" * 5000, *NO_INTEGERS)
    return Expected(section, key, default, accepted, refused, f"integer from {lowest} to 65535")


def name(section: str, key: str, default: Any, *names: str) -> Expected:
    refused = (names[0].lower(), names[0] + "S", f'"{names[0]}"', "0", names[0] + " # so")
    return Expected(section, key, default, {each: each for each in names}, refused, names[-1])


def text(section: str, key: str) -> Expected:
    accepted = {"/some/folder": "/some/folder", "a b=c": "a b=c", "C:\\x": "C:\\x"}
    return Expected(section, key, "", accepted, (), "")


def vector(key: str) -> Expected:
    return Expected(D, key, None, VECTORS, NO_VECTORS, "numbers in brackets")


KEYS = [
    name(C, "quant_type", "", "WEIGHT_QUANT", "FULL_QUANT", "DYNAMIC_QUANT"),
    Expected(C, "bit_num", 8, {str(bits): bits for bits in range(17)},
             ("-1", "17", "65535", *NO_INTEGERS), "integer from 0 to 16"),
    number(C, "min_quant_weight_size", 0, 0),
    number(C, "min_quant_weight_channel", 16, 0),
    Expected(C, "skip_quant_node", (), {
        "conv2d_1,add_8,concat_1": ("conv2d_1", "add_8", "concat_1"),
        "one": ("one",), "a, b ,c": ("a", " b ", "c"), "a,,b,": ("a", "b"), "/x/[*]": ("/x/[*]",),
    }, (), ""),
    text(C, "debug_info_save_path"),
    flag(C, "enable_encode", True),
    text(C, "workspace"),
    Expected(M, "init_scale", 0.02, {"0.02": 0.02, "1e-9": 1e-9, ".999999": 0.999999, "5e-1": 0.5},
             ("0", "1", "0.0", "1.0", "-0.5", "2", "nan", "inf", "0.1.2", "0,1", "0x1p-2", "a"),
             "number above 0 and below 1"),
    flag(M, "auto_tune", False),
    flag(M, "use_cv_data", False),
    number(M, "max_iterations", 40, 40),
    name(W, "dequant_strategy", None, "ON_THE_FLY"),
    name(W, "quant_strategy", "MAX_MIN", "MAX_MIN", "GPTQ"),
    flag(W, "per_channel", True),
    flag(W, "bias_correction", True),
    flag(W, "update_mindir", True),
    number(W, "max_segments", 1, 1),
    Expected(F, "activation_quant_method", "MAX_MIN", {
        "MAX_MIN": "MAX_MIN", "KL": "KL", "REMOVAL_OUTLIER": "REMOVAL_OUTLIER",
        "RemovalOutlier": "REMOVAL_OUTLIER",
    }, ("kl", "MAXMIN", "MIN_MAX", "removal_outlier", "Removal_Outlier"),
             "MAX_MIN, KL, REMOVAL_OUTLIER or RemovalOutlier"),
    flag(F, "bias_correction", True),
    flag(F, "per_channel", True),
    name(F, "target_device", "CPU", "CPU", "KIRIN", "NVGPU", "DSP", "ASCEND"),
    Expected(F, "smooth_alpha", 0.5, {"0.5": 0.5, "0": 0.0, "1": 1.0, "-1": -1.0, "3e2": 300.0},
             ("nan", "inf", "half", "0.5f", "1e999"), "a number"),
    flag(F, "enable_smooth_shift", False),
    Expected(D, "calibrate_path", None, {
        "input_name_1:/mnt/image/input_1_dir,input_name_2:input_2_dir":
            {"input_name_1": "/mnt/image/input_1_dir", "input_name_2": "input_2_dir"},
        "input:0:/mnt/images": {"input:0": "/mnt/images"},
        "a:x, b:y": {"a": "x", "b": "y"},
    }, ("/mnt/images", ":/mnt", "name:", "a:x,,b:y", "a:x,a:y"), "name:folder"),
    number(D, "calibrate_size", 0, 1),
    name(D, "input_type", None, "IMAGE", "BIN"),
    name(D, "image_to_format", None, "RGB", "GRAY", "BGR"),
    vector("normalize_mean"),
    vector("normalize_std"),
    number(D, "resize_width", None, 1),
    number(D, "resize_height", None, 1),
    name(D, "resize_method", None, "LINEAR", "NEAREST", "CUBIC"),
    number(D, "center_crop_width", None, 1),
    number(D, "center_crop_height", None, 1),
    name(Y, "quant_strategy", "ALWC", "ALWC", "ACWL"),
    name(T, "export_precision_mode", "QUANT", "QUANT", "FLOAT32"),
]  # fmt: skip
SECTIONS = {C: "common", M: "mixed_bit", W: "weight", F: "full", D: "data", Y: "dynamic",
            T: "transform"}  # fmt: skip
BY_KEY = pytest.mark.parametrize("expected", KEYS, ids=lambda e: f"{e.section}.{e.key}")


def minimal(expected: Expected, line: str) -> str:
    """A file that says one line, and else no more than it must."""
    if expected.section == C:
        base = "" if expected.key == "quant_type" else "quant_type=WEIGHT_QUANT\n"
        return f"[{C}]\n{base}{line}\n"
    return f"[{C}]\nquant_type=WEIGHT_QUANT\n[{expected.section}]\n{line}\n"


def value_of(config: ql.model.Configuration, expected: Expected) -> Any:
    return getattr(getattr(config, SECTIONS[expected.section]), expected.key)


def test_the_list_is_whole() -> None:
    known = {key for section in configuration.sections.SECTIONS for key in
             ((section.section, name) for name in section.table())}  # fmt: skip
    assert known == {(expected.section, expected.key) for expected in KEYS}
    assert len(KEYS) == len(known)


@BY_KEY
def test_default(expected: Expected) -> None:
    """Without the key, and with nothing behind it."""
    if expected.key == "quant_type":
        for line in ("", "quant_type=", "quant_type = "):
            with pytest.raises(ql.model.ConfigurationError) as caught:
                parse(minimal(expected, line))
            for part in (f"[{C}] quant_type is missing", "WEIGHT_QUANT, FULL_QUANT or DYNAMIC"):
                assert part in str(caught.value)
        return
    for line in ("", f"{expected.key}=", f"  {expected.key} =  "):
        found = value_of(parse(minimal(expected, line)), expected)
        assert found == expected.default
        assert type(found) is type(expected.default)


@BY_KEY
def test_within_the_bounds(expected: Expected) -> None:
    for written, value in expected.accepted.items():
        found = value_of(parse(minimal(expected, f"{expected.key} =  {written}\t")), expected)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    "expected", [one for one in KEYS if one.refused], ids=lambda e: f"{e.section}.{e.key}"
)
def test_beyond_the_bounds(expected: Expected) -> None:
    """The error names file, line, section, key, value, and what is allowed."""
    for written in expected.refused:
        text = minimal(expected, f"{expected.key}={written}")
        with pytest.raises(ql.model.ConfigurationError) as caught:
            parse(text, "net.cfg")
        line = len(text.splitlines())
        for part in (f"net.cfg, line {line}: ", f"[{expected.section}] {expected.key} is ",
                     repr(written), "it must be ", expected.allowed):  # fmt: skip
            assert part in str(caught.value)
        assert "\n" not in str(caught.value)


@BY_KEY
def test_misspelt(expected: Expected) -> None:
    for wrong in (
        expected.key + "s",
        expected.key[:-1],
        expected.key.upper(),
        " x " + expected.key,
    ):
        with pytest.raises(ql.model.ConfigurationError) as caught:
            parse(minimal(expected, f"{wrong}=1"), "net.cfg")
        assert f"[{expected.section}] {wrong.strip()} = '1': there is no" in str(caught.value)
        assert expected.key in str(caught.value)
        assert "net.cfg, line " in str(caught.value)


def test_a_likely_key_is_offered() -> None:
    with pytest.raises(ql.model.ConfigurationError, match=r"did you mean bit_num\?"):
        parse(f"[{C}]\nbit_nun=8")


@pytest.mark.parametrize(
    ("quant_type", "bits", "fine"),
    [
        *(("WEIGHT_QUANT", bits, True) for bits in (0, 1, 8, 16)),
        *(("FULL_QUANT", bits, 1 <= bits <= 8) for bits in (0, 1, 8, 9, 16)),
        *(("DYNAMIC_QUANT", bits, bits == 8) for bits in (0, 7, 8, 9)),
    ],
)
def test_bits_fit_the_type(quant_type: str, bits: int, fine: bool) -> None:
    text = f"[{C}]\nbit_num={bits}\nquant_type={quant_type}"
    if fine:
        assert parse(text).common.bit_num == bits
        return
    with pytest.raises(ql.model.ConfigurationError) as caught:
        parse(text)
    for part in ("line 2", f"bit_num is {bits}", quant_type, "it must be an integer from "):
        assert part in str(caught.value)


@pytest.mark.parametrize("bits", range(17))
@pytest.mark.parametrize("quant_type", ["WEIGHT_QUANT", "FULL_QUANT"])
def test_what_needs_an_encoding(quant_type: str, bits: int) -> None:
    text = f"[{C}]\nquant_type={quant_type}\nbit_num={bits}\nenable_encode=false"
    if quant_type == "WEIGHT_QUANT" and bits not in (8, 16):
        with pytest.raises(ql.model.ConfigurationError, match=r"line 4: .*enable_encode is false"):
            parse(text)
    elif quant_type == "WEIGHT_QUANT" or 1 <= bits <= 8:
        assert not parse(text).common.enable_encode


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    assert documentation() in text


# --- lines ----------------------------------------------------------------------------------------


def test_lines() -> None:
    config = parse(
        "bit_num=3\n"  # before any section
        "[other_section]\nbit_num=no number\nunknown=1\n"
        f"  [{C}]\t\n"
        "\tquant_type  =\tWEIGHT_QUANT\r\n"
        "# bit_num=1\n"
        "   #bit_num=2\n"
        "\n"
        "words without a sign\n"
        "a=\n"  # two characters or less say nothing, whatever they are
        "=1\n"
        "bit_num=4\n"
        "bit_num=5\n"  # the first counts, and what comes later is not even looked at
        "bit_num=no number\n"
        "workspace=a=b # c\n"  # the first sign splits; there are no comments behind values
        "[execution_plan]\n"
        "bit_num=6\n"
        f"[{C}]\n"
        "min_quant_weight_size=9\n"
        "min_quant_weight_channel=7"
    )
    assert config.common == configuration.CommonQuant(
        quant_type="WEIGHT_QUANT", bit_num=4, min_quant_weight_size=9, min_quant_weight_channel=7,
        workspace="a=b # c",
    )  # fmt: skip


def test_there_is_an_end(tmp_path: Path) -> None:
    head = f"[{C}]\nquant_type=FULL_QUANT\n"
    path = tmp_path / "long.cfg"
    for line in ("\n", "# words\n", "x=1\n"):
        path.write_text(line * (100_000 - 2) + head)
        assert ql.model.read_config(path).common.quant_type == "FULL_QUANT"
        path.write_text(line * (100_001 - 2) + head)
        with pytest.raises(ValueError, match=r"long\.cfg: more than 100,000 lines"):
            ql.model.read_config(path)


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    path.write_bytes(
        b"\xef\xbb\xbf[common_quant_param]\nquant_type=FULL_QUANT\nworkspace=/\xc3\xa4"
    )
    assert ql.model.read_config(str(path)).common.workspace == "/ä"
    path.write_bytes(b"[common_quant_param]\nworkspace=\xff")
    with pytest.raises(ValueError, match=r"x\.cfg: no text in UTF-8"):
        ql.model.read_config(path)
    with pytest.raises(OSError, match="missing"):
        ql.model.read_config(tmp_path / "missing.cfg")


# --- in Python ------------------------------------------------------------------------------------


@BY_KEY
def test_values_are_checked_in_python(expected: Expected) -> None:
    kind = next(one for one in configuration.sections.SECTIONS if one.section == expected.section)
    for value in expected.accepted.values():
        assert getattr(kind(**{expected.key: value}), expected.key) == value
    wrong = [object(), 1.5, True, b"x", -1, 10**9, [object()]]
    if expected.key in ("debug_info_save_path", "workspace", "skip_quant_node"):
        wrong = [object(), 1.5, True, [object()]]
    elif expected.accepted is FLAGS:
        wrong.remove(True)
    elif expected.key == "smooth_alpha":
        wrong = [object(), True, float("nan"), "0.5"]
    elif expected.key.startswith("normalize"):
        wrong = [object(), 1.5, True, "[1]", [True]]
    for value in wrong:
        with pytest.raises(ql.model.ConfigurationError, match=rf"\] {expected.key} is "):
            kind(**{expected.key: value})


# --- the documentation's files --------------------------------------------------------------------


def test_mixed_bit_weight_quantization() -> None:
    config = ql.model.read_config(FOLDER / "mixed_bit_weight_quant.cfg")
    assert config == ql.model.Configuration(
        configuration.CommonQuant("WEIGHT_QUANT", 0, 5000, 5),
        configuration.MixedBitWeightQuant(init_scale=0.02),
    )


def test_fixed_bit_weight_quantization() -> None:
    config = ql.model.read_config(FOLDER / "fixed_bit_weight_quant.cfg")
    assert config == ql.model.Configuration(configuration.CommonQuant("WEIGHT_QUANT", 8, 0, 16))


def test_full_quantization() -> None:
    config = ql.model.read_config(FOLDER / "full_quant.cfg")
    assert config == ql.model.Configuration(
        configuration.CommonQuant("FULL_QUANT", 8),
        full=configuration.FullQuant("MAX_MIN", True),
        data=configuration.DataPreprocess(
            {"input_name_1": "/mnt/image/input_1_dir", "input_name_2": "input_2_dir"}, 100, "IMAGE",
            "RGB", (127.5,) * 3, (127.5,) * 3, 224, 224, "LINEAR", 224, 224,
        ),
    )  # fmt: skip


# --- settings -------------------------------------------------------------------------------------


def test_settings_win_over_the_file() -> None:
    path = FOLDER / "full_quant.cfg"
    settings = ("calibrate_size=7", "full_quant_param.bias_correction = false", "bit_num=4",
                "bit_num=5", "normalize_std=")  # fmt: skip
    found, plain = ql.model.read_config(path, settings), ql.model.read_config(path)
    assert found == replace(
        plain,
        common=replace(plain.common, bit_num=5),
        full=replace(plain.full, bias_correction=False),
        data=replace(plain.data, calibrate_size=7, normalize_std=None),
    )
    assert ql.model.read_config(None, ["quant_type=FULL_QUANT"]).common.quant_type == "FULL_QUANT"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("bit_num", "setting 'bit_num' must have the form key=value"),
        ("bit_nun=8", "'bit_nun' is in no section"),
        ("other.bit_num=8", "'bit_num' is in no section"),
        ("per_channel=true", f"'per_channel' is in several sections: {W}, {F}"),
        (f"{C}.bit_nun=8", rf"setting '{C}\.bit_nun=8': \[{C}\] bit_nun = '8': there is no such"),
        ("bit_num=17", rf"setting 'bit_num=17': \[{C}\] bit_num is '17'; it must be"),
        ("bit_num=0", rf"setting 'bit_num=0': \[{C}\] bit_num is 0; with quant_type FULL_QUANT"),
    ],
)
def test_wrong_settings(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ql.model.read_config(FOLDER / "full_quant.cfg", [setting])


# --- as a QuantConfig -----------------------------------------------------------------------------

WEIGHTS = {
    "mode": "weight_only", "weight_bits": 8, "min_weight_size": 0, "min_weight_channel": 16,
    "weight_correction": True, "per_channel": True, "enable_encode": True,
    "dequant_strategy": "load", "max_segments": 1, "init_scale": 0.02, "auto_tune": False,
    "max_iterations": 40, "export_precision_mode": "QUANT",
}  # fmt: skip
FULL = {
    "mode": "static", "method": "minmax", "activation_type": "int8", "activation_bits": 8,
    "weight_bits": 8, "per_channel": True, "bias_correction": True, "equalize": False,
    "smooth": 0.5, "target_device": "CPU",
}  # fmt: skip
DYNAMIC = {"mode": "dynamic", "per_channel": True, "per_row": False}
KL = {"method": "kl", "variant": "mindspore_lite"}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (["quant_type=WEIGHT_QUANT"], WEIGHTS),
        *((["quant_type=WEIGHT_QUANT", setting], {**WEIGHTS, **changes}) for setting, changes in {
            "bit_num=0": {"weight_bits": 0}, "bit_num=16": {"weight_bits": 16},
            "min_quant_weight_size=5000": {"min_weight_size": 5000},
            "min_quant_weight_channel=5": {"min_weight_channel": 5},
            "enable_encode=false": {"enable_encode": False},
            "skip_quant_node=a,b[1]*": {"exclude": ("a", "b[[]1][*]")},
            "weight_quant_param.quant_strategy=GPTQ": {"weight_rounding": "gptq"},
            "init_scale=0.1": {"init_scale": 0.1},
            "auto_tune=true": {"auto_tune": True},
            "max_iterations=80": {"max_iterations": 80},
            "dequant_strategy=ON_THE_FLY": {"dequant_strategy": "on_the_fly"},
            "weight_quant_param.per_channel=false": {"per_channel": False},
            "weight_quant_param.bias_correction=false": {"weight_correction": False},
            "max_segments=4": {"max_segments": 4},
            "export_precision_mode=FLOAT32": {"export_precision_mode": "FLOAT32"},
            # what has no effect here
            "workspace=/tmp": {}, "update_mindir=false": {}, "use_cv_data=true": {},
            "debug_info_save_path=/tmp": {}, "calibrate_size=3": {}, "smooth_alpha=0.1": {},
        }.items()),
        (["quant_type=FULL_QUANT"], FULL),
        *((["quant_type=FULL_QUANT", setting], {**FULL, **changes}) for setting, changes in {
            **{f"bit_num={b}": {"activation_bits": b, "weight_bits": b} for b in range(1, 9)},
            "activation_quant_method=KL": KL,
            "activation_quant_method=REMOVAL_OUTLIER": {"method": "removal_outlier"},
            "activation_quant_method=RemovalOutlier": {"method": "removal_outlier"},
            "full_quant_param.bias_correction=false": {"bias_correction": False},
            "full_quant_param.per_channel=false": {"per_channel": False, "equalize": True},
            "skip_quant_node=conv2d_1,add_8": {"exclude": ("conv2d_1", "add_8")},
            "smooth_alpha=0.25": {"smooth": 0.25},
            "enable_smooth_shift=true": {"smooth_shift": True},
            "smooth_alpha=0": {"smooth": None}, "smooth_alpha=1": {"smooth": None},
            "smooth_alpha=-1": {"smooth": None}, "smooth_alpha=7": {"smooth": None},
            "target_device=KIRIN": {"target_device": "KIRIN", "activation_type": "uint8",
                                    "bias_correction": False},
            "target_device=NVGPU": {"target_device": "NVGPU", "activation_symmetric": True,
                                    "bias_correction": False},
            "target_device=DSP": {"target_device": "DSP"},
            "target_device=ASCEND": {"target_device": "ASCEND", "min_weight_channel": 16},
            # what weights are thresholds of, but for one device
            "min_quant_weight_size=5000": {}, "min_quant_weight_channel=5": {},
        }.items()),
        (["quant_type=FULL_QUANT", "target_device=DSP", "full_quant_param.per_channel=false"],
         {**FULL, "target_device": "DSP", "per_channel": False}),
        (["quant_type=FULL_QUANT", "target_device=ASCEND", "min_quant_weight_size=9"],
         {**FULL, "target_device": "ASCEND", "min_weight_channel": 16, "min_weight_size": 9}),
        (["quant_type=DYNAMIC_QUANT"], DYNAMIC),
        (["quant_type=DYNAMIC_QUANT", "dynamic_quant_param.quant_strategy=ACWL"],
         {**DYNAMIC, "per_row": True, "per_channel": False}),
        (["quant_type=DYNAMIC_QUANT", "skip_quant_node=x"], {**DYNAMIC, "exclude": ("x",)}),
    ],
    ids=str,
)  # fmt: skip
def test_quant_config(settings: list[str], fields: dict[str, Any]) -> None:
    found = ql.model.read_config(None, settings).quant_config()
    assert found == ql.model.QuantConfig(**fields)


def test_from_file() -> None:
    for name in ("full_quant", "fixed_bit_weight_quant", "mixed_bit_weight_quant"):
        path = FOLDER / f"{name}.cfg"
        found = ql.model.QuantConfig.from_file(str(path))
        assert found == ql.model.read_config(path).quant_config()
    assert found.min_weight_size == 5000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["quant_type=WEIGHT_QUANT", "weight_quant_param.quant_strategy=GPTQ", "bit_num=0"],
         rf"\[{W}\] quant_strategy is 'GPTQ'; with bit_num 0 it must be MAX_MIN"),
        *(([f"quant_type={kind}", "export_precision_mode=FLOAT32"],
           rf"\[{T}\] export_precision_mode is 'FLOAT32'; with quant_type {kind} it must be QUANT")
          for kind in ("FULL_QUANT", "DYNAMIC_QUANT")),
    ],
    ids=str,
)  # fmt: skip
def test_what_there_is_not(settings: list[str], message: str) -> None:
    with pytest.raises(ql.model.ConfigurationError, match=message):
        ql.model.read_config(None, settings).quant_config()
