"""Records from masks of category indices, a picture each, of any layout.

A format of index masks says which pictures and masks there are and what their
indices mean (`MaskFolder`); training and scoring are the same for all.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_wsss.categories import BACKGROUND, IGNORE, Split
from keras_wsss.data.formats.format import Format
from keras_wsss.data.formats.mask_set import MaskSet
from keras_wsss.data.formats.names import check_spelling
from keras_wsss.data.formats.source import (
    HIDDEN,
    Candidate,
    require_source,
    source_dataset,
)
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.lookup import near_image
from keras_wsss.data.masks import (
    Colours,
    mask_value_problem,
    own_palette,
    read_colour_mask,
    read_palette_mask,
)
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    closest,
    problem_of,
    raise_problem,
)
from keras_wsss.data.records import MISSING, Dataset, Record, Records
from keras_wsss.errors import DataError
from keras_wsss.progress import progress


@dataclasses.dataclass(frozen=True, slots=True)
class IndexMask:
    """Reads an index mask and gives its indices the ids of a split.

    Attributes:
        path: palette or 8-bit grey PNG; with `colours`, any PNG.
        ids: id of the split for index 1, 2, ..., or what else is to stand
            there: background (0) or ignore (255).
        max_pixels: largest width times height that is accepted.
        colours: what the colours of a mask mean, if it holds colours.
    """

    path: Path
    ids: tuple[int, ...]
    max_pixels: int = DEFAULT_MAX_PIXELS
    colours: Colours | None = None

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"its mask {self.path}"

    def read(self) -> np.ndarray:
        """The mask as uint8 [height, width]: 0 background, ids, 255 ignore.

        Raises:
            DataError: unreadable, or with values that name no category.
        """
        return with_split_ids(self.read_indices(), self.ids)

    def read_indices(self) -> np.ndarray:
        """The mask as it is stored; as `read` else."""
        if self.colours is not None:
            return read_colour_mask(self.path, self.colours, self.max_pixels)
        mask = read_palette_mask(self.path, self.max_pixels)
        if wrong := mask_value_problem(mask, len(self.ids)):
            raise_problem(Problem(wrong.kind, str(self.path), "", wrong.text))
        return mask


class MaskedPicture(NamedTuple):
    """A picture and its mask, perhaps missing.

    Attributes:
        name: of its record.
        image: its file; None if there is none.
        mask: file of its mask.
        missing: what to tell where there is no picture.
    """

    name: str
    image: Path | None
    mask: Path
    missing: Problem


class MaskFolder(NamedTuple):
    """Pictures with index masks.

    Attributes:
        path: the folder, for messages.
        names: what index 1, 2, ... mean.
        names_path: where that stands, for messages; None if they are VOC's.
        pictures: in the order of the records.
        colours: what the colours of the masks mean, if they hold colours.
    """

    path: Path
    names: tuple[str, ...]
    names_path: Path | None
    pictures: tuple[MaskedPicture, ...]
    colours: Colours | None = None


class IndexFormat(Format):
    """A format of index masks; `list_pictures` is all that one adds."""

    def list_pictures(
        self,
        path: Path,
        images: str,
        data: Any,
        part: str,
        on_problem: OnProblem,
    ) -> MaskFolder:
        """What lies in the folder; no picture or mask is opened.

        Args:
            path: what the config names as the part's place.
            images: folder of the pictures, "" if none was given.
            data: group `data` of a config.
            part: "source" or "evaluation".
            on_problem: called with every problem; what is at fault is left out.
        """
        raise NotImplementedError

    def read_source(self, data, split, on_problem=raise_problem):
        """See `source_records`."""
        folder = self.list_pictures(
            Path(data.source_annotations),
            data.source_images,
            data,
            "source",
            on_problem,
        )
        return source_records(
            folder,
            split,
            on_problem,
            max_pixels=data.max_pixels,
            exclude_images_with_target=data.exclude_images_with_target,
            min_pixels=data.min_pixels,
            skip_missing=data.skip_bad_images,
            negatives=data.source_negatives,
        )

    def read_evaluation(self, data, split, on_problem=raise_problem):
        """See `evaluation_records`."""
        folder = self.list_pictures(
            Path(data.eval_root),
            data.eval_images,
            data,
            "evaluation",
            on_problem,
        )
        return evaluation_records(
            folder, split, on_problem, max_pixels=data.max_pixels
        )


def source_records(
    folder: MaskFolder,
    split: Split,
    on_problem: OnProblem = raise_problem,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    **switches: Any,
) -> Dataset:
    """Source records: every mask is read once, to know what is in it.

    Targets and what the split does not know are ignored (255).

    Args:
        folder: pictures with masks.
        split: categories to use.
        on_problem: called with every problem; the picture is left out.
        max_pixels: largest width times height of a mask.
        switches: as for `source_dataset`.

    Raises:
        DataError: no source category has an index; and with the default
            `on_problem`, the first problem.
    """
    known = [split.find(name) for name in folder.names]
    require_source(split, known, folder.path, folder.names)
    source = set(split.source_ids)
    taught = tuple(i if i in source else IGNORE for i in known)

    def candidates() -> Iterator[Candidate]:
        for each, mask, counts in _counted(
            folder, taught, max_pixels, on_problem
        ):
            shown = {
                number
                for index, number in enumerate(known, 1)
                if number is not None and counts[index]
            }
            yield Candidate(
                each.name,
                each.image,
                mask,
                frozenset(shown & (source | set(split.target_ids))),
                tuple(sorted(shown & source)),
                each.missing,
                lambda _: HIDDEN,
                _under_ids(counts, taught),
            )

    dataset = source_dataset(
        candidates(),
        split,
        {i for i in known if i is not None},
        on_problem,
        **switches,
    )
    return dataclasses.replace(dataset, **_listed(folder, split))


def evaluation_records(
    folder: MaskFolder,
    split: Split,
    on_problem: OnProblem = raise_problem,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    skip_missing: bool = False,
) -> Dataset:
    """Target pictures with their true masks, to score by.

    Labels are the target categories in the mask, so every mask is read once
    here: about 3 ms each. What the split does not know is background.

    Args:
        folder: pictures with masks.
        split: categories to use. A scored one must have an index.
        on_problem: called with every problem; the picture is left out.
        max_pixels: largest width times height of a mask.
        skip_missing: count pictures without a file instead of reporting.

    Raises:
        DataError: a scored category has no index; and with the default
            `on_problem`, the first problem.
    """
    ids = scored_ids(folder, split)
    if folder.names_path is not None:
        check_spelling(folder.names_path, folder.names, split, on_problem)
    skipped: list[str] = []
    there: list[MaskedPicture] = []
    for each in folder.pictures:
        if each.image is not None:
            there.append(each)
        elif skip_missing:
            skipped.append(each.name)
        else:
            on_problem(each.missing)
    folder = folder._replace(pictures=tuple(there))
    records = Records()
    for each, mask, counts in _counted(folder, ids, max_pixels, on_problem):
        assert each.image is not None
        shown = _under_ids(counts, ids)
        labels = tuple(i for i in split.target_ids if shown[i])
        records.append(Record(each.name, each.image, "target", labels, mask))
    return Dataset(
        records,
        {MISSING: tuple(skipped)} if skipped else {},
        **_listed(folder, split),
    )


def scored_ids(folder: MaskFolder, split: Split) -> tuple[int, ...]:
    """Id of `split` for the mask indices 1, 2, ... of a folder.

    Categories that the split does not know become background (0).

    Raises:
        DataError: a scored category of the split is not in the folder.
    """
    ids = tuple(split.find(name) or BACKGROUND for name in folder.names)
    if folder.names_path is None:
        remedy = "without a file classes.txt the indices are VOC's: write one"
    else:
        remedy = f"correct the split or {folder.names_path.name}"
    for scored in split.scored:
        if split.id_of(scored) not in ids:
            raise DataError(
                f"{folder.path}: the category {scored!r} that split "
                f"'{split.name}' scores has no mask index here"
                f"{closest(scored, folder.names)}; {remedy}."
            )
    return ids


def with_split_ids(mask: np.ndarray, ids: Iterable[int]) -> np.ndarray:
    """Replaces checked mask indices by ids of a split; 0 and 255 stay.

    Args:
        mask: uint8 [height, width] of indices.
        ids: what index 1, 2, ... become.

    Returns:
        uint8 [height, width] of ids.
    """
    table = np.full(256, IGNORE, np.uint8)
    values = (BACKGROUND, *ids)
    table[: len(values)] = values
    return table[mask]


def _counted(
    folder: MaskFolder,
    ids: tuple[int, ...],
    max_pixels: int,
    on_problem: OnProblem,
) -> Iterator[tuple[MaskedPicture, IndexMask, np.ndarray]]:
    """Pictures with the pixels of each of the 256 stored values."""
    masks = [
        IndexMask(each.mask, ids, max_pixels, folder.colours)
        for each in folder.pictures
    ]

    def count(mask: IndexMask) -> tuple[np.ndarray, Any] | DataError:
        try:
            if not mask.path.exists():
                raise_problem(_missing_mask(mask.path))
            counts = np.bincount(mask.read_indices().ravel(), minlength=256)
            own = None if mask.colours else own_palette(mask.path)
            return counts, own
        except DataError as error:
            return error

    whole = MaskSet()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for each, mask, found in zip(
            folder.pictures,
            masks,
            progress(pool.map(count, masks), "reading masks", len(masks)),
            strict=True,
        ):
            if isinstance(found, DataError):
                on_problem(problem_of(found, "unreadable mask"))
                continue
            counts, own = found
            if problem := whole.add(mask.path, counts, own):
                on_problem(problem)
                continue
            yield each, mask, counts
    if folder.colours is None and (text := whole.shifted()):
        on_problem(Problem("no background", str(folder.path), "", text))


def _missing_mask(path: Path) -> Problem:
    return Problem(
        "missing mask",
        str(path),
        "",
        f"no such file{near_image(path.parent, path.name)}; add the mask, or "
        "remove the picture",
    )


def _under_ids(counts: np.ndarray, ids: Iterable[int]) -> np.ndarray:
    """Pixels of each value once indices have become ids, int64 [256]."""
    table = with_split_ids(np.arange(256, dtype=np.uint8), ids)
    return np.bincount(table, counts, 256).astype(np.int64)


def _listed(folder: MaskFolder, split: Split) -> dict[str, Any]:
    known = {name: split.find(name) for name in folder.names}
    return {
        "listed": tuple(sorted(i for i in known.values() if i is not None)),
        "unknown": tuple(name for name, i in known.items() if i is None),
    }
