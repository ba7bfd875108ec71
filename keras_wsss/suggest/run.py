"""Looks at tagged pictures with a trained run and lists the suggestions."""

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data import formats
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Dataset, Record
from keras_wsss.errors import ConfigError
from keras_wsss.files import write_json, write_text
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predict_files import find_pictures
from keras_wsss.inference.predictor import Predictor
from keras_wsss.progress import progress
from keras_wsss.suggest.page import Page, make_card, write_page
from keras_wsss.suggest.scores import (
    ORDERS,
    TAGS,
    Look,
    Ranking,
    competition,
    expected_iou,
    rank,
)
from keras_wsss.systems.quality import RAW, View, augmented_views

LIST_FILE, TABLE_FILE = "suggestions.json", "suggestions.csv"
PAGE_FILE = "suggestions.html"
# Masks of categories that are no tag are looked at from this probability on,
# and of how many of them at most.
_CLOSE, _MOST = 0.1, 4


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The pictures to choose from.

    Attributes:
        root: folder that their names in a tags file are relative to.
        records: the pictures; those of untagged ones have no labels.
        is_given: whether their labels are given tags.
        dropped: reason -> number of tags that are not shown.
    """

    root: Path
    records: Sequence[Record]
    is_given: bool
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)

    def name(self, record: Record) -> str:
        """A picture's name in a tags file."""
        return record.image_path.relative_to(self.root).as_posix()


def suggest(
    workdir: str | Path,
    out: str | Path,
    *,
    pictures: Sequence[str | Path] = (),
    tags_file: str | Path | None = None,
    images: str | Path | None = None,
    by: str = TAGS,
    count: int = 50,
    page: bool = False,
    augment: bool = True,
    checkpoint: str = "last",
    max_pixels: int | None = None,
    log: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Ranks pictures by how much a person's look at them would help.

    Writes suggestions.json and suggestions.csv, all pictures in their order,
    and with `page` suggestions.html, where the tags of the first ones are
    corrected. No mask but the network's own is read.

    Args:
        workdir: run folder of a training.
        out: folder of what is written, made when missing.
        pictures: files and folders of pictures without tags; none of them
            asks for tagged pictures, those of the run's config.
        tags_file: other tagged pictures.
        images: folder of the pictures of `tags_file`.
        by: what decides the order, see `keras_wsss.suggest.scores.rank`.
        count: pictures on the page; the first ones.
        page: also write the page.
        augment: average over mirrored pictures and the config's scales.
        checkpoint: "last", or "best" on held-out source masks.
        max_pixels: largest width times height of a picture; None keeps the
            run's.
        log: takes lines about what is done.

    Returns:
        The entries of suggestions.json, first one first.

    Raises:
        ConfigError: not a run, or pictures that go by no rule above.
        DataError: a tags file, picture or checkpoint that cannot be read.
    """
    if by not in ORDERS:
        raise ConfigError(f"by is '{by}'; it is one of {', '.join(ORDERS)}.")
    out = Path(out)
    predictor = Predictor.from_workdir(
        workdir, max_pixels=max_pixels, checkpoint=checkpoint
    )
    candidates = _read(predictor, out, pictures, tags_file, images)
    for reason, number in candidates.dropped.items():
        log(f"{number} {reason} are not shown, and not in what comes back.")
    views = augmented_views(predictor.steps.scales) if augment else RAW
    looks = [
        look_at(predictor, candidates, record, views)[0]
        for record in progress(candidates.records, "looking at pictures")
    ]
    # Predicted tags are of the scored categories; given ones of all targets.
    split = predictor.split
    ids = split.target_ids if candidates.is_given else split.scored_ids
    rankings = rank(looks, ids, count)
    order = rankings[by].order
    entries = [
        entry(looks[number], number, place, rankings, split)
        for place, number in enumerate(order, start=1)
    ]
    write_json(
        out / LIST_FILE,
        {
            "by": by,
            "images": str(candidates.root),
            "given_tags": candidates.is_given,
            "pictures": entries,
        },
    )
    write_text(out / TABLE_FILE, _table(entries))
    log(f"Written: {out / LIST_FILE} and {TABLE_FILE}, {len(looks)} pictures")
    if page:
        shown = order[:count].tolist()
        content = _page(predictor, candidates, views, shown, entries)
        write_page(out / PAGE_FILE, content)
        log(f"Written: {out / PAGE_FILE}, the first {len(shown)} of them")
    return entries


def look_at(
    predictor: Predictor,
    candidates: Candidates,
    record: Record,
    views: Sequence[View],
) -> tuple[Look, np.ndarray, dict[int, np.ndarray]]:
    """What the network says of one picture of H x W pixels.

    Args:
        predictor: a trained network.
        candidates: what the picture is of.
        record: the picture.
        views: looks at it; tag scores and probabilities are means.

    Returns:
        That; the picture, uint8 [H, W, 3]; and bool [H, W] masks of the tags
        and of what comes close to them, by id.
    """
    image = read_image(record.image_path, predictor.config.data.max_pixels)
    picture = OnePicture(predictor, image)
    scores = picture.tag_scores(views)
    predicted = predictor.choose_tags(scores)
    tags = record.labels if candidates.is_given else predicted
    close = [
        i
        for i in sorted(
            predictor.split.target_ids, key=lambda i: -scores[i - 1]
        )
        if i not in tags and (scores[i - 1] >= _CLOSE or i in predicted)
    ]
    ids = tuple(sorted({*tags, *close[:_MOST]}))
    found = picture.probabilities(ids, views)
    threshold = predictor.config.inference.mask_threshold
    maps = dict(zip(ids, found, strict=True))
    look = Look(
        image=candidates.name(record),
        tags=tuple(tags),
        unknown=record.uncertain,
        is_given=candidates.is_given,
        predicted=predicted,
        scores=scores,
        areas={i: float(np.mean(m > threshold)) for i, m in maps.items()},
        sureness={i: expected_iou(m, threshold) for i, m in maps.items()},
        competition=competition(np.array([maps[i] for i in tags]), threshold),
    )
    return look, image, {i: m > threshold for i, m in maps.items()}


def entry(
    look: Look,
    number: int,
    place: int,
    rankings: dict[str, Ranking],
    split: Split,
) -> dict[str, Any]:
    """One picture's values in suggestions.json.

    Args:
        look: what the network says of it.
        number: of the picture in the rankings.
        place: in the order that was asked for, from 1.
        rankings: all orders.
        split: names of the categories.
    """
    name = split.name_of
    return {
        "place": place,
        "image": look.image,
        "tags": [name(i) for i in look.tags],
        "unknown": [name(i) for i in look.unknown],
        "predicted": [name(i) for i in look.predicted],
        "scores": {
            name(i): round(float(look.scores[i - 1]), 4)
            for i in split.target_ids
        },
        "values": {
            key: round(float(found.values[number]), 4)
            for key, found in rankings.items()
        },
        "reasons": reasons(look, split),
    }


def reasons(look: Look, split: Split) -> list[str]:
    """Short sentences about what is doubtful in a picture."""
    name, found = split.name_of, []
    ids = split.target_ids
    for i, doubt in zip(ids, look.doubts(ids), strict=True):
        if doubt <= 0.5:
            continue
        kind = "" if look.is_given else "predicted "
        if i in look.tags:
            found.append(
                f"{kind}{name(i)} looks wrong ({1 - doubt:.0%} sure of it)"
            )
        else:
            found.append(f"{name(i)} seems to be missing ({doubt:.0%} sure)")
    for i in look.tags:
        if not look.areas.get(i, 1.0):
            found.append(f"nothing is found of {name(i)}")
        elif look.sureness.get(i, 1.0) < 0.5:
            found.append(f"the mask of {name(i)} is unsure")
    if look.competition > 0.25:
        found.append("its masks compete for the same pixels")
    return found


def _read(
    predictor: Predictor,
    out: Path,
    pictures: Sequence[str | Path],
    tags_file: str | Path | None,
    images: str | Path | None,
) -> Candidates:
    if pictures and (tags_file or images):
        raise ConfigError(
            "Give pictures without tags, or --tags_file and --images of "
            "tagged ones, not both."
        )
    if pictures:
        found, _ = find_pictures(pictures, out)
        folders = {picture.path.resolve().parent for picture in found}
        root = Path(os.path.commonpath(folders))
        return Candidates(
            root,
            [
                Record(picture.name, picture.path.resolve(), "target", ())
                for picture in found
            ],
            is_given=False,
        )
    if bool(tags_file) != bool(images):
        raise ConfigError("--tags_file and --images go together; give both.")
    data = predictor.config.data
    if tags_file:
        places = {"target_tags": str(tags_file), "target_images": str(images)}
        data = data.replace(places)
    dataset: Dataset = formats.read(data, predictor.split, "target")
    root = Path(data.target_images)
    if formats.format_of(data, "target").own_images:
        folders = {record.image_path.parent for record in dataset.records}
        root = Path(os.path.commonpath(folders)) if folders else root
    return Candidates(root, dataset.records, True, dict(dataset.dropped))


def _page(
    predictor: Predictor,
    candidates: Candidates,
    views: Sequence[View],
    shown: Sequence[int],
    entries: Sequence[dict[str, Any]],
) -> Page:
    """The page of some pictures.

    Args:
        predictor: a trained network.
        candidates: the pictures to choose from.
        views: looks at each.
        shown: numbers of the pictures, first one first.
        entries: of all pictures, those shown first.
    """
    # What nobody has given comes back of pictures that were looked at alone.
    listed = range(len(candidates.records)) if candidates.is_given else shown
    row_of = {number: row for row, number in enumerate(listed)}
    cards = []
    for number, found in zip(
        progress(shown, "drawing the page"), entries, strict=False
    ):
        record = candidates.records[number]
        look, image, masks = look_at(predictor, candidates, record, views)
        cards.append(
            make_card(row_of[number], image, masks, look, found["reasons"])
        )
    return Page(
        title=f"Tags of {predictor.config.name}",
        key=_key(entries),
        split=predictor.split,
        is_given=candidates.is_given,
        rows=[
            (candidates.name(record), record.labels, record.uncertain)
            for record in (candidates.records[number] for number in listed)
        ],
        cards=cards,
    )


def _key(entries: Sequence[dict[str, Any]]) -> str:
    """What tells a list from others, for what a browser keeps of it."""
    text = json.dumps(entries, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _table(entries: Sequence[dict[str, Any]]) -> str:
    """The list as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    lists = ("tags", "unknown", "predicted")
    columns = (f"by_{key}" for key in ORDERS)
    writer.writerow(["place", "image", *columns, *lists, "reasons"])
    for found in entries:
        writer.writerow(
            [
                found["place"],
                found["image"],
                *(found["values"][key] for key in ORDERS),
                *(";".join(found[key]) for key in lists),
                "; ".join(found["reasons"]),
            ]
        )
    return buffer.getvalue()
