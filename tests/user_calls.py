"""A user's calls. A type checker must refuse each line that ends in ``# wrong``, and no other.

``test_typing.py`` has pyright and mypy judge this file. Nothing runs it.
"""

import numpy as np
import torch

import torchconv2d
from torchconv2d import Conv2d, conv_general_dilated, init, interop, testing
from torchconv2d.typing import ArrayLike, ConvPadding, Ints

x = torch.rand(2, 28, 30, 3)
sizes = np.array([3, 2])
kernel = np.ones((3, 2, 3, 8), np.float32)

# The layer: sizes, and NumPy's integers
layer = Conv2d((28, 30, 3), 8, 3)
Conv2d([28, 30, 3], 8, [3, 2], stride=(2, 1))
Conv2d((None, None, 3), 8, (3,), lhs_dilation=2, rhs_dilation=[2, 1], groups=1)
Conv2d(np.array([28, 30, 3]), np.int64(8), np.int32(3), stride=sizes[0])
Conv2d(x.shape[1:], 8, 3, channel_first=False, name="stem", param_type=torch.nn.Buffer)
Conv2d((28, 30, 3), 8, 3, device="cpu", dtype=torch.bfloat16)
Conv2d("28", 8, 3)  # wrong
Conv2d((28.0, 30, 3), 8, 3)  # wrong
Conv2d((28, 30, 3), 8.0, 3)  # wrong
Conv2d((28, 30, 3), 8, "3")  # wrong
Conv2d((28, 30, 3), 8, 3, stride=2.0)  # wrong
Conv2d((28, 30, 3), 8, 3, stride=None)  # wrong
Conv2d((28, 30, 3), 8, 3, groups="2")  # wrong
Conv2d((28, 30, 3), 8, 3, name=5)  # wrong
Conv2d((28, 30, 3), 8, 3, dtype="float32")  # wrong
Conv2d((28, 30, 3))  # wrong
Conv2d((28, 30, 3), 8, 3, dilation=2)  # wrong
Conv2d((28, 30, 3), 8, 3, use_bias=True)  # wrong

# Padding
Conv2d((28, 30, 3), 8, 3, padding="VALID")
Conv2d((28, 30, 3), 8, 3, padding=np.int64(1))
Conv2d((28, 30, 3), 8, 3, padding=(1, np.int64(2)))
Conv2d((28, 30, 3), 8, 3, padding=[(1, 2), (0, -1)])
Conv2d((28, 30, 3), 8, 3, padding=((1, 2),))
Conv2d((28, 30, 3), 8, 3, padding=layer.padding, stride=layer.stride)
Conv2d((28, 30, 3), 8, 3, padding="same")  # wrong
Conv2d((28, 30, 3), 8, 3, padding="SAME_LOWER")  # wrong
Conv2d((28, 30, 3), 8, 3, padding=1.5)  # wrong
Conv2d((28, 30, 3), 8, 3, padding=None)  # wrong
Conv2d((28, 30, 3), 8, 3, padding=[("1", "2")])  # wrong

# Values
Conv2d((28, 30, 3), 8, (3, 2), w_init=kernel, b_init=[0.0] * 8, w_mask=kernel > 0)
Conv2d((28, 30, 3), 8, (3, 2), w_init=torch.from_numpy(kernel), b_init=np.float64(2))
Conv2d((28, 30, 1), 1, (1, 2), w_init=[[[[1]], [[2]]]], b_init=0)
Conv2d((28, 30, 3), 8, 3, w_init=init.KaimingNormal(seed=7), b_init=init.ZeroInit())
Conv2d((28, 30, 3), 8, 3, w_init=torch.ones, w_mask=lambda shape: np.ones(shape))
Conv2d((28, 30, 3), 8, 3, w_init="zeros")  # wrong
Conv2d((28, 30, 3), 8, 3, w_init=init.KaimingNormal)  # wrong
Conv2d((28, 30, 3), 8, 3, w_init=torch.nn.init.kaiming_normal_)  # wrong
Conv2d((28, 30, 3), 8, 3, w_init=None)  # wrong
Conv2d((28, 30, 3), 8, 3, b_init={"a": 1})  # wrong
Conv2d((28, 30, 3), 8, 3, w_mask=["1", "0"])  # wrong

# What a layer has and returns
y: torch.Tensor = layer(x)
weight: torch.nn.Parameter = layer.weight
fixed: Conv2d = layer.resized((np.int64(14), 15))
pair: tuple[int, int] = layer.stride
layer(kernel)  # wrong
layer.bias.numel()  # wrong
layer.resized("14")  # wrong

# The function
spec = ("NHWC", "HWIO", "NHWC")
z: torch.Tensor = conv_general_dilated(x, weight, (2, 2), "SAME", dimension_numbers=spec)
conv_general_dilated(x, weight, sizes, [(1, 2), (0, 1)], lhs_dilation=sizes, rhs_dilation=None)
conv_general_dilated(x, weight, [1, 2], "same_lower", feature_group_count=np.int8(1))
conv_general_dilated(x, weight, (2, 2), "FULL")  # wrong
conv_general_dilated(kernel, weight, (2, 2), "SAME")  # wrong
conv_general_dilated(x, weight, (2.0, 2), "SAME")  # wrong
conv_general_dilated(x, weight, (2, 2))  # wrong

# Initializers
init.VarianceScaling(2.0, "fan_out", "uniform", seed=7)
drawn: torch.Tensor = init.LecunUniform()((3, 3, 4, 8), dtype=torch.float64)
init.VarianceScaling(2.0, "fan_both", "uniform")  # wrong
init.KaimingUniform(mode="fan")  # wrong
init.XavierNormal(distribution="gauss")  # wrong

# Other frameworks, and comparisons
interop.load_params(layer, {"kernel": kernel}, "flax", kind="conv")
shape: tuple[int, ...] = interop.export_params(layer, "keras")["kernel"].shape
interop.load_network(torch.nn.Sequential(layer), {}, "torch", kinds={"0": "transposed"})
interop.from_layer(torch.nn.Conv2d(3, 8, 3), np.array([3, 28, 30]), activation="left")
ratio: float = testing.assert_parity(layer, layer, [x])
interop.load_params(layer, {}, "pytorch")  # wrong
interop.load_params(layer, {}, "flax", kind="plain")  # wrong
interop.export_params(layer, "Flax")  # wrong
interop.from_layer(torch.nn.Conv2d(3, 8, 3), (3, 28, 30), activation="kept")  # wrong
interop.load_params(torch.nn.Conv2d(3, 8, 3), {}, "torch")  # wrong


def block(
    size: tuple[int, int, int], stride: Ints, padding: ConvPadding, mask: ArrayLike
) -> Conv2d:
    """A user's own function, annotated with the package's types."""
    return torchconv2d.Conv2d(size, 8, (3, 2), stride, padding, w_mask=mask)


block((28, 30, 3), np.int64(2), "VALID", kernel)
block((28, 30, 3), 2, "valid", kernel)  # wrong
block((28, 30, 3), 2, "VALID", "causal")  # wrong
