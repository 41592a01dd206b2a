"""The context manager that makes torch and JAX multiply float32 as it is, and puts all back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.backends import cuda, cudnn, mkldnn

from torchconv2d.testing import full_precision

SETTINGS = [torch.backends, cudnn, cuda.matmul, cudnn.conv, cudnn.rnn]
SETTINGS += [mkldnn.matmul, mkldnn.conv, mkldnn.rnn]
FULL = [*["ieee"] * len(SETTINGS), "highest", False, False]


def state() -> list[Any]:
    """What each setting says, by the older names too unless torch refuses."""
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


AT_ODDS = [{}, {2: "tf32", 6: "bf16"}, {3: "ieee", 4: "tf32"}, {0: "tf32", 3: "none"}, {1: "tf32"}]


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("older", [("highest", True), ("medium", True), ("high", False)], ids=str)
@pytest.mark.parametrize("newer", AT_ODDS, ids=str)
def test_full_precision_is_set_and_put_back(newer: dict[int, str], older: Any) -> None:
    torch.set_float32_matmul_precision(older[0])
    cudnn.allow_tf32 = older[1]
    for i, value in newer.items():
        SETTINGS[i].fp32_precision = value
    before = state()
    with full_precision():
        assert state() == FULL
        with full_precision():
            cudnn.conv.fp32_precision = "tf32"
        assert state() == FULL
    assert state() == before
    # What has no value of its own must not have got one: it still follows the wider setting.
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
