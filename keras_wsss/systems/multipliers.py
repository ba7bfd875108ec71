"""Learning rates per layer, by the names of variables."""

import math
import re
from collections.abc import Sequence

import tensorflow as tf

Multipliers = Sequence[tuple[str, float]]


class LayerMultipliers:
    """Mixed into an optimizer: looks up every variable's factor.

    Gradients of looked-up rows (the label embedding) are added up first: they
    come with a row for each look-up, and Keras's Adam would square the rows
    of one category before it adds them.

    Args:
        multipliers: (pattern, factor) pairs. A pattern is a regular
            expression searched in a variable's path, e.g.
            "classifier/logits/kernel"; the factors of all patterns that
            match are multiplied.
        **kwargs: arguments of the optimizer.
    """

    def __init__(self, multipliers: Multipliers = (), **kwargs):
        super().__init__(**kwargs)
        self.multipliers = tuple((str(p), float(f)) for p, f in multipliers)

    def build(self, variables):
        """Makes the state, and looks up every variable's factor."""
        super().build(variables)
        self._factors = [self.multiplier(v.path) for v in variables]

    def multiplier(self, path: str) -> float:
        """The factor of a variable's learning rate, by its path."""
        return math.prod(
            factor
            for pattern, factor in self.multipliers
            if re.search(pattern, path)
        )

    def factor_of(self, variable) -> float:
        """The factor of a variable that the optimizer was built for."""
        return self._factors[self._get_variable_index(variable)]

    def apply(self, grads, trainable_variables=None):
        """Applies gradients: tensors, `tf.IndexedSlices` or None."""
        super().apply([_dense(grad) for grad in grads], trainable_variables)

    def get_config(self):
        """The arguments that rebuild this optimizer."""
        return {**super().get_config(), "multipliers": self.multipliers}


def _dense(gradient):
    """One row for every row of the variable, doubles added up."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.convert_to_tensor(gradient)
    return gradient
