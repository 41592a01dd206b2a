"""The context manager that makes torch and JAX multiply float32 in full precision."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from needs import needs
from torch.backends import cuda, cudnn

from torchconv2d.testing import full_precision
from torchconv2d.versions import float32_is_reduced, fp32_settings

SETTINGS = fp32_settings()
NEWER = needs("fp32_precision")
# In the order of SETTINGS.
(
    WIDEST,
    CUDNN,
    MKLDNN,
    CUDA_MATMUL,
    CUDNN_CONV,
    CUDNN_RNN,
    MKLDNN_MATMUL,
    MKLDNN_CONV,
    MKLDNN_RNN,
) = range(9)
FULL = [*["ieee"] * len(SETTINGS), "highest", False, False]


def state() -> list[Any]:
    """The value of each setting, and of the older settings unless torch raises an error."""
    readings: list[Any] = [setting.fp32_precision for setting in SETTINGS]
    for name in (
        "get_float32_matmul_precision()",
        "backends.cuda.matmul.allow_tf32",
        "backends.cudnn.allow_tf32",
    ):
        try:
            readings.append(eval(f"torch.{name}"))
        except RuntimeError:
            readings.append("refused")
    return readings


@pytest.fixture
def _defaults() -> Iterator[None]:
    before = state()
    yield
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = True
    for setting, value in zip(SETTINGS, before, strict=False):
        setting.fp32_precision = value
    assert state() == before


AT_ODDS = [
    {CUDA_MATMUL: "tf32", MKLDNN_CONV: "bf16"},
    {CUDNN_CONV: "ieee", CUDNN_RNN: "tf32"},
    {WIDEST: "tf32", CUDNN_CONV: "none"},
    {CUDNN: "tf32"},
]
OLDER = [("highest", True), ("medium", True), ("high", False)]


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("older", OLDER, ids=str)
@pytest.mark.parametrize(
    "newer", [{}, *(pytest.param(each, marks=NEWER, id=str(each)) for each in AT_ODDS)], ids=str
)
def test_full_precision_is_set_and_put_back(newer: dict[int, str], older: Any) -> None:
    torch.set_float32_matmul_precision(older[0])
    cudnn.allow_tf32 = older[1]
    for i, value in newer.items():
        SETTINGS[i].fp32_precision = value
    before = state()
    with full_precision():
        assert state() == FULL
        with full_precision():
            cudnn.allow_tf32 = True
        assert state() == FULL
    assert state() == before


@NEWER
@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("older", OLDER, ids=str)
@pytest.mark.parametrize("newer", [{}, *AT_ODDS], ids=str)
def test_full_precision_gives_no_setting_a_value_of_its_own(
    newer: dict[int, str], older: Any
) -> None:
    torch.set_float32_matmul_precision(older[0])
    cudnn.allow_tf32 = older[1]
    for i, value in newer.items():
        SETTINGS[i].fp32_precision = value
    before = state()
    # Settings without their own value must not have got one: they still follow the general one.
    torch.backends.fp32_precision = "tf32"
    following = state()
    torch.backends.fp32_precision = before[0]
    with full_precision():
        pass
    torch.backends.fp32_precision = "tf32"
    assert state() == following


def divide_by_zero() -> None:
    with full_precision():
        assert state() == FULL
        raise ZeroDivisionError


def test_jax_is_set_and_put_back_after_an_exception_too(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    @contextmanager
    def default_matmul_precision(value: str) -> Iterator[None]:
        log.append(value)
        try:
            yield
        finally:
            log.append("put back")

    fake = SimpleNamespace(default_matmul_precision=default_matmul_precision)
    monkeypatch.setitem(sys.modules, "jax", fake)
    before = state()
    with pytest.raises(ZeroDivisionError):
        divide_by_zero()
    assert log == ["highest", "put back"]
    assert state() == before


def set_older(matmul: str, cudnn_tf32: bool) -> Callable[[], None]:
    def change() -> None:
        torch.set_float32_matmul_precision(matmul)
        cudnn.allow_tf32 = cudnn_tf32

    return change


def set_newer(*changes: tuple[int, str]) -> Callable[[], None]:
    def change() -> None:
        set_older("highest", False)()
        for i, value in changes:
            SETTINGS[i].fp32_precision = value

    return change


def set_cublas() -> None:
    set_older("highest", False)()
    cuda.matmul.allow_tf32 = True


REDUCED = [
    ("as it is by default", lambda: None, False, True),
    ("highest", set_older("highest", False), False, False),
    ("cuDNN's", set_older("highest", True), False, True),
    ("high", set_older("high", False), True, True),
    ("medium", set_older("medium", False), True, True),
    ("medium and cuDNN's", set_older("medium", True), True, True),
]
REDUCED_NEWER = [
    ("oneDNN's convolutions", set_newer((MKLDNN_CONV, "bf16")), True, False),
    ("oneDNN's, in TF32", set_newer((MKLDNN_CONV, "tf32")), True, False),
    ("oneDNN's products", set_newer((MKLDNN_MATMUL, "bf16")), True, False),
    ("oneDNN's recurrent layers", set_newer((MKLDNN_RNN, "bf16")), False, False),
    ("all of oneDNN", set_newer((MKLDNN, "bf16")), True, False),
    ("all", set_newer((WIDEST, "tf32")), True, True),
    (
        "all but each",
        set_newer(
            (WIDEST, "tf32"),
            *((i, "ieee") for i in (MKLDNN_CONV, MKLDNN_MATMUL, CUDNN_CONV, CUDA_MATMUL)),
        ),
        False,
        False,
    ),
    ("all of cuDNN", set_newer((CUDNN, "tf32")), False, True),
    ("cuDNN's convolutions", set_newer((CUDNN_CONV, "tf32")), False, True),
    ("cuBLAS's", set_newer((CUDA_MATMUL, "tf32")), False, True),
]


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize(
    ("change", "on_cpu", "on_cuda"),
    [
        *(pytest.param(*each, id=name) for name, *each in REDUCED),
        *(pytest.param(*each, id=f"{name}, newer", marks=NEWER) for name, *each in REDUCED_NEWER),
        pytest.param(
            set_cublas,
            bool(not SETTINGS),  # then the same setting as `set_float32_matmul_precision`
            True,
            id="cuBLAS's, older",
        ),
    ],
)
def test_reduced_float32_is_told(change: Callable[[], None], on_cpu: bool, on_cuda: bool) -> None:
    change()
    before = state()
    assert float32_is_reduced("cpu") is on_cpu
    assert float32_is_reduced("cuda") is on_cuda
    assert float32_is_reduced("mps") is False
    assert state() == before
    with full_precision():
        assert float32_is_reduced("cpu") is float32_is_reduced("cuda") is False
