"""What the layers look at: scikit-learn's two photographs, or a picture of the user's own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

# A larger picture shows no more of a layer, and takes the float64 oracle longer.
LONGEST_SIDE = 1024


class Picture(NamedTuple):
    """``pixels`` are ``(height, width, 3)``, float32, in [0, 1]."""

    name: str
    pixels: NDArray[np.float32]
    # The (height, width) in the file, if it was too large to be taken as it is.
    reduced_from: tuple[int, ...] | None = None


class UnreadablePictureError(Exception):
    """The message says in one line which file, and why."""


def photographs() -> list[Picture]:
    samples = load_sample_images()
    return [
        Picture(Path(name).stem, _scale(pixels))
        for name, pixels in zip(samples.filenames, samples.images, strict=True)
    ]


def read(path: Path) -> Picture:
    """Any picture that PIL can open, as RGB.

    Raises:
        UnreadablePictureError: there is no such file, or it is no picture, or a gigantic one.
    """
    try:
        with warnings.catch_warnings():
            # PIL has much to say about odd files; only a decompression bomb matters here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode == "I;16":  # which PIL would clip to eight bits, not scale
                    image = image.point(lambda level: level / 257)
                image = image.convert("RGB")
    except Image.UnidentifiedImageError:
        raise UnreadablePictureError(f"{path} is not a picture that PIL can read.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise UnreadablePictureError(f"{path} has more than {most} pixels.") from None
    except OSError as error:
        raise UnreadablePictureError(f"{path}: {error.strerror or error}.") from None
    except (SyntaxError, ValueError) as error:  # what PIL makes of a broken file
        raise UnreadablePictureError(f"{path} is broken: {error}.") from None
    full = image.size
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return Picture(path.stem, _scale(np.asarray(image)), None if image.size == full else full[::-1])


def _scale(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(pixels, 255, dtype=np.float32)
