"""Interop tests that need no other framework: refusals, files, and plain torch layers."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from cases import whole_numbers
from porting import draw, make
from safetensors.torch import save_file
from torch import nn

from docs.pages import blocks
from torchconv2d import Conv2d, interop
from torchconv2d.interop import readers
from torchconv2d.interop.frameworks import FRAMEWORKS


def flax(**changes: Any) -> dict[str, Any]:
    return {"kernel": draw(3, 2, 2, 6), "bias": draw(6), **changes}


ROWS = [(name, kind) for name, row in FRAMEWORKS.items() for kind in row.kernels]


@pytest.mark.parametrize(("framework", "kind"), ROWS)
@pytest.mark.parametrize("channel_first", [False, True])
def test_round_trip(framework: str, kind: str, channel_first: bool) -> None:
    groups = 4 if kind == "depthwise" else 2
    options = {"channel_first": channel_first, "groups": groups, "out_channels": 8}
    if channel_first:
        options["in_size"] = (4, 7, 6)
    conv, other = make(**options), make(**options)
    exported = interop.export_params(conv, framework, kind=kind)
    nn.init.normal_(other.weight)
    nn.init.normal_(other.bias)
    interop.load_params(other, exported, framework, kind=kind)
    assert torch.equal(other.weight, conv.weight)
    assert torch.equal(other.bias, conv.bias)
    exported[FRAMEWORKS[framework].weight[0]][:] = 0  # a copy, not the weight itself
    assert conv.weight.count_nonzero() == conv.weight.numel()


REFUSED = {
    "shape": (flax(kernel=draw(2, 3, 2, 6)), ["`kernel`", "(3, 2, 2, 6)", "(2, 3, 2, 6)"]),
    "shape of the bias": (flax(bias=draw(1, 6)), ["`bias`", "(6,)", "(1, 6)"]),
    "missing": ({"kernel": draw(3, 2, 2, 6)}, ["`bias`", "(6,)"]),
    "missing kernel": ({"bias": draw(6)}, ["`kernel`", "(3, 2, 2, 6)"]),
    "None": (flax(bias=None), ["`bias`", "(6,)"]),
    "other name": (
        {"weight": draw(3, 2, 2, 6), "bias": draw(6)},
        ["`kernel`", "(3, 2, 2, 6)", "`weight` (3, 2, 2, 6)"],
    ),
    "unknown": (flax(scale=draw(6)), ["`scale` (6,)", "`kernel` (3, 2, 2, 6), `bias` (6,)"]),
    "float64": (flax(bias=draw(6).astype(np.float64)), ["`bias`", "(6,)", "float64", "float32"]),
    "int64": (flax(bias=np.arange(6)), ["`bias`", "int64", "float32"]),
    "complex": (flax(kernel=draw(3, 2, 2, 6) + 1j), ["`kernel`", "complex64", "float32"]),
    "nothing": ({}, ["nothing"]),
    "two layers": ({"a": flax(), "b": flax()}, ["one layer", "`prefix`", "'a', 'b'"]),
}


@pytest.mark.parametrize(("params", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named_and_changes_nothing(params: Any, parts: list[str]) -> None:
    conv = make()
    before = copy.deepcopy(conv.state_dict())
    with pytest.raises(ValueError, match=r"`") as caught:
        interop.load_params(conv, params, "flax")
    for part in parts:
        assert part in str(caught.value)
    for name, tensor in conv.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_bias_too_many() -> None:
    with pytest.raises(
        ValueError, match=r"has `bias` \(6,\), which the layer does not have.*`b_init`"
    ):
        interop.load_params(make(b_init=None), flax(), "flax")


@pytest.mark.parametrize("params", [draw(3, 2, 2, 6), 3.0, object()])
def test_no_container(params: Any) -> None:
    with pytest.raises(TypeError, match="`params` must be a mapping or a list of arrays"):
        interop.load_params(make(), params, "flax")


@pytest.mark.parametrize("bias", ["six", np.array(list("abcdef"))])
def test_no_array(bias: Any) -> None:
    with pytest.raises(TypeError, match="`bias` must be an array"):
        interop.load_params(make(), flax(bias=bias), "flax")


def test_what_the_dtype_holds_is_taken() -> None:
    conv = make()
    halves = {name: each.astype(np.float16) for name, each in flax().items()}
    interop.load_params(conv, halves, "flax")
    assert np.array_equal(conv.kernel.numpy(force=True), halves["kernel"])
    doubles = {name: each.astype(np.float64) / 3 for name, each in flax().items()}
    interop.load_params(conv.double(), doubles, "flax")
    assert np.array_equal(conv.kernel.numpy(force=True), doubles["kernel"])


def test_what_holds_what() -> None:
    # Neither half precision holds the other; all hold float8; the size decides about integers.
    for own, source, fits in (
        (torch.float16, torch.bfloat16, False),
        (torch.bfloat16, torch.float16, False),
        (torch.float32, torch.bfloat16, True),
        (torch.bfloat16, torch.float8_e5m2, True),
        (torch.complex64, torch.float32, True),
        (torch.complex64, torch.float64, False),
        (torch.float32, torch.int16, True),
        (torch.float64, torch.int32, True),
    ):
        conv = make(dtype=own)
        params = {"weight": torch.ones(6, 2, 3, 2).to(source), "bias": torch.ones(6).to(source)}
        if fits:
            interop.load_params(conv, params, "torch")
            assert torch.equal(conv.bias, torch.ones(6, dtype=own))
        else:
            with pytest.raises(ValueError, match=f"is {source}, and the layer's {own} does not"):
                interop.load_params(conv, params, "torch")


def test_another_kind_s_shape_is_pointed_out() -> None:
    conv = make(groups=1)
    with pytest.raises(
        ValueError, match=r"\(3, 2, 6, 4\); a transposed layer has that, pass kind="
    ):
        interop.load_params(conv, flax(kernel=draw(3, 2, 6, 4)), "flax")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"framework": "tensorflow"}, "`framework` must be one of 'brainstate', .*'tensorflow'"),
        ({"framework": "flax", "kind": "depthwise"}, "`kind` must be .*'depthwise'"),
        ({"framework": "keras", "kind": "depthwise"}, "`kind` must be .*'depthwise'"),
    ],
)
def test_no_such_framework_or_kind(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interop.export_params(make(), **options)
    with pytest.raises(ValueError, match=message):
        interop.load_params(make(), flax(), **options)


def test_only_this_layer() -> None:
    plain: Any = nn.Conv2d(4, 6, 3)
    with pytest.raises(TypeError, match=r"must be a torchconv2d.Conv2d, got Conv2d"):
        interop.export_params(plain, "torch")
    for each in (plain, "conv"):
        with pytest.raises(TypeError, match=r"a module that contains one, got (Conv2d|str)"):
            interop.to_torch(each)


def test_the_weight_must_be_stored() -> None:
    conv = nn.utils.parametrizations.weight_norm(make())
    with pytest.raises(RuntimeError, match="`weight` cannot be written: it is computed"):
        interop.load_params(conv, flax(), "flax")
    with pytest.raises(RuntimeError, match="meta device"):
        interop.load_params(make(device="meta"), flax(), "flax")
    with pytest.raises(RuntimeError, match="meta device"):
        interop.export_params(make(device="meta"), "flax")


def test_a_mask_stays_where_there_is_one_and_is_multiplied_where_not() -> None:
    mask = draw(3, 2, 2, 6)
    conv = make(w_mask=mask)
    assert np.array_equal(
        interop.export_params(conv, "flax")["kernel"], conv.kernel.numpy(force=True)
    )
    masked = interop.export_params(conv, "keras")["kernel"]
    assert np.array_equal(masked, conv.kernel.numpy(force=True) * mask)


def test_frozen_and_channels_last_weights_keep_that() -> None:
    conv = make(param_type=nn.Buffer).to(memory_format=torch.channels_last)
    interop.load_params(conv, flax(), "flax")
    assert np.array_equal(conv.kernel.numpy(force=True), flax()["kernel"])
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert not list(conv.parameters())


# Whole models.


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(4, 6, (3, 2), groups=2), nn.Conv2d(4, 6, (3, 2), groups=2))


def test_one_layer_of_a_state_dict(model: nn.Module) -> None:
    conv = make()
    for prefix in ("1", "1."):
        interop.load_params(conv, model.state_dict(), "torch", prefix=prefix)
        assert torch.equal(conv.weight, model[1].weight)
        assert torch.equal(conv.bias, model[1].bias)


def test_one_layer_of_a_safetensors_file(model: nn.Module, tmp_path: Any) -> None:
    path, conv = tmp_path / "model.safetensors", make()
    tensors = {f"body.{name}": tensor for name, tensor in model.state_dict().items()}
    save_file({**tensors, "body.10.weight": torch.ones(3)}, path)
    interop.load_params(conv, path, "torch", prefix="body.1")
    assert torch.equal(conv.weight, model[1].weight)
    interop.load_params(conv, str(path), "torch", prefix="body/0")
    assert torch.equal(conv.bias, model[0].bias)
    with pytest.raises(ValueError, match=r"'head'; there is 'body/0', 'body/1', 'body/10'"):
        interop.load_params(conv, path, "torch", prefix="head")
    with pytest.raises(ValueError, match="pick it with `prefix`: 'body/0', 'body/1', 'body/10'"):
        interop.load_params(conv, path, "torch")


def test_bfloat16_of_a_file(tmp_path: Any) -> None:
    path, conv = tmp_path / "conv.safetensors", make()
    state = {name: tensor.bfloat16() for name, tensor in conv.state_dict().items()}
    save_file(state, path)
    interop.load_params(conv, path, "torch")
    assert torch.equal(conv.weight, state["weight"].float())


def test_a_file_that_is_none(tmp_path: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(flax()))
    with pytest.raises(ValueError, match=r"model.pkl is no safetensors file.*np.load"):
        interop.load_params(make(), path, "flax")
    with pytest.raises(FileNotFoundError):
        interop.load_params(make(), tmp_path / "none.safetensors", "flax")


def test_what_must_be_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for package in ("safetensors", "ml_dtypes"):
        monkeypatch.setitem(sys.modules, package, None)
    conv = make(dtype=torch.bfloat16)
    with pytest.raises(ImportError, match=r"pip install safetensors"):
        interop.load_params(conv, tmp_path / "conv.safetensors", "torch")
    with pytest.raises(ImportError, match=r"pip install ml-dtypes`, or .* `\.float\(\)`"):
        interop.export_params(conv, "flax")


def test_arrays_of_objects_are_not_unpickled(tmp_path: Any) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, kernel=np.array([None, {}]), bias=draw(6))
    with pytest.raises(ValueError, match="allow_pickle=False"), np.load(path) as file:
        interop.load_params(make(), file, "flax")
    np.savez(path, **flax())
    conv = make()
    with np.load(path) as file:
        interop.load_params(conv, file, "flax")
    assert np.array_equal(conv.bias.numpy(force=True), flax()["bias"])


@pytest.mark.parametrize("transposed", [False, True])
def test_the_framework_of_the_contributors_guide_agrees(
    transposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, block = blocks("CONTRIBUTING.md")
    names: dict[str, Any] = {"__package__": "torchconv2d.interop", "__name__": "tinynet"}
    exec(block, names)
    monkeypatch.setitem(FRAMEWORKS, "tinynet", names["ROW"])
    reads = names["transposed" if transposed else "conv"]
    monkeypatch.setitem(readers._READERS, ("tinynet", "Layer"), reads)
    layer = type("Layer", (), {"__module__": "tinynet"})()
    layer.k, layer.step = whole_numbers((5, 3, 4, 5), 1, torch.float64), (2, 3)
    layer.c, layer.pads = whole_numbers((5,), 2, torch.float64), (1, 0, 2, 1)
    conv = interop.from_layer(layer, (8, 7, 5))
    x, kernel = whole_numbers((2, 5, 8, 7), 3, torch.float64), layer.k.permute(0, 3, 1, 2)
    if transposed:
        y = nn.functional.conv_transpose2d(x, kernel, layer.c, layer.step)[:, :, 1:, 2:-1]
    else:
        y = nn.functional.conv2d(nn.functional.pad(x, (2, 1, 1, 0)), kernel, layer.c, layer.step)
    assert torch.equal(conv(x.permute(0, 2, 3, 1)), y.permute(0, 2, 3, 1))
    assert np.array_equal(interop.export_params(conv, "tinynet")["k"], layer.k)


def test_none_of_the_frameworks_is_imported() -> None:
    program = """
import sys, torch
from torchconv2d import interop
conv = interop.from_layer(torch.nn.Conv2d(3, 4, 2), (3, 5, 6))
interop.load_params(conv, interop.export_params(conv, "flax"), "flax")
print(*{name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {package.partition(".")[0] for package, _ in readers._READERS} - {"torch"}
    assert not set(done.stdout.split()) & (names | {"jax", "haiku", "safetensors", "h5py"})


def test_tflite_padding_of_sizes_that_do_not_belong_together() -> None:
    # SAME makes 4 of 7 or 8 rows, VALID of 9 or 10.
    for padding, fit in (("SAME", {7, 8}), ("VALID", {9, 10})):
        for out in range(4, 13):
            if out in fit:
                rows, columns = interop.tflite_padding(padding, (4, 5), (out, 15), (3, 1), (2, 3))
                conv = Conv2d((4, 5, 2), 3, (3, 1), 1, (rows, columns), (2, 3))
                assert conv.out_size == (out, 15, 3)
            else:
                with pytest.raises(ValueError, match=rf"`out_size` .* \(4, 5\); got \({out}, 15\)"):
                    interop.tflite_padding(padding, (4, 5), (out, 15), (3, 1), (2, 3))
    with pytest.raises(ValueError, match="`padding` must be one of SAME, VALID, got 'same'"):
        interop.tflite_padding("same", 4, 8, 3, 2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`stride` must be"):
        interop.tflite_padding("SAME", 4, 8, 3, 0)


def test_norms_have_no_place_in_tflite() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    tree = {"0": {"filter": draw(4, 3, 3, 3), "bias": draw(4)}}
    with pytest.raises(ValueError, match=r"no array for 1\.weight \(4,\), 1\.bias \(4,\)"):
        interop.load_network(model, tree, "tflite")
    interop.load_network(model, tree, "tflite", {"1": None})
    assert torch.equal(model[0].weight, torch.tensor(tree["0"]["filter"]).permute(0, 3, 1, 2))
