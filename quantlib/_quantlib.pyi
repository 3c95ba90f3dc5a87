"""The compiled module, which cffi builds from ``csrc/quantlib.h``: one line for each function."""

from collections.abc import Callable
from typing import Any, Final, Protocol

class _Lib(Protocol):
    QL_OK: int
    QL_NO_MEMORY: int
    QL_OVERFLOW: int
    QL_NOT_FINITE: int
    QL_DAMAGED: int
    QL_DECLINED: int
    QL_FLOAT32: int
    QL_FLOAT64: int
    QL_INT8: int
    QL_UINT8: int
    QL_INT16: int
    QL_UINT16: int
    QL_ERF: int
    QL_GELU: int
    QL_GELU_TANH: int
    QL_SIGMOID: int
    QL_INT32: int
    QL_PER_TENSOR: int
    QL_PER_CHANNEL: int
    QL_BLOCKED: int
    QL_BINS: int
    QL_SEEN_AXES: int
    QL_MOST_PARAMETERS: int
    QL_TO_CODES: int
    QL_TO_REALS: int
    QL_TO_CODES_AND_BACK: int
    QL_SUM_DIGITS: int
    QL_SQUARES_DIGITS: int

    ql_isa_count: Callable[[], int]
    ql_fuse: Callable[[Any, int, int, Any, Any], int]
    ql_isa_name: Callable[[int], Any]
    ql_isa_available: Callable[[int], int]
    ql_isa_current: Callable[[], int]
    ql_isa_select: Callable[[int], None]
    ql_threads: Callable[[], int]
    ql_set_threads: Callable[[int], None]
    ql_quantize: Callable[..., int]
    ql_dequantize: Callable[..., int]
    ql_fake_quantize: Callable[..., int]
    ql_min_max: Callable[..., int]
    ql_requantize: Callable[..., int]
    ql_summarize: Callable[..., int]
    ql_tails: Callable[..., int]
    ql_matrix_pack: Callable[..., Any]
    ql_matrix_free: Callable[[Any], None]
    ql_matrix_size: Callable[[Any], int]
    ql_matrix_unpack: Callable[..., None]
    ql_matmul: Callable[..., int]
    ql_matmul_once: Callable[..., int]
    ql_dynamic_range: Callable[..., int]
    ql_dynamic_matmul: Callable[..., int]
    ql_dynamic_product: Callable[..., int]
    ql_array_types_are: Callable[[Any], None]
    ql_array_read: Callable[[int, Any], int]
    ql_find_parameters: Callable[[Any, int, int], int]
    ql_call_product: Callable[..., int]
    ql_call_product_once: Callable[..., int]
    ql_call_affine: Callable[..., int]
    ql_call_min_max: Callable[..., int]
    ql_call_blend: Callable[..., int]
    ql_call_conv: Callable[..., int]
    ql_filter_pack: Callable[..., Any]
    ql_filter_free: Callable[[Any], None]
    ql_filter_size: Callable[[Any], int]
    ql_filter_unpack: Callable[..., int]
    ql_conv: Callable[..., int]
    ql_transpose: Callable[..., None]
    ql_copy_rows: Callable[..., None]
    ql_add: Callable[..., int]
    ql_multiply: Callable[..., int]
    ql_look_up: Callable[..., int]
    ql_max_pool: Callable[..., int]
    ql_average_pool: Callable[..., int]
    ql_softmax: Callable[..., int]
    ql_activate: Callable[..., int]
    ql_real_softmax: Callable[..., int]
    ql_layer_norm: Callable[..., int]
    ql_local_norm: Callable[..., int]
    ql_local_norm_of_codes: Callable[..., int]
    ql_resize_nearest: Callable[..., int]
    ql_resize_linear: Callable[..., int]
    ql_entropy_encode: Callable[..., int]
    ql_entropy_decode: Callable[..., int]

class _FFI(Protocol):
    NULL: Any
    def new(self, cdecl: str, init: Any = ...) -> Any: ...
    def cast(self, cdecl: str, value: Any) -> Any: ...
    def string(self, cdata: Any) -> bytes: ...
    def gc(self, cdata: Any, destructor: Callable[[Any], None], size: int = ...) -> Any: ...
    def typeof(self, cdecl: str) -> Any: ...
    def from_buffer(self, cdecl: Any, buffer: Any) -> Any: ...

lib: Final[_Lib]
ffi: Final[_FFI]
