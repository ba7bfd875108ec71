"""Attended feature and densified attention (TransferNet, 3.3 and 3.4)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_wsss")
class AttendedFeature(keras.layers.Layer):
    """The feature that a label looks at: z = sum over i of attention_i A_i.

    Call arguments:
        features: float [batch, height, width, channels].
        attention: float [batch, labels, height, width], maps that sum to 1.

    Returns:
        float [batch, labels, channels].
    """

    def call(self, features, attention):
        """Sums the attended features; see the class."""
        attention = ops.cast(attention, features.dtype)
        return ops.einsum("bkhw,bhwd->bkd", attention, features)

    def compute_output_spec(self, features, attention):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(
            (*attention.shape[:2], features.shape[3]),
            dtype=self.compute_dtype,
        )


@keras.saving.register_keras_serializable("keras_wsss")
class DensifiedAttention(keras.layers.Layer):
    """How alike is each position to the attended ones: s_i = A_i . z.

    Equals A A^T attention. It repairs the sparsity of a softmax attention;
    the published layer has neither bias nor normalisation.

    Args:
        normalization: "none" (published), or "max": each map is divided by
            its maximum, so that the decoder sees the same range whatever the
            strength of the features.

    Call arguments:
        features: float [batch, height, width, channels].
        attended: float [batch, labels, channels].

    Returns:
        float [batch, labels, height, width].
    """

    def __init__(self, normalization: str = "none", **kwargs):
        super().__init__(**kwargs)
        if normalization not in ("none", "max"):
            raise ValueError(f"unknown normalization {normalization!r}")
        self.normalization = normalization

    def call(self, features, attended):
        """Compares with every position; see the class."""
        densified = ops.einsum("bkd,bhwd->bkhw", attended, features)
        if self.normalization == "max":
            highest = ops.max(densified, axis=(2, 3), keepdims=True)
            densified = densified / (highest + 1e-6)
        return densified

    def compute_output_spec(self, features, attended):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(
            (*attended.shape[:2], *features.shape[1:3]),
            dtype=self.compute_dtype,
        )

    def get_config(self):
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "normalization": self.normalization}
