"""A trained face detector, ported from TensorFlow to torch: ``python examples/faces.py``.

The networks are those of Zhang et al., *Joint Face Detection and Alignment using Multi-task
Cascaded Convolutional Networks* (2016). The package ``mtcnn`` (MIT licence) has their weights, as
lists of Keras arrays. TensorFlow is not needed: ``pip install '.[examples]'``.

The first network looks at the whole picture in many sizes, the second at the boxes that the first
proposes, the third at the boxes that the second keeps. The third also finds eyes, nose and the
corners of the mouth.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from torchconv2d import Conv2d, init, interop

SMALLEST = 40  # the width of the smallest face, in pixels
SHRINK = 0.709  # the factor from the sides of one picture to the next: half the area
WINDOW, STEP = 12, 2  # the size of the first network's windows, and their distance
FIRST_POOLS = [(2, True), None, None]


class Shape(NamedTuple):
    """For the second and third network: side of the pictures, pooling (size, SAME), heads."""

    side: int
    pools: Sequence[tuple[int, bool] | None]
    heads: int


NETWORKS = {
    "rnet": Shape(24, [(3, True), (3, False), None], 2),
    "onet": Shape(48, [(3, True), (3, False), (2, True), None], 3),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Find the faces in a picture, and draw them.")
    parser.add_argument("picture", nargs="?", type=Path, help="default: scikit-image's astronaut")
    parser.add_argument("--out", type=Path, default=Path("out/faces.png"))
    options = parser.parse_args(arguments)
    if options.picture is None:
        import skimage.data

        picture = Image.fromarray(skimage.data.astronaut())
    else:
        picture = Image.open(options.picture).convert("RGB")
    faces = detect(picture)
    draw(picture, faces)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(options.out)
    for box, score in zip(faces.boxes.round().int().tolist(), faces.scores.tolist(), strict=True):
        print(f"face at {tuple(box)}, score {score:.4f}")
    print(options.out)


class Faces(NamedTuple):
    """Boxes ``(x1, y1, x2, y2)`` in pixels, scores, and five points ``(x, y)`` for each face."""

    boxes: Tensor
    scores: Tensor
    points: Tensor


@torch.no_grad()
def detect(picture: Image.Image) -> Faces:
    """The faces in a picture."""
    image = (torch.tensor(np.array(picture)).float()[None] - 127.5) / 128
    boxes, scores = proposals(image, weights_of("pnet"))
    boxes, scores = best(boxes, scores, most=0.7)

    boxes = squares(boxes)
    offsets, scores = network("rnet")(crops(image, boxes, NETWORKS["rnet"].side))
    boxes, scores = best(*likely(moved(boxes, offsets), scores, least=0.7), most=0.7)

    boxes = squares(boxes)
    offsets, points, scores = network("onet")(crops(image, boxes, NETWORKS["onet"].side))
    # The network gives first all x of the points, then all y, as fractions of the box.
    points = points.unflatten(1, (2, 5)).mT * sides(boxes)[:, None] + boxes[:, None, :2] - 1
    boxes, points, scores = likely(moved(boxes, offsets), points, scores, least=0.8)
    boxes, points, scores = best(boxes, points, scores, most=0.7, smaller=True)
    return Faces(boxes, scores, points)


def network(name: str) -> Network:
    """The second or the third network, with its weights."""
    return Network(weights_of(name), *NETWORKS[name])


def weights_of(name: str) -> list[Any]:
    """The arrays in the package ``mtcnn``, without importing it.

    They are pickled, so loading them trusts the package as much as importing it.
    """
    package = importlib.util.find_spec("mtcnn")
    if package is None or package.origin is None:
        raise SystemExit("This needs the weights in mtcnn: pip install '.[examples]'")
    return joblib.load(Path(package.origin).parent / f"assets/weights/{name}.lz4")


# The networks.


def convolution(arrays: Iterator[Any], in_size: Sequence[int]) -> Conv2d:
    """A layer with the next two arrays."""
    kernel, bias = next(arrays), next(arrays)
    conv = Conv2d(in_size, len(bias), kernel.shape[:2], padding="VALID", b_init=init.ZeroInit())
    interop.load_params(conv, [kernel, bias], "keras")
    return conv


def dense(arrays: Iterator[Any]) -> nn.Linear:
    kernel, bias = next(arrays), next(arrays)
    layer = nn.Linear(*kernel.shape)
    layer.load_state_dict({"weight": torch.tensor(kernel.T), "bias": torch.tensor(bias)})
    return layer


class PReLU(nn.Module):
    """PReLU with slopes for the last axis."""

    def __init__(self, slopes: Any) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor(slopes).flatten())

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.slopes * x)


class Pool(nn.Module):
    """The largest of each window; if ``same``, the last windows may extend beyond the input."""

    def __init__(self, size: int, same: bool) -> None:
        super().__init__()
        self.size, self.same = size, same

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(x.permute(0, 3, 1, 2), self.size, 2, ceil_mode=self.same)
        return y.permute(0, 2, 3, 1)


class Body(nn.Sequential):
    """Convolutions, each with its slopes and pooling, for pictures of one size."""

    def __init__(self, arrays: Iterator[Any], in_size: Sequence[int], pools: Sequence[Any]) -> None:
        super().__init__()
        for pool in pools:
            self.append(convolution(arrays, self.out_size(in_size)))
            self.append(PReLU(next(arrays)))
            if pool is not None:
                self.append(Pool(*pool))

    def out_size(self, in_size: Sequence[int]) -> torch.Size:
        return self(torch.zeros(1, *in_size)).shape[1:]


class Network(nn.Module):
    """The second and the third network: a body, and dense heads, the last of which is the score."""

    def __init__(self, arrays: Sequence[Any], side: int, pools: Sequence[Any], heads: int) -> None:
        super().__init__()
        rest = iter(arrays)
        self.body = Body(rest, (side, side, 3), pools)
        self.dense = nn.Sequential(dense(rest), PReLU(next(rest)))
        self.heads = nn.ModuleList(dense(rest) for _ in range(heads))

    def forward(self, x: Tensor) -> list[Tensor]:
        # The dense weights were trained on pictures in column-major order.
        features = self.dense(self.body(x).transpose(1, 2).flatten(1))
        *others, score = [head(features) for head in self.heads]
        return [*others, score.softmax(-1)[:, 1]]


def proposals(image: Tensor, arrays: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Boxes and scores by the first network, whose heads are also convolutions."""
    boxes, scores = [torch.empty(0, 4)], [torch.empty(0)]
    scale = WINDOW / SMALLEST
    while min(size := [int(side * scale) for side in image.shape[1:3]]) >= WINDOW:
        smaller = F.interpolate(image.permute(0, 3, 1, 2), size, mode="area").permute(0, 2, 3, 1)
        rest = iter(arrays)
        body = Body(rest, (*size, 3), FIRST_POOLS)
        features = body(smaller)
        offsets, score = (convolution(rest, features.shape[1:])(features)[0] for _ in range(2))
        score = score.softmax(-1)[..., 1]
        rows, columns = torch.where(score > 0.6)
        corner = STEP * torch.stack([columns, rows, columns, rows], 1)
        window = corner + torch.tensor([0, 0, WINDOW, WINDOW])
        found = (window + WINDOW * offsets[rows, columns]) / scale
        found, score = best(found, score[rows, columns], most=0.5)
        boxes.append(found)
        scores.append(score)
        scale *= SHRINK
    return torch.cat(boxes), torch.cat(scores)


# Boxes.


def sides(boxes: Tensor) -> Tensor:
    """Width and height, including both border pixels."""
    return boxes[:, 2:] - boxes[:, :2] + 1


def moved(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Boxes moved by a network's offsets, which are fractions of the sides."""
    return boxes + offsets * sides(boxes).repeat(1, 2)


def squares(boxes: Tensor) -> Tensor:
    """Squares with the same centres."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1) / 2
    return torch.cat([middle - half[:, None], middle + half[:, None]], 1)


def crops(image: Tensor, boxes: Tensor, side: int) -> Tensor:
    """The pixels in each box, ``(side, side, 3)``, with zeros beyond the picture."""
    height, width = image.shape[1:3]
    steps = torch.linspace(0, 1, side)
    at = boxes[:, None, :2] + steps[:, None] * (boxes[:, 2:] - boxes[:, :2])[:, None]
    x, y = (2 * at / torch.tensor([width, height]) - 1).unbind(-1)
    grid = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], 3)
    copies = image.permute(0, 3, 1, 2).expand(len(boxes), -1, -1, -1)
    return F.grid_sample(copies, grid, align_corners=True).permute(0, 2, 3, 1)


def likely(*tensors: Tensor, least: float) -> list[Tensor]:
    """The rows whose score (in the last tensor) is at least ``least``."""
    kept = tensors[-1] > least
    return [each[kept] for each in tensors]


def best(*tensors: Tensor, most: float, smaller: bool = False) -> list[Tensor]:
    """Of boxes that overlap by more than ``most``, keep the one with the best score.

    The first tensor has the boxes, the last the scores. The overlap is the common area divided by
    the area of the union, or of the smaller box.
    """
    order = tensors[-1].argsort(descending=True)
    boxes = tensors[0][order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    common = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = (common - torch.maximum(boxes[:, None, :2], boxes[None, :, :2])).clamp(0).prod(2)
    whole = torch.minimum(areas[:, None], areas) if smaller else areas[:, None] + areas - common
    alone = ~((common / whole > most).triu(1).any(0))
    return [each[order[alone]] for each in tensors]


def draw(picture: Image.Image, faces: Faces) -> None:
    """Draw boxes and points into the picture."""
    pen = ImageDraw.Draw(picture)
    for box, points in zip(faces.boxes.tolist(), faces.points.tolist(), strict=True):
        pen.rectangle(box, outline="yellow", width=3)
        for x, y in points:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill="red")


if __name__ == "__main__":
    main()
