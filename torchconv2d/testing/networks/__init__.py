"""Whole networks: recorded, compared layer by layer, and judged by arithmetic."""

from .comparison import compare
from .recorders import record
from .recording import Recording
from .result import Comparison, Judgement

__all__ = ["Comparison", "Judgement", "Recording", "compare", "record"]
