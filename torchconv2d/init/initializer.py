"""The base class of initializers: the source of random numbers, the dtype and the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .. import arguments, arrays, random
from ..messages import shown
from .torch_draws import TorchDraws

Source: TypeAlias = random.Stream | TorchDraws


class Initializer(ABC):
    """Draws or fills a tensor of a given shape; subclasses implement :meth:`draw`.

    Args:
        seed: with an int or a threefry key (:func:`torchconv2d.random.key`), the initializer draws
            the reference's numbers from its own :class:`torchconv2d.random.Stream`; you can also
            pass a stream. With a ``torch.Generator`` it draws torch's numbers. With None it draws
            from the stream of the surrounding :func:`torchconv2d.random.seeded`, or else from
            torch's global generator.

    Raises:
        TypeError: any other ``seed``.
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

        Half precision is drawn in float32, a complex dtype in its real dtype, and then cast. A
        stream draws on the CPU, a generator on its device. On the meta device nothing is drawn.

        Args:
            shape: an int or a sequence of ints.
            dtype: torch's default dtype if None.
            device: torch's default device if None.

        Raises:
            TypeError: ``shape`` is not made of ints, or ``dtype`` is not a dtype.
            ValueError: a negative size, a shape that the class cannot fill, an integer dtype.
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
        """A new tensor or NumPy array with numbers from ``source``, in float32 or float64."""

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"{type(self).__name__}({', '.join(given)})"
