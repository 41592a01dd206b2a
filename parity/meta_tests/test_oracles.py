"""The definition in NumPy, XLA in float64 and brainstate's layer agree."""

import numpy as np
import pytest

from ..definition import convolution
from ..sides import jax_conv

# The input's shape without the batch, the kernel's shape, and the other arguments.
GEOMETRIES = {
    "default": ((5, 6, 2), (3, 3, 2, 4), {}),
    "one tap": ((4, 4, 3), (1, 1, 3, 2), {"padding": "VALID"}),
    "even kernel": ((5, 6, 2), (2, 4, 2, 3), {}),
    "SAME, strided": ((7, 8, 2), (3, 5, 2, 3), {"stride": (2, 3)}),
    "SAME, stride beyond kernel": ((7, 8, 1), (1, 2, 1, 1), {"stride": (3, 3)}),
    "VALID, strided": ((7, 8, 2), (3, 2, 2, 3), {"padding": "VALID", "stride": (2, 3)}),
    "atrous": ((9, 8, 2), (3, 2, 2, 3), {"rhs_dilation": (2, 3)}),
    "grouped": ((5, 5, 6), (3, 3, 2, 9), {"groups": 3}),
    "depthwise": ((5, 6, 4), (3, 3, 1, 8), {"groups": 4, "stride": (2, 2)}),
    "explicit": ((5, 4, 2), (3, 3, 2, 2), {"padding": ((0, 3), (2, 1))}),
    "dilated": ((4, 5, 2), (3, 4, 2, 2), {"lhs_dilation": (2, 3), "padding": ((1, 2), (0, 3))}),
    "all at once": (
        (6, 7, 4),
        (3, 2, 2, 6),
        {
            "stride": (2, 3),
            "padding": ((2, 1), (0, 4)),
            "lhs_dilation": (3, 2),
            "rhs_dilation": (2, 1),
            "groups": 2,
        },
    ),
    "cropped": ((8, 9, 2), (3, 3, 2, 2), {"padding": ((-2, -1), (-1, 0))}),
    "dilated, then cropped": (
        (4, 5, 1),
        (2, 2, 1, 2),
        {"lhs_dilation": (3, 2), "padding": ((-1, -2), (-3, 0))},
    ),
    "no window": ((2, 3, 1), (4, 4, 1, 2), {"padding": "VALID", "stride": (2, 2)}),
}
# XLA on a CPU reads out of bounds in float32, not in float64 (openxla/xla#48713).
CROPPED_AND_PADDED = ((8, 9, 2), (3, 3, 2, 2), {"padding": ((-2, 1), (-3, 3))})


def integers(random, shape):
    """Integers so small that every sum is exact even in float32."""
    return random.integers(-4, 5, shape).astype(np.float32)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("in_size", "kernel_shape", "geometry"),
    [*GEOMETRIES.values(), CROPPED_AND_PADDED],
    ids=[*GEOMETRIES, "cropped and padded"],
)
def test_numpy_equals_lax(random, in_size, kernel_shape, geometry):
    x, kernel = integers(random, (2, *in_size)), integers(random, kernel_shape)
    ours = convolution.convolve(x, kernel, **geometry)
    theirs = jax_conv.lax_in_float64(x, kernel, **geometry)
    assert ours.dtype == theirs.dtype == np.float64
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("in_size", "kernel_shape", "geometry"), GEOMETRIES.values(), ids=GEOMETRIES
)
def test_numpy_equals_reference(random, in_size, kernel_shape, geometry):
    x, kernel = integers(random, (2, *in_size)), integers(random, kernel_shape)
    bias, mask = integers(random, kernel_shape[3]), random.integers(0, 2, kernel_shape)
    ours = convolution.convolve(x, kernel * mask, bias, **geometry)
    theirs = jax_conv.reference(
        x,
        in_size=in_size,
        out_channels=kernel_shape[3],
        kernel_size=kernel_shape[:2],
        w_init=kernel,
        b_init=bias,
        w_mask=mask.astype(np.float32),
        **geometry,
    )
    assert theirs.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)


def test_by_hand():
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[None, :, :, None]
    kernel = np.array([[1.0, 10.0], [100.0, 1000.0]])[:, :, None, None]
    # The kernel is not flipped, and the odd zero is below and to the right.
    expected = [[5421, 6532, 603], [54, 65, 6]]
    np.testing.assert_array_equal(convolution.convolve(x, kernel)[0, :, :, 0], expected)


def test_same_counts_the_dilated_size(random):
    """JAX refuses string padding here, so the test dilates the input itself."""
    x, kernel = integers(random, (1, 4, 5, 2)), integers(random, (3, 2, 2, 3))
    dilated = np.zeros((1, 10, 9, 2))
    dilated[:, ::3, ::2] = x
    expected = convolution.convolve(dilated, kernel, stride=(2, 3))
    ours = convolution.convolve(x, kernel, stride=(2, 3), lhs_dilation=(3, 2))
    np.testing.assert_array_equal(ours, expected)


def test_magnitude_is_that_of_absolute_values(random):
    x, kernel, bias = (integers(random, shape) for shape in ((1, 4, 5, 2), (3, 3, 2, 3), (3,)))
    magnitude = convolution.magnitude(x, kernel, bias, stride=(2, 1))
    positive = convolution.convolve(abs(x), abs(kernel), abs(bias), stride=(2, 1))
    np.testing.assert_array_equal(magnitude, positive)
    assert (magnitude >= abs(convolution.convolve(x, kernel, bias, stride=(2, 1)))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_pixel_reaches_the_windows_that_read_it(random, bad):
    x, kernel = np.ones((1, 6, 6, 2)), np.ones((3, 3, 1, 2))
    x[0, 2, 3, 0] = bad
    y = convolution.convolve(x, kernel, rhs_dilation=(1, 2), groups=2)
    reached = np.zeros((6, 6, 2), bool)
    reached[1:4, [1, 3, 5], 0] = True
    np.testing.assert_array_equal(~np.isfinite(y[0]), reached)


def test_complex_is_linear(random):
    x, real, imaginary = (integers(random, shape) for shape in ((1, 4, 5, 2), *[(3, 3, 2, 3)] * 2))
    expected = convolution.convolve(x, real) + 1j * convolution.convolve(x, imaginary)
    np.testing.assert_array_equal(convolution.convolve(x, real + 1j * imaginary), expected)


@pytest.mark.parametrize(
    ("padding", "reason"),
    [(((-3, -1), (0, 0)), "crops more than there is"), ("FULL", "neither 'SAME' nor 'VALID'")],
)
def test_numpy_refuses_such_padding(padding, reason):
    with pytest.raises(ValueError, match=reason):
        convolution.convolve(np.ones((1, 3, 3, 1)), np.ones((1, 1, 1, 1)), padding=padding)
