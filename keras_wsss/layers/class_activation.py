"""Class scores of a picture, and the maps that they are the mean of."""

import keras
from keras import ops

from keras_wsss.layers.dropout import FixedNameDropout


@keras.saving.register_keras_serializable("keras_wsss")
class ClassActivationHead(keras.layers.Layer):
    """Global average pooling, dropout and a dense layer, with their maps.

    Class activation maps (Zhou et al., CVPR 2016) apply the same dense
    weights at every position; the bias is left out of them.

    Args:
        num_categories: K.
        dropout: share of the pooled features that training drops.

    Call arguments:
        activations: float [B, h, w, D], after a ReLU.
        training: whether dropout acts.

    Returns:
        (tag logits float32 [B, K], class maps float32 [B, h, w, K]).
    """

    def __init__(self, num_categories: int, dropout: float = 0.5, **kwargs):
        # Maps and scores keep float32 whatever the precision policy.
        super().__init__(autocast=False, **kwargs)
        self.num_categories = int(num_categories)
        self.dropout = FixedNameDropout(dropout, name=f"{self.name}_dropout")

    def build(self, input_shape):
        """Makes the dense layer's weights."""
        # Xavier, as the release fills it.
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.num_categories),
            initializer="glorot_uniform",
            autocast=False,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.num_categories,),
            initializer="zeros",
            autocast=False,
            name="bias",
        )
        self.dropout.build((input_shape[0], input_shape[-1]))

    def call(self, activations, training=False):
        """Scores and maps; see the class."""
        activations = ops.cast(activations, "float32")
        pooled = ops.mean(activations, axis=(1, 2))  # (B, D)
        pooled = self.dropout(pooled, training=training)
        logits = ops.matmul(pooled, self.kernel) + self.bias
        maps = ops.matmul(activations, self.kernel)  # (B, h, w, K)
        return logits, maps

    def compute_output_spec(self, activations, training=False):
        """Shapes and dtypes of what `call` returns."""
        shape = activations.shape
        return (
            keras.KerasTensor((shape[0], self.num_categories), "float32"),
            keras.KerasTensor((*shape[:3], self.num_categories), "float32"),
        )

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {
            **super().get_config(),
            "num_categories": self.num_categories,
            "dropout": self.dropout.rate,
        }
