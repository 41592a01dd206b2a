"""Skips tests of features that this version of torch or this environment lacks, with a reason."""

from __future__ import annotations

import pytest

from torchconv2d.versions import LACKING

# The packages that may be missing, and the reason to give.
OPTIONAL = {
    "onnx": "the extra `onnx` is not installed",
    "onnxscript": "the extra `onnx` is not installed",
    "onnxruntime": "the extra `onnx` is not installed",
    "h5py": "the extra `frameworks` is not installed; Keras brings h5py",
    "torchao": "the extra `tools` is not installed",
    "torchinfo": "the extra `tools` is not installed",
    "thop": "the extra `tools` is not installed",
    "yaml": "torchgen, which knows each operator's devices, reads them with PyYAML",
}


def needs(feature: str) -> pytest.MarkDecorator:
    """Marks a test, or one of its cases, that needs a feature of torch."""
    return pytest.mark.skipif(feature in LACKING, reason=LACKING.get(feature, ""))


def package(*names: str) -> None:
    """Skips the calling test if one of these packages is not installed."""
    for name in names:
        pytest.importorskip(name, reason=OPTIONAL[name])
