"""Formats of instances: what they share beside how their files are read."""

from pathlib import Path
from typing import Any

from keras_wsss.data.annotations import Annotations
from keras_wsss.data.formats.format import Format
from keras_wsss.data.formats.instances import (
    evaluation_records,
    source_records,
    tagged_records,
)
from keras_wsss.data.formats.names import is_ignored
from keras_wsss.data.problems import OnProblem, counting, raise_problem

FAULTY = "annotations with a fault"
_TAGGED = "train"  # the part of divided files that tags are taken of


class InstanceFormat(Format):
    """A format of instances: outlines or run lengths, each with a category.

    `read_annotations` is all that one adds; its pictures train, score and, by
    the names of their instances, tag.
    """

    def read_annotations(
        self,
        path: Path,
        images: Path,
        data: Any,
        on_problem: OnProblem,
        image_set: str,
        masks: bool = True,
    ) -> Annotations:
        """What the files say.

        Args:
            path: file or folder of the annotations.
            images: folder of the pictures; `path` itself if none was given.
            data: group `data` of a config: `max_pixels`.
            on_problem: called with every problem; the faulty part is left out.
            image_set: part of the pictures that is wanted, such as "train",
                where the files are divided.
            masks: whether an instance needs an outline; without, as for tags,
                none is read.

        Raises:
            DataError: nothing of that format; with `raise_problem`, also the
                first problem.
        """
        raise NotImplementedError

    def annotations(
        self,
        path: str,
        images: str,
        data: Any,
        on_problem: OnProblem,
        image_set: str,
        masks: bool = True,
    ) -> tuple[Annotations, Path]:
        """What the files say by the config's switches, and where pictures are.

        Arguments as `read_annotations`; faulty annotations are left out and
        counted where the config asks for it, and crowds become instances.
        """
        folder = Path(images or path)
        faulty: dict[str, int] = {}
        if data.skip_bad_annotations:
            on_problem = counting(FAULTY, faulty, on_problem)
        file = self.read_annotations(
            Path(path), folder, data, on_problem, image_set, masks
        )
        file = file._replace(dropped={**file.dropped, **faulty})
        if data.crowds_as_instances:
            file = _without_crowds(file)
        return file, file.folder or folder

    def read_source(self, data, split, on_problem=raise_problem):
        """See `source_records`."""
        file, images = self.annotations(
            data.source_annotations,
            data.source_images,
            data,
            on_problem,
            data.source_set,
        )
        return source_records(
            file,
            images,
            split,
            on_problem,
            exclude_images_with_target=data.exclude_images_with_target,
            min_pixels=data.min_pixels,
            skip_missing=data.skip_bad_images,
            negatives=data.source_negatives,
        )

    def read_evaluation(self, data, split, on_problem=raise_problem):
        """See `evaluation_records`."""
        # A faulty one left out would be scored as background.
        data = data.replace({"skip_bad_annotations": False})
        file, images = self.annotations(
            data.eval_root, data.eval_images, data, on_problem, data.eval_set
        )
        return evaluation_records(file, images, split, on_problem)

    def read_target(self, data, split, on_problem=raise_problem):
        """See `tagged_records`."""
        file, images = self.annotations(
            data.target_tags,
            data.target_images,
            data,
            on_problem,
            _TAGGED,
            masks=False,
        )
        return tagged_records(
            file,
            images,
            split,
            on_problem,
            skip_missing=data.skip_bad_images,
            complete=data.tags_complete,
        )


def _without_crowds(file: Annotations) -> Annotations:
    ignored = frozenset(
        key for key, name in file.categories.items() if is_ignored(name)
    )
    return file._replace(instances=file.instances.without_crowds(ignored))
