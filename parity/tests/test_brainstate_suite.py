"""brainstate's own tests of ``Conv2d``, from its wheel, pass on torchconv2d through an adapter."""

import importlib.util
import inspect
from pathlib import Path
from unittest import TestCase, mock

import brainstate
import pytest

from ..sides.brainstate_conv2d import BrainstateConv2d

# Every test of ``TestConv2d``, and at least one from each of the other classes.
KNOWN = {
    "TestConv2d.test_basic_channels_last",
    "TestConv2d.test_basic_channels_first",
    "TestConv2d.test_rectangular_kernel",
    "TestConv2d.test_stride_2d",
    "TestConv2d.test_depthwise_convolution",
    "TestConv2d.test_padding_same_vs_valid",
    "TestErrorHandling.test_dimension_mismatch",
    "TestRepr.test_conv_repr_channels_first",
    "TestConvPadding.test_padding_length_one_sequence",
    "TestConvWeightMask.test_conv2d_w_mask_zeros_output",
    "TestConvGradients.test_conv2d_grad_finite",
    "TestConvJit.test_conv2d_jit_equal",
    "TestChannelFirstBias.test_conv2d_channel_first_with_bias",
    "TestConvValidationAuditRegressions.test_validation_not_assertion",
}


def load_suite():
    path = Path(brainstate.nn.__file__).with_name("_conv_test.py")
    spec = importlib.util.spec_from_file_location("brainstate_conv_suite", path)
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    return suite


def select(suite):
    """``{"Class.method": case}`` for each test whose source makes a ``Conv2d``."""
    return {
        f"{case.__name__}.{name}": case(name)
        for case in vars(suite).values()
        if inspect.isclass(case) and issubclass(case, TestCase)
        for name, method in inspect.getmembers(case, inspect.isfunction)
        if name.startswith("test") and "nn.Conv2d(" in inspect.getsource(method)
    }


TESTS = select(load_suite())


def test_known_tests_are_selected():
    assert set(TESTS) >= KNOWN
    assert len(TESTS) >= 39


# brainstate's suite imports the initializers from their old place.
@pytest.mark.filterwarnings("ignore:brainstate.init module is deprecated:DeprecationWarning")
@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_of_brainstate(test, monkeypatch):
    conv2d = mock.Mock(wraps=BrainstateConv2d)
    monkeypatch.setattr(brainstate.nn, "Conv2d", conv2d)
    test.debug()  # it runs the test and raises its errors
    assert conv2d.called
