"""Replaces the convolutions of a torch model by layers of this package."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from ..conv2d import Conv2d
from ..layout import settle_strides
from ..messages import elided, shown, type_name
from ..state import Kept
from .frameworks import FRAMEWORKS
from .layers import convert
from .readers import COMPUTING, read
from .replacements import Replacements, difference
from .source import Source

Size = tuple[int, int]


def replace_convs(model: nn.Module, example: Any, *, dry_run: bool = False) -> Replacements:
    """Replace each ``nn.Conv2d`` and ``nn.ConvTranspose2d`` in a model by a layer of this package.

    The sizes come from running the example, in evaluation mode and without gradients. A convolution
    that meets two sizes becomes a layer for any size. A module at two places is replaced by one
    layer at both. A subclass with its own ``forward`` is replaced if, on whole numbers, it computes
    exactly a convolution with its own padding, with SAME, or with SAME that puts the extra zero
    before. Other convolutions stay as they are, and the result says why: those that the example
    does not reach, that have hooks or parametrizations, or another ``padding_mode`` than zeros.

    The keys of the state dict, ``requires_grad``, ``training``, dtype, device, memory format and
    attributes that the user gave to a module stay. The new layers hold the same parameters as the
    old ones, with one exception: the weight of a transposed layer is a new parameter, because this
    package stores it in another layout, ``(out_channels, in_channels // groups, kh, kw)`` and
    flipped. So make the optimizer afterwards, and load older state dicts of models with such layers
    by ``load_network(model, state_dict, 'torch')``.

    Afterwards it runs the model again and compares the outputs. If anything raises an error, the
    model is as it was before.

    Args:
        model: the model; it is changed in place.
        example: the model's input, or a tuple of all its arguments.
        dry_run: whether to undo all replacements at the end.

    Raises:
        TypeError: ``model`` is not a module.
        ValueError: the model is a convolution itself, has lazy layers or scripts, is an exported
            program, or returns no tensors, or other tensors afterwards.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.ReLU())
        >>> done = replace_convs(model, torch.randn(2, 3, 28, 32))
        >>> model[0].in_size, done.left, done.difference < 1e-5
        ((3, 28, 32), {}, True)
    """
    _check_model(model)
    modules: dict[str, nn.Module] = dict(cast(Any, model).named_modules(remove_duplicate=False))
    paths = {path: module for path, module in modules.items() if _is_conv(module)}
    found = {module: _Calls() for module in paths.values()}
    reasons = {module: _reason(module, model) for module in found}
    before = _outputs(model, example, found)
    new: dict[nn.Module, Conv2d] = {}
    for module, calls in found.items():
        reason = reasons[module] or calls.reason()
        if reason is None:
            try:
                new[module] = _replacement(module, calls.sizes)
            except (TypeError, ValueError) as error:
                reason = str(error)
        reasons[module] = reason
    replaced = {path: repr(new[module]) for path, module in paths.items() if module in new}
    left = {path: str(reasons[m]) for path, m in paths.items() if m not in new}
    scripts = {path for path, module in modules.items() if _is_script(module)}
    left |= {path: _OF_SCRIPT for path in scripts if path.rpartition(".")[0] not in scripts}
    parents = [each for each in model.modules() if any(child in new for child in each.children())]
    with Kept(*parents) as kept:
        try:
            for parent in parents:
                _place(parent, new)
            worst, not_compared = difference(before, _outputs(model, example, {}))
        except Exception:
            kept.restore()
            raise
        if dry_run:
            kept.restore()
    return Replacements(replaced, left, worst, not_compared)


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch module, got {type_name(model)}.")
    if _is_conv(model):
        raise ValueError("`model` is a convolution itself; call `from_layer(model, in_size)`.")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ValueError(f"`model` has the lazy `{elided(name)}`; first run the model once.")
    if _is_script(model):
        raise ValueError(
            "`model` is a script, in which no module can be replaced; first replace the "
            "convolutions, then script the model."
        )


def _is_script(module: object) -> bool:
    return isinstance(module, torch.jit.ScriptModule)  # pyright: ignore[reportPrivateImportUsage]


def _is_conv(module: object) -> bool:
    return isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))


_OF_SCRIPT = "it is a script, in which no module can be replaced"

# The attributes of a module that hold hooks.
_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)


def _reason(module: nn.Module, model: nn.Module) -> str | None:
    """Why the module cannot be replaced, whatever its sizes; None if nothing prevents it."""
    if parametrize.is_parametrized(module):
        return "it has parametrizations; first call parametrize.remove_parametrizations"
    if any(getattr(module, name, None) for name in _HOOKS):
        return "it has hooks (or pruning or a norm of its weight, which are hooks); remove them"
    if module._parameters.keys() != {"weight", "bias"} or module._buffers or module._modules:
        return "it has other parameters, buffers or modules than `weight` and `bias`"
    if isinstance(module, nn.ConvTranspose2d):
        weights = [p for m in model.modules() for p in m._parameters.values()]
        if sum(each is module.weight for each in weights) > 1:
            return "another module has the same `weight`, which the new layer stores otherwise"
    return None


@dataclass
class _Calls:
    """The calls of a convolution: the sizes ``(H, W)``, and whether each gave only an image."""

    sizes: set[Size] = field(default_factory=set[Size])
    is_usual: bool = True

    def __call__(self, module: nn.Module, args: Any, named: Any) -> None:
        if len(args) == 1 and not named:
            self.sizes.add(tuple(args[0].shape[-2:]))
        else:
            self.is_usual = False

    def reason(self) -> str | None:
        if not self.is_usual:
            return "the model calls it with more than its image, or names the argument"
        return None if self.sizes else "the example does not reach it"


@torch.inference_mode(False)  # so a new weight can be trained
def _replacement(module: Any, sizes: set[Size]) -> Conv2d:
    """The new layer.

    Raises:
        TypeError, ValueError: there is none.
    """
    source = read(module, overridden=True)
    channels = module.in_channels
    in_size = (channels, *next(iter(sizes))) if len(sizes) == 1 else (channels, None, None)
    if any(COMPUTING & vars(each).keys() for each in _own(module)):
        source = _recognized(module, source, in_size, sizes)
    conv = convert(source, in_size)
    if source.kind == "conv":
        conv.weight = module.weight
        settle_strides(conv.weight)
    else:
        conv.weight = _moved(module, conv.weight.detach())
    conv.bias = module.bias
    own = (kind(1, 1, 1, device="meta") for kind in (nn.Conv2d, nn.ConvTranspose2d))
    known: set[str] = {name for each in own for name in vars(each)} | COMPUTING
    for name, value in cast("dict[str, object]", vars(module)).items():
        is_name = name == "name" and isinstance(value, str)
        if name not in known and (is_name or not hasattr(conv, name)):
            setattr(conv, name, value)
    return conv


def _moved(module: nn.ConvTranspose2d, weight: Tensor) -> nn.Parameter:
    """The new weight as a parameter with all that the old one has."""
    old, kernel = module.weight, FRAMEWORKS["torch"].kernels["transposed"]
    dense = torch.contiguous_format if old.is_contiguous() else torch.channels_last

    def placed(tensor: Tensor) -> Tensor:
        return tensor.contiguous(memory_format=dense)

    new = nn.Parameter(placed(weight), requires_grad=old.requires_grad)
    vars(new).update(vars(old))
    if old.grad is not None:
        new.grad = placed(kernel.weight(old.grad, module.groups))
    return new


def _own(module: nn.Module) -> Iterator[object]:
    """The module and its classes, up to torch's."""
    yield module
    for cls in type(module).__mro__:
        if cls in (nn.Conv2d, nn.ConvTranspose2d):
            return
        yield cls


def _recognized(
    module: nn.Module, source: Source, in_size: tuple[int | None, ...], sizes: set[Size]
) -> Source:
    """The properties with the padding that the module's own ``forward`` turns out to have.

    Sums of products of small whole numbers have no rounding errors in float64, in any order. So two
    functions that differ in any bit are not the same.

    Raises:
        TypeError, ValueError: no padding explains what it computes.
    """
    tried = set(sizes)
    if None in in_size:  # Padding that depends on the size repeats with the stride.
        tried |= {(h + i, w + i) for h, w in sizes for i in range(1, max(source.stride) + 1)}
    same = ("SAME", "SAME_LOWER") if source.kind == "conv" else ()
    try:
        whole = _in_whole_numbers(module)
        images = [_whole((2, int(in_size[0] or 0), *size), seed=1) for size in sorted(tried)]
        with torch.no_grad(), cast(Any, torch.random).fork_rng(devices=[]):
            calls = [(x, whole.train(mode)(x)) for x in images for mode in (False, True)]
    except Exception as error:  # it may do anything
        raise TypeError(f"its own forward fails in float64: {elided(str(error))}") from error
    for padding in (source.padding, *same):
        try:
            conv = convert(read(whole, overridden=True)._replace(padding=padding), in_size)
            with torch.no_grad():
                if all(_is_equal(conv(x), y) for x, y in calls):
                    return source._replace(padding=padding)
        except ValueError:  # a padding that needs a fixed size, or crops more than there is
            continue
    raise ValueError(
        f"its own forward computes no convolution with its own padding ({shown(source.padding)})"
        f"{''.join(f', or {name}' for name in same)}, for images of {shown(sorted(sizes))}"
    )


def _in_whole_numbers(module: nn.Module) -> nn.Module:
    """A copy in float64 whose parameters are small whole numbers."""
    copy = deepcopy(module).to("cpu", torch.float64)
    with torch.no_grad():
        for seed, parameter in enumerate(copy.parameters()):
            parameter.copy_(_whole(tuple(parameter.shape), seed))
    return copy


def _whole(shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-8, 9, shape, generator=generator, dtype=torch.float64)


def _is_equal(ours: Tensor, theirs: object) -> bool:
    return (
        isinstance(theirs, Tensor)
        and (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        and torch.equal(ours, theirs)
    )


def _outputs(model: nn.Module, example: Any, found: dict[nn.Module, _Calls]) -> list[Tensor]:
    """The tensors that the model returns in evaluation mode; ``found`` notes the calls.

    Training flags, buffers and random state are afterwards as they were.

    Raises:
        ValueError: it returns none.
    """
    # A model may change its input in place.
    example = pytree.tree_map_only(Tensor, lambda each: each.detach().clone(), example)
    tensors = (*model.parameters(), *model.buffers())
    devices = {each.device for each in tensors if each.is_cuda}
    with Kept(*model.modules()) as kept:
        try:
            for module, calls in found.items():
                # The hook goes into copies of the dicts, so that `Kept` can restore the old ones.
                for name in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
                    vars(module)[name] = vars(module)[name].copy()
                module.register_forward_pre_hook(calls, with_kwargs=True)
            with torch.no_grad(), cast(Any, torch.random).fork_rng(devices=list(devices)):
                try:
                    model.eval()
                except NotImplementedError as error:
                    raise ValueError(
                        f"`model` must have an evaluation mode ({elided(str(error))}); of a "
                        "program, replace the convolutions before torch.export."
                    ) from error
                result = model(*(example if isinstance(example, tuple) else (example,)))
                outputs = [each for each in pytree.tree_leaves(result) if isinstance(each, Tensor)]
                outputs = [each.detach().clone() for each in outputs]
        finally:
            kept.restore()
    if not outputs:
        raise ValueError(f"`model` must return tensors to compare, got {type_name(result)}.")
    return outputs


def _place(parent: nn.Module, new: dict[nn.Module, Conv2d]) -> None:
    """Replace children. The parent gets a new dict, and ``Kept`` can restore the old one."""
    vars(parent)["_modules"] = children = parent._modules.copy()
    for name, child in children.items():
        if child in new:
            children[name] = new[child]
