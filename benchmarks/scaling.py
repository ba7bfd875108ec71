"""What a step costs on many GPUs: counted here, and estimated from that.

    python -m benchmarks.scaling --config transfernet_voc12

Counts, from the graphs of a config's network, the operations, the bytes of
gradients and the bytes of input. No step is run. The times are estimates
from these counts and the rates given by flags.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import math

from absl import app, flags

from benchmarks.early_help import early_help
from keras_wsss.commands.config_flag import define_config

CONFIG = define_config("Of the run.")
PHASE = flags.DEFINE_string("phase", "transfer", "Phase: sizes of its batch.")
PICTURES = flags.DEFINE_integer("pictures", 118_287, "COCO train2017 [known].")
LABELS = flags.DEFINE_float("labels", 2.9, "Labels of a COCO picture [known].")
JPEG = flags.DEFINE_float("jpeg_kb", 160, "File of a COCO picture [known].")
TFLOPS = flags.DEFINE_float("tflops", 15, "Sustained, per GPU [estimate].")
LINK = flags.DEFINE_float("link", 100, "GB/s between GPUs of a machine.")
NETWORK = flags.DEFINE_float("network", 10, "GB/s between machines.")
PER_MACHINE = flags.DEFINE_integer("per_machine", 8, "GPUs of a machine.")

early_help()

import tensorflow as tf

from benchmarks.counting import operations
from keras_wsss.config import split_of
from keras_wsss.systems.network import build_network
from keras_wsss.training.cache_entry import Layout, layouts_of


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a step consists of.

    Attributes:
        gradient_bytes: of all trained variables.
        encoder: float operations of a picture, once.
        attention: float operations of a pair, forward.
        decoder: float operations of a pair, forward.
        picture_bytes: of a picture on its way to the GPU.
        source_bytes: the same of a cache entry with switches.
        target_bytes: the same of a cache entry of features alone.
        source_file: bytes on disk of an entry with switches.
        target_file: bytes on disk of an entry of features alone.
    """

    gradient_bytes: int
    encoder: float
    attention: float
    decoder: float
    picture_bytes: int
    source_bytes: int
    target_bytes: int
    source_file: int
    target_file: int


def count(config) -> Counts:
    """Counts of a config's TransferNet for one picture and one label."""
    net = build_network(config, split_of(config))
    size = config.image.size
    trained = [net.attention, net.decoder, net.tagger]
    variables = {id(v): v for m in trained for v in m.trainable_variables}
    image = ((1, size, size, 3), tf.float32)
    shapes = [tuple(t.shape)[1:] for t in net.mask_logits.inputs]
    types = [t.dtype for t in net.mask_logits.inputs]
    shapes = [tuple(1 if n is None else n for n in shape) for shape in shapes]
    feature_shape = tuple(net.encoder.outputs[0].shape)[1:]
    used = tuple(sorted(net.used_levels))
    by_levels = layouts_of(net.encoder, size, [used, ()])
    layouts = [by_levels[used], by_levels[()]]
    return Counts(
        gradient_bytes=sum(4 * math.prod(v.shape) for v in variables.values()),
        encoder=operations(net.encoder, image),
        attention=operations(
            net.attention,
            ((1, *feature_shape), tf.float32),
            ((1, 1), tf.int32),
        ),
        decoder=operations(
            net.mask_logits,
            *(((1, *s), t) for s, t in zip(shapes, types, strict=True)),
        ),
        picture_bytes=4 * size * size * 3 + size * size,
        source_bytes=unpacked(layouts[0]) + size * size,
        target_bytes=unpacked(layouts[1]),
        source_file=layouts[0].file_size,
        target_file=layouts[1].file_size,
    )


def unpacked(layout: Layout) -> int:
    """Bytes of an entry in memory: switches are uint8 there."""
    return layout.features_size + sum(map(math.prod, layout.level_specs))


def show(name: str, counts: Counts, settings) -> None:
    """Prints the counts and a row for each size of cluster."""
    source, target = settings.source_pictures, settings.target_pictures
    print(f"\n{name}, --phase {PHASE.value}: counted")
    for field in dataclasses.fields(counts):
        print(f"  {field.name:15s} {getattr(counts, field.name):.4g}")
    entries = PICTURES.value * 2 * counts.source_file
    print(
        f"  cache of {PICTURES.value} pictures, mirrored too: "
        f"{entries / 1e12:.2f} TB with switches"
    )
    print(
        "estimated: GPUs, cache, pairs a step, and by GPU and step: "
        "operations, input bytes, all-reduce bytes; ms of compute, "
        "all-reduce, step; pairs/s; hours for an epoch of source pairs"
    )
    for growing in (False, True):
        for cached in (False, True):
            for gpus in (1, 8, 64):
                scale = gpus if growing else 1
                _row(counts, gpus, cached, source * scale, target * scale)


def _row(counts: Counts, gpus: int, cached: bool, source, target) -> None:
    source, target = source / gpus, target / gpus
    # The backward pass costs twice the forward pass; the encoder has none.
    work = (
        3 * counts.attention * (source + target) + 3 * counts.decoder * source
    )
    bytes_in = source * counts.source_bytes + target * counts.target_bytes
    if not cached:
        work += counts.encoder * (source + target)
        bytes_in = (source + target) * counts.picture_bytes
    reduced = 2 * (gpus - 1) / gpus * counts.gradient_bytes
    rate = LINK.value if gpus <= PER_MACHINE.value else NETWORK.value
    compute, sums = work / TFLOPS.value / 1e12, reduced / rate / 1e9
    step = compute + sums  # not overlapped: the gradients come last
    epoch = PICTURES.value * LABELS.value / (source * gpus or math.inf) * step
    print(
        f"  {gpus:3d} {'yes' if cached else 'no ':3s} "
        f"{(source + target) * gpus:6.0f} {work:.2e} {bytes_in:.2e} "
        f"{reduced:.2e} {1e3 * compute:8.1f} {1e3 * sums:8.1f} "
        f"{1e3 * step:8.1f} {(source + target) * gpus / step:9.0f} "
        f"{epoch / 3600:7.2f}"
    )


def main(_: list[str]) -> None:
    """Counts and estimates for the config of the command line."""
    config = CONFIG.load()
    show(config.name, count(config), config.phases[PHASE.value])


if __name__ == "__main__":
    app.run(main)
