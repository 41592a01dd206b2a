"""One seed, two frameworks, one training run: ``python examples/train_side_by_side.py``.

This builds the same small classifier of scikit-learn's handwritten digits in brainstate and in
PyTorch from one seed, without copying weights, and trains both with plain SGD. The losses differ
only by the rounding of each step. The script draws both curves and their difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import brainstate
import jax
import jax.numpy as jnp
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import torchconv2d

STEPS, BATCH, RATE = 200, 64, 0.1
# A mask that lets the first layer read only pixels to the left and above.
CAUSAL = np.tri(9, 9, dtype=np.float32)[4].reshape(3, 3, 1, 1)


class Run(NamedTuple):
    """One side's kernels at the start, and the loss of each step."""

    kernels: list[np.ndarray]
    losses: np.ndarray


def batches(seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """``STEPS`` batches: images ``(BATCH, 8, 8, 1)`` of numbers from 0 to 1, and their digits."""
    digits = load_digits()
    order = np.random.default_rng(seed).integers(0, len(digits.target), (STEPS, BATCH))
    images = (digits.images / 16).astype(np.float32)[..., None]
    return [(images[rows], digits.target[rows]) for rows in order]


def layers(conv2d: Any, init: Any) -> list[Any]:
    """The convolutions of either library: downsampling, upsampling, and to the ten classes."""
    bias = init.Normal(0.0, 0.1)
    return [
        conv2d((8, 8, 1), 12, 3, stride=2, b_init=bias, w_mask=CAUSAL),  # SAME pads (0, 1)
        conv2d((4, 4, 12), 10, 3, lhs_dilation=2, padding=[(1, 2), (1, 2)], b_init=bias),
        conv2d((8, 8, 10), 10, 8, padding="VALID", b_init=bias),
    ]


def train_torch(seed: int) -> Run:
    """Train with this package's layers."""
    with torchconv2d.random.seeded(seed):
        down, up, classes = layers(torchconv2d.Conv2d, torchconv2d.init)
    model = torch.nn.Sequential(down, torch.nn.Tanh(), up, torch.nn.Tanh(), classes)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    kernels = [layer.kernel.detach().clone().numpy() for layer in (down, up, classes)]
    losses: list[float] = []
    for images, digits in batches():
        scores = model(torch.from_numpy(images)).flatten(1)
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(digits))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return Run(kernels, np.array(losses))


def train_brainstate(seed: int) -> Run:
    """Train with the reference's layers."""
    brainstate.random.seed(seed)
    down, up, classes = layers(brainstate.nn.Conv2d, brainstate.nn.init)
    states = {name: layer.weight for name, layer in zip("abc", (down, up, classes), strict=True)}

    @brainstate.transform.jit
    def step(images: Any, digits: Any) -> Any:
        def loss_of() -> Any:
            hidden = jnp.tanh(up(jnp.tanh(down(images))))
            scores = jax.nn.log_softmax(classes(hidden).reshape(len(images), -1))
            return -jnp.take_along_axis(scores, digits[:, None], 1).mean()

        gradients, loss = brainstate.transform.grad(loss_of, states, return_value=True)()
        for name, state in states.items():
            state.value = jax.tree.map(lambda w, g: w - RATE * g, state.value, gradients[name])
        return loss

    kernels = [np.asarray(state.value["weight"]) for state in states.values()]
    losses = [float(step(*batch)) for batch in batches()]
    return Run(kernels, np.array(losses))


def draw(ours: Run, theirs: Run, path: Path) -> None:
    """Draw both curves above, their difference below."""
    figure = Figure((8, 6), 100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.plot(theirs.losses, linewidth=4, color="tab:orange", alpha=0.6, label="brainstate")
    above.plot(ours.losses, linewidth=1, color="black", label="PyTorch, torchconv2d")
    above.set(ylabel="cross entropy", ylim=(0, None))
    above.set_title("Trained from one seed, no weight copied", loc="left")
    above.legend(frameon=False)
    below.plot(ours.losses - theirs.losses, linewidth=1, color="black")
    below.axhline(0, color="tab:orange", alpha=0.6)
    below.set(ylabel="difference", xlabel="step", xlim=(0, STEPS - 1))
    figure.savefig(path)


def main(seed: int = 42, folder: Path = Path("out")) -> None:
    """Train both, print how much they differ, and draw the curves into ``folder``."""
    ours, theirs = train_torch(seed), train_brainstate(seed)
    equal = all(map(np.array_equal, ours.kernels, theirs.kernels))
    print(f"initial kernels equal to the last bit: {equal}")
    print(f"loss: from {ours.losses[0]:.4f} to {ours.losses[-10:].mean():.4f} (the last ten)")
    largest = np.abs(ours.losses - theirs.losses).max()
    print(f"largest difference of the losses over {STEPS} steps: {largest:.1e}")
    folder.mkdir(exist_ok=True)
    path = folder / "train_side_by_side.png"
    draw(ours, theirs, path)
    print(f"curves: {path}")


if __name__ == "__main__":
    main()
