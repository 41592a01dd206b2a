"""torchconv2d against JAX, shown by ``python -m parity`` and tested by ``pytest parity``.

Nothing here is part of the package, and the package needs nothing of it.
"""

import os

# Before anything imports JAX. Where it finds an accelerator it would use that, and not round as
# IEEE arithmetic does.
os.environ["JAX_PLATFORMS"] = "cpu"
# The backend for which nothing more must be installed.
os.environ.setdefault("KERAS_BACKEND", "torch")
