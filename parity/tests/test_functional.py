"""``conv_general_dilated`` and its definition in ``functional.py`` equal JAX's."""

import numpy as np
import pytest

from ..cases import numbers
from ..cases.case import Case
from ..checks.functional import by_port, calls, definition
from ..sides import jax_conv

# The axes differ in sizes, strides, dilations and pads, so that their order matters.
CASES = [
    Case(channels=(4, 6, 2), stride=(2, 1), rhs_dilation=(1, 2), dtype="float64", seed=1),
    Case(stride=(2, 3), padding=((2, 1), (0, 3)), lhs_dilation=(3, 2), dtype="float64", seed=2),
    Case(channels=(4, 4, 4), kernel=(2, 4), padding="VALID", dtype="float64", seed=3),
    Case(channels=(6, 3, 3), stride=(3, 2), batch=3, dtype="complex128", seed=5),
]
CALLS = [call for case in CASES for call in calls(case)]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.name}, {call.options}")
def test_port_definition_and_jax_agree(call):
    drawn = numbers.integers(call.case)
    given = drawn.x, drawn.masked, drawn.cotangent
    right = definition(call, *given)
    laid_out = [call.lhs(given[0]), call.rhs(given[1])], call.out(given[2])
    jax = jax_conv.functional_gradients(call.case.dtype, **call.options)(*laid_out)
    for value, here, there in zip(right, by_port(call, *given), jax, strict=True):
        assert value.any()
        np.testing.assert_array_equal(here, value)
        np.testing.assert_array_equal(there, value)


def test_there_are_calls_of_every_kind_and_in_both_orders():
    assert {call.name for call in CALLS} == {"functional", "batch groups", "SAME_LOWER"}
    assert {"SAME", "VALID", "SAME_LOWER"} < {
        call.padding for call in CALLS if isinstance(call.padding, str)
    } | {"numbers"}
    assert any(call.options["window_strides"] == call.case.stride[::-1] for call in CALLS)
    assert any(call.options["window_strides"] == call.case.stride for call in CALLS)
