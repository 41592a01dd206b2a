"""Targets within this process: each makes a function of a layer and calls it on each input."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchconv2d import Conv2d

from .layers import Cell


class Trained(NamedTuple):
    """An output, and the gradients of its product with the cotangent by input, weight and bias."""

    output: Tensor
    gradients: list[Tensor]


Run = Callable[[Tensor], Tensor]
# The layers with a part that reads no input, and so sums over nothing.
SUMS_OVER_NOTHING = ("lhs (2, 3), stride (3, 2), rhs (2, 1)", "empty output")
# One output for each input; None if the target does not accept that input.
Outputs = Sequence[Tensor | Trained | None] | Exception
Target = Callable[[Sequence[Cell], Path], list[Outputs]]


def each(*, unbatched: bool = True) -> Callable[[Callable[[Cell, Path], Run]], Target]:
    """Make a target that runs cells one by one, so that an error affects only its own cell."""

    def decorate(prepare: Callable[[Cell, Path], Run]) -> Target:
        @wraps(prepare)
        def target(cells: Sequence[Cell], folder: Path) -> list[Outputs]:
            return [outputs(cell, folder) for cell in cells]

        def outputs(cell: Cell, folder: Path) -> Outputs:
            dims = (4, 3) if unbatched else (4,)
            try:
                with torch.no_grad(), quiet():
                    run = prepare(cell, folder)
                    return [run(x) if x.dim() in dims else None for x in cell.inputs]
            except Exception as error:
                return error

        return target

    return decorate


@contextmanager
def quiet() -> Generator[None]:
    """Silence torch's warnings about its own deprecations and about missing packages."""
    with warnings.catch_warnings():
        for text in (
            r"`torch.jit.\w+` is deprecated",
            r".*LeafSpec",
            r".*float32 matmul",
            r".*legacy TorchScript-based",
            "Attempted to insert a get_attr Node",
            "Constant folding - Only steps=1",
            "The feature will be removed",  # the older ONNX exporter, of itself
            "The given buffer is not writable",  # torch.export.load of torch 2.11, of its file
            "XNNPACKQuantizer is deprecated",
            "must run observer before",
        ):
            warnings.filterwarnings("ignore", text)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield


@each()
def eager(cell: Cell, folder: Path) -> Run:
    return cell.layer


@each()
def script(cell: Cell, folder: Path) -> Run:
    return torch.jit.script(cell.layer)


@each()
def frozen_script(cell: Cell, folder: Path) -> Run:
    return torch.jit.freeze(torch.jit.script(cell.layer))


@each()
def optimized_script(cell: Cell, folder: Path) -> Run:
    return torch.jit.optimize_for_inference(torch.jit.script(cell.layer))


def program(layer: Conv2d, x: Tensor) -> torch.export.ExportedProgram:
    """Export the layer for any batch size, and for any image size if it takes any."""
    return torch.export.export(layer, (x,), dynamic_shapes=(_dims(layer),))


def free(layer: Conv2d) -> dict[int, str]:
    """The axes of a batch that have no fixed size, with a name for each."""
    sizes = enumerate(layer.in_size, 1)
    return {0: "batch", **{axis: f"size{axis}" for axis, size in sizes if size is None}}


def _dims(layer: Conv2d) -> dict[int, Any]:
    """The free axes for `torch.export`, which must know that an output has several rows."""
    names = free(layer)
    dims = {axis: torch.export.Dim(name, min=7) for axis, name in names.items()}
    return {**dims, 0: torch.export.Dim(names[0])}


@each(unbatched=False)
def export(cell: Cell, folder: Path) -> Run:
    path = folder / "exported.pt2"
    torch.export.save(program(cell.layer, cell.inputs[0]), path)
    return torch.export.load(path).module()


@each()
def compiled(cell: Cell, folder: Path) -> Run:
    torch.compiler.reset()
    return torch.compile(cell.layer, fullgraph=True)


@each()
def traced(cell: Cell, folder: Path) -> Run:
    """Run the graph that `torch.compile` traces, and fail if it traces too often.

    It may trace one graph for the first batch size, one for all others, and one for a single image;
    and one more for other image sizes.
    """
    torch.compiler.reset()
    counts = {3: 0, 4: 0}
    most = 3 if None in cell.layer.in_size else 2

    def is_input(tensor: Tensor) -> bool:
        sizes = zip(tensor.shape[-3:], cell.layer.in_size, strict=True)
        return tensor.dim() in counts and all(said in (n, None) for n, said in sizes)

    def backend(graph: torch.fx.GraphModule, example: list[Tensor]) -> Run:
        (x,) = (each for each in example if isinstance(each, Tensor) and is_input(each))
        counts[x.dim()] += 1
        if counts[4] > most or counts[3] > 1:
            raise RuntimeError(f"compiled anew: {counts}")
        return graph.forward

    run = torch.compile(cell.layer, fullgraph=True, backend=backend)
    for batch in (2, 3, 7):
        run(cell.inputs[1][:1].expand(batch, -1, -1, -1).clone())
    return run


@each(unbatched=False)
def aot_inductor(cell: Cell, folder: Path) -> Run:
    path = str(folder / "inductor.pt2")
    exported = program(cell.layer, cell.inputs[0])
    torch._inductor.aoti_compile_and_package(exported, package_path=path)
    return torch._inductor.aoti_load_package(path)


@each(unbatched=False)
def onnx(cell: Cell, folder: Path) -> Run:
    return onnx_session(onnx_file(cell, folder))


def onnx_session(path: str | Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def onnx_file(cell: Cell, folder: Path) -> Path:
    path = folder / "exported.onnx"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing
    torch.onnx.export(
        cell.layer,
        (cell.inputs[0],),
        path,
        dynamo=True,
        dynamic_shapes=(_dims(cell.layer),),
        verbose=False,
        optimize=True,  # torch 2.6 does not by default
    )
    return path


@each()
def autocast(cell: Cell, folder: Path) -> Run:
    """The output is judged as that of a layer and an input in bfloat16."""
    return torch.autocast("cpu", torch.bfloat16)(cell.layer)


@each()
def vmap(cell: Cell, folder: Path) -> Run:
    return lambda x: torch.func.vmap(cell.layer)(x) if x.dim() == 4 else cell.layer(x)


@each()
def functional_call(cell: Cell, folder: Path) -> Run:
    """Call another layer of the same geometry with this layer's state."""
    other = copy.deepcopy(cell.layer)
    with torch.no_grad():
        other.weight.fill_(torch.nan)
    state = cell.layer.state_dict()
    return lambda x: torch.func.functional_call(other, state, (x,))


@each()
def jvp(cell: Cell, folder: Path) -> Run:
    """The tangent along the input, which is the output without the bias."""

    def run(x: Tensor) -> Tensor:
        _, tangent = torch.func.jvp(cell.layer, (torch.ones_like(x),), (x,))
        return with_bias(cell.layer, tangent)

    return run


@each()
def jacrev(cell: Cell, folder: Path) -> Run:
    """The Jacobian times the input in float64; its entries are those of the kernel, exactly."""

    def run(x: Tensor) -> Tensor:
        one = torch.ones(x.shape[-3:])
        jacobian = torch.func.jacrev(cell.layer)(one).double()
        images = x.reshape(-1, *x.shape[-3:]).double()
        y = torch.stack([torch.tensordot(jacobian, image, 3) for image in images])
        y = y if x.dim() == 4 else y[0]
        return with_bias(cell.layer, y).to(x.dtype)

    return run


def with_bias(layer: Conv2d, y: Tensor) -> Tensor:
    if layer.bias is None:
        return y
    return y + (layer.bias[:, None, None] if layer.channel_first else layer.bias)
