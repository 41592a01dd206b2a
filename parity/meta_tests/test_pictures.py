import io

import numpy as np
import pytest
from PIL import Image

from ..photographs import pictures


def test_photographs_are_the_two_of_scikit_learn():
    assert [picture.name for picture in pictures.photographs()] == ["china", "flower"]
    for picture in pictures.photographs():
        assert picture.pixels.shape == (427, 640, 3)
        assert picture.pixels.dtype == np.float32
        assert 0 <= picture.pixels.min() < 0.1 < 0.9 < picture.pixels.max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_reads_any_kind_of_picture_as_rgb(tmp_path, mode):
    path = tmp_path / "picture.tiff"
    Image.new(mode, (5, 3)).save(path)
    name, pixels, reduced_from = pictures.read(path)
    assert (name, reduced_from) == ("picture", None)
    assert pixels.shape == (3, 5, 3)
    assert pixels.dtype == np.float32


def test_reads_colors_and_their_order(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.array([[[255, 0, 51], [0, 102, 255]]], np.uint8)).save(path)
    np.testing.assert_allclose(pictures.read(path).pixels, [[[1, 0, 0.2], [0, 0.4, 1]]])


def test_scales_sixteen_bits(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(np.array([[0, 257 * 51, 65535]], np.uint16)).save(path)
    np.testing.assert_allclose(pictures.read(path).pixels[0, :, 0], [0, 0.2, 1])


def test_palette_with_transparency_is_read_without_a_warning(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("P", (4, 4)).save(path, transparency=bytes([0, 128]))
    assert pictures.read(path).pixels.shape == (4, 4, 3)


def test_reduces_a_large_picture(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("L", (3000, 1500)).save(path)
    picture = pictures.read(path)
    assert picture.reduced_from == (1500, 3000)
    assert picture.pixels.shape == (512, 1024, 3)


def test_refuses_a_gigantic_picture(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    Image.new("1", (200, 200)).save(path)
    for limit in (30_000, 10_000):  # where PIL warns, and where it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(pictures.UnreadablePictureError, match=r"huge.png has more than \d\d,"):
            pictures.read(path)


def png():
    """A PNG file with several chunks."""
    file = io.BytesIO()
    Image.effect_noise((512, 512), 50).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a picture that PIL can read"),
        (b"Not a picture.\n", "is not a picture that PIL can read"),
        (png()[:1000], "truncated"),
        (b"I\0AT".join(png().rsplit(b"IDAT", 1)), "broken"),
    ],
    ids=["empty", "text", "truncated", "broken"],
)
def test_refuses_what_is_no_picture(tmp_path, content, reason):
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(pictures.UnreadablePictureError, match=reason):
        pictures.read(path)


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(pictures.UnreadablePictureError, match=r"none.png: No such file"):
        pictures.read(tmp_path / "none.png")
    with pytest.raises(pictures.UnreadablePictureError, match="Is a directory"):
        pictures.read(tmp_path)
