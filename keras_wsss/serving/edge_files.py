"""Writes the two graphs of a network as files of LiteRT or ONNX."""

import importlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss.errors import ConfigError
from keras_wsss.serving.edge_graph import DECODE, ENCODE, Graph

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
# What is left in float32: biases and the like, which weigh nothing.
_FEW = 1024
_OPSET = 18
_IN_EIGHT_BITS = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
}

Arrays = dict[str, np.ndarray]
# Gives a graph's name and inputs of it, by name, again at every call.
Calibration = Callable[[], Iterator[tuple[str, Arrays]]]
Write = Callable[
    [Mapping[str, Graph], list[tf.Variable], Path, str, Calibration],
    dict[str, str],
]


def write_litert(
    graphs: Mapping[str, Graph],
    variables: list[tf.Variable],
    folder: Path,
    precision: str,
    calibration: Calibration,
) -> dict[str, str]:
    """Writes `model.tflite`, whose signatures are the graphs.

    Args:
        graphs: of `edge_graphs`.
        variables: all that they read.
        folder: where to.
        precision: of the weights; with "int8" of what they are multiplied
            with, too.
        calibration: for "int8", inputs that show what values occur.

    Returns:
        The file of each graph.
    """
    module = tf.Module()
    module.variables_of_graphs = variables
    concrete = {name: graph.concrete() for name, graph in graphs.items()}
    with tempfile.TemporaryDirectory() as name:
        tf.saved_model.save(module, name, signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            name, signature_keys=list(graphs)
        )
        if precision != FLOAT32:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == FLOAT16:
            converter.target_spec.supported_types = [tf.float16]
        if precision == INT8:
            converter.representative_dataset = calibration
            converter._experimental_calibrate_only = True
        with warnings.catch_warnings():
            # That `tf.lite.Interpreter`, which calibrates, moved elsewhere.
            warnings.simplefilter("ignore", UserWarning)
            content = converter.convert()
    if precision == INT8:
        content = _quantize_litert(content)
    (folder / "model.tflite").write_bytes(content)
    return dict.fromkeys(graphs, "model.tflite")


def _quantize_litert(calibrated: bytes) -> bytes:
    """Convolutions and dense layers in 8 bits, the rest in float32.

    Attention is made of lengths, quotients and a softmax. In 8 bits some of
    them are 0 and divided by, and masks lose 0.16 of mean IoU.
    """
    # What `tf.lite.experimental.QuantizationDebugger` calls, which refuses
    # files with several signatures.
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.python.convert import mlir_quantize

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    model = schema.ModelT.InitFromPackedBuf(calibrated, 0)
    # Codes above 127 stand in the newer field alone.
    found = {
        names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for code in model.operatorCodes
    }
    return mlir_quantize(
        calibrated, denylisted_ops=sorted(found - _IN_EIGHT_BITS)
    )


def write_onnx(
    graphs: Mapping[str, Graph],
    variables: list[tf.Variable],
    folder: Path,
    precision: str,
    calibration: Calibration,
) -> dict[str, str]:
    """Writes a file for each graph; arguments as for `write_litert`."""
    import onnx
    import tf2onnx

    files = {}
    for name, graph in graphs.items():
        model, _ = tf2onnx.convert.from_function(
            tf.function(
                graph.function, autograph=False, input_signature=graph.inputs
            ),
            graph.inputs,
            opset=_OPSET,
        )
        files[name] = f"{name}.onnx"
        if precision == FLOAT16:
            _halve(model)
        path = folder / files[name]
        if precision == INT8:
            own = (inputs for other, inputs in calibration() if other == name)
            _quantize_onnx(model, path, own)
        else:
            onnx.save(model, path)
    return files


def _halve(model: Any) -> None:
    """Stores large weights in half precision; what is computed stays float32.

    A runtime makes float32 of them once, when it loads the model.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _FEW:
            continue
        name = tensor.name
        half = numpy_helper.from_array(
            values.astype(np.float16), f"{name}_half"
        )
        tensor.CopyFrom(half)
        casts.append(
            helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _quantize_onnx(model: Any, path: Path, inputs: Iterator[Arrays]) -> None:
    """Convolutions and matrix products in 8 bits, the rest in float32."""
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> Arrays | None:
            return next(inputs, None)

    with tempfile.TemporaryDirectory() as name:
        whole = Path(name, "whole.onnx")
        onnx.save(model, whole)
        quantization.quantize_static(
            whole,
            path,
            Reader(),
            op_types_to_quantize=["Conv", "MatMul"],
            per_channel=True,
        )


WRITERS: dict[str, tuple[Write, tuple[str, ...]]] = {
    "litert": (write_litert, ()),
    "onnx": (write_onnx, ("onnx", "tf2onnx", "onnxruntime")),
}


def get_writer(kind: str) -> Write:
    """What writes a format.

    Raises:
        ConfigError: packages that it needs are not installed.
    """
    write, modules = WRITERS[kind]
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"--format={kind} needs the package {module} ({error}); "
                "`pip install 'keras-wsss[edge]'` installs it."
            ) from error
    return write


def calibration_inputs(
    graphs: Mapping[str, Graph],
    pictures: Sequence[tuple[Arrays, Sequence[int]]],
) -> Calibration:
    """Inputs of both graphs, from pictures and their labels.

    Args:
        graphs: of `edge_graphs`.
        pictures: inputs of "encode", and ids.
    """
    encode = graphs[ENCODE].concrete()
    kept = {spec.name for spec in graphs[DECODE].inputs}

    def inputs() -> Iterator[tuple[str, Arrays]]:
        for own, ids in pictures:
            yield ENCODE, own
            tensors = {name: tf.constant(value) for name, value in own.items()}
            outputs = encode(**tensors)
            arrays = {k: v.numpy() for k, v in outputs.items() if k in kept}
            for number in ids:
                yield DECODE, {"label": np.array([number], np.int32), **arrays}

    return inputs
