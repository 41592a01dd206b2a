"""Files and mappings from strangers: a right load, or one clear error and nothing changed."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import torch
from limits import HAS_PROC, state_of, within
from porting import make

from torchconv2d import Conv2d, interop

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, .* are deprecated:UserWarning"),
]

MAPPINGS, FILES, STATES = 12_000, 8_000, 4_000
LONGEST = 1200  # characters of a message


def loads_right(conv: Conv2d, right: hostile.Arrays) -> bool:
    assert conv.bias is not None
    return all(
        np.array_equal(mine.numpy(force=True), theirs, equal_nan=True)
        for mine, theirs in ((conv.kernel, right["kernel"]), (conv.bias, right["bias"]))
    )


def outcome(conv: Conv2d, params: Any, prefix: str, right: hostile.Arrays | None) -> str:
    """What came of it, which must be what is right."""
    before, objects = state_of(conv), [*conv.parameters(), *conv.buffers()]
    try:
        interop.load_params(conv, params, "flax", prefix=prefix)
    except (TypeError, ValueError) as error:
        assert right is None, (params, prefix, error)
        message = str(error)
        assert len(message) < LONGEST
        assert "\n" not in message
        assert any(f"`{name}`" in message for name in ("params", "kernel", "bias")) or (
            "no safetensors file" in message or "twice in its header" in message
        ), message
        assert state_of(conv) == before
        outcome = type(error).__name__
    else:
        assert right is not None, (params, prefix)
        assert loads_right(conv, right)
        outcome = "loaded"
    assert [each[:-1] for each in state_of(conv)] == [each[:-1] for each in before]
    assert all(
        one is other
        for one, other in zip([*conv.parameters(), *conv.buffers()], objects, strict=True)
    )
    return outcome


@HAS_PROC
def test_mappings() -> None:
    draw, conv, found = random.Random(23), make(), Counter[str]()
    assert conv.bias is not None
    conv.bias.requires_grad_(False)
    with within(300_000_000):
        for _ in range(MAPPINGS):
            found[outcome(conv, *hostile.mapping(draw))] += 1
    assert found.total() == MAPPINGS
    assert min(found[each] for each in ("loaded", "ValueError", "TypeError")) > MAPPINGS // 100


@HAS_PROC
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpickles(*_: Any, **__: Any) -> Any:
        raise AssertionError("it unpickles")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, unpickles)
    monkeypatch.setattr(torch, "load", unpickles)
    monkeypatch.setattr(np, "load", unpickles)
    draw, conv, found = random.Random(23), make(), Counter[str]()
    path = tmp_path / "params"
    with within(300_000_000):
        for _ in range(FILES):
            content = hostile.file(draw)
            path.write_bytes(content)
            found[outcome(conv, path, "", hostile.right_of(content))] += 1
    assert found.total() == FILES
    assert min(found[each] for each in ("loaded", "ValueError")) > FILES // 10
    assert hostile.Planted.ran == []
