"""A network for photographs of any size, exported once: ``python examples/any_size.py``.

A small U-Net learns on patches of photographs to take noise away. Its convolutions have
``in_size=(channels, None, None)``, so it then takes the whole photographs, of three sizes, odd ones
too. One ONNX file does the same without torch. The script draws what both make of them.
``pip install '.[examples]'``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import onnxruntime
import skimage.data
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from torchconv2d import Conv2d, init

NOISE = 0.15  # the standard deviation; pixels are from 0 to 1
STEPS, BATCH, PATCH = 250, 8, 48


class Denoiser(nn.Module):
    """A U-Net with two strided and two transposed convolutions; the output is the image."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = conv(3, width)
        self.down = nn.ModuleList([conv(width, 2 * width, 2), conv(2 * width, 2 * width, 2)])
        self.up = nn.ModuleList([up(2 * width, 2 * width), up(2 * width, width)])
        self.last = conv(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, kept = F.relu(self.first(x)), list[Tensor]()
        for down in self.down:
            kept.append(y)
            y = F.relu(down(y))
        for up in self.up:
            skip = kept.pop()
            # Half an odd size is rounded up, so twice that may have a row or column too many.
            y = F.relu(up(y)[..., : skip.shape[2], : skip.shape[3]] + skip)
        return x - self.last(y)


def conv(channels: int, out_channels: int, stride: int = 1) -> Conv2d:
    """3x3, padded as 'SAME', for any image size."""
    shape = ((channels, None, None), out_channels, 3, stride)
    return Conv2d(*shape, b_init=init.ZeroInit(), channel_first=True)


def up(channels: int, out_channels: int) -> Conv2d:
    """Twice the size: a 4x4 kernel over an input with a zero between neighbours."""
    shape = ((channels, None, None), out_channels, 4)
    return Conv2d(*shape, padding=2, lhs_dilation=2, b_init=init.ZeroInit(), channel_first=True)


def photographs() -> list[Tensor]:
    """Three photographs ``(1, 3, height, width)``, from 0 to 1."""
    pictures = skimage.data.chelsea(), skimage.data.coffee()[::2, ::2], skimage.data.rocket()
    return [torch.tensor(each).permute(2, 0, 1)[None] / 255 for each in pictures]


def train(images: list[Tensor], steps: int = STEPS) -> Denoiser:
    """Train on patches of the photographs."""
    torch.manual_seed(0)
    network = Denoiser()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(steps):
        image = images[step % len(images)]
        clean = torch.cat([patch(image) for _ in range(BATCH)])
        loss = F.mse_loss(network(with_noise(clean)), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def patch(image: Tensor) -> Tensor:
    top, left = (int(torch.randint(size - PATCH, ())) for size in image.shape[2:])
    return image[:, :, top : top + PATCH, left : left + PATCH]


def with_noise(image: Tensor) -> Tensor:
    return image + NOISE * torch.randn(image.shape)


def export(network: Denoiser, path: Path) -> onnxruntime.InferenceSession:
    """One ONNX file for every height and width."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing
    sizes = {2: torch.export.Dim("height", min=9), 3: torch.export.Dim("width", min=9)}
    torch.onnx.export(
        network,
        (torch.rand(1, 3, 40, 52),),
        path,
        dynamo=True,
        dynamic_shapes=(sizes,),
        verbose=False,
    )
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


class Result(NamedTuple):
    """One photograph, with noise, and what the network and the file make of it."""

    clean: Tensor
    noisy: Tensor
    denoised: Tensor
    from_file: Tensor


def run(network: Denoiser, session: onnxruntime.InferenceSession, clean: Tensor) -> Result:
    noisy = with_noise(clean)
    with torch.no_grad():
        denoised = network(noisy)
    (y,) = session.run(None, {session.get_inputs()[0].name: noisy.numpy()})
    return Result(clean, noisy, denoised, torch.from_numpy(y))


def decibels(image: Tensor, clean: Tensor) -> float:
    """The peak signal-to-noise ratio."""
    return -10 * F.mse_loss(image, clean).log10().item()


def draw(results: list[Result], path: Path) -> None:
    """A row for each photograph."""
    figure = Figure((11, 6.3), 100, layout="constrained")
    for row, result in zip(figure.subplots(len(results), 4), results, strict=True):
        clean, *images = result
        height, width = clean.shape[2:]
        titles = f"{height} x {width}, with noise", "the network", "the ONNX file"
        for axis, title, image in zip(row, titles, images, strict=False):
            axis.imshow(image[0].permute(1, 2, 0).clamp(0, 1).numpy())
            axis.set_title(f"{title}: {decibels(image, clean):.1f} dB", fontsize=10, loc="left")
        apart = (result.denoised - result.from_file)[0].abs().amax(0).numpy()
        row[3].imshow(apart, cmap="gray", vmin=0, vmax=5e-7)
        row[3].set_title(f"network - file: at most {apart.max():.0e}", fontsize=10, loc="left")
        for axis in row:
            axis.set(xticks=[], yticks=[])
    figure.savefig(path)


def main(folder: Path = Path("out"), steps: int = STEPS) -> None:
    """Train, run at three sizes, export once, run the file; print and draw into ``folder``."""
    folder.mkdir(exist_ok=True)
    images = photographs()
    network = train(images, steps)
    session = export(network, folder / "any_size.onnx")
    results = [run(network, session, image) for image in images]
    for clean, noisy, denoised, from_file in results:
        height, width = clean.shape[2:]
        apart = (denoised - from_file).abs().max()
        print(
            f"{height} x {width}: {decibels(noisy, clean):.1f} dB with noise, "
            f"{decibels(denoised, clean):.1f} dB without; the ONNX file differs by {apart:.1e}"
        )
    draw(results, folder / "any_size.jpg")
    print(folder / "any_size.jpg")


if __name__ == "__main__":
    main()
