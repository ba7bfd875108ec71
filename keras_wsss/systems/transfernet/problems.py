"""What TransferNet cannot do with a config, without building anything."""

from keras_wsss.config import Config
from keras_wsss.encoders import get_encoder
from keras_wsss.errors import ConfigError
from keras_wsss.systems.system import Phase


def problems(config: Config, phase: Phase) -> list[str]:
    """Sentences about fields that do not go together.

    Ranges of single fields are not looked at here.

    Args:
        config: a config of this system.
        phase: a phase of it.
    """
    group = config.phases[phase.name]
    found = image_problems(config)
    if config.model.judge == "tagger" and config.train.absent_per_image:
        found.append(
            "config.train.absent_per_image asks for absent labels, which only "
            "config.model.judge='classifier' can answer; set it to 0 or "
            "change the judge."
        )
    needed = ["source"]
    if phase.target or group.target_pictures:
        needed.append("target")
    for domain in needed:
        if not group[f"{domain}_pictures"]:
            learns = "masks of source pictures"
            if domain == "target":
                learns = "target tags"
            elif not phase.mask_weight:
                learns = "tags of source pictures too"
            found.append(
                f"config.phases.{phase.name}.{domain}_pictures is 0, but "
                f"--phase {phase.name} learns from {learns}; give it a "
                "positive number."
            )
        found += missing_data(config, domain)
    return found


def image_problems(config: Config) -> list[str]:
    """Sentences about an encoder and sizes that do not fit each other."""
    found, size = encoder_problems(config), config.image.size
    if not found and size % (
        stride := get_encoder(config.model.encoder).stride
    ):
        near = max(stride, round(size / stride) * stride)
        found.append(
            f"config.image.size is {size}, which is no multiple of {stride}, "
            f"the stride of {config.model.encoder}; use {near}."
        )
    return found + resize_problems(config)


def encoder_problems(config: Config) -> list[str]:
    """A sentence about an encoder that there is not."""
    try:
        get_encoder(config.model.encoder)
    except ConfigError as error:
        return [f"config.model.encoder: {error}"]
    return []


def resize_problems(config: Config) -> list[str]:
    """A sentence about windows that are larger than the picture."""
    image = config.image
    if image.resize >= image.size:
        return []
    return [
        f"config.image.resize is {image.resize}; it must be at least "
        f"config.image.size, {image.size}."
    ]


def missing_data(config: Config, domain: str) -> list[str]:
    """Sentences about locations of a domain's pictures that nobody gave."""
    files = {"source": "source_annotations", "target": "target_tags"}
    return [
        f"config.data.{name} is empty; set it in the config file or with "
        f"--config.data.{name}=PATH."
        for name in (files[domain], f"{domain}_images")
        if not config.data[name]
    ]
