"""The types of the public functions' arguments, to annotate your own code with.

Arguments may be of more types than their values have as attributes: a layer with ``stride=2`` has
the attribute ``stride == (2, 2)``.

Example:
    >>> from torchconv2d import Conv2d
    >>> from torchconv2d.typing import ConvPadding, Ints
    >>> def block(channels: int, stride: Ints, padding: ConvPadding = "SAME") -> Conv2d:
    ...     return Conv2d((28, 30, 3), channels, 3, stride, padding)
    >>> block(8, stride=2).out_size
    (14, 15, 8)
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, TypeAlias

import numpy as np
from torch import Tensor

__all__ = [
    "ArrayLike",
    "ConvPadding",
    "Distribution",
    "Fan",
    "FrameworkName",
    "FunctionPadding",
    "InSizeLike",
    "Ints",
    "Kind",
    "SupportsArray",
    "ValueLike",
]


def __dir__() -> list[str]:
    return __all__


class SupportsArray(Protocol):
    """What NumPy can convert: arrays of NumPy, JAX and h5py, and NumPy's numbers.

    >>> def largest(array: SupportsArray) -> float:
    ...     return float(np.max(array))
    >>> largest(np.array([3.0, 5.0]))
    5.0
    """

    def __array__(self) -> np.ndarray[Any, Any]: ...


#: One integer, also NumPy's, or one for each axis. A bool is an int to a type checker, but refused.
Ints: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
#: Three integers, for ``in_size``, or None for a height or width of any size.
InSizeLike: TypeAlias = Sequence[SupportsIndex | None] | np.ndarray[Any, Any]
_Pads: TypeAlias = Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]]
#: ``padding`` of the layer.
ConvPadding: TypeAlias = Literal["SAME", "VALID"] | SupportsIndex | _Pads
#: ``padding`` of ``conv_general_dilated``.
FunctionPadding: TypeAlias = (
    Literal["SAME", "SAME_LOWER", "VALID", "same", "same_lower", "valid"]
    | SupportsIndex
    | _Pads
    | np.ndarray[Any, Any]
    | Tensor
)

# A string is a sequence of strings without end, so lists are nested to a fixed depth, a kernel's.
_Number: TypeAlias = complex | SupportsArray | Tensor
_Row: TypeAlias = Sequence[_Number]
_Matrix: TypeAlias = Sequence[_Row]
#: An array, a number, or nested lists of numbers, at most as deep as a kernel has axes.
ArrayLike: TypeAlias = _Number | _Row | _Matrix | Sequence[_Matrix] | Sequence[Sequence[_Matrix]]
#: An array, or a callable that makes one of a shape, for ``w_init``, ``b_init`` and ``w_mask``.
ValueLike: TypeAlias = ArrayLike | Callable[[tuple[int, ...]], ArrayLike]

#: ``mode`` of an initializer.
Fan: TypeAlias = Literal["fan_in", "fan_out", "fan_avg"]
#: ``distribution`` of an initializer.
Distribution: TypeAlias = Literal["truncated_normal", "normal", "uniform"]

#: ``framework`` of the functions in ``interop``.
FrameworkName: TypeAlias = Literal[
    "brainstate", "equinox", "flax", "haiku", "keras", "tflite", "torch"
]
#: ``kind``, which is a framework's kind of layer.
Kind: TypeAlias = Literal["conv", "depthwise", "transposed"]
