"""The flags `--config NAME_OR_FILE` and `--config.FIELD=VALUE`."""

import dataclasses
from typing import Any

from absl import flags

from keras_wsss.config import Config
from keras_wsss.config_fields import fields_of, flat
from keras_wsss.config_files import (
    current_name,
    load_config,
    old_names,
    parse_override,
)
from keras_wsss.errors import ConfigError

_PREFIX = "config."


@dataclasses.dataclass(frozen=True)
class ConfigFlag:
    """What a command line says of the config."""

    holder: flags.FlagHolder

    @property
    def given(self) -> bool:
        """Whether a config is named or a field overridden."""
        return self.holder.value is not None or bool(self.overrides())

    def overrides(self) -> dict[str, Any]:
        """Values by the names of today; a name that is given twice ends last.

        Raises:
            ConfigError: a value is not of its field's type.
        """
        found: dict[str, Any] = {}
        for name in (*flat(Config()), *old_names()):
            flag = flags.FLAGS[_PREFIX + name]
            if not flag.present:
                continue
            now, value = parse_override(name, str(flag.value))
            if now in found and found[now] != value:
                raise ConfigError(
                    f"--{_PREFIX}{name}={flag.value}: --{_PREFIX}{now} is "
                    "given too, with another value."
                )
            found[now] = value
        return found

    def load(self, start: Config | None = None) -> Config:
        """The config, with what is overridden.

        Args:
            start: is taken where no config is named.

        Raises:
            ConfigError: no config is named, or it cannot be.
        """
        if self.holder.value is not None:
            start = load_config(self.holder.value)
        if start is None:
            raise ConfigError(
                "Give a configuration: --config NAME_OR_FILE, for example "
                "--config mini60 or a .yaml file with your data (docs/data.md)."
            )
        return start.replace(self.overrides())


def define_config(text: str) -> ConfigFlag:
    """Defines the flags of a command that takes a config.

    Args:
        text: help of `--config`; what follows of fields is added.
    """
    fields = fields_of(Config)
    for name in (*flat(Config()), *old_names()):
        own = fields[current_name(name)]
        define = flags.DEFINE_bool if own.type is bool else flags.DEFINE_string
        # Of this module, not of the command: --help lists --config alone.
        define(
            _PREFIX + name,
            None,
            own.metadata["text"],
            module_name=__name__,
        )
    return ConfigFlag(
        flags.DEFINE_string(
            "config",
            None,
            f"{text} A built-in name (mini60) or a .yaml, .json or .py file; "
            "--config.FIELD=VALUE overrides a field, for example "
            "--config.train.seed=1 (docs/config.md has all).",
        )
    )


def unknown_field(name: str) -> str:
    """A sentence about `--config.NAME` that there is not."""
    try:
        parse_override(name.removeprefix(_PREFIX), "")
    except ConfigError as error:
        return str(error)
    return f"--{name}: give it a value, --{name}=VALUE."
