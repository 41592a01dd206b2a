"""Whole networks: ports to torch, made of this package's layer, and their references.

``ports`` holds the torch modules, ``keras_networks``, ``flax_networks`` and ``haiku_networks`` the
references, each with random weights and with batch statistics as of a trained network.
``references`` records them, ``mistakes`` is the table of porting mistakes, and ``trials`` compares.
"""

# The references that are recorded.
FRAMEWORKS = "flax", "keras"
