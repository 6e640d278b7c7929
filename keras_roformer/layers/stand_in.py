"""How an object of a facade stands in for a part of a block: the one way from layers to facades.

A block calls each of its parts by `Block.run`, which asks here whether another object is to be
called in the part's stead. So the torch classes have a tree of modules that is computed with, see
`facades.torch_tree`; the other families have no stand-ins.
"""

import typing

from keras_roformer.upstream import for_keras


class StandIn(typing.Protocol):
    """What is called in a part's stead."""

    def __call__(self, *args, **kwargs):
        """The output of the part; the arguments are those that the block gives the part.

        That of a dropout gets the states alone: it knows whether it trains. That of a token
        embedding gets `reverse=True` for the product with all vectors. That of a `Block` gets the
        arguments of `compute`.
        """

    @property
    def dropout_rate(self) -> float:
        """Of a dropout: the rate at which it drops just now, 0 in evaluation."""


def stand_in(layer) -> StandIn | None:
    """What stands in for a layer."""
    return layer.__dict__.get("stand_in")


def set_stand_in(layer, new: StandIn):
    """Have `new` stand in for a layer."""
    for_keras.set_untracked(layer, "stand_in", new)
