"""An encoder of one's own, as docs/systems.md tells how to write one."""

import keras

from keras_wsss.data.views import PixelScale
from keras_wsss.encoders.encoder import Encoder, Level
from keras_wsss.encoders.layer_weights import assign_by_name, read_layer_weights
from keras_wsss.layers.pooling import MaxPoolingWithSwitches


class ToyEncoder(Encoder):
    """Three convolutions, each with a pool: stride 8."""

    name = "toy_encoder"
    stride = 8
    channels = 24
    pixels = PixelScale((127.5,) * 3, (127.5,) * 3)  # RGB, -1 to 1
    levels = (Level(8, 2), Level(16, 4), Level(24, 8))

    def build(self, image_size=None):
        self.check_size(image_size)
        x = image = keras.Input((image_size, image_size, 3), name="image")
        switches = []
        for number, pool in enumerate(self.levels, start=1):
            x = keras.layers.Conv2D(
                pool.channels,
                3,
                padding="same",
                activation="relu",
                name=f"conv{number}",
            )(x)
            x, kept = MaxPoolingWithSwitches(name=f"pool{number}")(x)
            switches.append(kept)
        model = keras.Model(image, [x, *switches], name=self.name)
        model.trainable = False
        return model

    def load_weights(self, model, path=None):
        assign_by_name(model, read_layer_weights(path), path)
