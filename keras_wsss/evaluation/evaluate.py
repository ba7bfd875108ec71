"""Scores a predictor on pictures with masks, beside its baselines."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.errors import DataError
from keras_wsss.evaluation.boundary import BoundaryIou
from keras_wsss.evaluation.clock import Clock
from keras_wsss.evaluation.confusion import ConfusionMatrix, scored_view
from keras_wsss.evaluation.report_pictures import MAP_SIDE, Album
from keras_wsss.tagging import tag_scores
from keras_wsss.inference.predictor import RAW, Predictor, augmented_views

# Thresholds of the baselines, as a share of a map's maximum.
BASELINE_THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
BASELINES = {
    "class_maps": "class activation maps",
    "densified_attention": "thresholded densified attention",
}
# Maps that the report shows, of those that a predictor gives.
MAPS = {
    "attention": "attention",
    "densified_attention": "densified attention",
    "class_maps": "class activation map",
    "foreground": "foreground",
}
OWN_CRF = "raw + own CRF"  # of networks that have one
_REPORT_SECONDS = 15.0


class _Scores:
    """Counts of one way of predicting."""

    def __init__(self, split: Split, with_boundary: bool = True, **row):
        self.split = split
        self.row = row
        self.confusion = ConfusionMatrix(split.num_categories + 1)
        self.boundary = (
            BoundaryIou(split.num_categories + 1) if with_boundary else None
        )
        self.seconds: float | None = None

    def add(self, truth: np.ndarray, mask: np.ndarray, name: str) -> None:
        mask = scored_view(mask, self.split, name)
        self.confusion.update(truth, mask, name)
        if self.boundary is not None:
            self.boundary.update(truth, mask, name)

    def result(self, pictures: int) -> dict:
        result = {
            **self.row,
            **self.confusion.result(self.split),
        }
        if self.boundary is not None:
            result["boundary_iou"] = self.boundary.result(self.split)["mean"]
        if self.seconds is not None:
            result["milliseconds"] = 1e3 * self.seconds / pictures
        return result


def evaluate(
    predictor: Predictor,
    records: Sequence[Record],
    *,
    augment: bool = True,
    refine: bool = True,
    crf: bool = False,
    baselines: bool = True,
    album: Album | None = None,
    report: Callable[[str], None] = print,
) -> dict:
    """Predicts every picture in every way asked for and scores it.

    Oracle tags are the scored categories that the mask holds; predicted
    tags are the tagger's. The baselines get oracle tags and the threshold
    that is best *on these very pictures*: they are meant to be hard to beat.

    Args:
        predictor: a trained network.
        records: pictures with masks, ids of the predictor's split.
        augment: also average over scales and mirrored pictures.
        refine: also refine with `ImageGuidedRefinement`.
        crf: also refine with the published dense CRF (extra "crf"; slow).
        baselines: also score class activation maps, thresholded densified
            attention and all background.
        album: collects small pictures for the report.
        report: called with progress lines.

    Returns:
        Plain values: "rows" (one per way of predicting, see
        `ConfusionMatrix.result`), "tagging" (see `tag_scores`), "pictures",
        "seconds" per stage.

    Raises:
        DataError: no picture, or a picture or mask that cannot be read.
    """
    if not records:
        raise DataError("There is no picture to evaluate.")
    run = _Evaluation(predictor, augment, refine, crf, baselines, album)
    last = time.perf_counter()
    for number, record in enumerate(records, start=1):
        run.add(record)
        if time.perf_counter() - last > _REPORT_SECONDS:
            last = time.perf_counter()
            report(f"evaluated {number}/{len(records)} pictures")
    return run.result()


class _Evaluation:
    def __init__(self, predictor, augment, refine, crf, baselines, album):
        self.predictor = predictor
        self.split = predictor.split
        self.refine = refine
        self.crf = crf
        self.album = album
        self.clock = Clock()
        self.views = (
            augmented_views(predictor.config.inference.scales)
            if augment
            else ()
        )
        # The plain view is looked at in any case; it is not done twice.
        self.more_views = tuple(view for view in self.views if view not in RAW)
        self.pictures = 0
        self.truths: list[np.ndarray] = []
        self.tag_scores: list[np.ndarray] = []
        self.rows: dict[tuple, _Scores] = {}
        self.baselines: dict[tuple, _Scores] = {}
        self.mapped: list[str] = list(BASELINES)
        self.taught: dict[str, _Scores] = {}
        if baselines:
            self.baselines = {
                (key, threshold): _Scores(
                    self.split,
                    # Only masks of the best threshold would be of interest.
                    with_boundary=False,
                    method=name,
                    tags="oracle",
                    threshold=threshold,
                )
                for key, name in BASELINES.items()
                for threshold in BASELINE_THRESHOLDS
            }
            self.background = _Scores(self.split, method="all background")
        else:
            self.background = None

    def add(self, record: Record) -> None:
        """Predicts and scores one picture."""
        self.pictures += 1
        predictor, name = self.predictor, str(record.image_path)
        with self.clock("read"):
            limit = predictor.config.data.max_pixels
            image = read_image(record.image_path, limit)
            truth = scored_view(record.mask.read(), self.split, name)
        if truth.shape != image.shape[:2]:
            raise DataError(
                f"{name}: the picture has {image.shape[:2]} rows and columns, "
                f"its mask {truth.shape}; they must be the same."
            )
        oracle = tuple(i for i in self.split.scored_ids if np.any(truth == i))
        with self.clock("encode"):
            encoded = predictor.encode(image)
        with self.clock("tag"):
            scores = predictor.tag_scores(encoded)
        chosen = predictor.choose_tags(scores)
        self.truths.append(np.isin(self.split.scored_ids, oracle))
        self.tag_scores.append(scores[np.array(self.split.scored_ids) - 1])
        # Labels asked by either kind of tags are decoded once.
        ids = tuple(sorted({*oracle, *chosen}))
        with self.clock("decode"):
            raw = predictor.probabilities(encoded, ids)
        # Of each kind of inference what ranks labels, and what says where
        # each is.
        versions = {"raw": (raw, raw)}
        if self.views:
            with self.clock("augment"):
                more = predictor.encode(image, self.more_views)
                total = predictor.probabilities(more, ids)
                total = total * len(self.more_views)
                if len(self.more_views) < len(self.views):
                    total = total + raw
                total = total / len(self.views)
                versions["augmented"] = (total, total)
        if self.refine:
            for key in tuple(versions):
                with self.clock(f"refine {key}"):
                    ranks, _ = versions[key]
                    refined = predictor.refine(image, ranks)
                versions[f"{key} + refined"] = (ranks, refined)
        masks = {}
        for key, (ranks, decisive) in versions.items():
            for tags, wanted, found in (
                ("oracle", oracle, None),
                ("predicted", chosen, scores),
            ):
                keep = [ids.index(i) for i in wanted]
                mask = predictor.merge(
                    ranks[keep], wanted, found, decisive[keep]
                )
                self._row(tags, key).add(truth, mask, name)
                masks[f"{tags} {key}"] = mask
        if predictor.steps.has_crf:
            masks |= self._add_own_crf(encoded, truth, oracle, chosen, name)
        maps = {}
        if oracle and (self.album is not None or self.baselines):
            maps = predictor.densified(encoded, oracle)
        if self.album is not None:
            layers = self._layers(maps, oracle, truth.shape)
            self.album.add(record.image_id, image, truth, masks, layers)
        if self.crf:
            self._add_crf(image, truth, raw, ids, oracle, chosen, name)
        if self.baselines:
            self._add_baselines(maps, truth, oracle, name)
            self._add_training_masks(image, truth, record, name)

    def _layers(self, maps, ids, shape) -> dict:
        """Maps of the picture for the report, small."""
        scale = min(1.0, MAP_SIDE / max(shape))
        size = [max(1, round(scale * side)) for side in shape]
        return {
            heading: (ids, self.predictor.square_to_picture(maps[key], *size))
            for key, heading in MAPS.items()
            if key in maps
        }

    def _row(self, tags: str, inference: str) -> _Scores:
        if (tags, inference) not in self.rows:
            self.rows[tags, inference] = _Scores(
                self.split,
                method=self.predictor.steps.method,
                tags=tags,
                inference=inference,
            )
        return self.rows[tags, inference]

    def _add_own_crf(self, encoded, truth, oracle, chosen, name) -> dict:
        """Rows of a network with a CRF: with it, and without its class gate.

        Returns:
            Masks for the report.
        """
        predictor, masks = self.predictor, {}
        for tags, wanted in (("oracle", oracle), ("predicted", chosen)):
            with self.clock("own CRF"):
                after = predictor.crf_probabilities(encoded, wanted)
            mask = predictor.merge(after, wanted)
            self._row(tags, OWN_CRF).add(truth, mask, name)
            masks[f"{tags} {OWN_CRF}"] = mask
        every = self.split.target_ids
        mask = predictor.merge(predictor.probabilities(encoded, every), every)
        self._row("none", "raw").add(truth, mask, name)
        return masks

    def _add_crf(self, image, truth, raw, ids, oracle, chosen, name) -> None:
        from keras_wsss.inference.dense_crf import dense_crf

        with self.clock("crf"):
            posterior = dense_crf(image, raw)
        # The published merge: fires by the CRF, ranks by what was before it.
        fired = np.where(posterior > 0.5, np.maximum(raw, 1e-6), 0.0)
        for tags, wanted in (("oracle", oracle), ("predicted", chosen)):
            keep = [ids.index(i) for i in wanted]
            mask = _arg_max(fired[keep], wanted, truth.shape)
            self._row(tags, "raw + dense CRF").add(truth, mask, name)

    def _add_baselines(self, maps, truth, oracle, name) -> None:
        self.background.add(truth, np.zeros_like(truth), name)
        for key in self._baselines_of(maps):
            shares = np.zeros((0, *truth.shape), np.float32)
            if oracle:
                positive = np.maximum(maps[key], 0.0)
                highest = positive.max(axis=(1, 2), keepdims=True)
                shares = self.predictor.square_to_picture(
                    positive / np.maximum(highest, 1e-12), *truth.shape
                )
            for threshold in BASELINE_THRESHOLDS:
                fired = np.where(shares > threshold, shares, 0.0)
                mask = _arg_max(fired, oracle, truth.shape)
                self.baselines[key, threshold].add(truth, mask, name)

    def _baselines_of(self, maps: dict) -> list[str]:
        """Baselines that this predictor has maps for."""
        if maps:
            self.mapped = [key for key in BASELINES if key in maps]
        return self.mapped

    def _add_training_masks(self, image, truth, record, name) -> None:
        """Masks made of the true tags, as they would teach, if any are."""
        masks = self.predictor.training_masks(image, record.labels)
        for key, mask in masks.items():
            if key not in self.taught:
                self.taught[key] = _Scores(
                    self.split,
                    method=key,
                    tags="oracle",
                )
            self.taught[key].add(truth, mask, name)

    def result(self) -> dict:
        """Everything as plain values."""
        steps = ("encode", "tag", "decode")
        for (_, inference), scores in self.rows.items():
            extra = {
                "augmented": ("augment",),
                "raw + refined": ("refine raw",),
                "augmented + refined": ("augment", "refine augmented"),
                "raw + dense CRF": ("crf",),
                OWN_CRF: ("own CRF",),
            }.get(inference, ())
            scores.seconds = self.clock.sum(*steps, *extra)
        rows = [scores.result(self.pictures) for scores in self.rows.values()]
        rows.sort(key=lambda row: row["tags"])
        rows += [s.result(self.pictures) for s in self.taught.values()]
        for key in self.mapped if self.baselines else ():
            candidates = [
                self.baselines[key, threshold].result(self.pictures)
                for threshold in BASELINE_THRESHOLDS
            ]
            best = max(candidates, key=lambda row: row["mean_iou"] or 0.0)
            best["inference"] = f"best threshold here: {best['threshold']}"
            rows.append(best)
        if self.background is not None:
            rows.append(self.background.result(self.pictures))
        names = [self.split.name_of(i) for i in self.split.scored_ids]
        return {
            "rows": rows,
            "tagging": tag_scores(
                np.array(self.truths),
                np.array(self.tag_scores),
                names,
                self.predictor.steps.rule,
            ),
            "pictures": self.pictures,
            "seconds": self.clock.seconds,
        }


def _arg_max(
    scores: np.ndarray, ids: Sequence[int], shape: tuple[int, int]
) -> np.ndarray:
    """The id with the largest score at each pixel, background where all 0."""
    if not len(ids):
        return np.zeros(shape, np.uint8)
    best = np.array(ids, np.uint8)[scores.argmax(axis=0)]
    return np.where(scores.max(axis=0) > 0, best, 0).astype(np.uint8)
