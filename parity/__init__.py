"""torchconv2d against JAX, shown by ``python -m parity`` and tested by ``pytest parity``.

Nothing here is part of the package, and the package needs nothing of it.
"""

import os
import signal
import sys

# Before anything imports JAX. Where it finds an accelerator it would use that, and not round as
# IEEE arithmetic does.
os.environ["JAX_PLATFORMS"] = "cpu"

# `python -m` still looks for the module. The imports take seconds; interrupted, they tell nothing.
if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
# The backend for which nothing more must be installed.
os.environ.setdefault("KERAS_BACKEND", "torch")
