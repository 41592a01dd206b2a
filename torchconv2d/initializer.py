"""What every initializer does: whose random numbers it draws, in which type, on which device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from . import arguments, arrays, random
from .messages import shown
from .torch_draws import TorchDraws

Source: TypeAlias = random.Stream | TorchDraws


class Initializer(ABC):
    """What draws or fills a tensor of a shape; subclasses say how in :meth:`draw`.

    Args:
        seed: an int or a threefry key (:func:`torchconv2d.random.key`) draws what the reference
            draws, from a :class:`torchconv2d.random.Stream` of the initializer's own, which may be
            given, too; a ``torch.Generator`` draws torch's numbers. None is the stream of the
            :func:`torchconv2d.random.seeded` around the draw, or else torch's global generator.

    Raises:
        TypeError: another ``seed``.
        ValueError: a key that is not two words of 32 bits.

    >>> class Signs(Initializer):
    ...     def draw(self, source, shape, dtype):
    ...         return np.sign(source.normal(shape, dtype))
    >>> Signs(seed=0)((1, 3))
    tensor([[-1., -1.,  1.]])
    """

    def __init__(self, seed: object = None) -> None:
        if seed is not None and not isinstance(seed, (torch.Generator, random.Stream)):
            try:
                seed = random.Stream(seed)
            except TypeError as error:
                raise TypeError(
                    "`seed` must be None, an int, a key of two 32-bit words, a "
                    f"torchconv2d.random.Stream or a torch.Generator, got {shown(seed)}."
                ) from error
        self.seed = seed

    def __call__(
        self,
        shape: int | Sequence[int],
        dtype: torch.dtype | None = None,
        device: torch.device | str | int | None = None,
    ) -> Tensor:
        """A new tensor of ``shape``.

        Drawn in float32 for half precision, and in the real type for a complex one, then cast;
        from a stream on the CPU, and from a generator on its device. On the meta device nothing is
        drawn.

        Args:
            shape: its axes, as the class of initializer reads them.
            dtype: torch's default dtype if None.
            device: torch's default device if None.

        Raises:
            TypeError: a shape that is not of ints, no dtype.
            ValueError: a negative size, a shape that the class cannot fill, a dtype of integers.
        """
        entries = shape if isinstance(shape, Sequence) else (shape,)
        sizes = tuple(arguments.integer("shape", size, 0) for size in entries)
        dtype = arrays.layer_dtype(dtype)
        where = torch.empty(0, device=device).device
        if where.type == "meta":
            return torch.empty(sizes, dtype=dtype, device=where)
        seed = random.current() if self.seed is None else self.seed
        source = seed if isinstance(seed, random.Stream) else TorchDraws(seed, where)
        wide = np.float64 if dtype in (torch.float64, torch.complex128) else np.float32
        with torch.no_grad():
            drawn = self.draw(source, sizes, wide)
        tensor = torch.from_numpy(drawn) if isinstance(drawn, np.ndarray) else drawn  # pyright: ignore
        return tensor.to(device=where, dtype=dtype)

    @abstractmethod
    def draw(self, source: Source, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Any:
        """A new tensor or NumPy array from what ``source`` draws, float32 or float64."""

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"
