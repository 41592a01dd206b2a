"""``python -m parity.golden`` runs JAX again and writes ``layers.npz`` and ``tests/draws.json``."""

from . import draws, layers

layers.write()
draws.write()
print(f"{layers.PATH} and {draws.FILE} are written")
