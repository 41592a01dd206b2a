"""Targets that other tools make of a layer: graphs, quantized programs, gradients of many kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .here import Outputs, Run, Trained, each, free, onnx_file, onnx_session, program, with_bias
from .layers import Cell

# The relative error that quantization to eight bits may have, instead of the rounding bound.
USUAL_LOSS = 0.05


@each()
def fx(cell: Cell, folder: Path) -> Run:
    return torch.fx.symbolic_trace(cell.layer)


@each(unbatched=False)
def older_onnx(cell: Cell, folder: Path) -> Run:
    """The exporter that traces the layer."""
    path = str(folder / "traced.onnx")
    names = {"input_names": ["x"], "dynamic_axes": {"x": free(cell.layer)}}
    torch.onnx.export(cell.layer, (cell.inputs[0],), path, dynamo=False, **names)
    return onnx_session(path)


@each(unbatched=False)
def half_onnx(cell: Cell, folder: Path) -> Run:
    """The output is judged as that of a layer and an input in float16."""
    half = cell._replace(layer=cell.layer.half(), inputs=[x.half() for x in cell.inputs])
    session = onnx_session(onnx_file(half, folder))
    cell.layer.float()
    return lambda x: session(x.half())


@each(unbatched=False)
def int8(cell: Cell, folder: Path) -> Run:
    """The weight and the input in eight bits, judged by `USUAL_LOSS`."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    settings = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    quantizer = xnnpack.XNNPACKQuantizer().set_global(settings)
    prepared = prepare_pt2e(program(cell.layer, cell.inputs[0]).module(), quantizer)
    for x in cell.inputs[:2]:
        prepared(x)
    return convert_pt2e(prepared)


@each()
def linearize(cell: Cell, folder: Path) -> Run:
    """The linear function of the input, which is the output without the bias."""

    def run(x: Tensor) -> Tensor:
        _, tangent = torch.func.linearize(cell.layer, torch.ones_like(x))
        return with_bias(cell.layer, tangent(x))

    return run


def batched_gradients(cells: Sequence[Cell], folder: Path) -> list[Outputs]:
    """The gradients of two cotangents at once; the second is twice the first, and is judged."""

    def trained(cell: Cell, x: Tensor, cotangent: Tensor) -> Trained:
        x = x.clone().requires_grad_()
        y = cell.layer(x)
        both = torch.stack([cotangent, 2 * cotangent])
        leaves = [x, *cell.layer.parameters()]
        gradients = torch.autograd.grad(
            y, leaves, both, is_grads_batched=True, materialize_grads=True
        )
        return Trained(y.detach(), [gradient[1] / 2 for gradient in gradients])

    return [
        [trained(cell, *each) for each in zip(cell.inputs, cell.cotangents, strict=True)]
        for cell in cells
    ]
