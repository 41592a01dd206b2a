"""PT2E quantizes as many layers as of `nn.Conv2d`, with an error as small."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import normal_numbers
from needs import package
from torch import Tensor, nn

from torchconv2d import Conv2d

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # torchao warns of much that is its own
]


CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default)


def draw(shape: tuple[int, ...]) -> Tensor:
    return normal_numbers(shape, len(shape) + shape[0], torch.float32) / 4


def networks() -> list[nn.Sequential]:
    """The same network twice, with our layers and with torch's: each with batch norm."""
    ours, torchs = nn.Sequential(), nn.Sequential()
    for size, channels, out, kernel, stride, groups in (
        ((32, 30), 3, 16, 3, 2, 1),
        ((16, 15), 16, 16, 3, 1, 16),
        ((16, 15), 16, 32, 1, 1, 1),
        ((16, 15), 32, 24, 3, 2, 1),
    ):
        in_size = (channels, *size)
        options: dict[str, Any] = {"groups": groups, "channel_first": True, "b_init": 0.1}
        conv = Conv2d(in_size, out, kernel, stride, w_init=draw, **options)
        other = nn.Conv2d(channels, out, kernel, stride, groups=groups)
        other.load_state_dict(conv.state_dict())
        height, width = conv.geometry.height, conv.geometry.width
        pads = nn.ZeroPad2d((width.before, width.after, height.before, height.after))
        norm = nn.BatchNorm2d(out)
        ours.extend([conv, norm, nn.ReLU()])
        torchs.extend([pads, other, norm, nn.ReLU()])
    return [ours.eval(), torchs.eval()]


def quantized(network: nn.Module, quantizer: Any, strict: bool) -> tuple[int, float]:
    """How many convolutions have a weight in eight bits, and the relative error."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    batches = [normal_numbers((4, 3, 32, 30), seed, torch.float32) for seed in range(4)]
    program = torch.export.export(network, (batches[0],), strict=strict)
    prepared = prepare_pt2e(program.module(), quantizer)
    for x in batches[:3]:
        prepared(x)
    found = convert_pt2e(prepared)
    convolutions = [node for node in found.graph.nodes if node.target in CONVOLUTIONS]
    assert len(convolutions) == 4
    in_eight_bits = torch.ops.quantized_decomposed.dequantize_per_channel.default
    count = sum(node.args[1].target is in_eight_bits for node in convolutions)
    y = network(batches[3])
    return count, float((found(batches[3]) - y).norm() / y.norm())


@pytest.mark.parametrize("name", ["X86InductorQuantizer", "XNNPACKQuantizer"])
def test_as_many_layers_are_quantized_as_of_torch(name: str) -> None:
    """The first one reads from the graph which module made a node; only `strict` records this."""
    package("torchao")
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    found = []
    for network in networks():
        if name == "XNNPACKQuantizer":
            settings = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
            quantizer = xnnpack.XNNPACKQuantizer().set_global(settings)
        else:
            settings = x86.get_default_x86_inductor_quantization_config()
            quantizer = x86.X86InductorQuantizer().set_global(settings)
        found.append(quantized(network, quantizer, strict=name != "XNNPACKQuantizer"))
    (count, error), (of_torch, usual) = found
    assert count == of_torch == 4
    assert error <= 2 * usual
    assert error < 0.05
