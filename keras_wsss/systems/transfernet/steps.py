"""The steps from a picture to a mask with a TransferNet."""

import tensorflow as tf

from keras_wsss.data import preprocess
from keras_wsss.errors import ConfigError
from keras_wsss.systems.merge import foreground_probability
from keras_wsss.systems.steps import Steps
from keras_wsss.systems.transfernet.network import TransferNet


class TransferSteps(Steps):
    """Attention and decoder on a frozen encoder; see `Steps`."""

    method = "TransferNet"
    takes_batches = True

    @property
    def scales(self) -> tuple[float, ...]:
        """Those of the config; dense attention has a fixed input size."""
        return (1.0,) if self._networks[1.0].fixed_size else super().scales

    def network(self, scale: float) -> TransferNet:
        """A network for each scale; see `Steps.network`."""
        if scale not in self._networks:
            net = self._networks[1.0]
            if net.fixed_size:
                raise ConfigError(
                    "Dense attention has a fixed input size, so "
                    "config.inference.scales must be (1.0,); 'conv' attention "
                    "takes others."
                )
            stride = net.views.stride
            size = stride * round(net.views.image_size * scale / stride)
            self._networks[scale] = net.rebuilt(image_size=size)
        return self._networks[scale]

    def encode(self, image, scale, mirror):
        """Runs the encoder on one view; see `Steps.encode`.

        Returns:
            Features float32 [1, g, g, D], and the levels that `masks` takes.
        """
        features, *levels = self.encoder_outputs(image, scale, mirror)
        return features, self.network(scale).select_levels(levels)

    def encode_batch(self, inputs, valid, scale):
        """As `encode`; see `Steps.encode_batch`."""
        features, *levels = self.encoder_batch(inputs, valid, scale)
        return features, self.network(scale).select_levels(levels)

    def from_cache(self, encoding):
        """As `encode`; the cache has the finest level first."""
        views = self.network(1.0).views
        valid = preprocess.whole_valid(
            encoding.height,
            encoding.width,
            views.image_size,
            views.stride,
            encoding.view.mirror,
        )
        features = preprocess.shown_only(
            views, tf.cast(encoding.features[None], tf.float32), valid[None]
        )
        kept = encoding.levels[::-1]
        return features, [tf.constant(maps[None]) for maps in kept]

    def tag_scores(self, features, scale):
        """Of the tagger; see `Steps.tag_scores`."""
        outputs = self.network(scale).tagger(features, training=False)
        return tf.sigmoid(outputs["tag_logits"][0])

    def foreground(self, features, levels, ids, scale):
        """From attention to masks; see `Steps.foreground`."""
        net = self.network(scale)
        labels = tf.cast(ids, tf.int32)[None]
        outputs = net.attention([features, labels], training=False)
        logits = net.mask_logits(
            [outputs["guide"], labels, *levels],
            training=False,
        )
        return foreground_probability(
            logits[0],
            self.config.inference.background_factor,
            self.config.inference.relative,
        )

    def maps(self, features, ids):
        """Of "attention", "densified_attention" and "class_maps"."""
        net = self.network(1.0)
        outputs = net.attention([features, ids[None]], training=False)
        maps = net.tagger(features, training=False)["class_maps"]
        return {
            "attention": outputs["attention"][0],
            "densified_attention": outputs["densified_attention"][0],
            "class_maps": tf.gather(tf.transpose(maps[0], [2, 0, 1]), ids - 1),
        }
