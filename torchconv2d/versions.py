"""Differences between the versions of torch that this package supports, 2.6 and later.

Other files use this module, and never compare version numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore

Function = TypeVar("Function", bound=Callable[..., Any])

_backends: Any = torch.backends
_private: Any = torch._C  # pyright: ignore[reportPrivateUsage]
_PROXY = _private._TorchDispatchModeKey.PROXY

# From 2.9 on, torch has a precision for each library and operation, and maps the older settings to
# these. The public attributes call this function too, but take four times as long, and a layer asks
# at each call.
_fp32_precision: Any = getattr(_private, "_get_fp32_precision_getter", None)
_REDUCED = ("tf32", "bf16")


def _always_false() -> bool:
    return False


# torch 2.6 has no function that tells whether torch.export is running.
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", _always_false)


def constant_in_graphs(function: Function) -> Function:
    """Let ``torch.compile`` call a function once, while it traces, and keep the result.

    This is ``torch.compiler.assume_constant_result``, but does not import the compiler, which takes
    seconds.

    >>> constant_in_graphs(float32_is_reduced) is float32_is_reduced
    True
    """
    function._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]
    return function


# None unless ``torch.jit.trace`` is at work. A layer asks at each call, and this takes a third of
# the time of `torch.jit.is_tracing`.
tracing_state: Callable[[], object] = _private._get_tracing_state


@constant_in_graphs
def is_tracing() -> bool:
    """Whether ``torch.jit.trace`` is at work, or the older ONNX exporter, which traces.

    >>> is_tracing()
    False
    """
    return tracing_state() is not None


@contextmanager
def untraced() -> Generator[None]:
    """Pause ``torch.jit.trace``, in which sizes are tensors: a test of one would warn."""
    tracing = tracing_state()
    _private._set_tracing_state(None)
    try:
        yield
    finally:
        _private._set_tracing_state(tracing)


# Whether autocast is on for any type of device; this takes a third of the time to ask for one.
is_any_autocast_enabled: Callable[[], bool] = _private._is_any_autocast_enabled


# Pauses the modes that compute otherwise, or only pretend to: FakeTensorMode, counters and so on.
without_modes: Callable[[], Any] = _disable_current_modes


@contextmanager
def _without_transforms() -> Generator[None]:
    """Pause the function transforms of ``torch.func``, which wrap every result."""
    paused: list[Any] = []
    try:
        while _private._functorch.peek_interpreter_stack() is not None:
            paused.append(_private._functorch.pop_dynamic_layer_stack())
        yield
    finally:
        while paused:
            _private._functorch.push_dynamic_layer_stack(paused.pop())


@contextmanager
def _without_anything() -> Generator[None]:
    with without_modes(), _without_transforms(), untraced():
        yield


def numbers_only() -> Any:
    """A context in which torch only computes: without modes, function transforms and traces.

    For operations on fresh memory, whose numbers NumPy reads.
    """
    transformed = _private._functorch.peek_interpreter_stack() is not None
    return _without_anything() if transformed or is_tracing() else without_modes()


def is_recording() -> bool:
    """Whether torch records a graph here: by compiling, by tracing, or by ``make_fx``."""
    return (
        torch.compiler.is_compiling()
        or is_tracing()
        or _private._get_dispatch_mode(_PROXY) is not None
    )


def is_transformed(tensor: torch.Tensor) -> bool:
    """Whether ``torch.func`` or ``vmap`` has wrapped it.

    >>> is_transformed(torch.ones(2))
    False
    """
    return _private._functorch.is_functorch_wrapped_tensor(tensor)


def is_fake(tensor: torch.Tensor) -> bool:
    """Whether it is a FakeTensor, which holds no numbers, and torch computes with real ones here.

    Under a ``FakeTensorMode`` all tensors are fake, and torch pretends to compute.

    >>> is_fake(torch.ones(2))
    False
    """
    mode = _private._get_dispatch_mode(_private._TorchDispatchModeKey.FAKE)
    return mode is None and hasattr(tensor, "fake_mode")


def is_readable(tensor: torch.Tensor) -> bool:
    """Whether a program may look at its numbers, to decide by them, without a wait.

    It may not where torch records a graph or transforms a function, and not for a subclass, which
    may hold no numbers. To read from a device, the processor would wait for it.

    >>> is_readable(torch.ones(2)), is_readable(torch.ones(2, device="meta"))
    (True, False)
    """
    plain = type(tensor) is torch.Tensor and tensor.is_cpu and not is_transformed(tensor)
    fake = _private._get_dispatch_mode(_private._TorchDispatchModeKey.FAKE) is not None
    return plain and not fake and not is_recording()


def mixes_fakes(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether just one of them is a FakeTensor, of a mode that does not allow this.

    >>> mixes_fakes(torch.ones(2), torch.ones(2))
    False
    """
    modes = [getattr(each, "fake_mode", None) for each in (one, other)]
    return any(
        mode is not None and not mode.allow_non_fake_inputs and modes.count(None) == 1
        for mode in modes
    )


def _lacking() -> dict[str, str]:
    found: dict[str, str] = {}
    if _fp32_precision is None:
        found["fp32_precision"] = "before torch 2.9 there is no `fp32_precision`"
    if not hasattr(torch, "float4_e2m1fn_x2"):
        found["float4"] = "before torch 2.8 there is no float4"
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    if version < (2, 13):
        found["DTensor by batch"] = (
            "before torch 2.13 DTensor can share a convolution's width, but not its batch"
        )
    # These fail in 2.6 and not in 2.11.
    if version < (2, 7):
        found["fully_shard"] = (
            "torch 2.6 has no `fully_shard` on a CPU, whose streams record no event"
        )
        found["DTensor by width"] = "torch 2.6 cannot share a convolution that has no bias"
        found["plain ONNX graphs"] = (
            "the newer ONNX exporter of torch 2.6 folds no constants, and computes half "
            "precision in float32"
        )
        found["padding of nothing"] = "torch 2.6 pads no image without entries by no zeros"
        found["exact ELU"] = "torch 2.6 computes exp(x) - 1 in ELU and SELU, which cancels near 0"
        found["ONNX of a sum over nothing"] = (
            "ONNX Runtime refuses how torch 2.6 exports a sum over nothing"
        )
        found["fx of pruning"] = "torch 2.6 cannot record `prune`'s `mask.to(dtype=weight.dtype)`"
        found["export of any size"] = (
            "torch 2.6 refuses to export most layers of any image size: it cannot prove what it "
            "assumes of the size"
        )
    return found


# What this version of torch lacks: a name for each feature, and a reason. Tests skip by the name,
# with the reason.
LACKING = _lacking()


def fp32_settings() -> list[Any]:
    """The objects with an ``fp32_precision``, general ones first; none in older versions.

    >>> all(hasattr(setting, "fp32_precision") for setting in fp32_settings())
    True
    """
    wide = [_backends, _backends.cudnn, _backends.mkldnn]
    narrow = [(_backends.cuda, "matmul"), (_backends.cudnn, "conv"), (_backends.cudnn, "rnn")]
    narrow += [(_backends.mkldnn, name) for name in ("matmul", "conv", "rnn")]
    found = [*wide, *(getattr(parent, name, None) for parent, name in narrow)]
    return [setting for setting in found if hasattr(setting, "fp32_precision")]


@constant_in_graphs
def float32_is_reduced(device_type: str) -> bool:
    """Whether the user's settings let torch reduce the precision of float32 on a device.

    Reduced precision is bfloat16 or TF32 in oneDNN, and TF32 in cuDNN and cuBLAS, for a convolution
    or a matrix product. By torch's default cuDNN's convolutions are reduced. This function only
    reads settings, and does not check whether the processor has instructions for them.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``; False for any other device.

    >>> float32_is_reduced("meta")
    False
    """
    if device_type == "cpu":
        if _fp32_precision is None:
            return _private._get_float32_matmul_precision() != "highest"
        return (
            _fp32_precision("mkldnn", "conv") in _REDUCED
            or _fp32_precision("mkldnn", "matmul") in _REDUCED
        )
    if device_type == "cuda":
        if _fp32_precision is None:
            # `set_float32_matmul_precision` sets the second of these two as well.
            return _private._get_cudnn_allow_tf32() or _private._get_cublas_allow_tf32()
        return (
            _fp32_precision("cuda", "conv") in _REDUCED
            or _fp32_precision("cuda", "matmul") in _REDUCED
        )
    return False
