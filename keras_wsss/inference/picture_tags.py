"""Which tags a tags file gives to pictures that are to be segmented."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_wsss.categories import Split
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.records import MISSING
from keras_wsss.errors import ConfigError
from keras_wsss.inference.find_pictures import Picture, own_path


@dataclasses.dataclass(frozen=True)
class PictureTags:
    """What a tags file says of pictures.

    Attributes:
        ids: the picture's `own_path` -> ids of its tags, ascending.
        untagged: file names of pictures that it does not name.
        unsure: file names of pictures of which it names no category for sure,
            but some that may be there, or that the model does not know.
        unused: pictures that it names and that are not among the given.
    """

    ids: Mapping[Path, tuple[int, ...]]
    untagged: tuple[str, ...]
    unsure: tuple[str, ...]
    unused: tuple[str, ...]


def read_picture_tags(
    tags_file: str | Path,
    pictures: Sequence[Picture],
    inputs: Sequence[str | Path],
    split: Split,
    tags_format: str = DataConfig().tags_format,
) -> PictureTags:
    """Reads the tags of given pictures, in any format that has tags.

    Args:
        tags_file: the file, or what the format reads.
        pictures: those of which the tags are wanted.
        inputs: files and folders that they were found in: names in the file
            start from these folders.
        split: the model's categories; all may be tags, source ones too.
        tags_format: name of the format.

    Raises:
        ConfigError: it names none of the pictures, or no such format.
        DataError: a file that cannot be used, or an unknown tag.
    """
    # Here a tag is what shall be looked for, whatever training knew of it.
    everything = dataclasses.replace(
        split, source=(), target=split.categories, scored=split.categories
    )
    roots = [p if p.is_dir() else p.parent for p in map(Path, inputs)]
    found: dict[Path, tuple[int, ...]] = {}
    unsure: set[Path] = set()
    missing: set[str] | None = None
    for root in dict.fromkeys(roots):
        data = DataConfig().replace(
            {
                "target_tags": str(tags_file),
                "target_images": str(root),
                "tags_format": tags_format,
                "skip_bad_images": True,
            }
        )
        dataset = formats.read(data, everything, "target")
        for record in dataset.records:
            path = own_path(record.image_path)
            found[path] = record.labels
            # "None of them" would be more than the file says.
            foreign = record.image_id in dataset.foreign
            if not record.labels and (record.uncertain or foreign):
                unsure.add(path)
        lacking = set(dataset.skipped.get(MISSING, ()))
        missing = lacking if missing is None else missing & lacking
    given = {own_path(picture.path): picture for picture in pictures}
    if not found.keys() & given.keys():
        raise ConfigError(
            f"{tags_file}: it names none of the {len(pictures)} pictures, e.g. "
            f"{pictures[0].file_name}; give the folder that its names start "
            "from."
        )
    return PictureTags(
        {
            path: ids
            for path, ids in found.items()
            if path in given and path not in unsure
        },
        tuple(p.file_name for path, p in given.items() if path not in found),
        tuple(p.file_name for path, p in given.items() if path in unsure),
        (
            *sorted(missing or ()),
            *(str(path) for path in found if path not in given),
        ),
    )
