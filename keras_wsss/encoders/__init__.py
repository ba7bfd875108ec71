"""Pretrained encoders: frozen features, and what decoders take of them.

`keras_wsss.encoders.encoder.Encoder` is what an encoder must say of itself.
"""

from typing import TYPE_CHECKING

from keras_wsss.registry import Registry

if TYPE_CHECKING:
    from keras_wsss.encoders.encoder import Encoder

_ENCODERS: "Registry[Encoder]" = Registry(
    "encoder",
    {
        "vgg16": "keras_wsss.encoders.vgg:VGG16",
        "vgg_small": "keras_wsss.encoders.vgg:VGG_SMALL",
    },
)


def encoder_names() -> tuple[str, ...]:
    """What `config.model.encoder` may be."""
    return _ENCODERS.names()


def get_encoder(name: str) -> "Encoder":
    """The encoder called `name`. Raises `ConfigError` if there is none."""
    return _ENCODERS.get(name)


def register_encoder(encoder: "Encoder") -> "Encoder":
    """Makes an encoder known by its name; gives it back."""
    return _ENCODERS.register(encoder)
