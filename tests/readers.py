"""Readers of single formats, as tests call them: no config, no registry."""

from pathlib import Path

from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.formats.index_masks import evaluation_records
from keras_wsss.data.formats.instances import source_records
from keras_wsss.data.formats.voc import list_voc
from keras_wsss.data.problems import raise_problem


def read_coco(annotations, images, split, *, max_pixels=64_000_000, **options):
    """Source records of COCO instances JSON; see `source_records`."""
    file = read_coco_file(annotations, max_pixels=max_pixels)
    return source_records(file, Path(images), split, **options)


def read_voc(
    root,
    image_set,
    split,
    on_problem=raise_problem,
    *,
    masks="SegmentationClass",
    **options,
):
    """Evaluation records of VOC's layout; see `evaluation_records`."""
    folder = list_voc(Path(root), [image_set], masks, on_problem)
    return evaluation_records(folder, split, on_problem, **options)
