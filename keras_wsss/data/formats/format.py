"""What the rest asks of a format of pictures, masks and tags."""

from pathlib import Path
from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.problems import OnProblem, raise_problem
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
        own_images: whether its pictures lie with the masks or tags, or are
            named by them, so that no folder of pictures need be given.
    """

    name: str
    own_images: bool = False

    def recognises(self, path: Path, part: str) -> bool:
        """Whether a file or folder looks like one of this format.

        Asked where the config names none, of one format after the other, so
        a glance must do.

        Args:
            path: what exists of `source_annotations`, `target_tags` or
                `eval_root`.
            part: "source", "target" or "evaluation".
        """
        return False

    def read_source(
        self, data: Any, split: Split, on_problem: OnProblem = raise_problem
    ) -> Dataset:
        """Pictures with masks of source categories, to train on.

        Args:
            data: group `data` of a config: `source_annotations`,
                `source_images`, `exclude_images_with_target`, `min_pixels`,
                `source_negatives`, `skip_bad_images`, `skip_bad_annotations`,
                `crowds_as_instances` and `max_pixels`.
            split: categories to use.
            on_problem: called with every problem; what is at fault is left out.

        Raises:
            DataError: names file, record, value and remedy; with the default
                `on_problem`, also for the first problem.
        """
        raise self._lacks("source_format", "masks to train on")

    def read_target(
        self, data: Any, split: Split, on_problem: OnProblem = raise_problem
    ) -> Dataset:
        """Pictures with tags, to train on; no record has a mask.

        Args:
            data: group `data` of a config: `target_tags`, `target_images`,
                `tags_complete` and `skip_bad_images`.
            split: categories to use.
            on_problem: called with every problem; what is at fault is left out.

        Raises:
            DataError: names file, record, value and remedy; with the default
                `on_problem`, also for the first problem.
        """
        raise self._lacks("tags_format", "tags")

    def read_evaluation(
        self, data: Any, split: Split, on_problem: OnProblem = raise_problem
    ) -> Dataset:
        """Target pictures with true masks, to score on.

        Args:
            data: group `data` of a config: `eval_root`, `eval_images`,
                `eval_set`, `eval_masks` and `max_pixels`.
            split: categories to use.
            on_problem: called with every problem; what is at fault is left out.

        Raises:
            DataError: names file, record, value and remedy; with the default
                `on_problem`, also for the first problem.
        """
        raise self._lacks("eval_format", "masks to score by")

    def _lacks(self, field: str, what: str) -> ConfigError:
        return ConfigError(
            f"config.data.{field} is '{self.name}', a format that is not read "
            f"for {what}; name another one."
        )


def starts_with(path: Path, text: str) -> bool:
    """Whether a file of text begins so, behind white space."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        start = file.read(1024).decode("utf-8-sig", errors="replace")
    return start.lstrip().startswith(text)
