"""The pictures: scikit-learn's two photographs, or one of the user's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

# Larger pictures are reduced: they show no more about a layer and take longer in float64.
LONGEST_SIDE = 1024


class Picture(NamedTuple):
    """``pixels`` are ``(height, width, 3)``, float32, in [0, 1]."""

    name: str
    pixels: NDArray[np.float32]
    # The (height, width) in the file, if the picture was reduced.
    reduced_from: tuple[int, ...] | None = None


class UnreadablePictureError(Exception):
    """The message names the file and the reason in one line."""


def photographs() -> list[Picture]:
    samples = load_sample_images()
    return [
        Picture(Path(name).stem, _scale(pixels))
        for name, pixels in zip(samples.filenames, samples.images, strict=True)
    ]


def read(path: Path) -> Picture:
    """Read any picture that PIL can open, as RGB.

    Raises:
        UnreadablePictureError: the file is missing, is not a picture, or is gigantic.
    """
    try:
        with warnings.catch_warnings():
            # PIL warns about odd files; only a decompression bomb matters here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode == "I;16":  # PIL would clip it to eight bits
                    image = image.point(lambda level: level / 257)
                image = image.convert("RGB")
    except Image.UnidentifiedImageError:
        raise UnreadablePictureError(f"{path} is not a picture that PIL can read.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise UnreadablePictureError(f"{path} has more than {most} pixels.") from None
    except OSError as error:
        raise UnreadablePictureError(f"{path}: {error.strerror or error}.") from None
    except (SyntaxError, ValueError) as error:  # PIL raises these for a broken file
        raise UnreadablePictureError(f"{path} is broken: {error}.") from None
    full = image.size
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return Picture(path.stem, _scale(np.asarray(image)), None if image.size == full else full[::-1])


def _scale(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(pixels, 255, dtype=np.float32)
