"""The ways of computing the convolution, one a file, and :func:`choose`, which picks one."""

from .bias_only import BiasOnly
from .by_hand import ByHand
from .choose import WAYS, choose
from .even import Even
from .folded import Folded
from .lowering import Lowering
from .padded import Padded
from .phases import Phases
from .plain import Plain
from .rows import Rows
from .subpixel import Subpixel
from .summed import Summed
from .transposed import Transposed
from .zero_insertion import ZeroInsertion

__all__ = [
    "WAYS",
    "BiasOnly",
    "ByHand",
    "Even",
    "Folded",
    "Lowering",
    "Padded",
    "Phases",
    "Plain",
    "Rows",
    "Subpixel",
    "Summed",
    "Transposed",
    "ZeroInsertion",
    "choose",
]
