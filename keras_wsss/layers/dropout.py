"""Dropout whose random state can be found again in a checkpoint."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_wsss")
class FixedNameDropout(keras.layers.Layer):
    """Dropout with a random state that is named after the layer.

    Keras numbers these states by the layers that the process made before, so
    that a resumed run would not find its own.

    Every row of the batch draws for itself, from the state and its place in
    the batch of all replicas together: several replicas drop what one does.

    Args:
        rate: share of the inputs that training sets to 0; the others grow by
            1 / (1 - rate).
        seed: of the first state; None takes the one of
            `keras.utils.set_random_seed`.

    Call arguments:
        inputs: float [B, ...]; the first rows of the batch are those of the
            first replica.
        training: whether to drop.

    Returns:
        Same shape and dtype.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be in [0, 1), got {rate}")
        self.rate = float(rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(
            seed, name=f"{self.name}_state"
        )

    def call(self, inputs, training=False):
        """Drops; see the class."""
        if not (training and self.rate):
            return inputs
        shape = tf.shape(inputs)[1:]

        def draw(seed: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_uniform(shape, seed) >= self.rate

        seeds = self._seeds(tf.shape(inputs)[0])
        kept = tf.map_fn(draw, seeds, fn_output_signature=tf.bool)
        kept = tf.ensure_shape(kept, inputs.shape)
        return tf.where(kept, inputs / (1.0 - self.rate), 0.0)

    def _seeds(self, rows: tf.Tensor) -> tf.Tensor:
        """int32 [rows, 2]: a seed for each row of this replica."""
        state = self.seed_generator.next()
        # XLA takes seeds of 32 bits only.
        state = tf.cast(tf.math.floormod(state, tf.int32.max), tf.int32)
        context = tf.distribute.get_replica_context()
        if context is None:  # outside of `strategy.run`
            return tf.random.split(state, rows)
        first = context.replica_id_in_sync_group * rows
        every = tf.random.split(state, context.num_replicas_in_sync * rows)
        return every[first : first + rows]

    def compute_output_spec(self, inputs, training=False):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
