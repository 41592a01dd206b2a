"""Hostile files and mappings load correctly, or raise one clear error and change nothing."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from pathlib import Path
from typing import Any

import hostile
import hostile_files
import numpy as np
import pytest
import torch
from cases import make_layer
from limits import HAS_PROC, state_of, within
from porting import make

from torchconv2d import Conv2d, interop

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, .* are deprecated:UserWarning"),
]

MAPPINGS, FILES, STATES = 11_000, 7_000, 2_200
LONGEST = 1000  # characters of a message
# A message must have one of these.
CLEAR = ("`params`", "`kernel`", "`bias`", "no safetensors file", "twice in its header")


def loads_right(conv: Conv2d, right: hostile.Arrays) -> bool:
    assert conv.bias is not None
    return all(
        np.array_equal(mine.numpy(force=True), theirs, equal_nan=True)
        for mine, theirs in ((conv.kernel, right["kernel"]), (conv.bias, right["bias"]))
    )


def outcome(conv: Conv2d, params: Any, prefix: str, right: hostile.Arrays | None) -> str:
    """Load the parameters, check the result, and return "loaded" or the type of the error."""
    before, objects = state_of(conv), [*conv.parameters(), *conv.buffers()]
    refusal = None
    try:
        interop.load_params(conv, params, "flax", prefix=prefix)
    except (TypeError, ValueError) as error:
        refusal = error
    after = state_of(conv)
    assert (refusal is None) == (right is not None), (params, prefix, refusal)
    if right is not None:
        assert loads_right(conv, right)
        assert [each[:-1] for each in after] == [each[:-1] for each in before]
    else:
        message = str(refusal)
        assert len(message) < LONGEST
        assert "\n" not in message
        assert any(words in message for words in CLEAR), message
        assert after == before
    now = [*conv.parameters(), *conv.buffers()]
    assert all(one is other for one, other in zip(now, objects, strict=True))
    return "loaded" if refusal is None else type(refusal).__name__


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
            content = hostile_files.file(draw)
            path.write_bytes(content)
            found[outcome(conv, path, "", hostile_files.right_of(content))] += 1
    assert found.total() == FILES
    assert min(found[each] for each in ("loaded", "ValueError")) > FILES // 10
    assert hostile_files.Planted.ran == []


@HAS_PROC
def test_state_dicts() -> None:
    draw, found = random.Random(23), Counter[str]()
    with within(300_000_000):
        for _ in range(STATES):
            layer = make_layer("mask_lhs")
            assert layer.bias is not None
            layer.bias.requires_grad_(False)
            before, objects = state_of(layer), [*layer.parameters(), *layer.buffers()]
            old = {name: each.clone() for name, each in layer.state_dict().items()}
            state, options, right = hostile.state(draw, old)
            refusal = None
            try:
                layer.load_state_dict(state, **options)
            except RuntimeError as error:
                refusal = error
            assert (refusal is None) == (right is not None), (state, options, refusal)
            assert len(str(refusal)) < LONGEST
            if right is None:
                assert state_of(layer) == before
                now = [*layer.parameters(), *layer.buffers()]
                assert all(one is other for one, other in zip(now, objects, strict=True))
            else:
                for name, tensor in layer.state_dict().items():
                    assert torch.equal(tensor, right[name])
                    assert tensor.dtype == right[name].dtype
                assert [p.requires_grad for p in layer.parameters()] == [True, False]
            found["loaded" if refusal is None else "refused"] += 1
    assert found.total() == STATES
    assert min(found.values()) > STATES // 5


def test_there_are_twenty_thousand() -> None:
    assert MAPPINGS + FILES + STATES >= 20_000
