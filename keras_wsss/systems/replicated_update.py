"""What updates of every system share: the same on one device and on many."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

Batch = Mapping[str, Mapping[str, Any]]
# Losses and measures by name: sum and count of what a replica has.
Terms = Mapping[str, tuple[tf.Tensor, tf.Tensor]]
Means = Mapping[str, tf.Tensor]
Totals = Sequence[tuple[tf.Tensor, Sequence[keras.Variable]]]


class ReplicatedUpdate(abc.ABC):
    """Computes losses and gradients of a batch and applies them.

    A system says by `terms` what it computes and by `totals` what learns from
    it.

    Args:
        net: the network, built under the strategy's scope.
        optimizer: built under the strategy's scope.
        strategy: distribution strategy.
    """

    def __init__(
        self,
        net: Any,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
    ):
        self.net = net
        self.optimizer = optimizer
        self.strategy = strategy
        # Nothing here depends on a tensor's value in Python, so AutoGraph
        # would only double the time of tracing.
        self._function = tf.function(self._distributed, autograph=False)

    def __call__(
        self, batch: Batch, learning_rate: float
    ) -> dict[str, tf.Tensor]:
        """Makes one update.

        Args:
            batch: "source" and "target" parts of `make_batches`, per replica
                values when there are several.
            learning_rate: of this update.

        Returns:
            Scalars: the losses before the update, accuracies.
        """
        return self._function(batch, tf.constant(learning_rate, tf.float32))

    def _distributed(self, batch, learning_rate):
        values = self.strategy.run(self._replica, (batch, learning_rate))
        # Every replica holds the same, already summed values.
        return {
            name: self.strategy.experimental_local_results(value)[0]
            for name, value in values.items()
        }

    @abc.abstractmethod
    def terms(self, batch: Batch) -> Terms:
        """Every loss and measure of a replica's share, as (sum, count)."""

    @abc.abstractmethod
    def totals(self, means: Means) -> Totals:
        """What is minimised, and the variables that each total teaches.

        Args:
            means: this replica's part of the means of `terms` over all of
                them, by name.
        """

    def _replica(
        self, batch: Batch, learning_rate: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One replica's share of the update."""
        self.optimizer.learning_rate.assign(learning_rate)
        with tf.GradientTape(persistent=True) as tape:
            means = means_over_replicas(self.terms(batch))
            totals = self.totals(means)
        gradients: list[tf.Tensor] = []
        variables: list[keras.Variable] = []
        for total, taught in totals:
            variables += taught
            gradients += [
                # Keras variables do not take `unconnected_gradients="zero"`.
                tf.zeros(variable.shape) if gradient is None else gradient
                for gradient, variable in zip(
                    tape.gradient(total, list(taught)), taught, strict=True
                )
            ]
        del tape
        self.optimizer.apply(gradients, variables)
        return sums_over_replicas(means)


def means_over_replicas(terms: Terms) -> dict[str, tf.Tensor]:
    """Own sum over everyone's count: summed gradients are then right."""
    context = tf.distribute.get_replica_context()
    names = sorted(terms)
    counts = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [terms[name][1] for name in names]
    )
    return {
        name: tf.math.divide_no_nan(terms[name][0], count)
        for name, count in zip(names, counts, strict=True)
    }


def sums_over_replicas(means: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What `means_over_replicas` gives, summed: means over the batch."""
    context = tf.distribute.get_replica_context()
    names = sorted(means)
    sums = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [means[name] for name in names]
    )
    return dict(zip(names, sums, strict=True))
