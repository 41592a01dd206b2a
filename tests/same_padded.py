"""Torch models for the tests of ``interop.replace_convs``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SamePadded(nn.Conv2d):
    """Pads as TensorFlow does, in its own forward."""

    extra_first = False

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.amounts(x, 0), self.amounts(x, 1)
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def amounts(self, x: Tensor, i: int) -> tuple[int, int]:
        size, stride = x.shape[2 + i], self.stride[i]
        extent = (self.kernel_size[i] - 1) * self.dilation[i] + 1
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        less, more = total // 2, total - total // 2
        return (more, less) if self.extra_first else (less, more)


class SameLowerPadded(SamePadded):
    extra_first = True


class Standardized(SamePadded):
    """Is no convolution with its stored weight."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, 1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(8, 8, (3, 5), padding="same", groups=4)
        self.bn = nn.BatchNorm2d(8)
        self.dilated = nn.Conv2d(8, 8, 3, padding=(2, 4), dilation=(2, 4), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.dilated(F.relu(self.bn(self.wide(x)))))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = SamePadded(3, 8, (3, 4), stride=2)
        self.lower = SameLowerPadded(8, 8, (4, 3), stride=(1, 2))
        self.body = nn.Sequential(Residual(), Residual())
        self.shared = nn.Conv2d(8, 8, (1, 3), padding=(0, 1))
        self.again = self.shared
        self.dropout = nn.Dropout(0.5)
        self.up = nn.ConvTranspose2d(8, 6, (3, 4), 2, (1, 0), output_padding=(1, 0), groups=2)
        self.unused = nn.Conv2d(3, 4, 3)
        self.line = nn.Conv1d(6, 5, 3, padding=1)
        self.stem.weight.requires_grad_(False)
        self.body[1].dilated.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.lower(self.stem(x)))
        x = self.up(self.dropout(self.again(F.relu(self.shared(x)))))
        return self.line(x.flatten(2)).mean(2)


REPLACED = {"stem", "lower", "shared", "again", "up"} | {
    f"body.{i}.{name}" for i in (0, 1) for name in ("wide", "dilated")
}


def network(dtype: torch.dtype = torch.float32) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    model = Network().to(dtype)
    with torch.no_grad():
        for name, buffer in model.named_buffers():  # so that the norms change something
            if name.rpartition(".")[2] != "num_batches_tracked":
                buffer.uniform_(0.5, 1.5)
    return model, torch.randn(2, 3, 17, 22, dtype=dtype)
