"""What the rest asks of a format of pictures, masks and tags."""

from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.records import Dataset
from keras_wsss.errors import ConfigError


class Format:
    """A way in which masks or tags of pictures lie on disk.

    `keras_wsss.data.formats.register_format` makes one known by its name. It
    reads what it has; a reader that it lacks is refused in one sentence. The
    files are those of `config.data`, and nothing of them is decoded here:
    records read their masks when they are asked for them.

    Attributes:
        name: value of `config.data.source_format`, `tags_format` or
            `eval_format`.
    """

    name: str

    def read_source(self, data: Any, split: Split) -> Dataset:
        """Pictures with masks of source categories, to train on.

        Args:
            data: group `data` of a config: `source_annotations`,
                `source_images`, `exclude_images_with_target`, `min_pixels`,
                `source_negatives`, `skip_bad_images` and `max_pixels`.
            split: categories to use.

        Raises:
            DataError: names file, record, value and remedy.
        """
        raise self._lacks("source_format", "masks to train on")

    def read_target(self, data: Any, split: Split) -> Dataset:
        """Pictures with tags, to train on; no record has a mask.

        Args:
            data: group `data` of a config: `target_tags`, `target_images`,
                `tags_complete` and `skip_bad_images`.
            split: categories to use.

        Raises:
            DataError: names file, record, value and remedy.
        """
        raise self._lacks("tags_format", "tags")

    def read_evaluation(self, data: Any, split: Split) -> Dataset:
        """Target pictures with true masks, to score on.

        Args:
            data: group `data` of a config: `eval_root`, `eval_set`,
                `eval_masks` and `max_pixels`.
            split: categories to use.

        Raises:
            DataError: names file, record, value and remedy.
        """
        raise self._lacks("eval_format", "masks to score by")

    def _lacks(self, field: str, what: str) -> ConfigError:
        return ConfigError(
            f"config.data.{field} is '{self.name}', a format that is not read "
            f"for {what}; name another one."
        )
