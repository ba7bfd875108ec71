"""Adam and SGD whose learning rates are scaled per layer."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
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

    _get_variable_index: Callable[[Any], int]  # the optimizer's own

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


def shared_options(config) -> dict[str, Any]:
    """Arguments of Keras's optimizers that `config.train` gives.

    Clipping sees the gradients as one replica has them, see
    `ReplicatedUpdate`; so its bound is that replica's share.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    train = config.train
    return {
        "global_clipnorm": train.clip_norm / replicas or None,
        "use_ema": train.average > 0,
        "ema_momentum": train.average,
    }


def _dense(gradient):
    """One row for every row of the variable, doubles added up."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.convert_to_tensor(gradient)
    return gradient


@keras.saving.register_keras_serializable("keras_wsss")
class MultiplierAdam(LayerMultipliers, keras.optimizers.Adam):
    """Adam that scales the *update* of chosen variables.

    Adam divides by the size of the gradient, so scaling a loss or a gradient
    changes next to nothing: only the learning rate counts. Replaces
    `tfa.optimizers.MultiOptimizer` and gives its numbers.

    Args:
        multipliers: see `LayerMultipliers`.
        epsilon: Caffe's Adam and the published solver use 1e-8, not Keras's
            default of 1e-7. Do not raise it: at the published initialisation
            the decoder's gradients are of that size.
        **kwargs: arguments of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        multipliers: Multipliers = (),
        epsilon: float = 1e-8,
        **kwargs,
    ):
        super().__init__(
            multipliers=multipliers,
            learning_rate=learning_rate,
            epsilon=epsilon,
            **kwargs,
        )

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable with its own learning rate.

        Keras's rule as one operation: variable, moments and gradient are read
        once and not in six passes, each with a copy of its own.
        """
        rate = learning_rate * self.factor_of(variable)
        if self.amsgrad:
            super().update_step(gradient, variable, rate)
            return
        index, kind = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations, kind) + 1
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, kind), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, kind), step),
            lr=tf.cast(rate, kind),
            beta1=tf.cast(self.beta_1, kind),
            beta2=tf.cast(self.beta_2, kind),
            epsilon=tf.cast(self.epsilon, kind),
            grad=tf.cast(gradient, kind),
        )


@keras.saving.register_keras_serializable("keras_wsss")
class MultiplierSgd(LayerMultipliers, keras.optimizers.SGD):
    """Caffe's SGD with momentum, rates per layer, and weight decay.

        velocity <- momentum velocity - rate factor (gradient + decay weight)
        weight <- weight + velocity

    The decay is part of the gradient: it passes the momentum and is scaled
    by the layer's rate. Velocities hold the rate of their time, so the
    rule is Caffe's under a decaying rate too.

    Args:
        multipliers: see `LayerMultipliers`.
        momentum: 0 or more.
        kernel_decay: weight decay of the variables that `decayed` matches;
            not the decoupled `weight_decay` of Keras.
        decayed: regular expression searched in a variable's path.
        **kwargs: arguments of `keras.optimizers.SGD`.
    """

    def __init__(
        self,
        learning_rate: float = 1e-4,
        multipliers: Multipliers = (),
        momentum: float = 0.9,
        kernel_decay: float = 0.0,
        decayed: str = r"kernel$",
        **kwargs,
    ):
        super().__init__(
            multipliers=multipliers,
            learning_rate=learning_rate,
            momentum=momentum,
            **kwargs,
        )
        self.kernel_decay = float(kernel_decay)
        self.decayed = str(decayed)

    def build(self, variables):
        """Makes the velocities, and looks up what decays."""
        super().build(variables)
        self._decays = [
            self.kernel_decay if re.search(self.decayed, v.path) else 0.0
            for v in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable; see the class."""
        if decay := self._decays[self._get_variable_index(variable)]:
            gradient = gradient + decay * variable
        factor = self.factor_of(variable)
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        """The arguments that rebuild this optimizer."""
        return {
            **super().get_config(),
            "kernel_decay": self.kernel_decay,
            "decayed": self.decayed,
        }
