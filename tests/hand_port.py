"""A typical handwritten port, its inputs, and the message of `assert_parity` about it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from cases import normal_numbers
from torch import Tensor

from torchconv2d.testing import assert_parity


def conv(x, kernel, bias=None, pads=(1, 1, 1, 1), stride=1, groups=1) -> Tensor:
    """A typical handwritten port: NHWC and HWIO; ``pads`` are left, right, top, bottom."""
    x = torch.nn.functional.pad(x.permute(0, 3, 1, 2), pads)
    y = torch.conv2d(x, kernel.permute(3, 2, 0, 1), None, stride, groups=groups)
    return y.permute(0, 2, 3, 1) if bias is None else y.permute(0, 2, 3, 1) + bias


def inputs(dtype=torch.float32, groups=1, size=(9, 8), numbers=normal_numbers) -> list[Tensor]:
    shapes = (2, *size, 4), (3, 3, 4 // groups, 6), (6,)
    return [numbers(shape, seed, dtype) for seed, shape in enumerate(shapes)]


def failure(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_parity(*arguments, **keywords)
    return str(caught.value)


def mistakes(*arguments: Any, **keywords: Any) -> str:
    found = re.search(r"^Explained by (.*) in the port\.$", failure(*arguments, **keywords), re.M)
    assert found
    return found[1]
