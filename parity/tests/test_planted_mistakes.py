"""Small networks: right ports agree, and planted mistakes are named, no other layer.

``python -m parity --networks all`` does this with whole networks and all mistakes.
"""

from __future__ import annotations

from typing import Any

import pytest

from ..networks import FRAMEWORKS
from ..networks.mistakes import MISTAKES, TRIPLES
from ..networks.references import reference
from ..networks.trials import Trial, trials

pytestmark = pytest.mark.usefixtures("one_thread")

# Keras's own networks are not built in parts.
SMALL: dict[str, dict[str, dict[str, Any]]] = {
    "flax": {
        "MobileNetV2": {"stages": [(3, 16, 1, 1, 1), (3, 24, 2, 2, 6)], "classes": 7},
        "EfficientNetB0": {"stages": [(3, 16, 1, 1, 1)], "classes": 7},
        "ResNet": {"counts": (1,), "width": 4},
        "UNet": {"width": 4, "depth": 1},
        "Inception": {},
    },
    "keras": {
        "MobileNetV2": {"classes": 7},
        "EfficientNetB0": {"classes": 7},
        "ResNet": {"counts": (1, 1), "width": 4},
        "UNet": {"width": 4, "depth": 1},
        "Inception": {},
    },
}
# What is planted in MobileNetV2: in its first two stages, and in what is behind them.
PLANTED = {
    "flax": [
        ("SAME put before",),
        ("mean and beta swapped",),
        ("RGB and BGR",),
        ("weights in bfloat16",),
        ("a missing activation", "SAME replaced by 1", "a bias dropped"),
    ],
    "keras": [("SAME put before", "statistics forgotten", "an extra activation")],
}


def judged(framework: str, network: str, groups: list[tuple[str, ...]]) -> list[Trial]:
    recorded = reference(framework, network, **SMALL[framework][network])
    return list(trials(framework, network, recorded, groups))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_exactly_the_layers_of_the_mistakes_are_named(framework: str) -> None:
    found = judged(framework, "MobileNetV2", [(), *PLANTED[framework]])
    assert [each for each in found if not each.is_right] == []
    assert [len(each.named) > 0 for each in found] == [False, *[True] * len(PLANTED[framework])]
    assert len(found[-1].named) == 3


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_average_of_padding_is_named(framework: str) -> None:
    (found,) = judged(framework, "Inception", [("average pooling counts padding",)])
    assert found.named == (("pool",) if framework == "keras" else ("before pooled",))


@pytest.mark.parametrize("network", ["EfficientNetB0", "ResNet", "UNet", "Inception"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_right_port_agrees(framework: str, network: str) -> None:
    (found,) = judged(framework, network, [()])
    assert found.agrees
    assert found.named == ()


def test_a_trial_is_wrong_if_other_layers_are_named_or_a_right_port_differs() -> None:
    trial = Trial("flax", "UNet", ("epsilon",), ("norm",), ("norm",), (), False, 0.1)
    assert trial.is_right
    assert not trial._replace(named=("norm", "conv")).is_right
    assert not trial._replace(agrees=True).is_right
    right = trial._replace(mistakes=(), expected=(), named=(), agrees=True)
    assert right.is_right
    assert not right._replace(agrees=False).is_right


def test_the_triples_have_fifteen_mistakes_once_each() -> None:
    assert len(MISTAKES) == 18
    assert {len(each) for each in TRIPLES} == {3}
    assert len({name for each in TRIPLES for name in each}) == 15
