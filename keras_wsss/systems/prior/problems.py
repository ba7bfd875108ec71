"""What the prior system cannot do with a config, without building anything."""

from keras_wsss.config import Config
from keras_wsss.data import formats
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.encoder import Encoder
from keras_wsss.systems.problems import encoder_problems, resize_problems

SEGMENT_STRIDE = 8  # of stream S, pixels: three pools of stride 2
CLASS_STRIDE = 16  # of streams A and H: four of them
TRUNK_BLOCKS = 4  # shared by the streams


def problems(config: Config, phase: str) -> list[str]:
    """Sentences about fields that do not go together.

    Ranges of single fields are not looked at here.

    Args:
        config: a config of this system.
        phase: "joint".
    """
    group, data = config.phases[phase], config.data
    found = encoder_problems(config)
    if not found:
        text = blocks_problem(get_encoder(config.model.encoder))
        found += [f"config.model.encoder: {text}."] if text else []
    found += resize_problems(config)
    found += _size_problems(config) + _stream_problems(config)
    if group.source_pictures:
        found.append(
            f"config.phases.{phase}.source_pictures must be 0: the prior "
            "system uses no source pictures."
        )
    if not group.target_pictures:
        found.append(
            f"config.phases.{phase}.target_pictures is 0, but --phase {phase} "
            "learns from target tags; give it a positive number."
        )
    if not data.tags_complete:
        found.append(
            "config.data.tags_complete is False, but the prior system learns "
            "from tags alone what is absent; complete the tags, mark what is "
            "not sure as unknown, and set it to True."
        )
    if config.train.xla:
        found.append(
            "config.train.xla compiles the updates of TransferNet alone; "
            "switch it off for the prior system."
        )
    if config.prior.tags == "crop_gt" and not config.prior.target_masks:
        found.append(
            "config.prior.tags is 'crop_gt'; use 'image', or give "
            "config.prior.target_masks, the folder of the true masks."
        )
    return found + formats.problems(data, "target")


def blocks_problem(encoder: Encoder) -> str:
    """Why the streams cannot be made of an encoder, or "" if they can."""
    if len(encoder.blocks) == TRUNK_BLOCKS + 1:
        return ""
    return (
        f"the prior system needs an encoder with {TRUNK_BLOCKS + 1} blocks of "
        f"plain convolutions, and '{encoder.name}' has "
        f"{len(encoder.blocks) or 'none'}; use vgg16 or vgg_small"
    )


def _size_problems(config: Config) -> list[str]:
    """Sides that the pools cannot divide, or that do not fit each other."""
    found, size, prior = [], config.image.size, config.prior
    for name, side in (
        ("image.size", size),
        ("prior.test_size", prior.test_size),
    ):
        # At other sizes Caffe's and TensorFlow's pools differ.
        if side < 2 * SEGMENT_STRIDE + 1 or side % SEGMENT_STRIDE != 1:
            near = max(2, side // SEGMENT_STRIDE) * SEGMENT_STRIDE + 1
            found.append(
                f"config.{name} is {side}; stream S takes a multiple of "
                f"{SEGMENT_STRIDE} plus 1, for example {near}."
            )
    if prior.class_size < CLASS_STRIDE or prior.class_size % CLASS_STRIDE:
        near = max(1, round(prior.class_size / CLASS_STRIDE)) * CLASS_STRIDE
        found.append(
            f"config.prior.class_size is {prior.class_size}; streams A and H "
            f"take a positive multiple of {CLASS_STRIDE}, for example {near}."
        )
    elif not found and not _joins(size, prior.class_size):
        found.append(
            f"config.image.size is {size} and config.prior.class_size "
            f"{prior.class_size}, whose cells no blocks of whole cells can "
            "join; use a ratio near that of 321 and 224, for example 161 and "
            "112."
        )
    if prior.hide_grid > 0 and prior.class_size % prior.hide_grid:
        found.append(
            f"config.prior.class_size is {prior.class_size}, which "
            f"config.prior.hide_grid {prior.hide_grid} does not divide."
        )
    return found


def _joins(image_size: int, class_size: int) -> bool:
    """Whether blocks of cells of S cover the cells of A, none in vain."""
    cells = image_size // SEGMENT_STRIDE + 1
    side = class_size // CLASS_STRIDE
    block = -(-cells // side)
    return block * side - cells < block


def _stream_problems(config: Config) -> list[str]:
    """Choices that need stream H where there is none."""
    prior = config.prior
    if prior.hidden_stream:
        return []
    found = []
    if prior.cam_source != "clean":
        found.append(
            f"config.prior.cam_source is '{prior.cam_source}', but "
            "config.prior.hidden_stream is False; use 'clean'."
        )
    if set(prior.fusion_streams) == {"hidden"}:
        found.append(
            f"config.prior.fusion_streams is {prior.fusion_streams}, but "
            "config.prior.hidden_stream is False."
        )
    return found
