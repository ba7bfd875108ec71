"""Scores a predictor on pictures with masks, beside its baselines."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.evaluation.baselines import Baselines
from keras_wsss.evaluation.jobs import Jobs
from keras_wsss.evaluation.metrics.confusion import (
    ConfusionMatrix,
    scored_view,
)
from keras_wsss.evaluation.report.pictures import (
    MEAN_IOU,
    Album,
    layers_of,
    picture_scores,
)
from keras_wsss.evaluation.scoring import Clock, Scores, Scoring, strongest
from keras_wsss.evaluation.tagged import FalsePositives
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import Predictor
from keras_wsss.progress import progress
from keras_wsss.side_by_side import side_by_side
from keras_wsss.systems.quality import RAW, Quality, choose_quality
from keras_wsss.tagging import tag_scores

DENSE_CRF = "raw + dense CRF"
# Of a row whose masks nothing has taught, wherever it is copied to.
UNTRAINED = "untrained decoder"


def evaluate(
    predictor: Predictor,
    records: Sequence[Record],
    *,
    augment: bool | None = None,
    refine: bool | None = None,
    own_crf: bool | None = None,
    tile: int | None = None,
    tile_overlap: float | None = None,
    dense_crf: bool = False,
    baselines: bool = True,
    album: Album | None = None,
    jobs: Jobs | None = None,
    log: Callable[[str], None] | None = None,
) -> dict:
    """Predicts every picture in every way asked for and scores it.

    Oracle tags are the scored categories that the mask holds; predicted
    tags are the tagger's, of the views that a row looks at. Every mask is to
    the pixel what `Predictor` gives in that quality. The baselines get oracle
    tags and the threshold that is best *on these very pictures*: they are
    meant to be hard to beat.

    Args:
        predictor: a trained network.
        records: pictures with masks, ids of the predictor's split.
        augment: also average over scales and mirrored pictures; None does.
        refine: also refine with `ImageGuidedRefinement`; None does.
        own_crf: also let the network's own CRF smooth its logits; None does
            where there is one.
        tile: side of the tiles of larger pictures, see `choose_quality`; the
            baselines look at whole pictures all the same.
        tile_overlap: likewise.
        dense_crf: also refine with the published dense CRF (extra "crf";
            slow).
        baselines: also score class activation maps, thresholded densified
            attention and all background.
        album: collects small pictures for the report.
        jobs: what was counted before is not counted again.
        log: takes lines about how far it is; see `progress`.

    Returns:
        Plain values: "rows" (one per way of predicting, with the figures of
        all metrics, see `keras_wsss.evaluation.metrics`; "default" marks what
        `Predictor` gives if nothing else is asked for), "default" (its name),
        "tagging" (see `tag_scores`; of the default's views, where they are
        looked at), "confusion" (pixels by true and predicted class, of what
        production gives), "per_picture" (mean IoU of each picture in every
        way, and which of these is "first"),
        "without" (see `FalsePositives`; of those of the pictures that hold no
        scored category), "pictures", "seconds" per stage, "mask_updates" (see
        `keras_wsss.mask_updates`), and "warning" where its masks are noise.
        Of a share, "pictures" alone: how many of it are scored.

    Raises:
        ConfigError: `own_crf` of a network that has none, or `dense_crf` of
            tiles.
        DataError: no picture, or a picture or mask that cannot be read.
    """
    if not records:
        raise DataError("There is no picture to evaluate.")
    if dense_crf and tile is not None:
        raise ConfigError(
            "The dense CRF takes whole pictures; leave --dense_crf or --tile "
            "out."
        )
    asked = choose_quality(
        predictor.steps, augment, refine, own_crf, tile, tile_overlap
    )
    ways = _ways(predictor, augment, refine, own_crf, asked.tiling)
    run = _Evaluation(predictor, ways, asked, dense_crf, baselines, album)
    left = jobs.load(records, run.add_state) if jobs else records

    def scored() -> Iterator[None]:
        step = (jobs and jobs.step) or max(len(left), 1)
        for first in range(0, len(left), step):
            part = left[first : first + step]
            # While a picture is before the network, the next one is read and
            # the one before it is scored.
            pictures = side_by_side(run.read, part, threads=1, ahead=1)
            yield from side_by_side(
                lambda scoring: scoring(),
                map(run.add, pictures),
                threads=1,
                ahead=1,
            )
            if jobs and jobs.shard:
                jobs.keep(run.state(), part)

    for _ in progress(scored(), "evaluating", len(left), log):
        pass
    if jobs and jobs.shard:
        return {"pictures": run.pictures}
    return run.result([record.image_id for record in records])


def _ways(predictor, augment, refine, own_crf, tiling) -> tuple[Quality, ...]:
    """Raw, and with everything that is not left out, in all combinations."""
    steps = predictor.steps
    most = choose_quality(steps, augment, refine is not False, own_crf)
    return tuple(
        Quality(views, refined, crf, tiling)
        for crf, views, refined in itertools.product(
            (False, True)[: 1 + most.own_crf],
            dict.fromkeys((RAW, most.views)),
            (False, True)[: 1 + most.refine],
        )
    )


class _Read(NamedTuple):
    """A record with its picture and its true mask, of what is scored."""

    record: Record
    image: np.ndarray
    truth: np.ndarray


class _Made(NamedTuple):
    """A mask for the report; the probabilities would take the memory.

    Attributes:
        mask: uint8 [H, W].
        guess: ids that the tagger named and its probabilities, if asked.
    """

    mask: np.ndarray
    guess: tuple[tuple[int, ...], np.ndarray] | None


class _Evaluation:
    def __init__(self, predictor, ways, asked, dense_crf, baselines, album):
        self.predictor = predictor
        self.split = predictor.split
        self.ways: tuple[Quality, ...] = ways
        self.asked: Quality = asked  # what the flags say, as in predict.py
        self.tiling = asked.tiling
        self.default = dataclasses.replace(
            choose_quality(predictor.steps), tiling=asked.tiling
        )
        # What production gives, or the nearest to it that is asked for.
        seen = self.default if self.default in ways else asked
        self.first = ("predicted", seen.name)
        # The tagger is scored as it is asked by default.
        looks = {way.views for way in ways}
        default = self.default.views
        self.tag_views = default if default in looks else RAW
        self.dense_crf = dense_crf
        self.album = album
        self.clock = Clock()
        self.pictures = 0
        self.empty = FalsePositives("evaluation pictures")
        self.per_picture: dict[str, dict[str, float]] = {}
        # Name -> whether each scored category is there, and its score.
        self.tags: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.rows: dict[tuple, Scores] = {}
        self.taught: dict[str, Scores] = {}
        self.baselines = Baselines(self.split) if baselines else None

    def read(self, record: Record) -> _Read:
        """Picture and true mask of a record, which must fit."""
        name = str(record.image_path)
        with self.clock("read"):
            limit = self.predictor.config.data.max_pixels
            image = read_image(record.image_path, limit)
            truth = scored_view(record.read_mask(), self.split, name)
            truth.flags.writeable = False  # metrics may keep what is of it
        if truth.shape != image.shape[:2]:
            raise DataError(
                f"{name}: the picture has {image.shape[:2]} rows and columns, "
                f"its mask {truth.shape}; they must be the same."
            )
        return _Read(record, image, truth)

    def add(self, read: _Read) -> Scoring:
        """Predicts one picture; what it gives back scores it."""
        record, image, truth = read
        self.pictures += 1
        predictor, name = self.predictor, str(record.image_path)
        scoring = Scoring()
        oracle = tuple(i for i in self.split.scored_ids if np.any(truth == i))
        picture = OnePicture(predictor, image)
        found = self._add_ways(picture, truth, oracle, name, scoring)
        if not oracle:
            self.empty.add(found[f"predicted {self.asked.name}"].mask)
        scores = picture.tag_scores(self.tag_views, self.tiling)
        self.tags[record.image_id] = (
            np.isin(self.split.scored_ids, oracle),
            scores[np.array(self.split.scored_ids) - 1],
        )
        maps = {}
        if oracle and (self.album is not None or self.baselines is not None):
            maps = picture.maps(oracle)
        layers = {}
        if self.album is not None:
            layers = layers_of(picture, maps, oracle)
        scoring.add(
            self._note_picture, record.image_id, image, truth, found, layers
        )
        if self.dense_crf:
            self._add_dense_crf(picture, truth, oracle, name, scoring)
        if self.baselines is not None:
            self.baselines.add(picture, maps, truth, oracle, name, scoring)
            self._add_training_masks(
                picture, truth, record.labels, name, scoring
            )
        for stage, seconds in picture.seconds.items():
            self.clock.add(stage, seconds)
        return scoring

    def _add_ways(
        self, picture: OnePicture, truth, oracle, name, scoring: Scoring
    ) -> dict[str, _Made]:
        """Scores the picture in every quality, by either kind of tags.

        Returns:
            What is seen first, then the others: "oracle raw", ...
        """
        found = {}
        asked = [(q, *k) for q in self.ways for k in _kinds(oracle)]
        if self.predictor.steps.has_crf:
            # Of all targets at once, which is to have no class gate.
            raw = Quality(tiling=self.tiling)
            asked.append((raw, "none", self.split.target_ids))
        looks = None
        for quality, kind, tags in asked:
            if looks not in (None, (quality.views, quality.own_crf)):
                picture.release()  # the next one shares nothing that is large
            looks = quality.views, quality.own_crf
            made = picture.predict(tags, quality)
            row = self._row(kind, quality.name, quality == self.default)
            scoring.add(row.add, truth, made.mask, name, picture.last_seconds)
            if kind != "none":
                guess = (made.tags, made.tag_scores)
                found[f"{kind} {quality.name}"] = _Made(
                    made.mask, guess if made.by_tagger else None
                )
        first = " ".join(self.first)
        return {first: found[first], **found}

    def _note_picture(
        self, name: str, image, truth, ways: dict[str, _Made], layers
    ) -> None:
        """Keeps the picture's own scores, and what the report shows of it."""
        masks = {way: made.mask for way, made in ways.items()}
        scores = picture_scores(truth, masks)
        self.per_picture[name] = {k: round(v, 5) for k, v in scores.items()}
        if self.album is not None:
            guesses = {
                way: made.guess
                for way, made in ways.items()
                if made.guess is not None
            }
            self.album.add(name, image, truth, masks, layers, guesses, scores)

    def _row(self, tags: str, inference: str, default: bool = False) -> Scores:
        if (tags, inference) not in self.rows:
            method = self.predictor.steps.method
            if self.predictor.mask_updates == 0:
                method = f"{method} ({UNTRAINED})"
            self.rows[tags, inference] = Scores(
                self.split,
                method=method,
                tags=tags,
                inference=inference,
                default=default,
            )
        return self.rows[tags, inference]

    def _add_dense_crf(
        self, picture: OnePicture, truth, oracle, name, scoring: Scoring
    ) -> None:
        """The published merge: fires by the CRF, ranks by what was before."""
        from keras_wsss.inference.dense_crf import dense_crf

        known: dict[tuple[int, ...], tuple[np.ndarray, float]] = {}
        for kind, tags in _kinds(oracle):
            raw = picture.predict(tags, Quality())
            if raw.tags not in known:
                start = time.perf_counter()
                probabilities = picture.probabilities(raw.tags)
                after = dense_crf(picture.image, probabilities)
                known[raw.tags] = after, time.perf_counter() - start
                self.clock.add("dense CRF", known[raw.tags][1])
            after, spent = known[raw.tags]
            ranks = np.maximum(picture.probabilities(raw.tags), 1e-6)
            fired = np.where(after > 0.5, ranks, 0.0)
            mask = strongest(fired, raw.tags)[1]
            spent += picture.last_seconds
            row = self._row(kind, DENSE_CRF)
            scoring.add(row.add, truth, mask, name, spent)

    def _add_training_masks(
        self, picture, truth, labels, name, scoring: Scoring
    ) -> None:
        """Masks made of the true tags, as they would teach, if any are."""
        for key, mask in picture.training_masks(labels).items():
            scoring.add(self._taught(key).add, truth, mask, name)

    def _taught(self, key: str) -> Scores:
        if key not in self.taught:
            self.taught[key] = Scores(self.split, method=key, tags="oracle")
        return self.taught[key]

    def state(self) -> dict[str, Any]:
        """JSON values of what was counted, for `add_state` of another job."""
        return {
            "pictures": self.pictures,
            "rows": [
                [tags, inference, scores.row["default"], scores.state()]
                for (tags, inference), scores in self.rows.items()
            ],
            "taught": {k: scores.state() for k, scores in self.taught.items()},
            "baselines": self.baselines and self.baselines.state(),
            "album": self.album and self.album.state(),
            "empty": self.empty.shares,
            "per_picture": self.per_picture,
            "tags": {
                name: [array.tolist() for array in arrays]
                for name, arrays in self.tags.items()
            },
            "seconds": self.clock.seconds,
        }

    def add_state(self, counts: Mapping[str, Any]) -> None:
        """Adds what `state` gave of other pictures."""
        self.pictures += counts["pictures"]
        for tags, inference, default, more in counts["rows"]:
            self._row(tags, inference, default).add_state(more)
        for key, more in counts["taught"].items():
            self._taught(key).add_state(more)
        for part, key in ((self.baselines, "baselines"), (self.album, "album")):
            if part is not None:
                part.add_state(counts[key])
        self.empty.shares += counts["empty"]
        self.per_picture.update(counts["per_picture"])
        for name, (truth, scores) in counts["tags"].items():
            self.tags[name] = np.array(truth), np.array(scores, np.float32)
        for stage, seconds in counts["seconds"].items():
            self.clock.add(stage, seconds)

    def result(self, names_of_pictures: Sequence[str]) -> dict:
        """Everything as plain values, pictures in this order."""
        order = list(dict.fromkeys(names_of_pictures))
        truths, scores = zip(*(self.tags[n] for n in order), strict=True)
        rows = [scores.result(self.pictures) for scores in self.rows.values()]
        rows.sort(key=lambda row: row["tags"])
        rows += [s.result(self.pictures) for s in self.taught.values()]
        if self.baselines is not None:
            rows += self.baselines.result(self.pictures)
        names = [self.split.name_of(i) for i in self.split.scored_ids]
        warning = self.predictor.warning
        return {
            **({"warning": warning} if warning else {}),
            "rows": rows,
            "default": self.default.name,
            "mask_updates": self.predictor.mask_updates,
            "tagging": {
                "views": Quality(self.tag_views).name,
                **tag_scores(
                    np.array(truths),
                    np.array(scores),
                    names,
                    self.predictor.steps.rule,
                ),
            },
            "pictures": self.pictures,
            "confusion": self._confusion(),
            "per_picture": {
                "measure": MEAN_IOU,
                "first": " ".join(self.first),
                "scores": {name: self.per_picture[name] for name in order},
            },
            "without": [self.empty.result()] if self.empty.shares else [],
            "seconds": self.clock.seconds,
        }

    def _confusion(self) -> dict[str, Any]:
        tags, inference = self.first
        matrix = next(
            metric
            for metric in self.rows[self.first].metrics
            if isinstance(metric, ConfusionMatrix)
        )
        return {
            "tags": tags,
            "inference": inference,
            **matrix.table(self.split),
        }


def _kinds(oracle: tuple[int, ...]) -> tuple[tuple[str, Any], ...]:
    """Kind of tags -> what `OnePicture.predict` is asked."""
    return ("oracle", oracle), ("predicted", None)
