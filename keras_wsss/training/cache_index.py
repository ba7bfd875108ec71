"""Which views a feature cache holds, and under which names."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from keras_wsss.data import preprocess
from keras_wsss.data.file_notes import FileNotes
from keras_wsss.data.records import Record
from keras_wsss.data.views import CAFFE, PixelScale, ViewSpec, Window
from keras_wsss.errors import DataError
from keras_wsss.files import sha256
from keras_wsss.training.cache_entry import SUFFIX

_LEFTOVER_SECONDS = 600
_DIGESTS = "pictures.json"  # SHA-256 of pictures, in the folder


class CacheIndex:
    """Numbers the views of a picture and names their files.

    View 0 is the whole picture; with mirroring, view 2c is window c and view
    2c + 1 its mirror image. The name of a file is a digest of all that its
    content depends on.

    Args:
        folder: where the files are.
        views: input size, mirroring, and how windows are drawn.
        crops: windows per picture besides the whole.
        seed: decides the windows, with picture id and number.
        encoder: digest of the encoder.
        check: read every picture for its digest, also those that look as
            they did when it was taken.
    """

    def __init__(
        self,
        folder: str | Path,
        views: ViewSpec,
        crops: int,
        seed: int,
        encoder: str,
        check: bool = False,
    ):
        self.folder = Path(folder)
        self.num_views = (1 + crops) * (1 + views.mirror)
        self._views = views
        self._seed = seed
        self._settings = {
            "encoder": encoder,
            "preprocessing": preprocess.PREPROCESSING_VERSION,
            **_scale_settings(views.pixels),
            "image_size": views.image_size,
        }
        self._texts: dict[tuple[int, ...], str] = {}
        self._digests: dict[str, str] = {}
        self._noted = FileNotes(self.folder / _DIGESTS, "sha256", use=not check)

    def view(
        self, record: Record, number: int, height: int, width: int
    ) -> Window:
        """Window and mirroring of a view of a `height` x `width` picture."""
        crop, mirror = self._window(number)
        if crop == 0:
            return self._views.whole(mirror)
        seed = self._crop_seed(record, crop)
        drawn = self._views.draw(seed, height, width)
        return dataclasses.replace(drawn, mirror=mirror)

    def base_size(self, number: int) -> int:
        """Side of the square that the window of a view is cut from."""
        crop, _ = self._window(number)
        return self._views.base_size if crop else self._views.image_size

    def key(
        self, record: Record, number: int, levels: tuple[int, ...]
    ) -> bytes:
        """32 bytes that depend on all that an entry depends on.

        Args:
            record: the picture.
            number: of the view.
            levels: of the encoder that the entry holds, ascending.

        Raises:
            DataError: the picture cannot be read.
        """
        crop, mirror = self._window(number)
        window: list[Any] = [mirror]
        if crop:
            # Other crop settings leave the entries of whole views valid.
            window += [
                self._crop_seed(record, crop),
                self._views.resize_size,
                self._views.min_scale,
            ]
        # The text of [settings, window, digest], of which most is the same.
        settings, digest = self._text(levels), self._picture_digest(record)
        text = f'[{settings}, {json.dumps(window)}, "{digest}"]'
        return hashlib.sha256(text.encode()).digest()

    def path(self, key: bytes) -> Path:
        """File of the entry with this key, whether it exists or not."""
        name = key.hex()
        return self.folder / name[:2] / (name + SUFFIX)

    def save(self) -> None:
        """Keeps the digests of pictures for the next start."""
        self._noted.save()

    def list_keys(self) -> set[bytes]:
        """Keys of all entries that are there; none of them is opened.

        Removes what a killed build left unfinished, but leaves alone what
        another worker may still be writing.
        """
        oldest = time.time() - _LEFTOVER_SECONDS
        keys: set[bytes] = set()
        for folder in os.scandir(self.folder):
            if len(folder.name) != 2 or not folder.is_dir():
                continue
            for entry in os.scandir(folder.path):
                name = entry.name
                if not name.endswith(SUFFIX):
                    continue
                if name.startswith("."):
                    # Where it is gone, its writer has just finished.
                    with contextlib.suppress(FileNotFoundError):
                        if entry.stat().st_mtime < oldest:
                            os.unlink(entry.path)
                    continue
                with contextlib.suppress(ValueError):  # not one of ours
                    keys.add(bytes.fromhex(name.removesuffix(SUFFIX)))
        return keys

    def _text(self, levels: tuple[int, ...]) -> str:
        if levels not in self._texts:
            # "switches" is what levels were called in the first entries.
            self._texts[levels] = json.dumps(
                {**self._settings, "switches": levels}, sort_keys=True
            )
        return self._texts[levels]

    def _window(self, number: int) -> tuple[int, bool]:
        if not 0 <= number < self.num_views:
            raise ValueError(f"there is no view {number} of {self.num_views}")
        crop, mirror = divmod(number, 1 + self._views.mirror)
        return crop, bool(mirror)

    def _crop_seed(self, record: Record, crop: int) -> int:
        digest = _digest([self._seed, record.image_id, crop])
        return int.from_bytes(digest[:8], "little")

    def _picture_digest(self, record: Record) -> str:
        path = str(record.image_path)
        if path not in self._digests:
            try:
                self._digests[path] = self._noted.get(
                    path, functools.partial(sha256, path)
                )
            except OSError as error:
                raise DataError(
                    f"{path}: {error.strerror}; replace or remove the picture."
                ) from None
        return self._digests[path]


def _scale_settings(pixels: PixelScale) -> dict[str, Any]:
    """What keys say of it; of Caffe's, what they said when there was no other.

    Entries made then are found as before.
    """
    values = dataclasses.asdict(pixels)
    usual = dataclasses.asdict(CAFFE)
    return {k: v for k, v in values.items() if k == "mean" or v != usual[k]}


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()
