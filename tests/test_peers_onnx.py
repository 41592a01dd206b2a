"""The tests that ONNX asks its backends to pass, on the layer and on the functional form."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx_tables
import pytest
import torch
from needs import package
from onnx_tables import Node

from parity.definition.expected import layer_output
from torchconv2d import Conv2d, conv_general_dilated

pytestmark = pytest.mark.usefixtures("one_thread")

NODES = onnx_tables.nodes() if find_spec("onnx") else {}
THREE_AXES = "the package has convolutions of two spatial axes, and of one as a row of two"
NOT_APPLICABLE = {name: THREE_AXES for name, node in NODES.items() if node.x.ndim == 5}
APPLICABLE = [name for name in NODES if name not in NOT_APPLICABLE]


# ONNX's names of padding, and JAX's.
SAME = {b"SAME_UPPER": "SAME", b"SAME_LOWER": "SAME_LOWER"}


def same(size: int, extent: int, stride: int, auto: bytes) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if auto == b"SAME_UPPER" else (more, less)


def options(node: Node) -> dict[str, Any]:
    """The node's attributes as the layer names them, all in numbers."""
    given = node.attributes
    auto = given.get("auto_pad")
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    pads, more = given.get("pads", [0, 0, 0, 0]), given.get("output_padding", [0, 0])
    padding = []
    for axis in (0, 1):
        size, stride = node.x.shape[2 + axis], strides[axis]
        extent = (node.weight.shape[2 + axis] - 1) * dilations[axis] + 1
        before, after = pads[axis], pads[axis + 2]
        if node.operator == "Conv":
            named = auto in SAME
            padding.append(same(size, extent, stride, auto) if named else (before, after))
            continue
        shape = given.get("output_shape")
        if auto in SAME or shape is not None:
            wanted = size * stride if shape is None else shape[axis]
            total = stride * (size - 1) + more[axis] + extent - wanted
            halves = total // 2, total - total // 2
            before, after = halves if auto == b"SAME_UPPER" else halves[::-1]
        padding.append((extent - 1 - before, extent - 1 - after + more[axis]))
    stride_or_lhs = "stride" if node.operator == "Conv" else "lhs_dilation"
    common = {"rhs_dilation": dilations, "groups": given.get("group", 1)}
    return {stride_or_lhs: strides, "padding": padding, **common}


def hwio(node: Node) -> np.ndarray:
    """The weight in the documented layout."""
    weight = node.weight
    if node.operator == "ConvTranspose":
        groups = node.attributes.get("group", 1)
        parts = np.split(weight[:, :, ::-1, ::-1], groups)
        weight = np.concatenate([part.swapaxes(0, 1) for part in parts])
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def layer_of(node: Node) -> Conv2d:
    inputs, *size = node.x.shape[1:]
    kernel = hwio(node)
    return Conv2d(
        (inputs, *size),
        kernel.shape[3],
        kernel.shape[:2],
        **options(node),
        w_init=kernel,
        b_init=node.bias,
        channel_first=True,
    )


def test_the_tables_are_counted() -> None:
    package("onnx")
    kinds = Counter((node.operator, node.x.ndim - 2) for node in NODES.values())
    # Of the wheel of 2024; later ones have more.
    assert kinds["Conv", 2] >= 17
    assert kinds["ConvTranspose", 2] >= 12
    assert kinds["Conv", 1] >= 8
    assert len(NOT_APPLICABLE) == sum(n for (_, axes), n in kinds.items() if axes == 3)
    assert len(NODES) == len(APPLICABLE) + len(NOT_APPLICABLE)


@pytest.mark.parametrize("name", APPLICABLE)
def test_a_node_is_a_layer(name: str) -> None:
    node = onnx_tables.two_dimensional(NODES[name])
    layer, x, right = layer_of(node), torch.tensor(node.x), torch.tensor(node.y)
    y = layer(x)
    assert y.shape == right.shape
    truth = layer_output(layer, x)
    assert truth.ratio(right) <= 1  # what ONNX keeps is that, too
    assert truth.ratio(y) <= 1
    if np.array_equal(node.weight, np.round(node.weight)):
        assert torch.equal(y, right)


@pytest.mark.parametrize("name", APPLICABLE)
def test_a_node_is_a_call_of_the_functional_form(name: str) -> None:
    node = onnx_tables.two_dimensional(NODES[name])
    given, layer, x = options(node), layer_of(node), torch.tensor(node.x)
    auto = node.attributes.get("auto_pad")
    if node.operator == "Conv" and auto in SAME:  # the name serves here
        given["padding"] = SAME[auto]
    y = conv_general_dilated(
        x,
        torch.tensor(hwio(node)),
        given.get("stride", 1),
        given["padding"],
        given.get("lhs_dilation"),
        given["rhs_dilation"],
        ("NCHW", "HWIO", "NCHW"),
        given["groups"],
    )
    plain = Conv2d(**{**arguments_of(layer), "w_init": layer.kernel.detach()})
    assert layer_output(plain, x).ratio(y) <= 1


def arguments_of(layer: Conv2d) -> dict[str, Any]:
    names = ("in_size", "out_channels", "kernel_size", "stride", "padding", "lhs_dilation")
    names += ("rhs_dilation", "groups", "channel_first")
    return {name: getattr(layer, name) for name in names}
