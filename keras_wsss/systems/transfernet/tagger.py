"""The tagger: which categories are in the picture."""

import keras
from keras import ops

from keras_wsss.layers.attention import shown_positions

_FAR = 1e6  # below all evidence: its power is 0


@keras.saving.register_keras_serializable("keras_wsss")
class PooledEvidence(keras.layers.Layer):
    """Pools a map over its positions: [B, h, w, C] to [B, C], float32.

    log(mean(exp(r m))) / r: the mean of the map for r = 0, its maximum for
    r without end (log-sum-exp, Pinheiro and Collobert, CVPR 2015).

    Args:
        sharpness: r, 0 or more.

    Call arguments:
        maps: float [B, h, w, C].
        features: float [B, h, w, D]; positions where they are all 0 do not
            count. None: all do.
    """

    def __init__(self, sharpness: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.sharpness = float(sharpness)

    def call(self, maps, features=None):
        """Pools; see the class."""
        maps = ops.cast(maps, "float32")
        shown = ops.ones_like(maps[..., :1])
        if features is not None:
            shown = ops.cast(shown_positions(features), "float32")[..., None]
        shown_count = ops.sum(shown, axis=(1, 2))
        count = ops.maximum(shown_count, 1.0)
        if not self.sharpness:
            return ops.sum(maps * shown, axis=(1, 2)) / count
        scaled = self.sharpness * maps - _FAR * (1.0 - shown)
        # The highest is taken out, so that nothing overflows.
        highest = ops.stop_gradient(ops.max(scaled, axis=(1, 2)))
        powers = ops.exp(scaled - highest[:, None, None])
        pooled = highest + ops.log(ops.sum(powers, axis=(1, 2)) / count)
        # As the mean, 0 where no position counts.
        return pooled / self.sharpness * ops.minimum(shown_count, 1.0)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "sharpness": self.sharpness}

    def compute_output_spec(self, maps, features=None):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor((maps.shape[0], maps.shape[-1]), "float32")


def build_tagger(
    features_shape: tuple[int | None, int | None, int],
    num_categories: int,
    units: int = 512,
    feature_gain: float = 1.0,
    ignore_empty: bool = False,
    sharpness: float = 0.0,
) -> keras.Model:
    """Builds the multi-label head on the frozen encoder.

    Evidence for every category is computed at every position and pooled over
    the picture. As the last layer is linear, the maps of evidence are class
    activation maps (Zhou et al., CVPR 2016, where they are averaged): the
    baseline that TransferNet has to beat comes from the same head.

    Args:
        features_shape: [g, g, D] of the encoder's features.
        num_categories: C.
        units: width of the hidden 1 x 1 layer; 0 leaves it out.
        feature_gain: constant factor on the features.
        ignore_empty: whether positions whose features are all 0 do not count.
        sharpness: of the pooling, see `PooledEvidence`.

    Returns:
        Model from features float [B, g, g, D] to a dict of "tag_logits"
        float32 [B, C] (sigmoid of them: is the category present?) and
        "class_maps" float [B, g, g, C], which they are pooled from.
    """
    features = keras.Input(features_shape, name="features")
    layers = [keras.layers.Rescaling(feature_gain, name="tagger_gain")]
    if units:
        layers.append(
            keras.layers.Dense(
                units,
                activation="relu",
                kernel_initializer="he_normal",
                name="tagger_hidden",
            )
        )
    layers.append(
        keras.layers.Dense(
            num_categories, dtype="float32", name="tagger_logits"
        )
    )
    maps = _apply(layers, features)
    counted = features if ignore_empty else None
    logits = PooledEvidence(sharpness, dtype="float32", name="tagger_mean")(
        maps, counted
    )
    return keras.Model(
        features, {"tag_logits": logits, "class_maps": maps}, name="tagger"
    )


def tagger_evidence(tagger: keras.Model, features):
    """The tagger's evidence for every category in single features.

    Args:
        tagger: a model of `build_tagger`; its layers are shared.
        features: float [..., D].

    Returns:
        float [..., C].
    """
    names = ("tagger_gain", "tagger_hidden", "tagger_logits")
    known = {layer.name: layer for layer in tagger.layers}
    return _apply([known[name] for name in names if name in known], features)


def _apply(layers, x):
    for layer in layers:
        x = layer(x)
    return x
