"""How fast the layer is, as ratios; ``python -m benchmarks``."""

import sys
from importlib.util import find_spec

# Not by `parity.machine.packages`: importing `parity` would keep JAX off a GPU.
missing = [name for name in ("brainstate", "jax", "matplotlib") if find_spec(name) is None]
if missing and sys.argv[0] == "-m":
    names, python = ", ".join(missing), sys.executable
    print(f"not installed: {names}. Run {python} -m pip install '.[parity]'", file=sys.stderr)
    sys.exit(2)
