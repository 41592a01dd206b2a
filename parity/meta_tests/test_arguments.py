"""Wrong layers give wrong answers to argument lists, and the judge finds them."""

import itertools

import pytest

import torchconv2d

from ..arguments import differences, judge
from ..arguments.lists import ArgumentList, Odd, lists, sizes_of
from ..sides.jax_conv import jax


def refuses_a_name(make, arguments):
    if "name" in arguments:
        raise ValueError("wrong on purpose")
    return make(**arguments)


def refuses_with_another_class(make, arguments):
    try:
        return make(**arguments)
    except TypeError as error:
        raise ValueError(str(error)) from error


def accepts_any_input(make, arguments):
    layer = make(**arguments)
    return lambda x: layer(x.to(layer.weight.dtype))


def gives_another_shape(make, arguments):
    layer = make(**arguments)
    return lambda x: layer(x)[..., :-1]


@pytest.mark.parametrize(
    "wrong",
    [refuses_a_name, refuses_with_another_class, accepts_any_input, gives_another_shape],
    ids=lambda wrong: wrong.__name__,
)
def test_a_wrong_layer_is_found_and_the_judgement_can_be_repeated(monkeypatch, wrong):
    make = torchconv2d.Conv2d
    monkeypatch.setattr(torchconv2d, "Conv2d", lambda **arguments: wrong(make, arguments))
    judged = ((i, judge.judge(each)) for i, each in enumerate(itertools.islice(lists(0), 500)))
    number, found = next((i, each) for i, each in judged if each.error is not None)
    again = judge.again(0, number)
    assert again.error == found.error
    monkeypatch.undo()
    assert judge.again(0, number).error is None


def test_a_listed_difference_that_is_none_is_found(monkeypatch):
    table = {"stride": lambda s: (7.0,)}
    listed = differences.Difference("float stride", table, differences.VALUE_ERROR)
    monkeypatch.setitem(differences.DECLARED, "no such row", [listed])
    legal = {"in_size": (5, 8, 4), "out_channels": 6, "kernel_size": (3, 2)}
    odd = (Odd("stride", 0, "float stride"),)
    given = ArgumentList(sizes_of(legal), {**legal, "w_init": jax.numpy.ones}, odd)
    assert judge.judge(given).error == "listed as a difference (float stride), but judged alike"
