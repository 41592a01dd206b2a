"""TFLite: a file with one operation, which its interpreter runs; each comes with our layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from torchconv2d import Conv2d, init, interop

from . import Array, Example, Run

FRAMEWORK = "tflite"

_PADDING = {"SAME": schema.Padding.SAME, "VALID": schema.Padding.VALID}


def examples() -> dict[str, Example]:
    bias = init.Normal(0.5)
    return {
        "same, strides": _conv((8, 7, 3), 5, (3, 4), (2, 3), "SAME", b_init=bias),
        "valid, dilated": _conv((9, 8, 3), 5, (3, 2), 1, "VALID", rhs_dilation=(2, 3), b_init=bias),
        "groups": _conv((8, 7, 4), 6, (2, 3), 1, "SAME", groups=2, b_init=bias),
        "depthwise": _conv((8, 7, 3), 3, (2, 3), 2, "SAME", groups=3, b_init=bias),
        "depthwise, multiplier": _conv((8, 7, 3), 12, (3, 2), 1, "VALID", groups=3, b_init=bias),
        "depthwise, dilated": _conv(
            (8, 7, 3), 6, (3, 2), 1, "SAME", groups=3, rhs_dilation=(1, 2), b_init=bias
        ),
        "transposed, same": _transposed((4, 5, 3), (8, 15), 5, (3, 4), (2, 3), "SAME"),
        "transposed, same, smaller": _transposed((4, 5, 3), (7, 14), 5, (4, 3), (2, 3), "SAME"),
        "transposed, same, small kernel": _transposed(
            (4, 5, 3), (12, 9), 5, (2, 1), (3, 2), "SAME"
        ),
        "transposed, valid": _transposed((4, 5, 3), (9, 16), 4, (3, 4), (2, 3), "VALID"),
        "transposed, valid, larger": _transposed((4, 5, 3), (10, 18), 4, (3, 4), (2, 3), "VALID"),
        "transposed, stride 1": _transposed((4, 5, 3), (4, 5), 3, (2, 3), 1, "SAME"),
    }


def _conv(*arguments: Any, **options: Any) -> Example:
    conv = Conv2d(*arguments, **options)
    depthwise = conv.groups == conv.in_channels
    settings = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    settings.padding = _PADDING[arguments[4]]
    settings.strideH, settings.strideW = conv.stride
    settings.dilationHFactor, settings.dilationWFactor = conv.rhs_dilation
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    if depthwise:
        conv.ported_from = "tflite", "depthwise"  # a layer for `CONV_2D` could be the same
        settings.depthMultiplier = conv.out_channels // conv.in_channels
    return _example(conv, name, settings)


def _transposed(
    in_size: tuple[int, int, int],
    out_size: tuple[int, int],
    channels: int,
    kernel_size: tuple[int, int],
    stride: Any,
    padding: Any,
) -> Example:
    pads = interop.tflite_padding(padding, in_size[:2], out_size, kernel_size, stride)
    bias = init.Normal(0.5)
    conv = Conv2d(in_size, channels, kernel_size, 1, pads, stride, b_init=bias)
    # A layer that dilates by 1 is transposed only if somebody says so.
    conv.ported_from = "tflite", "transposed"
    settings = schema.TransposeConvOptionsT()
    settings.padding = _PADDING[padding]
    settings.strideH, settings.strideW = conv.lhs_dilation
    return _example(conv, "TRANSPOSE_CONV", settings)


def _example(conv: Conv2d, name: str, settings: Any) -> Example:
    params = _params(conv)

    def refilled(exported: dict[str, Array]) -> Run:
        return lambda x: _run(_file(conv, name, settings, exported, len(x)), np.asarray(x))

    return Example(conv, refilled(params), refilled, conv.in_size, params)


def _params(conv: Conv2d) -> dict[str, Array]:
    """Arrays in TFLite's layouts, as its documentation has them."""
    rows, columns, per_group, out = conv.kernel_shape
    generator = np.random.default_rng(out)
    depthwise = conv.groups == conv.in_channels and conv.lhs_dilation == (1, 1)
    shape = (1, rows, columns, out) if depthwise else (out, rows, columns, per_group)
    draws = generator.normal(size=shape), generator.normal(size=out)
    return dict(zip(("filter", "bias"), (each.astype(np.float32) for each in draws), strict=True))


def _file(conv: Conv2d, name: str, settings: Any, params: dict[str, Array], batch: int) -> bytes:
    """A file with one operation, named ``name`` in the schema."""
    arrays = {**params, "shape": np.array((batch, *conv.out_size), np.int32)}
    transposed = name == "TRANSPOSE_CONV"
    inputs = ("shape", "filter", "images", "bias") if transposed else ("images", "filter", "bias")
    shapes = {"images": (batch, *conv.in_size), "output": (batch, *conv.out_size)}
    kept = {each: arrays[each] for each in inputs if each in arrays}
    version = 3 if transposed else 1  # the third takes a bias
    return written(shapes, kept, [Operation(name, inputs, "output", settings, version)])


class Operation(NamedTuple):
    """An operation by its name in the schema, and the names of its tensors."""

    name: str
    inputs: Sequence[str]
    output: str
    settings: Any = None
    version: int = 1


def written(
    shapes: Mapping[str, Sequence[int]],
    arrays: Mapping[str, Array],
    operations: Sequence[Operation],
) -> bytes:
    """A file: the shapes of what is computed, first the input, last the output; and the weights."""
    names = [*shapes, *arrays]
    graph, model = schema.SubGraphT(), schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    graph.tensors, graph.operators, model.operatorCodes = [], [], []
    for name in names:
        tensor, array = schema.TensorT(), arrays.get(name)
        tensor.name, tensor.type = name, schema.TensorType.FLOAT32
        tensor.shape = list(shapes[name] if array is None else array.shape)
        if array is not None:
            if array.dtype == np.int32:
                tensor.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(array.tobytes(), np.uint8)
            tensor.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs = [0], [len(shapes) - 1]
    for number, each in enumerate(operations):
        operator, code = schema.OperatorT(), schema.OperatorCodeT()
        operator.inputs = [names.index(name) for name in each.inputs]
        operator.outputs, operator.opcodeIndex = [names.index(each.output)], number
        if each.settings is not None:
            kind = type(each.settings).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = each.settings
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, each.name)
        code.version = each.version
        graph.operators.append(operator)
        model.operatorCodes.append(code)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _run(file: bytes, images: Array) -> Array:
    # Without the delegates, TFLite's own kernels run.
    runtime = Interpreter(
        model_content=file,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], images)
    runtime.invoke()
    return runtime.get_tensor(runtime.get_output_details()[0]["index"])
