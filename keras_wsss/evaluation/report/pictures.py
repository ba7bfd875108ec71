"""Small versions of evaluated pictures, kept for the report."""

import base64
import bisect
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from keras_wsss.categories import IGNORE, Split
from keras_wsss.drawing import glow_layer, shares
from keras_wsss.evaluation.metrics.confusion import count_pairs
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.pages import SIDE, mask_png, png, small_jpeg, smaller_png

LARGE = 960  # of a picture, longest side, as long as there is room
MAP_SIDE = 40  # of a map, which is smooth
# Base64 makes 4 bytes of 3; a report must stay below 15 MB.
BUDGET = 10_000_000
# What the score of a picture may be.
MEAN_IOU, TAGS_RIGHT = "mean IoU", "tags right"
# Maps that the report shows, of those that a predictor gives.
MAPS = {
    "attention": "attention",
    "densified_attention": "densified attention",
    "class_maps": "class activation map",
    "foreground": "foreground",
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """Something to lay over a picture.

    Attributes:
        png: an image with transparency, of the picture's shape.
        text: what it shows, for those who cannot see it.
    """

    png: bytes
    text: str


@dataclasses.dataclass(frozen=True)
class Guess:
    """What the tagger says of a picture.

    Attributes:
        named: ids that it names -> its probability.
        missed: ids that are in the picture and that it does not name ->
            likewise.
    """

    named: Mapping[int, float]
    missed: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Shot:
    """One evaluated picture, small.

    Attributes:
        name: of the picture.
        picture: JPEG, longest side `LARGE` at most.
        size: its width and height.
        ids: categories in truth.
        truth: its mask, or None where only tags are known.
        masks: way of predicting -> mask.
        scores: way of predicting -> `measure` of this picture, in [0, 1].
        maps: heading -> map, e.g. "attention".
        measure: mean IoU over the classes of truth and mask together, or, of
            tags, the share that is right of those known or named.
        guesses: way of predicting, of those that ask the tagger -> what it
            says.
    """

    name: str
    picture: bytes
    size: tuple[int, int]
    ids: tuple[int, ...]
    truth: Layer | None
    masks: Mapping[str, Layer]
    scores: Mapping[str, float]
    maps: Mapping[str, Layer]
    measure: str = MEAN_IOU
    guesses: Mapping[str, Guess] = dataclasses.field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Size of all its images."""
        layers = [*self.masks.values(), *self.maps.values()]
        layers += [] if self.truth is None else [self.truth]
        return len(self.picture) + sum(len(layer.png) for layer in layers)

    def smaller(self) -> "Shot":
        """The same with a longest side of `pages.SIDE` at most."""
        with Image.open(io.BytesIO(self.picture)) as image:
            picture, size = small_jpeg(np.asarray(image), SIDE)

        def shrink(layer: Layer) -> Layer:
            return Layer(smaller_png(layer.png, size), layer.text)

        return dataclasses.replace(
            self,
            picture=picture,
            size=size,
            truth=self.truth and shrink(self.truth),
            masks={key: shrink(layer) for key, layer in self.masks.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""

        def plain(value: Any) -> Any:
            if isinstance(value, bytes):
                return base64.b64encode(value).decode()
            if isinstance(value, Mapping):
                return {key: plain(one) for key, one in value.items()}
            return value

        return plain(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Shot":
        """Undoes `to_json`, also after writing and reading."""

        def layer(found: Mapping[str, str]) -> Layer:
            return Layer(base64.b64decode(found["png"]), found["text"])

        def numbered(found: Mapping[str, float]) -> dict[int, float]:
            return {int(key): value for key, value in found.items()}

        truth = values["truth"]
        return cls(
            **{
                **values,
                "picture": base64.b64decode(values["picture"]),
                "size": tuple(values["size"]),
                "ids": tuple(values["ids"]),
                "truth": None if truth is None else layer(truth),
                **{
                    part: {k: layer(v) for k, v in values[part].items()}
                    for part in ("masks", "maps")
                },
                "guesses": {
                    way: Guess(
                        numbered(guess["named"]), numbered(guess["missed"])
                    )
                    for way, guess in values["guesses"].items()
                },
            }
        )


class Album:
    """Collects pictures in bounded memory: the worst and the best stay.

    Args:
        split: names of the categories.
        budget: bytes of all images together. Beyond it, pictures of medium
            score are made smaller; where all of them are, left out.
    """

    def __init__(self, split: Split, budget: int = BUDGET):
        self.split = split
        self.budget = budget
        self.left_out = 0
        self._shots: list[Shot] = []  # by score
        self._bytes = 0

    @property
    def shots(self) -> list[Shot]:
        """What was kept, worst first."""
        return list(self._shots)

    def add(
        self,
        name: str,
        image: np.ndarray,
        truth: np.ndarray,
        masks: Mapping[str, np.ndarray],
        maps: Mapping[str, tuple[Sequence[int], np.ndarray]],
        guesses: Mapping[str, tuple[Sequence[int], np.ndarray]] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Adds a picture of H x W pixels.

        Args:
            name: its name.
            image: uint8 [H, W, 3], RGB.
            truth: uint8 [H, W], scored ids, 0, or 255.
            masks: way of predicting -> uint8 [H, W]; the first one's score
                decides the order.
            maps: heading -> ids and float [K, h, w] over the picture.
            guesses: way of predicting -> ids that the tagger names, and its
                probabilities of all categories, float [C].
            scores: what `picture_scores` gives, where it is known.
        """
        picture, size = small_jpeg(image, LARGE)
        ids = tuple(int(i) for i in self.split.scored_ids if i in truth)
        shot = Shot(
            name=name,
            picture=picture,
            size=size,
            ids=ids,
            truth=self._mask_layer(truth, size),
            masks={k: self._mask_layer(m, size) for k, m in masks.items()},
            scores=scores or picture_scores(truth, masks),
            maps={k: self._map_layer(*found) for k, found in maps.items()},
            guesses={
                k: _guess(ids, *found) for k, found in (guesses or {}).items()
            },
        )
        self._keep(shot)

    def add_tagged(
        self,
        name: str,
        image: np.ndarray,
        tags: Sequence[int],
        named: Sequence[int],
        probabilities: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> None:
        """Adds a picture of H x W pixels of which only the tags are known.

        Args:
            name: its name.
            image: uint8 [H, W, 3], RGB.
            tags: ids of the scored categories in it.
            named: ids that the tagger names.
            probabilities: its probabilities of all categories, float [C].
            masks: way of predicting -> uint8 [H, W].
        """
        picture, size = small_jpeg(image, LARGE)
        shot = Shot(
            name=name,
            picture=picture,
            size=size,
            ids=tuple(tags),
            truth=None,
            masks={k: self._mask_layer(m, size) for k, m in masks.items()},
            scores=dict.fromkeys(masks, share_of_tags(tags, named)),
            maps={},
            measure=TAGS_RIGHT,
            guesses=dict.fromkeys(masks, _guess(tags, named, probabilities)),
        )
        self._keep(shot)

    def add_state(self, counts: Mapping[str, Any]) -> None:
        """Adds what `state` gave of other pictures."""
        self.left_out += counts["left_out"]
        for shot in counts["shots"]:
            self._keep(Shot.from_json(shot))

    def state(self) -> dict[str, Any]:
        """JSON values of what was kept, for `add_state` of another job."""
        shots = [shot.to_json() for shot in self._shots]
        return {"left_out": self.left_out, "shots": shots}

    def _keep(self, shot: Shot) -> None:
        bisect.insort(self._shots, shot, key=_rank)
        self._bytes += shot.num_bytes
        while self._bytes > self.budget and len(self._shots) > 2:
            large = [i for i, s in enumerate(self._shots) if max(s.size) > SIDE]
            if large:
                index = large[len(large) // 2]
                self._bytes -= self._shots[index].num_bytes
                self._shots[index] = self._shots[index].smaller()
                self._bytes += self._shots[index].num_bytes
            else:
                self._bytes -= self._shots.pop(len(self._shots) // 2).num_bytes
                self.left_out += 1

    def _mask_layer(self, mask: np.ndarray, size: tuple[int, int]) -> Layer:
        small = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        counts = np.bincount(mask.ravel(), minlength=256)
        known = mask.size - counts[IGNORE]
        parts = [
            f"{self.split.name_of(int(i))} {counts[i] / known:.0%}"
            for i in np.flatnonzero(counts[:IGNORE])
            if i
        ]
        return Layer(mask_png(small), ", ".join(parts) if parts else "nothing")

    def _map_layer(self, ids: Sequence[int], maps: np.ndarray) -> Layer:
        places = []
        for number, one in zip(ids, maps, strict=True):
            row, column = np.unravel_index(int(np.argmax(one)), one.shape)
            place = _place(row / one.shape[0], column / one.shape[1])
            places.append(f"{self.split.name_of(int(number))} {place}")
        text = f"strongest for {', '.join(places)}" if places else "nothing"
        return Layer(png(glow_layer(shares(maps), ids)), text)


def share_of_tags(tags: Iterable[int], named: Iterable[int]) -> float:
    """Share of tags, known or named, that are both; 1 where there is none."""
    either = {*tags, *named}
    return len({*tags} & {*named}) / len(either) if either else 1.0


def picture_scores(
    truth: np.ndarray, masks: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """`picture_iou` of each mask, by way of predicting."""
    return {way: picture_iou(truth, mask) for way, mask in masks.items()}


def picture_iou(truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean IoU of one picture over the classes that truth or mask hold.

    Args:
        truth: uint8 [H, W]; 255 is not looked at.
        mask: uint8 [H, W].
    """
    table = count_pairs(truth, mask)[:IGNORE]
    if not table.any():
        return 1.0
    common = np.append(np.diag(table), 0)
    union = np.append(table.sum(1), 0) + table.sum(0) - common
    present = union > 0
    return float(np.mean(common[present] / union[present]))


def _guess(
    ids: Sequence[int], named: Sequence[int], probabilities: np.ndarray
) -> Guess:
    """What the tagger says of a picture that holds `ids`."""
    return Guess(
        {i: float(probabilities[i - 1]) for i in named},
        {i: float(probabilities[i - 1]) for i in ids if i not in named},
    )


def _rank(shot: Shot) -> tuple[float, str]:
    return next(iter(shot.scores.values()), 0.0), shot.name


def _place(down: float, across: float) -> str:
    """Words for a place in [0, 1) x [0, 1)."""
    row = ("top", "middle", "bottom")[min(int(down * 3), 2)]
    column = ("left", "centre", "right")[min(int(across * 3), 2)]
    return (
        "in the centre"
        if row + column == "middlecentre"
        else (f"at the {row} {column}")
    )


def layers_of(
    picture: OnePicture, maps: Mapping[str, Any], ids: Sequence[int]
) -> dict[str, Any]:
    """Maps of a picture for the report, small.

    Args:
        picture: the picture.
        maps: of `OnePicture.maps`.
        ids: of the categories that they are of.

    Returns:
        Heading -> the ids, and float [categories, h, w].
    """

    shape = picture.image.shape[:2]
    scale = min(1.0, MAP_SIDE / max(shape))
    size = [max(1, round(scale * side)) for side in shape]
    return {
        heading: (ids, picture.enlarge(maps[key], *size))
        for key, heading in MAPS.items()
        if key in maps
    }
