"""What the decoder sees of a pair besides the densified attention.

An extension: the published decoder sees one map, the densified attention.
Every map here says something about "this label, here?" and nothing about
which label it is, so that what the decoder learns from source categories
holds for others.
"""

import keras
from keras import ops

_EPSILON = 1e-6


@keras.saving.register_keras_serializable("keras_wsss")
class GuideMaps(keras.layers.Layer):
    """Three more views of where a label is, each in about [0, 1].

    Call arguments:
        features: float [batch, height, width, channels], not negative.
        attended: float [batch, labels, channels].
        attention: float [batch, labels, height, width].
        class_maps: float [batch, height, width, categories], the tagger's
            evidence at every position.
        labels: int [batch, labels], category ids from 1; 0 is padding.

    Returns:
        List of three float [batch, labels, height, width]:
        the attention, divided by its maximum;
        the cosine between each position's feature and the attended one: the
        densified attention without the strength of the features;
        the positive evidence for the label, divided by its maximum.
    """

    def call(self, features, attended, attention, class_maps, labels):
        """Makes the maps; see the class."""
        directions = _unit(features)
        similarity = ops.einsum("bkd,bhwd->bkhw", _unit(attended), directions)
        # The label's map of each picture, as a product with one-hot rows.
        chosen = ops.one_hot(
            ops.maximum(labels - 1, 0),
            class_maps.shape[-1],
            dtype=class_maps.dtype,
        )
        evidence = ops.einsum("bkc,bhwc->bkhw", chosen, class_maps)
        return [
            _of_maximum(ops.cast(attention, features.dtype)),
            similarity,
            _of_maximum(ops.relu(evidence)),
        ]

    def compute_output_spec(
        self, features, attended, attention, class_maps, labels
    ):
        """Shape and dtype of what `call` returns."""
        return [
            keras.KerasTensor(attention.shape, self.compute_dtype)
            for _ in range(3)
        ]


@keras.saving.register_keras_serializable("keras_wsss")
class StackMaps(keras.layers.Layer):
    """List of M maps [batch, labels, height, width] to [..., M]."""

    def call(self, maps):
        """Stacks; see the class."""
        return ops.stack(maps, axis=-1)

    def compute_output_spec(self, maps):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(
            (*maps[0].shape, len(maps)), self.compute_dtype
        )


@keras.saving.register_keras_serializable("keras_wsss")
class AppendFeatures(keras.layers.Layer):
    """Appends features of every position to the guides of all labels.

    Args:
        units: width that the features are projected to.
        feature_gain: constant factor on the features.

    Call arguments:
        guide: float [batch, labels, height, width, maps].
        features: float [batch, height, width, channels].

    Returns:
        float [batch, labels, height, width, maps + units].
    """

    def __init__(
        self,
        units: int,
        feature_gain: float = 1.0,
        **kwargs,
    ):
        # The guide stays as it is in half precision too; the projection
        # brings its own input to it.
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self.feature_gain = feature_gain

    def build(self, guide_shape, features_shape):
        """Makes the variables."""
        self.project = keras.layers.Dense(
            self.units,
            activation="relu",
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="project",
        )
        self.project.build(features_shape)

    def call(self, guide, features):
        """Appends; see the class."""
        scaled = features * self.feature_gain
        projected = self.project(scaled)[:, None]  # (B, 1, h, w, units)
        projected = ops.cast(projected, guide.dtype)
        labels = ops.shape(guide)[1]
        return ops.concatenate(
            [guide, ops.repeat(projected, labels, axis=1)], axis=-1
        )

    def compute_output_spec(self, guide, features):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(
            (*guide.shape[:-1], guide.shape[-1] + self.units), guide.dtype
        )

    def get_config(self):
        """The arguments that rebuild this layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "feature_gain": self.feature_gain,
        }


def _unit(vectors):
    length = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True))
    return vectors / ops.maximum(length, _EPSILON)


def _of_maximum(maps):
    highest = ops.max(maps, axis=(2, 3), keepdims=True)
    return maps / ops.maximum(highest, _EPSILON)
