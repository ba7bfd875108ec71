"""Dropout whose random state can be found again in a checkpoint."""

import keras


@keras.saving.register_keras_serializable("keras_wsss")
class FixedNameDropout(keras.layers.Layer):
    """Dropout with a random state that is named after the layer.

    Keras numbers these states by the layers that the process made before, so
    that a resumed run would not find its own.

    Args:
        rate: share of the inputs that training sets to 0; the others grow by
            1 / (1 - rate).
        seed: of the first state; None takes the one of
            `keras.utils.set_random_seed`.

    Call arguments:
        inputs: any float tensor.
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
        if training and self.rate:
            return keras.random.dropout(
                inputs, self.rate, seed=self.seed_generator
            )
        return inputs

    def compute_output_spec(self, inputs, training=False):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
