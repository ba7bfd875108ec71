"""A third system, as docs/systems.md tells how to write one."""

import keras
import tensorflow as tf

from keras_wsss import systems
from keras_wsss.data.pictures import PictureStore
from keras_wsss.encoders import get_encoder
from keras_wsss.systems.transfernet.losses import tag_loss


class ToyNetwork(systems.Network):
    trained_parts = ("head",)

    def __init__(self, num_categories, encoder, image_size, **kwargs):
        arguments, entry = systems.arguments_of(locals()), get_encoder(encoder)
        encode = entry.build(image_size)
        features = keras.Input(encode.outputs[0].shape[1:])
        maps = keras.layers.Dense(num_categories, name="scores")(features)
        head = keras.Model(features, maps, name="head")  # (B, g, g, C)
        image = keras.Input(encode.input_shape[1:], name="image")
        super().__init__(image, head(encode(image)[0]), arguments, **kwargs)
        self.encoder, self.head = encode, head
        self.views = entry.views(image_size)


class ToyUpdate(systems.ReplicatedUpdate):
    def terms(self, batch):
        part = batch["target"]
        logits = tf.reduce_mean(self.net(part["image"]), (1, 2))
        return {"tag_loss": tag_loss(logits, part["tags"], part["known"])}

    def totals(self, means):
        return [(means["tag_loss"], self.net.head.trainable_variables)]


class ToySteps(systems.Steps):
    method = "Toy"

    def encode(self, image, scale, mirror):
        features = self.encoder_outputs(image, scale, mirror)[0]
        return self.network(scale).head(features), []

    def tag_scores(self, features, scale):
        return tf.sigmoid(tf.reduce_mean(features[0], (0, 1)))

    def foreground(self, features, mask_inputs, ids, scale):
        return tf.sigmoid(self.maps(features, ids)["class_maps"])

    def maps(self, features, ids):
        maps = tf.transpose(features[0], (2, 0, 1))
        return {"class_maps": tf.gather(maps, ids - 1)}


class ToySystem(systems.System):
    name = "toy"
    phases = (
        systems.Phase("joint", "from tags", True, False, "train.tag_weight"),
    )

    def build(self, config, split):
        encoder, size = config.model.encoder, config.image.size
        return ToyNetwork(split.num_categories, encoder, size)

    def make_optimizer(self, config):
        return keras.optimizers.Adam(name="adam")

    def assemble(self, job):
        pictures = PictureStore()
        stream = systems.make_stream(job, "target", job.data.target, pictures)
        update = ToyUpdate(job.net, job.optimizer, job.strategy)
        return systems.Parts(update, {"target": stream})

    def make_steps(self, net, split, config, rule=None):
        return ToySteps(net, split, config, rule)
