"""Label-conditioned attention of TransferNet, in two forms."""

import keras
from keras import ops

FORMS = ("dense", "conv")
# A score that leaves nothing to a position unless all have it.
_NOTHING = -1e9


def fan_in_uniform(seed: int | None = None) -> keras.Initializer:
    """Uniform in ±sqrt(3 / fan_in), the initialiser of the published code."""
    return keras.initializers.VarianceScaling(
        scale=1.0, mode="fan_in", distribution="uniform", seed=seed
    )


def shown_positions(features):
    """Which positions of [batch, height, width, channels] are not all 0."""
    return ops.any(ops.not_equal(features, 0), axis=-1)  # (B, H, W)


@keras.saving.register_keras_serializable("keras_wsss")
class LabelEmbedding(keras.layers.Layer):
    """One learnt row per category, plus a bias shared by all.

    Equals the published dense layer on the one-hot label (`cls_embed`): the
    product with a one-hot vector is a row look-up.

    Args:
        num_categories: number of categories C.
        units: width of an embedding.

    Call arguments:
        labels: int [batch, labels] with category ids 1 to C; 0 is padding
            and gives the row of category 1 (its pairs carry weight 0).

    Returns:
        float [batch, labels, units].
    """

    def __init__(self, num_categories: int, units: int, **kwargs):
        super().__init__(**kwargs)
        self.num_categories = num_categories
        self.units = units

    def build(self, input_shape):
        """Makes the variables."""
        # fan_in of the one-hot product is the number of categories.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_categories, self.units),
            initializer=fan_in_uniform(),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )

    def call(self, labels):
        """Looks up the rows; see the class."""
        rows = ops.maximum(labels - 1, 0)
        return ops.take(self.kernel, rows, axis=0) + self.bias

    def compute_output_shape(self, input_shape):
        """Shape of what `call` returns."""
        return (*input_shape, self.units)

    def get_config(self):
        """The arguments that rebuild this layer."""
        return {
            **super().get_config(),
            "num_categories": self.num_categories,
            "units": self.units,
        }


@keras.saving.register_keras_serializable("keras_wsss")
class LabelAttention(keras.layers.Layer):
    """Where in the picture is this label? One softmax map per label.

    `form="dense"` is the published layer: the whole feature map is embedded
    at once, so every position's attention sees the entire picture, the input
    size is fixed and 211 million parameters are needed at 320 pixels:

        f = W_f vec(A) + b_f,   u = W_y y + b_y
        v = W_a relu(W_c (f * u) + b_c) + b_a,   attention = softmax(v)

    `form="conv"` makes the same interaction at every position with shared
    weights: any input size, and at the published 320 pixels and 1024 units
    1.7 instead of 211 million parameters.

    Args:
        num_categories: number of categories C.
        units: width of the embeddings (1024 in the paper).
        form: "dense" or "conv".
        feature_gain: for "conv", a constant factor on the features. One
            position has 1/400 of the dense layer's inputs, so the embedding
            would start that much weaker and learn slowly.
        skip_empty: whether positions whose features are all 0 get nothing:
            see `ViewSpec.blank_padding`.

    Call arguments:
        features: float [batch, height, width, channels], encoder output.
        labels: int [batch, labels], category ids 1 to C; 0 is padding.

    Returns:
        float32 [batch, labels, height, width]; each map sums to 1.

    Reference:
        Hong et al., CVPR 2016, arXiv 1512.07928, section on attention.
    """

    def __init__(
        self,
        num_categories: int,
        units: int = 1024,
        form: str = "dense",
        feature_gain: float = 1.0,
        skip_empty: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise ValueError(f"form must be one of {FORMS}, not {form!r}")
        self.num_categories = num_categories
        self.units = units
        self.form = form
        self.feature_gain = feature_gain
        self.skip_empty = skip_empty

    def build(self, features_shape, labels_shape):
        """Makes the variables."""
        _, height, width, channels = features_shape
        if self.form == "dense" and None in (height, width):
            raise ValueError(
                "Dense attention needs a fixed input size; give image_size, "
                "or use the form 'conv'."
            )
        # Sub-layers carry the names of the paper's released network.
        policy = self.dtype_policy
        self.feat_embed = keras.layers.Dense(
            self.units,
            kernel_initializer=fan_in_uniform(),
            dtype=policy,
            name="feat_embed",
        )
        self.cls_embed = LabelEmbedding(
            self.num_categories, self.units, dtype=policy, name="cls_embed"
        )
        self.combined_embed = keras.layers.Dense(
            self.units,
            activation="relu",
            kernel_initializer=fan_in_uniform(),
            dtype=policy,
            name="combined_embed",
        )
        self.att_w = keras.layers.Dense(
            height * width if self.form == "dense" else 1,
            kernel_initializer=keras.initializers.RandomNormal(0.0, 0.01),
            dtype=policy,
            name="att_w",
        )
        if self.form == "dense":
            self.feat_embed.build((None, height * width * channels))
        else:
            self.feat_embed.build((None, None, channels))
        self.cls_embed.build(labels_shape)
        self.combined_embed.build((None, None, self.units))
        self.att_w.build((None, None, self.units))

    def call(self, features, labels):
        """Attends; see the class."""
        shape = ops.shape(features)
        height, width = shape[1], shape[2]
        label = self.cls_embed(labels)  # (B, K, U)
        # The embedding of the picture does not depend on the label: once.
        if self.form == "dense":
            flat = ops.reshape(features, (shape[0], -1))  # (B, H*W*D)
            picture = self.feat_embed(flat)[:, None, :]  # (B, 1, U)
        else:
            flat = ops.reshape(
                features * self.feature_gain,
                (shape[0], height * width, shape[3]),
            )  # (B, H*W, D)
            picture = self.feat_embed(flat)[:, None]  # (B, 1, H*W, U)
            label = label[:, :, None]  # (B, K, 1, U)
        combined = self.combined_embed(picture * label)
        scores = self.att_w(combined)
        if self.form == "conv":
            scores = ops.squeeze(scores, -1)  # (B, K, H*W)
        scores = ops.cast(scores, "float32")
        if self.skip_empty:
            shown = ops.reshape(shown_positions(features), (shape[0], 1, -1))
            scores = ops.where(shown, scores, _NOTHING)
        attention = ops.softmax(scores, axis=-1)
        return ops.reshape(attention, (shape[0], -1, height, width))

    def compute_output_spec(self, features, labels):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(
            (features.shape[0], labels.shape[1], *features.shape[1:3]),
            dtype="float32",
        )

    def get_config(self):
        """The arguments that rebuild this layer."""
        return {
            **super().get_config(),
            "num_categories": self.num_categories,
            "units": self.units,
            "form": self.form,
            "feature_gain": self.feature_gain,
            "skip_empty": self.skip_empty,
        }
