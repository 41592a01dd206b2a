"""The port passes every check, on the grid and on any case."""

from hypothesis import given, settings

from ..cases.grid import grid
from ..checks import suite
from .any_case import any_case

GRID = grid()


def failures(outcomes):
    return [
        f"{outcome.case.command}\n{finding}" for outcome in outcomes for finding in outcome.failures
    ]


def test_the_grid_agrees_without_jax():
    assert failures(suite.run(GRID, with_jax=False)) == []


def test_part_of_the_grid_agrees_with_jax():
    assert failures(suite.run(GRID[::10])) == []


@settings(max_examples=30, derandomize=True, print_blob=False)
@given(any_case())
def test_any_case_agrees(case):
    assert failures(suite.run([case], with_jax=False)) == []
