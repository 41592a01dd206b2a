"""The order of axes on both sides: channels last, channels first, or the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from .bounded import Bounded
from .recording import Recording
from .terms import Term

Order = tuple[int, ...]

# By the rank of a tensor.
ORDERS: dict[int, dict[str, Order]] = {
    4: {
        "the same": (0, 1, 2, 3),
        "channels last to channels first": (0, 3, 1, 2),
        "channels first to channels last": (0, 2, 3, 1),
    },
    3: {
        "the same": (0, 1, 2),
        "channels last to channels first": (0, 2, 1),
        "channels last to channels first, without a batch": (2, 0, 1),
    },
}


def fitting(reference: Sequence[int], own: Sequence[int]) -> list[str]:
    """The layouts that turn the reference's shape into the port's.

    >>> fitting((2, 8, 6, 3), (2, 3, 8, 6))
    ['channels last to channels first']
    """
    if len(reference) != len(own):
        return []
    orders = ORDERS.get(len(own), {"the same": tuple(range(len(own)))})
    return [name for name, order in orders.items() if [reference[i] for i in order] == list(own)]


def turned(tensor: Tensor, layout: str) -> Tensor:
    """The reference's tensor in the port's layout."""
    orders = ORDERS.get(tensor.dim(), {})
    return tensor.permute(orders[layout]) if layout in orders else tensor


class Arrays:
    """A recording's arrays as a port needs them: in its layout, on its device, and in float64.

    Attributes:
        layouts: how often each layout was the only one that fitted.
    """

    def __init__(self, recording: Recording, device: torch.device) -> None:
        self.recording, self.device, self.layouts = recording, device, Counter[str]()
        # The output of a layer is the input of others, and is converted once for all of them: an
        # array lives as long as the port holds it.
        self._wide = WeakValueDictionary[tuple[int, str], Tensor]()
        self._lent = WeakValueDictionary[tuple[int, str], Tensor]()

    @property
    def usual(self) -> str:
        """The layout that most arrays have."""
        return self.layouts.most_common(1)[0][0]

    def fitting(self, number: int, own: Tensor) -> list[str]:
        """The layouts in which an array has the shape of the port's, the usual one first."""
        names = fitting(self.shape(number), tuple(own.shape))
        return sorted(names, key=lambda name: -self.layouts[name])

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of an array as it was recorded."""
        return tuple(self.recording.tensor(number).shape)

    def tensor(self, number: int, layout: str) -> Tensor:
        """An array as it was recorded."""
        return turned(self.recording.tensor(number), layout).to(self.device)

    def tensors(self, number: int, own: Tensor) -> list[Tensor]:
        """An array in each layout in which it has the shape of the port's."""
        return [self.tensor(number, layout) for layout in self.fitting(number, own)]

    def wide(self, number: int, layout: str) -> Tensor:
        """An array in float64."""
        wide = self._wide.get((number, layout))
        if wide is None or wide._version:  # a layer has changed it in place
            contiguous = torch.contiguous_format
            wide = self.tensor(number, layout).to(
                torch.float64, copy=True, memory_format=contiguous
            )
            self._wide[number, layout] = wide
        return wide

    def lent(self, number: int, layout: str) -> Tensor:
        """The same for a tensor of the port, which may change it in place.

        So no two get the same memory, even if the reference has one array where the port has two.
        """
        wide = self.wide(number, layout)
        if self._lent.get((number, layout)) is wide:
            return wide.clone()
        self._lent[number, layout] = wide
        return wide

    def bounded(
        self, number: int, layout: str, module: nn.Module, own: Term | None = None
    ) -> Tensor:
        """An array as an input or output of a module: without an error, if it is floating.

        ``own`` is the port's, if its numbers are the recorded ones; then the memory stays too.
        """
        recorded = self.recording.tensor(number)
        if not recorded.is_floating_point():
            return self.tensor(number, layout)
        term = Term(self.lent(number, layout), None) if own is None else own
        return Bounded(term, recorded.dtype, coarsest(recorded, module))


def coarsest(tensor: Tensor, module: nn.Module) -> torch.dtype:
    """The dtype of a tensor and of a module's parameters with the largest rounding errors."""
    dtypes = [t.dtype for t in (tensor, *module.parameters()) if t.is_floating_point()]
    return max(dtypes or [torch.float32], key=lambda dtype: torch.finfo(dtype).eps)
