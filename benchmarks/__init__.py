"""How fast the layer is, as ratios; ``python -m benchmarks``."""
