"""``python -m parity.golden`` asks JAX again and writes ``layers.npz`` and ``tests/draws.json``."""

from . import draws, layers

layers.write()
draws.write()
print(f"{layers.PATH} and {draws.FILE} are written")
