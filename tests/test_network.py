"""Whole networks of parameters: matched, moved, or refused without a change."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from torchconv2d import Conv2d, interop


def draw(*shape: int) -> Any:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv2d((3, 9, 8), 4, (3, 2), channel_first=True, b_init=0)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, (1, 3), groups=2, bias=False) for _ in range(2))
        self.up = nn.ConvTranspose2d(4, 6, (2, 3), groups=2)
        self.head = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5))


def tree() -> dict[str, Any]:
    return {
        "params": {
            "stem": {"kernel": draw(3, 2, 3, 4), "bias": draw(4)},
            "norm": {"scale": draw(4, 1)[:, 0], "bias": draw(1, 4)[0]},
            "blocks_0": {"kernel": draw(1, 3, 2, 4)},
            "blocks_1": {"kernel": 2 * draw(1, 3, 2, 4)},
            "up": {"kernel": draw(2, 3, 2, 6), "bias": draw(6)},
            "LayerNorm_0": {"scale": draw(6), "bias": 2 * draw(6)},
            "Dense_0": {"kernel": draw(6, 5), "bias": draw(5)},
        },
        "batch_stats": {"norm": {"mean": draw(4), "var": draw(4) ** 2}},
    }


def without(path: str, tree: Any) -> Any:
    *above, last = path.split("/")
    at = tree
    for part in above:
        at = at[part]
    del at[last]
    return tree


def with_(path: str, value: Any, tree: Any) -> Any:
    *above, last = path.split("/")
    at = tree
    for part in above:
        at = at.setdefault(part, {})
    at[last] = value
    return tree


def test_each_parameter_gets_its_array() -> None:
    network, params = Network(), tree()
    moves = interop.load_network(network, params, "flax")
    assert len(moves.moves) == 14
    assert "norm.running_var (4,) <- batch_stats/norm/var (4,)" in str(moves).splitlines()
    theirs, own = params["params"], network.state_dict()
    assert np.array_equal(network.stem.kernel.numpy(force=True), theirs["stem"]["kernel"])
    for i in (0, 1):
        kernel = theirs[f"blocks_{i}"]["kernel"]
        assert np.array_equal(own[f"blocks.{i}.weight"].permute(2, 3, 1, 0), kernel)
    # Flax's plain transposed kernel is that of the dilated convolution: flip it, swap in and out.
    kernel = theirs["up"]["kernel"][::-1, ::-1].reshape(2, 3, 2, 2, 3)
    for group in (0, 1):
        weight = own["up.weight"][2 * group : 2 * group + 2]  # in, out / groups, h, w
        assert np.array_equal(weight.permute(2, 3, 0, 1), kernel[:, :, :, group])
    assert np.array_equal(own["head.1.weight"], theirs["Dense_0"]["kernel"].T)
    assert np.array_equal(own["norm.running_var"], params["batch_stats"]["norm"]["var"])
    assert np.array_equal(own["head.0.weight"], theirs["LayerNorm_0"]["scale"])


REFUSED = {
    "another network": (
        {"Conv_0": {"kernel": draw(5, 5, 1, 7)}},
        ["no array for stem.weight (3, 2, 3, 4)"],
    ),
    "shape": (
        with_("params/stem/kernel", draw(2, 3, 3, 4), tree()),
        ["`params/stem/kernel`", "(3, 2, 3, 4)", "(2, 3, 3, 4)"],
    ),
    "float64": (
        with_("params/norm/scale", draw(4).astype(float), tree()),
        ["`params/norm/scale` is torch.float64", "norm.weight"],
    ),
    "int64": (with_("params/stem/bias", np.arange(4), tree()), ["`params/stem/bias`", "int64"]),
    "text": (with_("params/stem/bias", "abc", tree()), ["`params/stem/bias` must be an array"]),
    "no statistics": (
        without("batch_stats", tree()),
        ["for norm.running_mean (4,), norm.r"],
    ),
    "no bias": (without("params/up/bias", tree()), ["no array for up.bias"]),
    "left over": (
        with_("opt_state/0/mu", draw(3), tree()),
        ["no parameter for opt_state/0/mu (3,)"],
    ),
    "two for one": (
        with_("batch_stats/stem/kernel", draw(3, 2, 3, 4), tree()),
        ["`params/stem/kernel` and `batch_stats/stem/kernel`"],
    ),
    "masked": (
        with_("params/up/bias", np.ma.masked_equal(draw(6), draw(6)[2]), tree()),
        ["`params/up/bias`", "1 of this masked array"],
    ),
}


@pytest.mark.parametrize(("params", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_named_and_changes_nothing(params: Any, parts: list[str]) -> None:
    network = Network()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises((ValueError, TypeError)) as caught:
        interop.load_network(network, params, "flax")
    assert len(str(caught.value)) <= 1000
    for part in parts:
        assert part in str(caught.value)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_dry_run_changes_nothing() -> None:
    network, params = Network(), with_("opt/mu", draw(3), without("params/up/bias", tree()))
    before = copy.deepcopy(network.state_dict())
    moves = interop.load_network(network, params, "flax", dry_run=True)
    assert (moves.unfilled, moves.unused) == (("up.bias (6,)",), ("opt/mu (3,)",))
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    interop.load_network(network, params, "flax", {"up": None}, ignore=["opt", "up"])
    assert not torch.equal(network.norm.weight, before["norm.weight"])
    assert torch.equal(network.up.weight, before["up.weight"])


def alike() -> nn.Module:
    return nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3, bias=False)})


def test_what_is_ambiguous_is_asked_for() -> None:
    params = {"p": {"kernel": draw(3, 3)}, "o": {"kernel": 2 * draw(3, 3)}}
    with pytest.raises(ValueError, match=r"`a`, `b` have the same shapes, and so have p, o"):
        interop.load_network(alike(), params, "flax")
    for options in (
        {"in_order": True},
        {"names": {"a": "p"}},
        {"names": {"a": {"weight": "p/kernel"}}},
        {"names": lambda name: {"a": "p", "b": ("o",)}[name]},
    ):
        model = alike()
        interop.load_network(model, params, "flax", **options)
        assert np.array_equal(model.state_dict()["a.weight"], draw(3, 3).T)
    with pytest.raises(ValueError, match=r"`params` has no `q` for a.weight"):
        interop.load_network(alike(), params, "flax", {"a": "q"})
    with pytest.raises(ValueError, match="`names` has 'c', and the model has no such"):
        interop.load_network(alike(), params, "flax", {"c": "p"})
    numbered = {f"Dense_{i}": {"kernel": draw(1, 1) + i} for i in (0, 1, 10, 2)}
    model = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(4)])
    interop.load_network(model, numbered, "flax")
    assert [each.item() for each in model.parameters()] == [
        numbered[f"Dense_{i}"]["kernel"] for i in (0, 1, 2, 10)
    ]


def test_a_shared_parameter_cannot_have_two_values() -> None:
    model = alike()
    model["b"].weight = model["a"].weight
    with pytest.raises(ValueError, match=r"same parameter .* two arrays"):
        interop.load_network(model, {n: {"kernel": draw(3, 3) + ord(n)} for n in "ab"}, "flax")
    interop.load_network(model, {n: {"kernel": draw(3, 3)} for n in "ab"}, "flax")
    assert np.array_equal(model["a"].weight.numpy(force=True), draw(3, 3).T)


def test_computed_lazy_and_meta_parameters_are_refused() -> None:
    params = {"0": {"kernel": draw(3, 2), "bias": draw(2)}}
    for layer, error in (
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), RuntimeError),
        (nn.Linear(3, 2, device="meta"), RuntimeError),
        (nn.LazyLinear(2), TypeError),
    ):
        with pytest.raises(error, match=r"computed|meta|lazy"):
            interop.load_network(nn.Sequential(layer), params, "flax")


def test_a_module_at_two_places_may_have_its_arrays_at_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 4)
            self.other = nn.Linear(4, 4)
            self.again = self.head

    def dense(start: int) -> dict[str, np.ndarray[Any, Any]]:
        kernel = np.arange(start, start + 16, dtype=np.float32).reshape(4, 4)
        return {"kernel": kernel, "bias": np.arange(start, start + 4, dtype=np.float32)}

    model = Twice()
    both = {"head": dense(1), "other": dense(2), "again": dense(1)}
    for tree in (both, {"again": dense(3), "other": dense(4)}):
        interop.load_network(model, tree, "flax")
        for name, module in (("again", model.head), ("other", model.other)):
            assert torch.equal(module.weight, torch.tensor(tree[name]["kernel"]).T)
            assert torch.equal(module.bias, torch.tensor(tree[name]["bias"]))
    before = copy.deepcopy(model.state_dict())
    interop.load_network(Twice(), before, "torch")  # torch saves both
    with pytest.raises(
        ValueError, match=r"`head\.weight` and `again\.weight` are the same parameter"
    ):
        interop.load_network(model, {**both, "again": dense(5)}, "flax")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_module_at_two_places_may_be_asked_for_by_each_of_its_names() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)
            self.other = nn.ModuleList([nn.Linear(3, 2), self.head])

    first, second = ({"kernel": draw(3, 2) * n, "bias": draw(2) + n} for n in (1, 2))
    tree = {"x": first, "y": second, "z": {**second}}
    for names in (
        {"head": "y", "other.0": "x"},
        {"other.1": "y", "other.0": "x"},
        {"other.1": "y", "head": "z", "other.0": "x"},
    ):
        model = Twice()
        left = () if len(names) == 3 else ("z",)
        interop.load_network(model, tree, "flax", names, ignore=left)
        assert np.array_equal(model.head.weight.numpy(force=True), second["kernel"].T)
    with pytest.raises(ValueError, match=r"`head.weight` and `other.1.weight` are the same"):
        interop.load_network(Twice(), tree, "flax", {"other.1": "x", "head": "y", "other.0": "z"})
    model = Twice()
    before = model.head.weight.detach().clone()
    interop.load_network(model, {"x": first}, "flax", {"other.1": None, "other.0": "x"})
    assert torch.equal(model.head.weight, before)


@pytest.mark.parametrize(
    ("framework", "names", "scale", "shift"),
    [
        ("keras", ("group_normalization", "layer_normalization_1"), "gamma", "beta"),
        ("flax", ("GroupNorm_0", "LayerNorm_0"), "scale", "bias"),
        ("haiku", ("group_norm", "layer_norm"), "scale", "offset"),
    ],
)
def test_norms_of_one_width_by_the_names_of_their_kinds(
    framework: Any, names: tuple[str, str], scale: str, shift: str
) -> None:
    model = nn.Sequential(nn.LayerNorm(6), nn.GroupNorm(2, 6))
    tree = {name: {scale: draw(6) + i, shift: draw(6) - i} for i, name in enumerate(names)}
    interop.load_network(model, tree, framework)
    for layer, name in ((model[1], names[0]), (model[0], names[1])):
        assert np.array_equal(layer.weight.numpy(force=True), tree[name][scale])
        assert np.array_equal(layer.bias.numpy(force=True), tree[name][shift])
    others = dict(zip("ab", tree.values(), strict=True))
    with pytest.raises(ValueError, match="`0`, `1` have the same shapes, and so have a, b"):
        interop.load_network(model, others, framework)


def test_haiku_statistics_of_a_norm_of_another_name() -> None:
    def statistics(seed: int) -> dict[str, Any]:
        average = draw(1, 1, 1, 4) ** 2 + seed
        return {"average": average, "hidden": average + 1, "counter": np.int32(3)}

    params = {"net/~/batch_norm": {"scale": draw(4), "offset": draw(4) + 1}}
    state = {
        f"net/~/batch_norm/~/{name}_ema": statistics(i) for i, name in enumerate(("mean", "var"))
    }
    model = nn.Sequential(nn.BatchNorm2d(4))
    interop.load_network(model, (params, state), "haiku")
    for name in ("mean", "var"):
        expected = state[f"net/~/batch_norm/~/{name}_ema"]["average"].reshape(4)
        assert np.array_equal(getattr(model[0], f"running_{name}"), expected)


def test_nan_is_a_number_like_others() -> None:
    layer = nn.Linear(2, 3, bias=False)
    kernel = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, -6.0]], np.float32)
    interop.load_network(layer, {"kernel": kernel}, "flax")
    np.testing.assert_array_equal(layer.weight.detach().numpy(), kernel.T)


def test_a_prefix_that_is_an_array() -> None:
    arrays = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    with pytest.raises(ValueError, match="`prefix` must lead to a part of the tree, but 'weight'"):
        interop.load_network(nn.Linear(2, 3), arrays, "torch", prefix="weight")
