"""The configuration of a run: one tree of frozen dataclasses.

Every field stands here once: its type, what it means, what it may be, and the
value of the papers where another one is recommended. docs/config.md is
written from this file: `python -m keras_wsss.config > docs/config.md`. The
prior system's own fields are in `keras_wsss.config_prior`.

Files of configs are read by `keras_wsss.config_files`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from keras_wsss.categories import Split, get_split
from keras_wsss.config_fields import (
    Group,
    field,
    flat,
    noted,
    with_values,
)
from keras_wsss.config_prior import PriorOptions
from keras_wsss.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class SplitConfig(Group):
    """Which categories have masks, and which have tags alone."""

    name: str = field(
        "coco60_voc20",
        "A built-in split (coco60_voc20, mini60, mini75, shapes), or any other "
        "name for one of your own.",
    )
    source: tuple[str, ...] = field(
        (), "Of a split of your own: the categories that have masks."
    )
    target: tuple[str, ...] = field(
        (), "Of a split of your own: the categories that have tags only."
    )
    scored: tuple[str, ...] = field(
        (), "Target categories that are scored; all of them if empty."
    )
    aliases: tuple[str, ...] = field(
        (), "Other spellings in annotations, each of the form other=name."
    )
    ignored: tuple[str, ...] = field(
        (),
        "Tags in a tags file that are not wanted; '*' is every one that is no "
        "near misspelling of a category.",
    )


@dataclasses.dataclass(frozen=True)
class DataConfig(Group):
    """Pictures; relative paths are relative to the current folder."""

    source_annotations: str = field(
        "",
        "Masks of the source pictures: COCO instances JSON, or a file or "
        "folder of another format (docs/data.md).",
    )
    source_images: str = field(
        "", "Folder of the source pictures, where the format has none itself."
    )
    source_set: str = field(
        "train", "List in ImageSets/Segmentation of them, in VOC layout."
    )
    source_format: str = field(
        "auto", "Format of `source_annotations`; auto goes by its content."
    )
    target_tags: str = field(
        "",
        "Tags of the target pictures: CSV with the columns image,labels, or a "
        "file or folder of another format (docs/data.md).",
    )
    target_images: str = field(
        "", "Folder of the target pictures, where the format has none itself."
    )
    tags_format: str = field(
        "auto", "Format of `target_tags`; auto goes by its content."
    )
    tags_image_column: str = field(
        "", "Column of a tags file that names pictures; found if empty."
    )
    tags_label_column: str = field(
        "", "Column of a tags file that holds tags; found if empty."
    )
    eval_root: str = field(
        "",
        "Pictures with masks to score on: a folder in VOC layout, or a file or "
        "folder of another format (docs/data.md).",
    )
    eval_images: str = field(
        "", "Folder of these pictures, where the format has none itself."
    )
    eval_set: str = field(
        "val", "List in ImageSets/Segmentation of them, in VOC layout."
    )
    eval_masks: str = field(
        "SegmentationClass",
        "Folder of masks in VOC layout, of source pictures too.",
    )
    eval_format: str = field(
        "auto", "Format of `eval_root`; auto goes by its content."
    )
    eval_negatives: str = field(
        "", "Folder of pictures without any scored category, to score too."
    )
    heldout: float = field(
        0.1,
        "Share of the source pictures that is held out of training, to watch "
        "and choose by; no target mask is ever used for that.",
        below=1,
    )
    exclude_images_with_target: bool = field(
        True,
        "Whether source pictures that show a target category are left out, as "
        "published; else those pixels are ignored.",
    )
    source_negatives: str = field(
        "listed",
        "Which target categories a source picture is known to lack if it has "
        "no annotation of them: those that the file lists as categories, as "
        "its annotators looked for them; all; or none. Teaches the tagger.",
        earlier="none",
        choices=("listed", "all", "none"),
    )
    tags_complete: bool = field(
        True,
        "Whether the tags of a picture are all of its target categories, so "
        "that an empty cell says 'none of them'; False if they are positives "
        "only.",
    )
    heldout_tags: float = field(
        0.1,
        "Share of the tagged pictures that is held out of training, to score "
        "the tagger and to choose its thresholds by; they have no masks.",
        earlier=0.0,
        below=1,
    )
    min_pixels: int = field(
        1, "A label with fewer visible pixels is not asked for."
    )
    target_masks: str = field(
        "",
        "Masks of target pictures: the folder that `pseudo_labels` made from "
        "tags and an earlier run (self-training, an extension), person:FOLDER "
        "of masks that a person drew or corrected, or both with a comma "
        "between; see docs/suggest.md.",
    )
    trusted_draws: int = field(
        8,
        "How many times an epoch uses a picture with a person's mask: there "
        "are few of them.",
        at_least=1,
    )
    max_pixels: int = field(
        64_000_000,
        "Largest width times height of a picture that is decoded.",
        at_least=1,
    )
    skip_bad_images: bool = field(
        False, "Leave out pictures that cannot be read, in place of stopping."
    )
    skip_bad_annotations: bool = field(
        False,
        "Leave out and count single annotations with a fault, in place of "
        "stopping; what they should mark is ignored in the masks.",
    )
    crowds_as_instances: bool = field(
        False,
        "Whether annotations with iscrowd 1 are objects as all others; CVAT "
        "and Datumaro mark drawn masks so.",
    )
    memory_mb: float = field(
        1000.0, "Decoded pictures that are kept in memory, MB."
    )
    index: str = field(
        "",
        "Folder that keeps what was found in large files of annotations, for "
        "the next start; empty takes that of the feature cache, if there is "
        "one.",
    )


@dataclasses.dataclass(frozen=True)
class ImageConfig(Group):
    """Views of pictures, see `keras_wsss.data.views`."""

    size: int = field(
        448, "Side of the input, pixels.", published=320, at_least=1
    )
    resize: int = field(
        448,
        "Side that pictures are brought to; a random window of `size` is cut "
        "from it.",
        published=330,
        at_least=1,
    )
    min_scale: float = field(
        1.0,
        "Smallest side of a window relative to `resize`; below 1 is an "
        "extension.",
        at_least=0.1,
        at_most=1,
    )
    mirror: bool = field(True, "Whether half of the views are mirrored.")


@dataclasses.dataclass(frozen=True)
class ModelConfig(Group):
    """The network; all but encoder and type are TransferNet's."""

    encoder: str = field(
        "efficientnet_lite0",
        "Name of the encoder: vgg16, efficientnet_lite0, vgg_small, a model of "
        "keras.applications (resnet50, convnext_tiny, ...), 'hub:' and a "
        "backbone of keras-hub, or two as FIRST+vgg16 (docs/encoders.md).",
        published="vgg16",
    )
    encoder_weights: str = field(
        "", "File of its weights; the usual places if empty (README)."
    )
    compute_dtype: str = field(
        "float32",
        "Type that convolutions and dense layers compute in; weights, losses "
        "and sums are float32. auto is bfloat16 where GPU or processor have "
        "it; float16 scales the loss (docs/performance.md).",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    attention: str = field(
        "conv",
        "Form of the attention: the published dense one is bound to one "
        "input size.",
        published="dense",
        choices=("dense", "conv"),
    )
    attention_units: int = field(
        256, "Width of the attention.", published=1024, at_least=1
    )
    classifier_units: int = field(
        512, "Width of the attention's classifier.", at_least=1
    )
    ignore_padding: bool = field(
        True,
        "Whether attention and tagger leave out the cells that show padding "
        "(an extension).",
        published=False,
    )
    normalization: str = field(
        "max",
        "What the densified attention is divided by: nothing, or its maximum.",
        published="none",
        choices=("none", "max"),
    )
    decoder_width: float = field(
        0.25,
        "Multiplier of the decoder's channel counts.",
        published=1.0,
        above=0,
        at_most=1,
    )
    output_stride: int = field(
        4,
        "Pixels of the input for one of the logits.",
        published=1,
        choices=(1, 2, 4),
    )
    initializer: str = field(
        "he",
        "Of the decoder; the published one begins with a long plateau.",
        published="published",
        choices=("published", "he"),
    )
    shortcut: bool = field(
        True,
        "Whether the decoder corrects the densified attention.",
        published=False,
    )
    guide_maps: bool = field(
        True,
        "Whether the decoder sees attention, similarity and class map too (an "
        "extension).",
        published=False,
    )
    guide_features: int = field(
        32,
        "Features that the decoder sees too, projected to this many (an "
        "extension).",
        published=0,
    )
    tagger_units: int = field(512, "Width of the tagger.", at_least=1)
    tagger_sharpness: float = field(
        0.0,
        "How much the tagger looks at the places with most evidence: 0 takes "
        "the mean over the picture, much more than 1 the maximum.",
        at_least=0,
    )
    attention_gain: float = field(
        270.0,
        "Multiplier of the features before the attention; see LabelAttention.",
        published=1.0,
        above=0,
    )
    classifier_gain: float = field(
        30.0,
        "Multiplier of the features before the classifiers.",
        published=1.0,
        above=0,
    )
    judge: str = field(
        "tagger",
        "Who judges the attended feature: its own classifier, or the tagger, "
        "which learns from plain tags and cannot be bribed.",
        published="classifier",
        choices=("classifier", "tagger"),
    )


@dataclasses.dataclass(frozen=True)
class CacheConfig(Group):
    """The frozen encoder's outputs on disk."""

    folder: str = field("", "Their folder; empty encodes at every step.")
    windows: int = field(
        1, "Windows of a picture; 1 is the whole picture.", at_least=1
    )
    switches: bool = field(
        True,
        "Whether the encoder's levels (switches, finer maps) of pictures "
        "without masks are kept too, so that `pseudo_labels` need not encode "
        "them again; without, their entries are a third as large.",
    )
    check: bool = field(
        False,
        "Whether every entry and the content of every picture are verified "
        "before training; else pictures that look unchanged are not read, and "
        "a damaged entry is made again when it is met.",
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(Group):
    """Training, all phases."""

    # The generators of NumPy take no larger one.
    seed: int = field(0, "Decides all that is random.", below=2**32)
    labels_per_image: int = field(
        1, "Labels that are asked for of a picture in a step.", at_least=1
    )
    absent_per_image: int = field(
        0,
        "Absent labels asked of a picture, with 'absent' as the answer; 0 as "
        "published.",
    )
    bias_multiplier: float = field(2.0, "Of the biases' learning rate.")
    last_classifier_multiplier: float = field(
        1.0, "Of the last classifying layer's learning rate.", published=10.0
    )
    tagger_multiplier: float = field(
        3.0, "Of the tagger's learning rate.", published=1.0
    )
    mask_weight: float = field(
        1.0,
        "Lambda. The release has 2, but takes means over as many batches "
        "without masks as with them, which comes to 1.",
    )
    overlap_weight: float = field(
        1.0, "Of the Dice loss (an extension).", published=0.0
    )
    tag_weight: float = field(1.0, "Of the tagger's loss.")
    clip_norm: float = field(
        0.0,
        "Largest norm of all gradients together; larger ones are shortened. "
        "0 does without.",
    )
    average: float = field(
        0.0,
        "Momentum of a moving average of the weights, which takes their place "
        "at the end of the phase (0.999, say); 0 does without.",
        below=1,
    )
    micro_batches: int = field(
        1,
        "Parts of a batch that are computed one after another: the same "
        "update with less memory.",
        at_least=1,
    )
    xla: bool = field(
        False,
        "Whether XLA compiles TransferNet's updates, on one device; slower on "
        "CPUs.",
    )
    feature_dropout: float = field(
        0.3,
        "Share of the encoder's channels hidden from a picture in a step (an "
        "extension); see ChannelDropout.",
        published=0.0,
        below=1,
    )
    log_every: int = field(50, "Steps between two lines.", at_least=1)
    checkpoint_every: int = field(
        250, "Steps between two checkpoints.", published=500, at_least=1
    )
    keep_checkpoints: int = field(
        2, "Newest checkpoints that are kept.", at_least=1
    )
    keep_best: bool = field(
        False,
        "Whether the checkpoint that is best on held-out source masks is kept "
        "beside the last one, in phases that learn masks from them.",
    )
    heldout_every: int = field(
        400,
        "Steps between two scores on held-out pictures.",
        published=500,
        at_least=1,
    )
    examples: int = field(
        6, "Pictures of each domain that TensorBoard shows at the same steps."
    )
    deterministic: bool = field(
        False, "Whether a run gives the same weights again, at some cost."
    )


@dataclasses.dataclass(frozen=True)
class PhaseConfig(Group):
    """A phase of training."""

    steps: int = field(1000, "Updates.", at_least=1)
    learning_rate: float = field(1e-3, "After the warm-up.")
    final_learning_rate: float = field(1e-4, "At the end.")
    decay: str = field(
        "cosine",
        "How the rate goes from one to the other: half a cosine, or a "
        "polynomial with power 0.9.",
        choices=("cosine", "poly"),
    )
    source_pictures: int = field(8, "Source pictures of an update.")
    target_pictures: int = field(16, "Target pictures of an update.")
    warmup_steps: int = field(
        0,
        "Steps at the beginning without the mask loss, so that attention "
        "means something before the decoder learns to read it.",
    )
    warmup_learning_rate: float = field(1e-3, "During the warm-up, constant.")


@dataclasses.dataclass(frozen=True)
class PhasesConfig(Group):
    """A group for each phase."""

    attention: PhaseConfig = field(
        PhaseConfig(steps=600),
        "Published step 1: the attention, from tags.",
        published=PhaseConfig(15_000, 1e-3, 1e-3, "cosine", 32, 32),
    )
    decoder: PhaseConfig = field(
        PhaseConfig(1500, 1.5e-3, target_pictures=0, warmup_steps=250),
        "Ours: decoder and attention from source masks.",
        published=PhaseConfig(15_000, 5e-4, 5e-4, "cosine", 32, 0, 3000),
    )
    # The new categories' rows of the attention first, then the decoder too.
    # Tags are cheap: target pictures do not pass the decoder.
    transfer: PhaseConfig = field(
        PhaseConfig(750, warmup_steps=150),
        "Published step 2: tags of the target categories, masks of the source.",
        published=PhaseConfig(15_000, 5e-4, 5e-4, "cosine", 32, 32),
    )
    # Steps as released; rate, policy and warm-up are our decision.
    joint: PhaseConfig = field(
        PhaseConfig(100_000, 1e-4, 0.0, "poly", 0, 1, 5000, 1e-4),
        "The prior system, from target tags alone.",
    )


@dataclasses.dataclass(frozen=True)
class InferenceConfig(Group):
    """From scores to masks, see docs/method.md."""

    tag_threshold: float | None = field(
        None,
        "Probability at which the tagger names a category; None: chosen on "
        "held-out tags and stored with the run.",
        at_most=1,
    )
    none_threshold: float | None = field(
        None,
        "Probability at which it names any at all; None: chosen likewise.",
        at_most=1,
    )
    always_one_tag: bool = field(
        False,
        "Whether the most probable category is named however improbable it "
        "is, as in TransferNet's release; else a picture may hold none.",
        earlier=True,
    )
    background_factor: float = field(
        0.18, "Weight of the background's score.", published=0.5, above=0
    )
    relative: bool = field(
        True,
        "Divides a label's probabilities by their largest in the picture "
        "first: a label that is there has a peak of 1, however unsure the "
        "decoder is of a new category (an extension).",
        published=False,
    )
    rank_by_tag: bool = field(
        True,
        "Whether labels that the tagger found compete for a pixel by "
        "probability times the tagger's score (an extension), or by "
        "probability alone.",
        published=False,
    )
    pseudo_margin: float = field(
        0.15,
        "Pseudo labels leave out pixels this close to the threshold.",
        below=1,
    )
    mask_threshold: float = field(
        0.5, "Probability from which a pixel is foreground.", below=1
    )
    scales: tuple[float, ...] = field(
        (1.0,), "Scales of test-time augmentation.", above=0, some=True
    )


@dataclasses.dataclass(frozen=True)
class Config(Group):
    """What a run computes: see the groups.

    `Config()` is what is recommended for photographs, `Config.published()`
    what the papers did. Data and, for your own categories, a split have to be
    named; `replace` gives a changed copy:

        Config().replace({"train.seed": 1, "data": {"eval_root": "val"}})
    """

    name: str = field(
        "transfernet", "Name of the config, for tables and reports."
    )
    system: str = field(
        "transfernet", "Which of the two methods: transfernet or prior."
    )
    split: SplitConfig = field(SplitConfig(), "Categories.")
    data: DataConfig = field(DataConfig(), "Pictures.")
    image: ImageConfig = field(ImageConfig(), "Views of pictures.")
    model: ModelConfig = field(ModelConfig(), "The network.")
    cache: CacheConfig = field(CacheConfig(), "The encoder's outputs.")
    train: TrainConfig = field(TrainConfig(), "Training.")
    prior: PriorOptions = field(PriorOptions(), "The prior system.")
    phases: PhasesConfig = field(PhasesConfig(), "Phases.")
    inference: InferenceConfig = field(InferenceConfig(), "Inference.")

    @classmethod
    def published(cls, system: str = "transfernet") -> Self:
        """What the papers did.

        TransferNet: Hong et al., CVPR 2016, arXiv 1512.07928, and the
        authors' release; prior: Redondo-Cabrera et al., TIP 2019, as far as
        it is known (docs/prior.md).

        Raises:
            ConfigError: a system without published values.
        """
        if system not in _PUBLISHED_OF:
            raise ConfigError(
                f"Nothing is published for the system '{system}'; use one of "
                f"{', '.join(_PUBLISHED_OF)}, or Config()."
            )
        changes = {"system": system, **_PUBLISHED_OF[system]}
        return with_values(cls(), {**PUBLISHED, **changes})


# Where the papers' TransferNet differs from the defaults.
PUBLISHED: Mapping[str, Any] = noted(Config, "published")
# Pictures of up to 500 pixels are brought to 513, where the released loader
# pads them; windows of 321 are cut from that. 0.1 is the class gate.
_PUBLISHED_OF: Mapping[str, Mapping[str, Any]] = {
    "transfernet": {},
    "prior": {
        "image.size": 321,
        "image.resize": 513,
        "inference.tag_threshold": 0.1,
    },
}


# What files of fields start from, by system: the prior system's defaults are
# what is published; other systems say theirs when they are registered.
_STARTS = {"prior": Config.published("prior")}


def register_start(system: str, values: Mapping[str, Any]) -> None:
    """Says what a system's configs have, by dotted names, if no file does.

    Raises:
        ConfigError: unknown fields or wrong types.
    """
    _STARTS[system] = Config().replace({**values, "system": system})


def start_of(system: str) -> Config:
    """What a file of fields for a system starts from, if it names no base."""
    return _STARTS.get(system) or Config().replace({"system": system})


def data_of(config: Config) -> DataConfig:
    """The group `data` for readers, its index beside the feature cache."""
    data = config.data
    return data.replace({"index": data.index or config.cache.folder})


def split_of(config: Config) -> Split:
    """The split that a config names.

    Raises:
        ConfigError: unknown, or contradicts itself.
    """
    split = config.split
    aliases = [pair.split("=") for pair in split.aliases]
    for pair in aliases:
        if len(pair) != 2:
            raise ConfigError(
                f"config.split.aliases: '{'='.join(pair)}' is not of the form "
                "other=name."
            )
    return get_split(
        split.name,
        split.source,
        split.target,
        split.scored,
        dict(aliases),
        split.ignored,
    )


def to_json(config: Group) -> dict[str, Any]:
    """A config, or a group of one, as plain JSON values."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return plain(dataclasses.asdict(config))


def save_config(path: Path, config: Config) -> None:
    """Writes a config as JSON, atomically."""
    from keras_wsss.files import write_json  # who reads need not wait for it

    write_json(path, to_json(config))


def differences(first: Config, second: Config) -> list[str]:
    """Sentences about the fields in which two configs differ."""
    here = flat(second)
    return [
        f"{name} is {value!r} there and {here[name]!r} here"
        for name, value in flat(first).items()
        if value != here[name]
    ]


if __name__ == "__main__":
    from keras_wsss.config_docs import page

    print(page(), end="")
