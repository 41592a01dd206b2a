"""Haiku's own ResNet, as small as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import haiku as hk
import jax
import numpy as np

from .drawn import filled


def resnet(classes: int, counts: Sequence[int], width: int) -> hk.TransformedWithState:
    """``ports.ResNet`` of four stages and expansion 4; called with images and whether it trains."""

    def forward(images: jax.Array, train: bool) -> jax.Array:
        network = hk.nets.ResNet(
            blocks_per_group=counts,
            num_classes=classes,
            # The decay of 0 lets one training step set the statistics.
            bn_config={"eps": 1e-3, "decay_rate": 0.0, "create_scale": True, "create_offset": True},
            bottleneck=True,
            channels_per_group=[4 * width * 2**stage for stage in range(len(counts))],
            use_projection=[True] * len(counts),
            strides=[1] + [2] * (len(counts) - 1),
            initial_conv_config={"output_channels": width},
        )
        return network(images, train)

    return hk.transform_with_state(forward)


def variables(
    network: hk.TransformedWithState, images: np.ndarray, seed: int = 0
) -> tuple[Any, Any]:
    """Random parameters, and the state with the batch statistics of ``images``."""
    params, state = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, True), images)

    params = filled(params, seed)
    start = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    step = jax.jit(lambda p, s, x: network.apply(p, s, None, x, True)[1])
    return params, jax.tree.map(np.asarray, step(params, start, images))
