"""The lowerings (the algorithms that compute a convolution), one per file, and the choice.

From bottom to top: :class:`Lowering` is the interface; :func:`choose` picks one for a geometry;
:class:`Convolution` adds dtypes and gradients. ``Conv2d`` and ``conv_general_dilated`` call only
:class:`Convolution`.
"""

import warnings

from .any_size import AnySize, AnySizeLowering
from .bias_only import BiasOnly
from .choose import LOWERINGS, choose, lower
from .convolution import Convolution
from .lowering import Lowering
from .matmul_fold import MatmulFold
from .over_padded import OverPadded
from .padded import Padded
from .partial_sums import PartialSums
from .per_size import PerSize
from .phases import Phases
from .plain import Plain
from .row_sums import RowSums
from .scripted import ScriptedConvolution
from .subpixel import Subpixel
from .tap_sums import TapSums
from .transposed import Transposed
from .weight_gradient import WeightGradient
from .zero_insertion import ZeroInsertion

__all__ = [
    "LOWERINGS",
    "AnySize",
    "AnySizeLowering",
    "BiasOnly",
    "Convolution",
    "Lowering",
    "MatmulFold",
    "OverPadded",
    "Padded",
    "PartialSums",
    "PerSize",
    "Phases",
    "Plain",
    "RowSums",
    "ScriptedConvolution",
    "Subpixel",
    "TapSums",
    "Transposed",
    "WeightGradient",
    "ZeroInsertion",
    "choose",
    "lower",
]


def __dir__() -> list[str]:
    return __all__


# Older names, which version 0.3 removes.
_RENAMED = {
    "WAYS": "LOWERINGS",
    "Even": "OverPadded",
    "Folded": "MatmulFold",
    "Rows": "RowSums",
    "Summed": "PartialSums",
}


def __getattr__(name: str) -> object:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _RENAMED[name]
    warnings.warn(
        f"`{__name__}.{name}` is now called `{new}`; version 0.3 removes the old name.",
        DeprecationWarning,
        stacklevel=2,
    )
    return globals()[new]
