"""Skips of what a version of torch lacks, or an environment, each with its reason."""

from __future__ import annotations

import pytest

from torchconv2d.versions import LACKING

# The packages that are no part of the extra `test`, and what for.
OPTIONAL = {
    "onnx": "the extra `onnx` is not installed",
    "onnxscript": "the extra `onnx` is not installed",
    "onnxruntime": "the extra `onnx` is not installed",
    "yaml": "torchgen, which knows each operator's devices, reads them with PyYAML",
}


def needs(feature: str) -> pytest.MarkDecorator:
    """The mark of a test, or of one of its cases, for which torch must have something."""
    return pytest.mark.skipif(feature in LACKING, reason=LACKING.get(feature, ""))


def package(*names: str) -> None:
    """Skips the test that calls it where one of these is not installed."""
    for name in names:
        pytest.importorskip(name, reason=OPTIONAL[name])
