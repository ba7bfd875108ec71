"""COCO instances JSON: masks of source categories, masks to score by, tags."""

from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.formats.format import starts_with
from keras_wsss.data.formats.instance_format import InstanceFormat


class _Coco(InstanceFormat):
    """COCO instances JSON, and a folder that its file names start from."""

    name = "coco"

    def recognises(self, path, part):
        """Whether it is a JSON file; others that are one come before."""
        return path.suffix == ".json" or starts_with(path, "{")

    def read_annotations(
        self, path, images, data, on_problem, image_set, masks=True
    ):
        """See `read_coco_file`."""
        return read_coco_file(
            path, on_problem, data.max_pixels, masks=masks, index=data.index
        )


COCO = _Coco()
