"""Learns the weights of vgg_small from image-level tags of drawn pictures.

The weights in the package were made in 45 minutes on 2 CPU cores by

    python -m benchmarks.pretrain_vgg_small \
        --out keras_wsss/encoders/vgg_small.weights.h5

with the default steps and seed. The pictures show random silhouettes (see
`benchmarks.glyphs`), none of which looks like a target category
of the split "shapes", and share no random numbers with that data set. The
labels are tags: which silhouettes a picture holds. No mask is used.

Batch normalisation helps while learning; afterwards it is folded into the
convolutions, which makes the plain VGG that `keras_wsss.encoders.vgg` builds.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.early_help import early_help

NUM_GLYPHS = 60
LIKENESS = 0.75  # intersection over union from which silhouettes look alike


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the training with pictures of one kind.

    Attributes:
        content: "plain" (one large silhouette), "cluttered" (one of any size
            among blobs) or "several" (one to three, as in the data set).
        image_size: S, side of the pictures in pixels.
        pictures: how many are drawn.
        steps: number of updates, unless --steps changes the total.
        batch: pictures in an update.
        learning_rate: at its highest.
    """

    content: Literal["plain", "cluttered", "several"]
    image_size: int
    pictures: int
    steps: int
    batch: int
    learning_rate: float


# From the easy to the hard. Begun with clutter, the loss is still near that
# of guessing after 400 updates; large silhouettes alone get it going. The
# last stage gets the features used to crowds, and to inner cells of larger
# pictures, which see no border.
STAGES = (
    Stage("plain", 64, 6000, 800, 64, 3e-3),
    Stage("cluttered", 64, 20000, 2500, 64, 3e-3),
    Stage("several", 96, 20000, 3000, 48, 2e-3),
)
# Random numbers of the shapes data set come from streams 0, 1, 2 of a seed.
_STREAM = 1000


_PARSER = argparse.ArgumentParser(
    prog="python -m benchmarks.pretrain_vgg_small",
    description="Learn the weights of vgg_small from image-level tags.",
    allow_abbrev=False,
)
_PARSER.add_argument(
    "--out",
    type=Path,
    required=True,
    metavar="FILE",
    help="Weights file to write, ending in .weights.h5; written after "
    "each stage.",
)
for name, default, text in (
    (
        "steps",
        sum(stage.steps for stage in STAGES),
        "Number of updates over all stages",
    ),
    ("seed", 1, "Seed of pictures, weights and order"),
):
    _PARSER.add_argument(
        f"--{name}",
        type=int,
        default=default,
        metavar="N",
        help=f"{text} (default: {default}).",
    )

early_help(_PARSER.parse_args)

import h5py
import keras
import numpy as np
import tensorflow as tf

from benchmarks.glyphs import glyphs
from keras_wsss.categories import SHAPES_TARGET
from keras_wsss.commands.cli import exit_with
from keras_wsss.data.views import CAFFE
from keras_wsss.devices import announce_devices
from keras_wsss.encoders.vgg import VGG_SMALL
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_path
from keras_wsss.shapes.drawing import Thing, blob, draw_scene
from keras_wsss.shapes.make import things_to_draw
from keras_wsss.shapes.outlines import OUTLINES, Outline


def draw_pictures(
    stage: Stage, count: int, seed: int, outlines: dict[str, Outline]
) -> tuple[np.ndarray, np.ndarray]:
    """Draws tagged pictures.

    Args:
        stage: what they are like.
        count: N, how many.
        seed: the result is a function of the arguments.
        outlines: C outlines by category name.

    Returns:
        Pictures, uint8 [N, S, S, 3], BGR, and tags, float32 [N, C]: equal
        shares of the categories present, summing to 1.
    """
    names, size = list(outlines), stage.image_size
    pictures = np.empty((count, size, size, 3), np.uint8)
    tags = np.zeros((count, len(names)), np.float32)
    for index in range(count):
        rng = np.random.default_rng([seed, _STREAM + size, index])
        while not tags[index].any():
            things = _things(rng, stage, outlines)
            picture, instances = draw_scene(rng, size, things)
            for instance in instances:
                if instance.name is not None and instance.visible.sum() >= 12:
                    tags[index, names.index(instance.name)] = 1
        pictures[index] = picture[..., ::-1]
    return pictures, tags / tags.sum(axis=1, keepdims=True)


def _things(
    rng: np.random.Generator, stage: Stage, outlines: dict[str, Outline]
) -> list[Thing]:
    """What a picture of the stage is to hold."""
    names = list(outlines)
    if stage.content == "several":
        return things_to_draw(rng, names, 1.0, outlines)
    name = str(rng.choice(names))
    if stage.content == "plain":
        return [Thing(outlines[name], rng.uniform(20, 28), name)]
    things = [
        Thing(blob(rng), rng.uniform(5, 14)) for _ in range(rng.integers(0, 4))
    ]
    things.append(Thing(outlines[name], rng.uniform(10, 28), name))
    if rng.random() < 0.4:
        things.append(Thing(blob(rng), rng.uniform(3, 8)))
    return things


def build_classifier(num_categories: int) -> keras.Model:
    """The VGG with batch normalisation, pooled to one logit a category.

    Input float32 [B, S, S, 3], BGR, means subtracted; output float32 [B, C].
    """
    x = inputs = keras.Input((None, None, 3))
    blocks = VGG_SMALL.blocks
    for number, block in enumerate(blocks, start=1):
        for convolution in range(1, block.convolutions + 1):
            name = f"block{number}_conv{convolution}"
            x = keras.layers.Conv2D(
                block.filters,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=name,
            )(x)
            x = keras.layers.BatchNormalization(
                momentum=0.98, name=f"{name}_norm"
            )(x)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if number < len(blocks):
            x = keras.layers.MaxPooling2D(name=f"block{number}_pool")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = keras.layers.Dense(num_categories, name="logits")(x)
    return keras.Model(inputs, logits, name="vgg_small_classifier")


def augment(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors, shifts and recolours a batch, then subtracts the means.

    Args:
        pictures: uint8 [B, S, S, 3], BGR.
        rng: random numbers.

    Returns:
        float32 [B, S, S, 3].
    """
    batch = np.empty(pictures.shape, np.float32)
    for picture, output in zip(pictures, batch, strict=True):
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        shift = tuple(rng.integers(-8, 9, 2))
        picture = np.roll(picture, shift, axis=(0, 1))
        # Colours mean nothing here, so any order of channels will do.
        output[:] = picture[..., rng.permutation(3)]
        output *= rng.uniform(0.8, 1.1)
    return batch - np.array(CAFFE.mean, np.float32)


def learn(
    model: keras.Model,
    stage: Stage,
    pictures: np.ndarray,
    tags: np.ndarray,
    steps: int,
    seed: int,
) -> None:
    """Minimises the cross-entropy of the tags, with a progress line.

    Args:
        model: what `build_classifier` gave.
        stage: gives batch and learning rate.
        pictures: uint8 [N, S, S, 3], BGR.
        tags: float32 [N, C], summing to 1.
        steps: number of updates; the learning rate falls to 0 over them.
        seed: seed of order and augmentation.
    """
    rng = np.random.default_rng([seed, _STREAM + stage.image_size])
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps,
        warmup_target=stage.learning_rate,
        warmup_steps=max(1, steps // 20),
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=1e-3, clipnorm=5.0
    )
    optimizer.build(model.trainable_variables)
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def update(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = entropy(labels, logits)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )
        return loss

    started, losses = time.monotonic(), []
    for step in range(1, steps + 1):
        chosen = rng.integers(0, len(pictures), stage.batch)
        images = augment(pictures[chosen], rng)
        losses.append(update(images, tags[chosen]))
        if step % 100 == 0 or step == steps:
            elapsed = time.monotonic() - started
            print(
                f"step {step}/{steps}  loss {np.mean(losses):.4f}  "
                f"{elapsed / 60:.1f} min, "
                f"{elapsed / step * (steps - step) / 60:.1f} min left",
                flush=True,
            )
            losses.clear()


def encoder_weights(
    model: keras.Model, pictures: np.ndarray
) -> dict[str, list[np.ndarray]]:
    """Weights of the plain VGG that computes what the classifier does.

    Folds batch normalisation into kernels and biases, and scales the last
    convolution so that the 99th percentile of its activations is 1: the
    ReLU lets a positive factor through.

    Args:
        model: the trained classifier.
        pictures: uint8 [N, S, S, 3], BGR, to measure activations on.

    Returns:
        Layer name -> kernel and bias, float16.
    """
    weights = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            norm = model.get_layer(f"{layer.name}_norm")
            gamma, beta, mean, variance = norm.get_weights()
            factor = gamma / np.sqrt(variance + norm.epsilon)
            kernel = layer.get_weights()[0] * factor
            weights[layer.name] = [kernel, beta - mean * factor]
    encoder = VGG_SMALL.build(pictures.shape[1])
    for name, arrays in weights.items():
        encoder.get_layer(name).set_weights(arrays)
    images = pictures.astype(np.float32) - np.array(CAFFE.mean, np.float32)
    features = encoder.predict(images, batch_size=32, verbose=0)[0]
    level = np.percentile(features, 99)
    *_, last = weights
    weights[last] = [array / level for array in weights[last]]
    return {
        name: [array.astype(np.float16) for array in arrays]
        for name, arrays in weights.items()
    }


def write_layer_weights(
    path: str | os.PathLike[str],
    weights: Mapping[str, Sequence[np.ndarray]],
) -> None:
    """Writes weights in the layout of Keras 3, atomically.

    The bytes are a function of the arguments alone. Unlike Keras, dtypes are
    kept, so float16 arrays make a file of half the size.

    Args:
        path: file to write; by convention it ends in `.weights.h5`.
        weights: layer name -> arrays in the layer's order.
    """
    with (
        atomic_path(path) as temporary,
        h5py.File(temporary, "w") as file,
    ):
        for name, arrays in weights.items():
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            for index, array in enumerate(arrays):
                group.create_dataset(str(index), data=array)


def main(arguments: list[str] | None = None) -> None:
    """Draws pictures, learns from their tags and writes the weights.

    Args:
        arguments: command line; the one of the process when None.

    Raises:
        ConfigError: a flag that cannot be used.
    """
    flags = _PARSER.parse_args(arguments)
    announce_devices()
    if not flags.out.name.endswith(".weights.h5"):
        raise ConfigError(
            f"--out {flags.out} must end in .weights.h5, as Keras wants."
        )
    if flags.steps < 1:
        raise ConfigError(f"--steps {flags.steps} must be at least 1.")
    if flags.seed < 0:
        raise ConfigError(f"--seed {flags.seed} is negative; use 0 or more.")
    keras.utils.set_random_seed(flags.seed)
    target = [OUTLINES[name] for name in SHAPES_TARGET]
    outlines = glyphs(flags.seed, NUM_GLYPHS, target, LIKENESS)
    model = build_classifier(NUM_GLYPHS)
    for seed, stage in enumerate(STAGES, start=flags.seed):
        share = flags.steps / sum(stage.steps for stage in STAGES)
        steps = max(1, round(stage.steps * share))
        count = min(stage.pictures, steps * stage.batch)
        print(f"{stage.content}: drawing {count} pictures", flush=True)
        pictures, tags = draw_pictures(stage, count, seed, outlines)
        learn(model, stage, pictures, tags, steps, seed)
        write_layer_weights(flags.out, encoder_weights(model, pictures[:256]))
        print(f"Wrote {flags.out}", flush=True)


if __name__ == "__main__":
    exit_with(main)
