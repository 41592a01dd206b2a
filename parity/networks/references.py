"""References of the networks in ``ports``, recorded, and right ports of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from torchconv2d import interop
from torchconv2d.testing import Recording, record

from . import flax_networks, keras_networks, ports
from .blocks import Size

# With smaller images the deepest layers see one place, whose variance is 0.
SIZE = (64, 96)


class Reference(NamedTuple):
    """What was recorded, and a function that makes a right port."""

    recording: Recording
    port: Callable[[], nn.Module]


def reference(framework: str, network: str, size: Size = SIZE, **options: Any) -> Reference:
    """A network of ``ports`` in another framework; ``options`` are those of both sides."""
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    if network == "EfficientNetB0":  # it takes pixels from 0 to 255
        images = 80 * abs(images)
    if framework == "flax":
        theirs = flax_networks.NETWORKS[network](**options)
        variables = flax_networks.variables(theirs, images)
        recording = record(theirs, images, variables=variables)
        move = partial(interop.load_network, params=variables, framework="flax")
    else:
        theirs = keras_networks.NETWORKS[network](size, **options)
        keras_networks.randomize(theirs, images)
        recording = record(theirs, images)
        move = partial(
            interop.load_network,
            params=theirs,
            framework="keras",
            in_order=True,
            ignore=["normalization"] if network == "EfficientNetB0" else [],
        )

    def port() -> nn.Module:
        made = getattr(ports, network)(size, **options)
        move(made)
        return made.eval()

    return Reference(recording, port)
