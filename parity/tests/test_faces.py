"""The ported face detector: its networks equal Keras's layers, and it finds a face."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from PIL import Image

from examples import faces

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # On Python 3.13, when joblib reads the weights, lz4 flushes a file that is already closed.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.BufferedReader"),
]


def keras_layers(arrays, pools):
    """Keras's own convolutions, slopes and poolings with these arrays."""
    rest, layers = iter(arrays), []
    for pool in pools:
        kernel, bias, slopes = next(rest), next(rest), next(rest)
        conv = keras.layers.Conv2D(bias.size, kernel.shape[:2], dtype="float64")
        conv.build((None, None, None, kernel.shape[2]))
        conv.set_weights([kernel, bias])
        prelu = keras.layers.PReLU(shared_axes=[1, 2], dtype="float64")
        prelu.build((None, None, None, bias.size))
        prelu.set_weights([slopes])
        layers += [conv, prelu]
        if pool is not None:
            padding = "same" if pool[1] else "valid"
            layers.append(keras.layers.MaxPooling2D(pool[0], 2, padding, dtype="float64"))
    return layers


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_the_convolutions_equal_keras_s(name):
    arrays = faces.weights_of(name)
    shape = faces.NETWORKS.get(name)
    pools = shape.pools if shape else faces.FIRST_POOLS
    # The first network takes any size. Here the sides differ and one is odd.
    size = (shape.side, shape.side, 3) if shape else (31, 26, 3)
    body = faces.Body(iter(arrays), size, pools).double()
    torch.manual_seed(0)
    x = y = torch.rand(2, *size, dtype=torch.float64) * 2 - 1
    for layer in keras_layers(arrays, pools):
        y = layer(y)
    # The error of a few thousand float64 products is far below float32's roundoff.
    torch.testing.assert_close(body(x), y, rtol=2**-24, atol=2**-24)


def test_the_astronaut_s_face_is_found_and_drawn(tmp_path, capsys):
    path = tmp_path / "made" / "faces.png"
    faces.main(["--out", str(path)])
    assert capsys.readouterr().out.count("face at") == 1
    with Image.open(path) as drawn:
        pixels = np.asarray(drawn)
    yellow = np.argwhere((pixels == (255, 255, 0)).all(-1))
    # The corners of the face, read off the picture by eye.
    np.testing.assert_allclose(yellow.min(0), (60, 180), atol=15)
    np.testing.assert_allclose(yellow.max(0), (175, 268), atol=15)
    for x, y in ((204, 100), (246, 102), (223, 127), (201, 137), (244, 140)):  # eyes, nose, mouth
        assert (pixels[y - 4 : y + 5, x - 4 : x + 5] == (255, 0, 0)).all(-1).any()


def test_no_face_is_found_where_there_is_none(tmp_path, capsys):
    random = np.random.default_rng(0)
    path = tmp_path / "noise.png"
    Image.fromarray(random.integers(0, 256, (90, 130, 3), dtype=np.uint8)).save(path)
    faces.main([str(path), "--out", str(tmp_path / "faces.png")])
    assert "face at" not in capsys.readouterr().out
    Image.new("RGB", (30, 130)).save(path)  # too small for any
    faces.main([str(path), "--out", str(tmp_path / "faces.png")])
    assert "face at" not in capsys.readouterr().out
