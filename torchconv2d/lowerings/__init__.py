"""The ways of computing the convolution, one a file, and :func:`choose`, which picks one."""

from .choose import WAYS, choose
from .empty import Empty
from .lowering import Lowering
from .plain import Plain
from .transposed import Transposed
from .zero_insertion import ZeroInsertion

__all__ = ["WAYS", "Empty", "Lowering", "Plain", "Transposed", "ZeroInsertion", "choose"]
