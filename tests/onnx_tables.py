"""ONNX's own tests of ``Conv`` and ``ConvTranspose``, which its wheel has for its backends."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Node(NamedTuple):
    """One node, the arrays that it takes and the one that it must give."""

    operator: str
    attributes: dict[str, Any]
    x: Array
    weight: Array
    bias: Array | None
    y: Array


def _node(model: Any, inputs: list[Array], outputs: list[Array]) -> Node:
    from onnx import helper, numpy_helper

    (node,) = model.graph.node
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    free = [each.name for each in model.graph.input if each.name not in constants]
    known = constants | dict(zip(free, inputs, strict=True))
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    x, weight, *bias = (known[name] for name in node.input)
    return Node(node.op_type, attributes, x, weight, bias[0] if bias else None, outputs[0])


@cache
def nodes() -> dict[str, Node]:
    """All of both operators, of any number of spatial axes, by ONNX's names of them."""
    from onnx.backend.test.case import node
    from onnx.backend.test.case.node import conv, convtranspose  # noqa: F401  make the tests

    made = {}
    for case in node._NodeTestCases:
        if {each.op_type for each in case.model.graph.node} <= {"Conv", "ConvTranspose"}:
            ((inputs, outputs),) = case.data_sets
            made[case.name] = _node(case.model, list(inputs), list(outputs))
    return made | _stored()


def _stored() -> dict[str, Node]:
    """Those that ONNX once converted from torch's tests and keeps in files."""
    import onnx
    from onnx import numpy_helper

    found = {}
    data = Path(onnx.__file__).parent / "backend/test/data"
    for folder in sorted((*data.glob("pytorch-*/test_Conv*"), *data.glob("pytorch-*/*_conv*"))):
        model = onnx.load(folder / "model.onnx")
        if len(model.graph.node) > 1:
            continue

        def arrays(kind: str, folder: Path = folder) -> list[Array]:
            files = sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"))
            return [
                numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))
                for file in files
            ]

        found[folder.name] = _node(model, arrays("input"), arrays("output"))
    return found


def two_dimensional(node: Node) -> Node:
    """One spatial axis becomes the second of two, the first having one row."""
    if node.x.ndim == 4:
        return node
    longer = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0}
    attributes = dict(node.attributes)
    for name, first in longer.items():
        if name in attributes:
            attributes[name] = [first, *attributes[name]]
    if "pads" in attributes:
        before, after = attributes["pads"]
        attributes["pads"] = [0, before, 0, after]
    if "output_shape" in attributes:
        attributes["output_shape"] = [1, *attributes["output_shape"]]
    x, weight, y = (np.expand_dims(each, 2) for each in (node.x, node.weight, node.y))
    return node._replace(attributes=attributes, x=x, weight=weight, y=y)
