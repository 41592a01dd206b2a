"""The parity suite compares torchconv2d with JAX: ``python -m parity``, ``pytest parity``.

It is not part of the package, and the package does not need it. ``meta_tests/test_rooms.py`` lists
the folders in the order in which they may import each other.
"""

import os
import signal
import sys

from .machine.packages import MissingPackageError, require

# This must precede any import of JAX, whose rounding on an accelerator is not IEEE arithmetic's.
os.environ["JAX_PLATFORMS"] = "cpu"

# `python -m` is still looking for the module: the imports take seconds, and Ctrl-C should end them
# without a traceback.
if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        require("parity")
    except MissingPackageError as error:
        print(f"parity: {error}", file=sys.stderr)
        sys.exit(2)
# This backend of Keras needs no further package.
os.environ.setdefault("KERAS_BACKEND", "torch")
