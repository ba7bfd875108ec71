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
        micro_batches: parts that a replica's rows are computed in, one after
            another.
        xla: whether XLA compiles the update; for one replica.
    """

    def __init__(
        self,
        net: Any,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        micro_batches: int = 1,
        xla: bool = False,
    ):
        self.net = net
        self.optimizer = optimizer
        self.strategy = strategy
        self.micro_batches = micro_batches
        # Nothing here depends on a tensor's value in Python, so AutoGraph
        # would only double the time of tracing.
        self._function = tf.function(
            self._distributed, autograph=False, jit_compile=xla or None
        )

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
        if self.micro_batches == 1:
            means, gradients, variables = self._gradients(batch, None)
        else:
            means, gradients, variables = self._part_by_part(batch)
        if clips(self.optimizer):
            gradients = _equal_shares(gradients)
        self.optimizer.apply(gradients, variables)
        return sums_over_replicas(means)

    def _gradients(self, batch: Batch, counts: Means | None):
        """Means and gradients of a batch, or of a part of one.

        Args:
            batch: rows of this replica.
            counts: of the whole batch and all replicas; None: the batch is
                whole.

        Returns:
            Means by name, gradients, and their variables.
        """
        with tf.GradientTape(persistent=True) as tape:
            terms = self.terms(batch)
            if counts is None:
                counts = counts_over_replicas(terms)
            means = {
                name: tf.math.divide_no_nan(terms[name][0], counts[name])
                for name in sorted(terms)
            }
            totals = [
                (self._scaled(total), taught)
                for total, taught in self.totals(means)
            ]
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
        return means, gradients, variables

    def _part_by_part(self, batch: Batch):
        """What `_gradients` gives, of one part after the other.

        Sums over parts are those of the whole batch, as every part divides by
        the counts of the whole. Counts come of the data alone, so that the
        graph leaves out the network where they are taken.
        """
        counts = counts_over_replicas(self.terms(batch))
        variables: list[keras.Variable] = []

        def part(number: tf.Tensor) -> list[tf.Tensor]:
            def rows(tensor: tf.Tensor) -> tf.Tensor:
                size = tensor.shape[0] // self.micro_batches
                return tensor[number * size :][:size]

            means, gradients, taught = self._gradients(
                tf.nest.map_structure(rows, batch), counts
            )
            variables[:] = taught
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
            return [*means.values(), *dense]

        def add(number: tf.Tensor, *sums: tf.Tensor):
            added = zip(sums, part(number), strict=True)
            return number + 1, *(one + other for one, other in added)

        first = part(tf.constant(0))
        _, *sums = tf.while_loop(
            lambda number, *sums: number < self.micro_batches,
            add,
            (tf.constant(1), *first),
            parallel_iterations=1,
        )
        names = sorted(counts)
        means = dict(zip(names, sums[: len(names)], strict=True))
        return means, sums[len(names) :], variables

    def _scaled(self, total: tf.Tensor) -> tf.Tensor:
        """Times the loss scale, where there is one; `apply` takes it out."""
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return self.optimizer.scale_loss(total)
        return total


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer bounds the norm of gradients."""
    return bool(own_optimizer(optimizer).global_clipnorm)


def own_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer without the scaling of losses."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _equal_shares(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What every replica has to bring for the sum to stay as it is.

    Each replica's own part has another norm than the whole, and would be
    shortened by another factor.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return list(gradients)
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
    sums = context.all_reduce(tf.distribute.ReduceOp.SUM, dense)
    return [one / context.num_replicas_in_sync for one in sums]


def counts_over_replicas(terms: Terms) -> Means:
    """Everyone's counts: own sums over these make summed gradients right."""
    context = tf.distribute.get_replica_context()
    names = sorted(terms)
    counts = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [terms[name][1] for name in names]
    )
    return dict(zip(names, counts, strict=True))


def sums_over_replicas(means: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Every replica's part of the means, added up."""
    context = tf.distribute.get_replica_context()
    names = sorted(means)
    sums = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [means[name] for name in names]
    )
    return dict(zip(names, sums, strict=True))
