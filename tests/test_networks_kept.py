"""Comparisons share and change arrays with care: in-place layers, inference mode, whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from cases import normal_numbers
from test_networks import image, network
from torch import Tensor, nn

from torchconv2d.testing import Recording, compare, record
from torchconv2d.testing.networks.products import convolution

pytestmark = pytest.mark.usefixtures("one_thread")


def in_place(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, groups=6), nn.SiLU(True)
    return nn.Sequential(*layers).to(dtype).eval()


def test_layers_that_change_their_inputs_do_not_change_the_recording() -> None:
    # The recording's own numbers are float64 already.
    port = in_place(torch.float64)
    recording = record(port, image().double())
    numbers = {number for call in recording.calls for number in (*call.inputs, *call.outputs)}
    before = {number: recording.tensor(number).clone() for number in numbers}
    compare(port, recording).assert_ok()
    assert all(torch.equal(recording.tensor(number), each) for number, each in before.items())


class Ignored(nn.Module):
    """It uses the input of an in-place layer, not its result, and again in a residual."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        self.relu(y)
        return self.second(y) + y


@pytest.mark.parametrize("make", [Ignored, lambda: in_place(torch.float32)])
def test_in_place_layers_are_recorded_and_compared_in_inference_mode(
    make: Callable[[], nn.Module],
) -> None:
    with torch.inference_mode():
        recording = record(make().eval(), image())
        inside = compare(make().eval(), recording)
    for result in (inside, compare(make().eval(), recording)):
        result.assert_ok()
        assert {each.verdict for each in result.layers} == {"agrees"}


class Words(nn.Module):
    """Its input is whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.words, self.dense = nn.Embedding(11, 5), nn.Linear(5, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.dense(self.words(words).tanh())


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x).abs()


def test_what_is_not_computed_in_float64_is_said() -> None:
    words = torch.randint(0, 11, (2, 7), generator=torch.Generator().manual_seed(0))
    spectrum = nn.Sequential(nn.Conv2d(3, 4, 3), Spectrum()).eval()
    for port, x in ((Words().eval(), words), (spectrum, image())):
        result = compare(port, record(port, x))
        result.assert_ok()
        unjudged = [each for each in result.layers if each.verdict == "not judged"]
        assert {each.detail for each in unjudged} == {"it was not computed in float64"}
        assert "by 0 of their scale, and not all of it is computed in float64" in result.end_to_end
    wrong = Words().eval()
    with torch.no_grad():
        wrong.words.weight *= 1.01
    result = compare(wrong, record(Words().eval(), words))
    assert not result.ok


def test_other_words_are_a_mistake_before_the_layer() -> None:
    class Shifted(Words):
        def forward(self, words: Tensor) -> Tensor:
            return super().forward((words + 1) % 11)

    words = torch.arange(6).reshape(2, 3)
    result = compare(Shifted().eval(), record(Words().eval(), words))
    assert [each.layer for each in result.culprits] == ["before words"]


def test_a_folder_holds_no_older_recording_while_a_new_one_is_written(tmp_path: Path) -> None:
    record(network(), image(), folder=tmp_path)

    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.conv(x)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(Failing(), image(), folder=tmp_path)
    with pytest.raises(ValueError, match="`folder` must hold a recording"):
        Recording.load(tmp_path)


SETTINGS = [
    (size, kernel, stride, padding, dilation)
    for size, kernel, stride in product((1, 5, 8), (1, 2, 3), (1, 2, 3))
    for padding, dilation in product((0, 1, 3), (1, 2))
    if size + 2 * padding > dilation * (kernel - 1)
]


def test_depthwise_convolutions_are_those_of_torch() -> None:
    for size, kernel, stride, padding, dilation in SETTINGS:
        x = normal_numbers((2, 4, size, 9), 3, torch.float64)
        weight = normal_numbers((4, 1, kernel, 3), 4, torch.float64)
        bias = normal_numbers((4,), 5, torch.float64)
        settings = [stride, 2], [padding, 1], [dilation, 1], False, [0, 0], 4
        truth = torch.ops.aten.convolution(x, weight, bias, *settings)
        torch.testing.assert_close(convolution(x, weight, bias, *settings), truth)
