"""What whole networks take: ``python -m benchmarks --networks``.

Each network is built of this package's layers and, with the same channels, of others: of
``nn.Conv2d`` with the same padding on both sides, of a layer that pads as SAME by ``F.pad``, in
Keras on torch and in Flax. All have random weights and the batch statistics of random images.
Without those, activations fade into denormal numbers, which take many times as long.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity.networks import ports
from parity.networks.blocks import Conv, Layers, Ours, Size

from .machine import machine
from .table import plain
from .timing import Contender, Ratio, interleave, ratio

SIZE: Size = (224, 224)
# How many times as long a network may take as the same network of `nn.Conv2d`.
LIMITS = {"eager": 1.10, "script": 1.10, "compiled": 1.02, "onnx": 1.02, "training": 1.10}
LIMITS["optimized"] = LIMITS["script"]

_UNET: dict[str, Any] = {"width": 16, "depth": 4}
NETWORKS: dict[str, Callable[[Layers], nn.Module]] = {
    "MobileNetV2": lambda layers: ports.MobileNetV2(SIZE, layers=layers),
    "EfficientNetB0": lambda layers: ports.EfficientNetB0(SIZE, layers=layers),
    "ResNet": lambda layers: ports.ResNet(SIZE, layers=layers),
    "UNet": lambda layers: ports.UNet(SIZE, layers=layers, **_UNET),
}


class Symmetric(Layers):
    """torch's own layers, with the same padding on both sides."""

    layer, pads = nn.Conv2d, True

    def make(self, conv: Conv) -> nn.Module:
        return self.layer(
            conv.channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.kernel_size // 2 if self.pads else 0,
            groups=conv.groups,
            bias=conv.bias,
        )

    def up(self, size: Size, channels: int, out_channels: int, kernel_size: int) -> nn.Module:
        return nn.ConvTranspose2d(channels, out_channels, kernel_size, 2, 1, 1)


class PaddedConv2d(nn.Conv2d):
    """Pads as SAME does, by ``F.pad``, for the size that it meets."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            size, stride = x.shape[2 + axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + self.kernel_size[axis] - size, 0)
            pads += [total // 2, total - total // 2]
        if max(pads) > 0:
            x = F.pad(x, pads)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Padded(Symmetric):
    """Layers that pad as SAME by ``F.pad``, as timm's do."""

    layer, pads = PaddedConv2d, False


SIDES: dict[str, Layers] = {"layer": Ours(), "symmetric": Symmetric(), "padded": Padded()}
MODES = ("eager", "script", "compiled", "onnx", "training")  # and "optimized", if asked for


class Row(NamedTuple):
    """One network, batch and mode: milliseconds, and ratios to the other sides.

    ``symmetric`` is the network's time / the other's; the others' are their time / the network's.
    """

    network: str
    batch: int
    mode: str
    milliseconds: float
    symmetric: Ratio
    padded: Ratio | None
    keras: Ratio | None
    flax: Ratio | None

    @property
    def short(self) -> bool:
        slower = [each for each in (self.padded, self.keras, self.flax) if each is not None]
        late = any(each.median < 0.97 for each in slower)
        return late or self.symmetric.median > LIMITS[self.mode]


def measure(names: str, batch: int, modes: Sequence[str], rounds: int) -> Iterator[Row]:
    """The rows of the networks whose name contains ``names``, as they are measured."""
    for name, build in NETWORKS.items():
        if names not in name:
            continue
        images = _images(name, batch)
        sides = {side: _network(build, layers, images) for side, layers in SIDES.items()}
        for mode in modes:
            field = _field(mode, sides, images)
            if mode in ("eager", "training"):
                field |= _frameworks(name, images, mode == "training")
            times = interleave(field, rounds)
            layer = times.pop("layer")
            symmetric = ratio(layer, times.pop("symmetric"))
            others = {side: ratio(each, layer) for side, each in times.items()}
            yield Row(
                name,
                batch,
                mode,
                layer.median * 1e3,
                symmetric,
                *(others.get(side) for side in ("padded", "keras", "flax")),
            )


def _images(name: str, batch: int) -> Tensor:
    pixels = torch.rand(batch, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    pixels = pixels * 255 if name == "EfficientNetB0" else pixels
    return pixels.to(memory_format=torch.channels_last)


def _network(build: Callable[[Layers], nn.Module], layers: Layers, images: Tensor) -> nn.Module:
    network = build(layers).to(memory_format=torch.channels_last)
    ports.randomize(network, images[:2])
    return network.eval()


def _field(mode: str, sides: dict[str, nn.Module], images: Tensor) -> dict[str, Contender]:
    """A contender for each side that runs in this mode."""
    if mode == "onnx":
        sides = {name: sides[name] for name in ("layer", "symmetric")}
    make = {
        "eager": _eager,
        "script": _script,
        "optimized": _optimized,
        "compiled": _compiled,
        "onnx": _onnx,
        "training": _training,
    }[mode]
    return {name: make(network, images) for name, network in sides.items()}


def _eager(network: Callable[[Tensor], Tensor], images: Tensor) -> Contender:
    def run() -> Tensor:
        with torch.no_grad():
            return network(images)

    return run


def _script(network: nn.Module, images: Tensor) -> Contender:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frozen = torch.jit.freeze(torch.jit.script(network))
    return _eager(frozen, images)


def _optimized(network: nn.Module, images: Tensor) -> Contender:
    """Changes the memory layout around each operator that it does not know, such as ``F.pad``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        fast = torch.jit.optimize_for_inference(torch.jit.script(network))
    return _eager(fast, images)


def _compiled(network: nn.Module, images: Tensor) -> Contender:
    return _eager(torch.compile(network), images)


def _onnx(network: nn.Module, images: Tensor) -> Contender:
    import onnxruntime

    file = io.BytesIO()
    exported = torch.onnx.export(network, (images.contiguous(),), dynamo=True, verbose=False)
    assert exported is not None
    exported.save(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.getvalue(), options, ["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.contiguous().numpy()}
    return lambda: session.run(None, feed)


def _training(network: nn.Module, images: Tensor) -> Contender:
    parameters = list(network.parameters())

    def run() -> Any:
        # In evaluation mode, so that the batch statistics stay as they are.
        return torch.autograd.grad(network(images).sum(), parameters)

    return run


def _frameworks(name: str, images: Tensor, training: bool) -> dict[str, Contender]:
    """Keras on torch, and Flax jitted."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import jax

    from parity.networks import flax_networks, keras_networks

    options = _UNET if name == "UNet" else {}
    pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    network = flax_networks.NETWORKS[name](**options)
    variables = flax_networks.variables(network, pixels[:2])
    statistics = {key: value for key, value in variables.items() if key != "params"}

    def total(params: Any, x: Any) -> Any:
        return network.apply({"params": params, **statistics}, x).sum()

    run = jax.jit(jax.grad(total) if training else network.apply)
    first = jax.device_put(variables["params"] if training else variables)
    x = jax.device_put(pixels)
    model = keras_networks.NETWORKS[name](SIZE, **options)
    keras_networks.randomize(model, pixels[:2])
    tensor = torch.from_numpy(pixels)
    return {
        "keras": _keras_training(model, tensor) if training else _eager(model, tensor),
        "flax": lambda: jax.block_until_ready(run(first, x)),
    }


def _keras_training(model: Any, images: Tensor) -> Contender:
    parameters = [variable.value for variable in model.trainable_variables]
    return lambda: torch.autograd.grad(model(images, training=False).sum(), parameters)


HEADER = (
    f"{'':16} {'batch':>5} {'mode':10} {'ms':>8} | {'symmetric':>9} | {'padded':>6} {'keras':>6} "
    f"{'flax':>6}"
)


def line(row: Row) -> str:
    """One row: this network's time / the symmetric one's; the others' time / this network's."""
    others = " ".join(
        f"{'':6}" if each is None else f"{each.median:6.2f}"
        for each in (row.padded, row.keras, row.flax)
    )
    return (
        f"{row.network:16} {row.batch:5} {row.mode:10} {row.milliseconds:8.1f} | "
        f"{row.symmetric.median:9.2f} | {others}{'  short' if row.short else ''}"
    )


def record(rows: Sequence[Row]) -> dict[str, Any]:
    """The whole table, for a JSON file."""
    return {
        "machine": machine(),
        "rows": [{name: plain(value) for name, value in row._asdict().items()} for row in rows],
    }
