"""The gradients of a reference's layer, by torch's autograd or by ``jax.vjp``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .recorder import Gradients, Pull, arrays_of, flat


class Arguments(NamedTuple):
    """The arguments of a layer, with places for its arrays."""

    leaves: list[Any]
    spec: Any
    places: list[int]

    @classmethod
    def of(cls, args: Any, kwargs: Any) -> Arguments:
        """The arguments of a call."""
        leaves, spec = pytree.tree_flatten((args, kwargs))
        return cls(leaves, spec, [i for i, leaf in enumerate(leaves) if arrays_of(leaf)])

    def arrays(self) -> list[Any]:
        """The arrays among them."""
        return [self.leaves[i] for i in self.places]

    def filled(self, arrays: Sequence[Any]) -> tuple[Any, Any]:
        """The arguments with other arrays."""
        leaves = list(self.leaves)
        for i, array in zip(self.places, arrays, strict=True):
            leaves[i] = array
        return pytree.tree_unflatten(leaves, self.spec)


def by_autograd(module: nn.Module, args: Any, kwargs: Any) -> Pull:
    """The gradients of a torch module, which is not changed: its buffers are copied."""
    taken = Arguments.of(args, kwargs)
    before = [each.detach().clone() for each in taken.arrays()]  # the call may change them

    def pull(cotangents: Sequence[Tensor]) -> Gradients:
        state = {name: each.detach().clone() for name, each in module.state_dict().items()}
        parameters = {name: state[name].requires_grad_() for name, each in
                      module.named_parameters() if each.is_floating_point()}  # fmt: skip
        floats = [each.requires_grad_() for each in before if each.is_floating_point()]
        # Copies, since a layer may change its input in place.
        with torch.enable_grad():
            given, named = taken.filled([each.clone() for each in before])
            result = torch.func.functional_call(module, state, given, named)
        outputs = [each for each in arrays_of(result) if each.requires_grad]
        kept = [c.to(y) for c, y in zip(cotangents, outputs, strict=True)]
        leaves = [*floats, *parameters.values()]
        gradients = torch.autograd.grad(outputs, leaves, kept, materialize_grads=True)
        count = len(floats)
        return list(gradients[:count]), dict(zip(parameters, gradients[count:], strict=True))

    return pull


def by_jax(
    function: Callable[[Any, Any, Any], Any],
    parameters: Any,
    args: Any,
    kwargs: Any,
    named: Callable[[Any], dict[str, Any]] = flat,
) -> Pull:
    """The gradients of ``function(parameters, args, kwargs)``; ``named`` names its parameters'."""
    taken = Arguments.of(args, kwargs)

    def pull(cotangents: Sequence[Tensor]) -> Gradients:
        import jax

        jnp: Any = jax.numpy

        def is_float(array: Any) -> bool:
            return jnp.issubdtype(array.dtype, jnp.floating)

        arrays = taken.arrays()
        places = [i for i, each in enumerate(arrays) if is_float(each)]

        def run(parameters: Any, floats: Sequence[Any]) -> list[Any]:
            every = list(arrays)
            for i, each in zip(places, floats, strict=True):
                every[i] = each
            result = function(parameters, *taken.filled(every))
            return [each for each in jax.tree.leaves(result) if is_float(each)]

        floats = [jnp.asarray(arrays[i]) for i in places]
        differentiate: Any = cast(Any, jax).vjp
        y, vjp = differentiate(run, parameters, floats)
        given = [jnp.asarray(c.numpy(), each.dtype) for c, each in
                 zip(cotangents, y, strict=True)]  # fmt: skip
        by_parameters, by_inputs = vjp(given)
        return list(by_inputs), named(by_parameters)

    return pull
