"""What is done to a graph before it runs. Each pass is one function of one graph, in one file."""

from quantlib.model.passes.activation import fuse_activations
from quantlib.model.passes.batch_norm import fold_batch_norms
from quantlib.model.passes.constant_folding import fold_constants
from quantlib.model.passes.dead_code import remove_dead_code
from quantlib.model.passes.dynamic import fuse_dynamic
from quantlib.model.passes.early import dequantize_late, quantize_early
from quantlib.model.passes.layout import assign_layout
from quantlib.model.passes.qdq import fuse_qdq
from quantlib.model.passes.qoperator import expand_qoperators
from quantlib.model.passes.shuffle import fuse_shuffles
from quantlib.model.passes.simplification import simplify

__all__ = [
    "assign_layout",
    "dequantize_late",
    "expand_qoperators",
    "fold_batch_norms",
    "fold_constants",
    "fuse_activations",
    "fuse_dynamic",
    "fuse_qdq",
    "fuse_shuffles",
    "quantize_early",
    "remove_dead_code",
    "simplify",
]
