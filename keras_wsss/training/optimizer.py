"""Adam whose learning rate is scaled per layer."""

import math
import re
from collections.abc import Sequence

import keras


@keras.saving.register_keras_serializable("keras_wsss")
class MultiplierAdam(keras.optimizers.Adam):
    """Adam that scales the *update* of chosen variables.

    Adam divides by the size of the gradient, so scaling a loss or a gradient
    changes next to nothing: only the learning rate counts (TransferNet spec
    7.2.1). Replaces `tfa.optimizers.MultiOptimizer` and gives its numbers.

    Args:
        multipliers: (pattern, factor) pairs. A pattern is a regular
            expression searched in a variable's path, e.g.
            "classifier/logits/kernel"; the factors of all patterns that
            match are multiplied.
        epsilon: Caffe's Adam and the published solver use 1e-8, not Keras's
            default of 1e-7. Do not raise it: at the published initialisation
            the decoder's gradients are of that size (spec 7.2.2).
        **kwargs: arguments of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        multipliers: Sequence[tuple[str, float]] = (),
        epsilon: float = 1e-8,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, **kwargs)
        self.multipliers = tuple((str(p), float(f)) for p, f in multipliers)

    def build(self, variables):
        """Makes the moments, and looks up every variable's factor."""
        super().build(variables)
        self._factors = [self.multiplier(v.path) for v in variables]

    def multiplier(self, path: str) -> float:
        """The factor of a variable's learning rate, by its path."""
        return math.prod(
            factor
            for pattern, factor in self.multipliers
            if re.search(pattern, path)
        )

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable with its own learning rate."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        """The arguments that rebuild this optimizer."""
        return {**super().get_config(), "multipliers": self.multipliers}
