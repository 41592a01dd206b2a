"""Interop with wrong names, numbers and files; each test has one kind of mistake.

``test_hostile.py`` draws many more at random.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import numpy as np
import pytest
import torch
from porting import draw, make
from safetensors.torch import save_file
from torch import nn

from torchconv2d import interop


def flax(**changes: Any) -> dict[str, Any]:
    return {"kernel": draw(3, 2, 2, 6), "bias": draw(6), **changes}


CONFLICTS = {
    "dot and slash": {"conv.kernel": draw(3, 2, 2, 6), "conv/kernel": draw(3, 2, 2, 6)},
    "leading dot": {".kernel": draw(3, 2, 2, 6), "kernel": draw(3, 2, 2, 6)},
    "int and str": {1: draw(6), "1": draw(6)},
    "nested and flat": {"conv": {"bias": draw(6)}, "conv/bias": draw(6)},
    "tuple": {("conv", "bias"): draw(6), "conv.bias": draw(6)},
    "Orbax": {"bias": {"value": draw(6)}, "bias/": draw(6)},
}


@pytest.mark.parametrize("params", CONFLICTS.values(), ids=CONFLICTS)
def test_two_names_for_one_array(params: Any) -> None:
    with pytest.raises(ValueError, match=r"`params` has two arrays for `.*`, under .* and "):
        interop.load_params(make(), params, "flax")


@pytest.mark.parametrize("name", ["", ".", "...", "//"])
@pytest.mark.parametrize("kind", ["mapping", "file"])
def test_a_name_that_names_nothing(name: str, kind: str, tmp_path: Any) -> None:
    params = {name: torch.ones(6), "weight": torch.ones(6, 2, 3, 2)}
    path = tmp_path / "params.safetensors"
    if kind == "file":
        save_file(params, path)
    with pytest.raises(ValueError, match=f"{name!r} names nothing"):
        interop.load_params(make(), path if kind == "file" else params, "torch")


def written(path: Any, entries: list[tuple[str, Any]], data: bytes) -> Any:
    """Write a safetensors file; its header may have a name twice."""
    text = ",".join(f"{json.dumps(name)}:{json.dumps(told)}" for name, told in entries)
    header = f"{{{text}}}".encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def test_a_name_twice_in_the_header(tmp_path: Any) -> None:
    kernel = {"dtype": "F32", "shape": [3, 2, 2, 6], "data_offsets": [0, 288]}
    bias = {"dtype": "F32", "shape": [6], "data_offsets": [288, 312]}
    entries, data = [("kernel", kernel), ("bias", bias)], draw(78).tobytes()
    conv = make()
    interop.load_params(conv, written(tmp_path / "once", entries, data), "flax")
    assert conv.bias.tolist() == draw(78)[72:].tolist()
    with pytest.raises(ValueError, match="'bias' twice in its header"):
        interop.load_params(conv, written(tmp_path / "twice", [*entries, entries[1]], data), "flax")


def test_a_dtype_that_this_torch_lacks(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "float8_e8m0fnu", raising=False)
    told = {"dtype": "F8_E8M0", "shape": [3, 2, 2, 6], "data_offsets": [0, 72]}
    path = written(tmp_path / "params", [("kernel", told)], bytes(72))
    with pytest.raises(
        TypeError, match=r"'kernel' in a dtype that torch 2\..*float8_e8m0fnu.*newer"
    ):
        interop.load_params(make(), path, "flax")


def test_a_header_as_large_as_no_file(tmp_path: Any) -> None:
    path = tmp_path / "params"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match=f"its header .* {2**62} bytes, and there are 10 in all"):
        interop.load_params(make(), path, "flax")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    with pytest.raises(ValueError, match="no regular file"):
        interop.load_params(make(), tmp_path / "pipe", "flax")


def test_messages_have_an_end(tmp_path: Any) -> None:
    names = [f"body/{i}/kernel" for i in range(100_000)]
    told = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    path = written(tmp_path / "many", [(name, told) for name in names], b"")
    for params, part in (
        (path, "and 99992 more"),
        ({i: float(i) for i in range(100_000)}, "and 99992 more"),
        ({"kernel" * 1000: draw(6)}, "(6000 characters)"),
        ({"bias": {"body" * 1000: draw(6)}, "body" * 1000: {"k": draw(6)}}, "(4000 characters)"),
        (flax(bias=np.empty([1] * 30, np.float32)), "(30 entries)"),
        ("p" * 5000, "(5000 characters)"),
        (
            {"\U000e0001" * 150 + str(i): draw(6) for i in range(9)},
            "(151 characters)` (6,) and 8 more",
        ),
        ({"\U000e0001" * 150 + f"{i}/k": draw(6) for i in range(9)}, "(151 characters) and 8 more"),
        ({f"{i}" * 200: draw(6) for i in range(9)}, "(200 characters)` (6,) and 8 more"),
        (flax(bias=type("T" * 5000, (), {})()), "(5000 characters)"),
        (type("T" * 5000, (), {})(), "(5000 characters)"),
    ):
        with pytest.raises((ValueError, TypeError, OSError)) as caught:
            interop.load_params(make(), params, "flax")
        assert part in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_names_of_layers_are_escaped_once() -> None:
    with pytest.raises(ValueError, match=re.escape(r"pick it with `prefix`: 'a\nb', 'c\\d'.")):
        interop.load_params(make(), {"a\nb/kernel": draw(6), "c\\d/kernel": draw(6)}, "flax")


def test_paths_that_the_system_has_not(tmp_path: Any) -> None:
    class Path:
        def __init__(self, path: Any) -> None:
            self.path = path

        def __fspath__(self) -> Any:
            return self.path if isinstance(self.path, (str, bytes)) else self.path()

    def raises() -> None:
        raise ZeroDivisionError("p" * 5000)

    path = tmp_path / "params"
    save_file({"weight": torch.ones(6, 2, 3, 2), "bias": torch.arange(6.0)}, path)
    for same in (Path(os.fsencode(path)), Path(str(path)), path):
        conv = make()
        interop.load_params(conv, same, "torch")
        assert conv.bias.tolist() == [0, 1, 2, 3, 4, 5]
    for wrong in ("\ud800", "a\0b", Path(b"\0"), Path(raises), Path(lambda: 7)):
        with pytest.raises(ValueError, match="`params` must be the path of a file, got ") as caught:
            interop.load_params(make(), wrong, "torch")
        assert len(str(caught.value)) < 1000


class Odd:
    """An array whose properties are these."""

    def __init__(self, **properties: Any) -> None:
        self.__dict__ |= properties


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Odd(shape=7, dtype=np.dtype("f4")), "`bias` must be an array, got Odd: 'int' object"),
        (Odd(shape=(6,)), "`bias` must be an array, got Odd: 'Odd' object has no attribute"),
        (Odd(shape=(6,), dtype="T" * 5000), r"that torch has, got TTT.* \(5000 characters\)"),
        (np.zeros(6, np.longdouble), r"that torch has, got .*; convert it, .*astype\('float32'\)"),
    ],
)
def test_arrays_that_are_none(array: Any, message: str) -> None:
    conv = make()
    before = conv.bias.tolist()
    with pytest.raises(TypeError, match=message) as caught:
        interop.load_params(conv, flax(bias=array), "flax")
    assert len(str(caught.value)) < 1000
    assert conv.bias.tolist() == before


class Unspoken:
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("name", [(), 1.5, None, True, Unspoken(), ("conv", ())])
def test_names_are_strings_or_ints(name: Any) -> None:
    with pytest.raises(ValueError, match="names nothing; a name must be an int, or a string"):
        interop.load_params(make(), {"conv": {name: draw(6)}}, "flax")
    with pytest.raises(ValueError, match="names nothing; a name must be an int, or a string"):
        interop.load_params(make(), {name: draw(6)}, "flax")
    with pytest.raises(TypeError, match="`prefix` must be a str, got"):
        interop.load_params(make(), flax(), "flax", prefix=name)


def test_the_remedy_is_a_dtype_that_holds_both() -> None:
    kernel = draw(3, 2, 2, 6).round()
    for layer, array, words in (
        (
            "float32",
            "int32",
            r"cast it to torch.float32 yourself, or first call `layer.to\(torch.float64\)`\.",
        ),
        ("float32", "int64", r"cast it to torch.float32 yourself\.$"),
        (
            "float16",
            "uint16",
            r"cast it to torch.float16 yourself, or first call `layer.to\(torch.float32\)`\.",
        ),
        ("float32", "complex64", r"real part yourself, or first call .*\(torch.complex64\)`\."),
        ("float64", "complex64", r"real part yourself, or first call .*\(torch.complex128\)`\."),
    ):
        conv = make(dtype=getattr(torch, layer))
        with pytest.raises(ValueError, match=words):
            interop.load_params(conv, flax(kernel=kernel.astype(array)), "flax")


class Odder(str):
    """A name whose ``repr`` raises."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_odd_units_and_names() -> None:
    unit = Odd(mantissa=1.0, unit="u" * 5000, dim=Odd(is_dimensionless=False))
    with pytest.raises(TypeError, match=r"the unit uuu.*uuu \(5000 characters\)"):
        make(w_init=unit)
    assert make(name=Odder("stem"))(torch.ones(7, 6, 4)).shape == (7, 6, 6)
    with pytest.raises(ValueError, match=r"of the layer 'stem' must have the shape"):
        make(name=Odder("stem"))(torch.ones(7, 6, 5))


def test_masked_arrays_and_those_of_another_byte_order() -> None:
    conv, bias = make(), draw(6)
    with pytest.raises(ValueError, match=r"`bias` .* 2 of this masked array .*\.filled"):
        interop.load_params(conv, flax(bias=np.ma.array(bias, mask=[0, 1, 0, 0, 1, 0])), "flax")
    for same in (bias.astype(">f4"), np.ma.array(bias), bias.astype("<f4")):
        nn.init.zeros_(conv.bias)
        interop.load_params(conv, flax(bias=same), "flax")
        assert conv.bias.tolist() == bias.tolist()
    kernel = draw(3, 2, 2, 6).astype(">f8")
    other = make(w_init=kernel, b_init=np.arange(6, dtype=">i2"), w_mask=kernel > 0)
    assert np.array_equal(other.kernel.numpy(force=True), kernel.astype("f4"))
    assert other.bias.tolist() == [0, 1, 2, 3, 4, 5]


UNREADABLE = {
    "nested": (torch.nested.nested_tensor([torch.ones(6)], layout=torch.jagged), "dense"),
    "sparse": (torch.ones(6).to_sparse(), "dense"),
    "uninitialized": (nn.UninitializedParameter(), "an uninitialized one; run"),
    "bits": (torch.ones(6, dtype=torch.uint8).view(torch.bits8), r"got torch\.bits8"),
    "a number": (1.0, "`bias` must be an array, got float"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_holds_no_numbers_is_named(kind: str) -> None:
    value, message = UNREADABLE[kind]
    with pytest.raises((TypeError, ValueError), match=message):
        interop.load_params(make(), flax(bias=value), "flax")


def test_leaves_in_a_mapping_of_their_own() -> None:
    """Orbax restores Flax's nnx like this; nested, flat, and with tuples."""
    for params in (
        {"conv": {name: {"value": each} for name, each in flax().items()}},
        {f"conv.{name}.value": each for name, each in flax().items()},
        {("conv", name, "value"): each for name, each in flax().items()},
    ):
        conv = make()
        interop.load_params(conv, params, "flax")
        assert np.array_equal(conv.kernel.numpy(force=True), flax()["kernel"])
        assert np.array_equal(conv.bias.numpy(force=True), flax()["bias"])


def test_an_error_says_which_layer() -> None:
    with pytest.raises(ValueError, match="lacks") as caught:
        interop.load_params(make(name="stem"), {"kernel": draw(3, 2, 2, 6)}, "flax")
    assert caught.value.__notes__ == ["The layer is 'stem'."]


def test_a_changed_origin_is_named() -> None:
    conv = make(padding=1)
    for origin in ("torch", ("torch", "depthwise"), ("keras", "depthwise"), ("torch",), 3):
        conv.ported_from = origin
        with pytest.raises(ValueError, match="`ported_from` must be"):
            interop.export_params(conv, "torch")
        with pytest.raises(ValueError, match="`ported_from` must be"):
            interop.load_params(conv, flax(), "flax")
        assert interop.to_torch(conv).padding == (1, 1)  # to_torch does not read it
    conv.ported_from = ("flax", "conv")
    interop.load_params(conv, flax(), "flax")
