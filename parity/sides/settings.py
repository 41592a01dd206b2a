"""Settings of the processor's code paths and of torch, under which the layer must agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from ..cases.grid import DTYPES, HALF

# Environment variables that select a code path. A setting unsets those that it does not name,
# whatever the user's shell says. The last is an older name of the first.
_PATHS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA")

_AVX512 = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq")


def _nothing() -> None:
    """For settings that need only the environment."""


def _always() -> bool:
    """For settings that ask torch nothing."""
    return True


class Setting(NamedTuple):
    """A setting of a process.

    ``environment`` is set before torch is imported, ``switch`` is called before any computation,
    and ``holds`` asks torch whether both took effect. ``needs`` are keys of
    ``torch.cpu.get_capabilities()``. ``device`` becomes torch's default device.
    ``dtypes`` are the dtypes that must stay within their bound.
    ``is_path`` is true for a code path of the processor, false for a mode of torch.
    """

    name: str
    environment: Mapping[str, str] = {}
    switch: Callable[[], Any] = _nothing
    holds: Callable[[], bool] = _always
    needs: tuple[str, ...] = ()
    threads: int = 1
    dtypes: tuple[str, ...] = DTYPES
    is_path: bool = False
    device: str = "cpu"

    @property
    def obstacle(self) -> str | None:
        """The reason why this machine does not support the setting, or None."""
        if self.device == "cuda" and not torch.cuda.is_available():
            return "there is no CUDA device"
        if not self.needs:
            return None
        has = capabilities()
        if has is None:
            return f"torch {torch.__version__} cannot say whether the processor can"
        lacking = [need for need in self.needs if not has.get(need, False)]
        return f"the processor lacks {', '.join(lacking)}" if lacking else None

    def take(self) -> None:
        """Apply the setting in this process."""
        torch.set_num_threads(self.threads)
        if self.device != "cpu":
            torch.set_default_device(self.device)
        self.switch()

    @property
    def is_taken(self) -> bool:
        device = torch.get_default_device().type
        return (torch.get_num_threads(), device) == (self.threads, self.device) and self.holds()

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """Processes that start in this block have the setting's environment."""
        with patch.dict(os.environ, self.environment):
            for name in _PATHS:
                if name not in self.environment:
                    os.environ.pop(name, None)
            yield


def capabilities() -> dict[str, Any] | None:
    """The processor's instruction sets, or None if this version of torch cannot list them."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    return None if ask is None else ask()


def _onednn(isa: str, *needs: str) -> Setting:
    # No function says which instructions oneDNN uses; ``ONEDNN_VERBOSE=1`` prints them.
    name = "ONEDNN_MAX_CPU_ISA"
    return Setting(f"{name}={isa}", {name: isa}, needs=needs, is_path=True)


def _aten(capability: str, *needs: str) -> Setting:
    name = "ATEN_CPU_CAPABILITY"
    holds = partial(_aten_is, capability)
    return Setting(
        f"{name}={capability}", {name: capability}, holds=holds, needs=needs, is_path=True
    )


def _aten_is(capability: str) -> bool:
    return torch.backends.cpu.get_cpu_capability() == capability.upper()


def _onednn_off() -> None:
    torch.backends.mkldnn.enabled = False


def _onednn_is_off() -> bool:
    return not torch.backends.mkldnn.enabled


def _default_is_double() -> bool:
    return torch.get_default_dtype() == torch.float64


def _denormals_are_zero() -> bool:
    return not (torch.full((1,), 2.0**-1040, dtype=torch.float64) * 1.5).any()


_NOT_HALF = tuple(dtype for dtype in DTYPES if dtype not in HALF)


def _without_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = False


def _tf32_is_off() -> bool:
    return not torch.backends.cudnn.allow_tf32


def _float32_may_be_rounded() -> bool:
    return torch.get_float32_matmul_precision() == "medium"


_BASE = "as it is, 1 thread"

SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(_BASE, is_path=True),
        _onednn("SSE41", "sse4_1"),
        _onednn("AVX2", "avx2"),
        _onednn("AVX512_CORE", *_AVX512),
        _onednn("AVX512_CORE_BF16", *_AVX512, "avx512_bf16"),
        _onednn("AVX512_CORE_AMX", *_AVX512, "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
        _aten("default"),
        _aten("avx2", "avx2", "fma3"),
        Setting("oneDNN off", switch=_onednn_off, holds=_onednn_is_off, is_path=True),
        Setting("threads 2", threads=2),
        Setting("threads 4", threads=4),
        Setting(
            "deterministic",
            switch=partial(torch.use_deterministic_algorithms, True),
            holds=torch.are_deterministic_algorithms_enabled,
        ),
        Setting(
            "denormals flushed",
            switch=partial(torch.set_flush_denormal, True),
            holds=_denormals_are_zero,
            needs=("sse3",),
        ),
        Setting(
            "default dtype float64",
            switch=partial(torch.set_default_dtype, torch.float64),
            holds=_default_is_double,
        ),
        # By default torch lets cuDNN round float32 to TF32. Half precision is not held to it: there
        # cuDNN makes an infinity finite (float16, channels-last), spreads a NaN to more gradients
        # by the input (bfloat16, 1x1 with a stride), and rounds partial sums of some (float16).
        Setting("CUDA", switch=_without_tf32, holds=_tf32_is_off, dtypes=_NOT_HALF, device="cuda"),
        # The user allows reduced precision of float32. All other dtypes must keep their bounds.
        Setting(
            "float32 matmul medium",
            switch=partial(torch.set_float32_matmul_precision, "medium"),
            holds=_float32_may_be_rounded,
            dtypes=("bfloat16", "float16", "complex64", "complex128"),
        ),
    )
}
BASE = SETTINGS[_BASE]
