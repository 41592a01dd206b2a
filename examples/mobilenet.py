"""Keras's MobileNetV2 in torch, moved by one call and proven: ``python examples/mobilenet.py``.

``MobileNetV2`` below is the whole port. ``interop.load_network`` moves all parameters and
statistics, ``testing.compare`` judges each layer by the bound on its rounding errors. Then the same
port gets two common mistakes, and the comparison names these two layers and no other. The script
draws both comparisons. ``pip install '.[examples]'``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")  # JAX would compile for most of a minute

import keras
import numpy as np
import skimage.data
from matplotlib.figure import Figure
from torch import Tensor, nn

from torchconv2d import Conv2d, interop
from torchconv2d.testing import Comparison, compare, record

SIZE, CLASSES = (96, 128), 10
# Channels, blocks, stride and expansion of each stage.
STAGES = (
    (16, 1, 1, 1),
    (24, 2, 2, 6),
    (32, 3, 2, 6),
    (64, 4, 2, 6),
    (96, 3, 1, 6),
    (160, 3, 2, 6),
    (320, 1, 1, 6),
)


class Normed(nn.Module):
    """A convolution, a batch norm and, unless the layer is linear, a ReLU6."""

    def __init__(
        self,
        in_size: tuple[int, ...],
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        shape = (in_size, out_channels, kernel_size)
        # 'SAME' is the default, and means what it means in Keras.
        self.conv = Conv2d(*shape, stride=stride, groups=groups, channel_first=True)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3)  # Keras's epsilon
        self.activation = nn.Identity() if linear else nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; with a residual where the shape stays."""

    def __init__(
        self, in_size: tuple[int, ...], out_channels: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = in_size[0] * expansion
        layers = [Normed(in_size, wide, 1)] if expansion > 1 else []
        layers.append(Normed((wide, *in_size[1:]), wide, 3, stride, groups=wide))
        self.out_size = (out_channels, *layers[-1].conv.out_size[1:])
        layers.append(Normed(layers[-1].conv.out_size, out_channels, 1, linear=True))
        self.layers = nn.Sequential(*layers)
        self.residual = self.out_size == in_size

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """The port, for channels-first images ``(batch, 3, *size)``."""

    def __init__(self, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.stem = Normed((3, *size), 32, 3, 2)
        in_size = self.stem.conv.out_size
        self.blocks = nn.Sequential()
        for out_channels, count, first_stride, expansion in STAGES:
            for stride in (first_stride, *[1] * (count - 1)):
                self.blocks.append(Block(in_size, out_channels, stride, expansion))
                in_size = self.blocks[-1].out_size
        self.head = Normed(in_size, 1280, 1)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.head(self.blocks(self.stem(x))).mean((2, 3)))


def photographs() -> np.ndarray:
    """Two photographs, ``(2, *SIZE, 3)``, from -1 to 1 as the network expects."""
    height, width = SIZE
    pictures = skimage.data.astronaut(), skimage.data.chelsea()
    pixels = np.stack([each[: 2 * height : 2, 100 : 100 + 2 * width : 2] for each in pictures])
    return (pixels / 127.5 - 1).astype(np.float32)


def keras_network() -> Any:
    """Keras's own network, with random numbers in place of trained ones."""
    network = keras.applications.MobileNetV2(
        (*SIZE, 3), weights=None, classes=CLASSES, classifier_activation=None
    )
    generator = np.random.default_rng(0)
    for variable in network.weights:
        draw = generator.standard_normal(variable.shape)
        if draw.ndim > 1:  # a depthwise kernel is (height, width, channels, 1)
            draw *= (2 / np.prod(draw.shape[: 2 if draw.shape[-1] == 1 else -1])) ** 0.5
        elif variable.name in ("gamma", "moving_variance"):
            draw = np.exp(0.2 * draw)
        else:
            draw *= 0.1
        variable.assign(draw)
    return network


def moved(network: Any) -> MobileNetV2:
    """The port with Keras's parameters."""
    port = MobileNetV2(SIZE, CLASSES).eval()
    interop.load_network(port, network, "keras", in_order=True)
    return port


def spoil(port: MobileNetV2) -> None:
    """What ports get wrong most often: torch's padding of a stride, and torch's epsilon."""
    stem = port.stem.conv
    wrong = Conv2d(stem.in_size, 32, 3, stride=2, padding=1, channel_first=True)
    wrong.load_state_dict(stem.state_dict())
    port.stem.conv = wrong.eval()
    port.blocks[5].layers[0].norm.eps = 1e-5


def draw(right: Comparison, wrong: Comparison, path: Path) -> None:
    """A dot for each layer: its largest error, divided by the bound on its rounding errors."""
    figure = Figure((9, 5), 100, layout="constrained")
    axis = figure.subplots()
    for comparison, style, label in (
        (wrong, {"color": "tab:red", "s": 44}, "the port with torch's padding and epsilon"),
        (right, {"color": "black", "s": 8}, "the port"),
    ):
        ratios = [each.ratio or np.nan for each in comparison.layers]
        axis.scatter(range(len(ratios)), ratios, label=label, linewidth=0, **style)
    for number, each in enumerate(wrong.layers):
        if each in wrong.culprits:
            axis.annotate(
                each.layer, (number, each.ratio or 0), (8, -4), textcoords="offset points"
            )
    axis.axhline(1, color="tab:gray")
    axis.annotate(
        "above this line it is no rounding", (len(right.layers), 1.5), ha="right", color="tab:gray"
    )
    axis.set(yscale="log", xlabel="layer, from the first to the last", ylabel="error / bound")
    axis.set_title("MobileNetV2 moved from Keras to torch, layer by layer", loc="left")
    axis.legend(frameon=False, loc="upper right")
    figure.savefig(path)


def main(folder: Path = Path("out")) -> None:
    """Move, compare, spoil, compare again; print both verdicts and draw them into ``folder``."""
    images = photographs()
    network = keras_network()
    recording = record(network, images)
    port = moved(network)
    right = compare(port, recording)
    print(f"{len(right.layers)} judgements, {len(right.culprits)} culprits. {right.end_to_end}")
    right.assert_ok()
    spoil(port)
    wrong = compare(port, recording)
    for each in wrong.culprits:
        print(f"with mistakes: {each.layer} ({each.reference}): {each.detail}")
    folder.mkdir(exist_ok=True)
    draw(right, wrong, folder / "mobilenet.png")
    wrong.save_html(folder / "mobilenet.html")
    print(f"{folder / 'mobilenet.png'}, {folder / 'mobilenet.html'}")


if __name__ == "__main__":
    main()
