"""Segments picture files: masks, overlays and a list of what was found."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_wsss.data.formats.voc import (
    CLASSES_FILE,
    read_classes,
    write_classes,
)
from keras_wsss.data.images import decode_image, read_picture_file
from keras_wsss.data.masks import read_palette_mask, write_palette_mask
from keras_wsss.data.writers import check_writers, write_formats
from keras_wsss.data.writers.writer import LabelledPicture, WriterOptions
from keras_wsss.drawing import STYLES
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import JsonListFile, atomic_path
from keras_wsss.inference.find_pictures import Picture, find_pictures, own_path
from keras_wsss.inference.many_pictures import ManyPictures, Request
from keras_wsss.inference.mask_notes import (
    MaskNote,
    digest,
    digest_of_bytes,
    make_note,
    read_note,
    rounded,
)
from keras_wsss.inference.prediction import Prediction, Tags
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.shards import Shard
from keras_wsss.strips import count_values, strips
from keras_wsss.systems.quality import Quality, choose_quality

__all__ = ["Outcome", "Picture", "find_pictures", "predict_files"]

PREDICTIONS_FILE = "predictions.json"
MASKS, OVERLAYS = "masks", "overlays"


_JPEG_SIDE = 65_500  # pixels; OpenCV gives an empty file beyond


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of all pictures.

    Attributes:
        written: how many have got a mask now.
        failures: one sentence for each that could not be read.
        there: how many had the same mask already.
        files: what the formats have written.
    """

    written: int
    failures: tuple[str, ...]
    there: int = 0
    files: tuple[Path, ...] = ()


def predict_files(
    predictor: Predictor,
    pictures: Iterable[Picture],
    out: str | Path,
    *,
    tags: Tags | Mapping[Path, Tags] | None = None,
    quality: Quality | None = None,
    formats: Sequence[str] = ("png",),
    options: WriterOptions | None = None,
    made_by: Any = None,
    shard: Shard | None = None,
    batch: int | None = None,
    threads: int | None = None,
    overlay: str = STYLES[0],
    log: Callable[[str], None] = print,
    watch: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
) -> Outcome:
    """Segments pictures, some side by side, in constant memory.

    Writes `masks/NAME.png`, palette indices at the picture's own size,
    upright; `overlays/NAME.jpg`; `classes.txt`, the names of these indices;
    what the formats say; and `predictions.json`, last. A picture
    that cannot be read is reported and left out, the others go on.

    Args:
        predictor: a trained network.
        pictures: from `find_pictures`.
        out: folder, made when missing; files of the same names are replaced.
        tags: what is in every picture, or by the picture's `own_path` what
            is in it; None, and a picture without entry, asks the tagger.
        quality: what is done for each; None is what `choose_quality` says
            of the network.
        formats: names of writers, see `keras_wsss.data.writers`.
        options: what these are told.
        made_by: JSON values that tell this network from others. Masks that
            it has made there of the same picture, with the same tags and
            quality, are not made again. None makes all.
        shard: which share of the pictures is done, all if None. What is of
            all pictures in one file goes to a folder of the share in `out`.
        batch: pictures that the encoder takes at once, see `ManyPictures`.
        threads: pictures in work at a time, likewise.
        overlay: style of the overlays, one of `keras_wsss.drawing.STYLES`.
        log: takes a sentence about every picture that failed.
        watch: wraps the pictures, e.g. to show progress.

    Raises:
        ConfigError: an unknown tag, a CRF that the network has not, what a
            format refuses, or `out` holds masks of other categories; before
            anything is written.
    """
    options, out = options or WriterOptions(), Path(out)
    if quality is None:
        quality = choose_quality(predictor.steps)
    if quality.own_crf:
        predictor.steps.check_crf()
    asked = _asked(predictor, tags)
    work = _Work(predictor, out, asked, quality, made_by, overlay)
    pictures = list(pictures)
    names = predictor.split.categories
    check_writers(formats, [p.file_name for p in pictures], names, options)
    _name_indices(out, names)
    lists = out
    if shard is not None:
        pictures = [p for p in pictures if shard.has(p.file_name)]
        lists = out / shard.folder
    counts = {True: 0, False: 0}
    done, failures = [], []
    many = ManyPictures(
        predictor,
        quality,
        work.read,
        work.finish,
        work.failed,
        batch=batch,
        threads=threads,
    )
    # Entries wait on disk: what failed comes before them in the list.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as entries:
        for result in many.run(watch(pictures)):
            if result.error:
                failures.append(
                    {
                        "image": str(result.picture.path),
                        "error": result.error,
                    }
                )
                log(result.error)
                continue
            counts[result.new] += 1
            done.append(result.picture)
            entries.write(json.dumps(result.entry) + "\n")
        files = write_formats(
            formats,
            lambda: (work.labelled(picture)[0] for picture in done),
            lists,
            names,
            options,
        )
        told = "by picture" if isinstance(tags, Mapping) else tags
        entries.seek(0)
        _write_list(lists, work, map(json.loads, entries), failures, told)
    return Outcome(
        counts[True],
        tuple(failure["error"] for failure in failures),
        counts[False],
        tuple(files),
    )


@dataclasses.dataclass(frozen=True)
class _Result:
    """What became of a picture.

    Attributes:
        picture: which.
        new: whether its mask was not there.
        entry: what `predictions.json` says of it.
        error: a sentence if it could not be read, else "".
    """

    picture: Picture
    new: bool = False
    entry: Any = None
    error: str = ""


class _Work:
    """Masks of pictures, each made once.

    Args:
        predictor: a trained network.
        out: folder of masks and overlays.
        asked: gives the ids that a picture is asked for, or None.
        quality: what is done for each.
        made_by: see `predict_files`.
        style: of overlays.
    """

    def __init__(
        self,
        predictor: Predictor,
        out: Path,
        asked: Callable[[Picture], tuple[int, ...] | None],
        quality: Quality,
        made_by: Any,
        style: str,
    ):
        self._predictor, self._out = predictor, out
        self.asked, self.quality = asked, quality
        self._made_by, self._style = made_by, style
        self.names = dict(enumerate(predictor.split.categories, start=1))

    def mask_file(self, picture: Picture) -> str:
        """The mask's name below the folder of outputs."""
        return f"{MASKS}/{picture.name}.png"

    def overlay_file(self, picture: Picture) -> str:
        """Likewise the overlay's."""
        return f"{OVERLAYS}/{picture.name}.jpg"

    def read(self, picture: Picture) -> Request:
        """Reads a picture, unless its mask and overlay are there.

        Raises:
            DataError: the picture cannot be read.
        """
        limit = self._predictor.config.data.max_pixels
        data = read_picture_file(picture.path, limit)
        asked = self.asked(picture)
        made_of = self._made_of(data, asked)
        if made_of and (self._out / self.overlay_file(picture)).is_file():
            note = read_note(self._out / self.mask_file(picture))
            if note is not None and note.made_of == made_of:
                return Request()
        image = decode_image(data, str(picture.path), limit)
        return Request(image, asked, note=made_of)

    def finish(
        self, picture: Picture, request: Request, prediction: Prediction | None
    ) -> _Result:
        """Writes mask and overlay, unless they are there."""
        if prediction is None:
            labelled, note = self.labelled(picture)
            entry = self._entry(picture, labelled.mask, note)
            return _Result(picture, False, entry)
        note = make_note(prediction, prediction.mask, request.note)
        # Over the picture, which has served: a copy may be too much.
        drawn = prediction.overlay(self._style, out=prediction.image)
        _write_jpeg(self._out / self.overlay_file(picture), drawn)
        # Last: a mask that is there is complete with all that belongs to it.
        write_palette_mask(
            self._out / self.mask_file(picture), prediction.mask, note.to_dict()
        )
        return _Result(
            picture, True, self._entry(picture, prediction.mask, note)
        )

    def failed(self, picture: Picture, error: DataError) -> _Result:
        """Says which picture an error is about."""
        text = str(error)
        if str(picture.path) not in text:
            text = f"{picture.path}: {text}"
        return _Result(picture, error=text)

    def labelled(self, picture: Picture) -> tuple[LabelledPicture, MaskNote]:
        """A picture with the mask that is there, and its note."""
        path = self._out / self.mask_file(picture)
        note = read_note(path)
        if note is None:
            raise DataError(
                f"{path}: it was changed while the command ran; repeat it."
            )
        # As large as a picture may be: it was made of one.
        mask = read_palette_mask(path, self._predictor.config.data.max_pixels)
        return (
            LabelledPicture(
                picture.name,
                picture.file_name,
                picture.path,
                mask,
                note.tags,
                note.scores,
            ),
            note,
        )

    def _entry(
        self, picture: Picture, mask: np.ndarray, note: MaskNote
    ) -> dict[str, Any]:
        """What `predictions.json` says of a picture."""
        split = self._predictor.split
        counts = count_values(mask)
        return {
            "image": str(picture.path),
            "height": mask.shape[0],
            "width": mask.shape[1],
            "mask": self.mask_file(picture),
            "overlay": self.overlay_file(picture),
            "tags": [split.name_of(i) for i in note.tags],
            "tags_by": "tagger" if self.asked(picture) is None else "user",
            # Of the mask's area, 0 to 1.
            "area": {
                split.name_of(i): rounded(counts[i] / mask.size)
                for i in note.tags
            },
            # The tagger's probabilities, 0 to 1.
            "scores": {
                split.name_of(i): rounded(note.tag_scores[i - 1])
                for i in split.scored_ids
            },
        }

    def _made_of(self, data: bytes, asked: tuple[int, ...] | None) -> str:
        if self._made_by is None:
            return ""
        quality = self.quality.to_dict()
        picture = digest_of_bytes(data)
        return digest([self._made_by, quality, asked, picture, self._style])


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3], RGB, which is BGR afterwards.

    Pillow would hold a copy of 4 bytes a pixel.

    Raises:
        DataError: a side that no JPEG can have.
    """
    if max(image.shape) > _JPEG_SIDE:
        raise DataError(
            f"an overlay of {image.shape[1]} x {image.shape[0]} pixels cannot "
            f"be written, as a JPEG has {_JPEG_SIDE} a side at most; cut the "
            "picture in parts."
        )
    for rows in strips(*image.shape[:2]):
        image[rows] = image[rows, :, ::-1].copy()
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _asked(
    predictor: Predictor, tags: Tags | Mapping[Path, Tags] | None
) -> Callable[[Picture], tuple[int, ...] | None]:
    """What each picture is asked for; unknown tags are refused at once."""
    if not isinstance(tags, Mapping):
        ids = None if tags is None else predictor.tag_ids(tags)
        return lambda picture: ids
    known = {path: predictor.tag_ids(each) for path, each in tags.items()}
    return lambda picture: known.get(own_path(picture.path))


def _name_indices(out: Path, names: Sequence[str]) -> None:
    """Writes what the indices mean; masks that are there must mean the same."""
    if (out / CLASSES_FILE).exists() and read_classes(out) != tuple(names):
        raise ConfigError(
            f"{out / CLASSES_FILE}: the masks there are of other categories, "
            "or in another order; give another --out."
        )
    write_classes(out, names)


def _write_list(
    folder: Path,
    work: _Work,
    entries: Iterator[dict[str, Any]],
    failures: Sequence[dict[str, str]],
    tags: Any,
) -> None:
    """Writes `predictions.json`, an entry at a time."""
    options = {
        "tags": tags,
        "views": [dataclasses.asdict(view) for view in work.quality.views],
        "refine": work.quality.refine,
        "crf": work.quality.own_crf,
    }
    if work.quality.tiling is not None:
        options["tiling"] = dataclasses.asdict(work.quality.tiling)
    begin = json.dumps(
        {
            "categories": work.names,
            "failures": list(failures),
            "options": options,
        }
    ).removesuffix("}")
    with (
        atomic_path(folder / PREDICTIONS_FILE) as temporary,
        JsonListFile(temporary, f'{begin}, "pictures": [', "]}") as file,
    ):
        for entry in entries:
            file.add(entry)
