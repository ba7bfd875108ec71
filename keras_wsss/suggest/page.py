"""The page on which tags are corrected: one file, no server, no network."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_wsss import pages
from keras_wsss.categories import Split
from keras_wsss.files import write_text
from keras_wsss.suggest.scores import Look

_PACKAGE = "keras_wsss.suggest"
# Pixels, longest side of a picture: to be looked at one by one.
_SIDE = 480
# So many categories have a key each, and then a fixed place.
_KEYS = 9


@dataclasses.dataclass(frozen=True)
class Card:
    """One picture of the page.

    Attributes:
        row: of the page's rows.
        look: what the network says of it.
        reasons: short sentences about what is doubtful.
        picture: JPEG.
        size: its width and height.
        layers: category -> PNG of its mask, transparent outside.
    """

    row: int
    look: Look
    reasons: Sequence[str]
    picture: bytes
    size: tuple[int, int]
    layers: Mapping[int, bytes]


@dataclasses.dataclass(frozen=True)
class Page:
    """What the page shows and gives back.

    Attributes:
        title: heading.
        key: names what the browser keeps; another list has another one.
        split: categories; tags are of its targets.
        is_given: whether the tags are given; if not, a picture comes back
            once somebody has looked at it.
        rows: image, tags and unknown ones of every picture of tags.csv, in
            its order.
        cards: the pictures to look at, first one first.
    """

    title: str
    key: str
    split: Split
    is_given: bool
    rows: Sequence[tuple[str, Sequence[int], Sequence[int]]]
    cards: Sequence[Card]


def make_card(
    row: int,
    image: np.ndarray,
    masks: Mapping[int, np.ndarray],
    look: Look,
    reasons: Sequence[str],
) -> Card:
    """A card of a picture of H x W pixels.

    Args:
        row: of the page's rows.
        image: uint8 [H, W, 3], RGB.
        masks: category -> bool [H, W].
        look: what the network says of it.
        reasons: short sentences about what is doubtful.
    """
    picture, size = pages.small_jpeg(image, _SIDE)
    layers = {}
    for number, mask in masks.items():
        small = cv2.resize(
            mask.astype(np.uint8), size, None, 0, 0, cv2.INTER_AREA
        )
        if small.any():
            layers[number] = pages.mask_png(small * np.uint8(number))
    return Card(row, look, reasons, picture, size, layers)


def write_page(path: str | Path, page: Page) -> None:
    """Writes the page, atomically. It asks no network for anything."""
    write_text(path, html_of(page))


def html_of(page: Page) -> str:
    """The page as text; all that comes from data is escaped."""
    split = page.split
    style = pages.read_part(_PACKAGE, "suggest.css")
    style += pages.colour_rules(split.target_ids)
    script = pages.read_part(_PACKAGE, "suggest.js")
    values = {
        "key": f"keras_wsss suggest {page.key}",
        "given": page.is_given,
        "fixed": len(split.target_ids) <= _KEYS,
        "names": {i: split.name_of(i) for i in split.target_ids},
        "ids": split.target_ids,
        "rows": [[name, list(a), list(b)] for name, a, b in page.rows],
        "cards": [_card(card, split) for card in page.cards],
    }
    return (
        pages.environment(_PACKAGE)
        .get_template("suggest.html")
        .render(
            page=page,
            style=style,
            script=script,
            policy=pages.policy(style, script),
            data=_for_script(values),
        )
    )


def _card(card: Card, split: Split) -> dict[str, Any]:
    look = card.look
    return {
        "row": card.row,
        "reasons": list(card.reasons),
        "picture": pages.in_base64(card.picture),
        "size": card.size,
        "layers": {i: pages.in_base64(p) for i, p in card.layers.items()},
        "tags": list(look.tags),
        "unknown": list(look.unknown),
        "predicted": list(look.predicted),
        "scores": {
            i: round(float(look.scores[i - 1]), 3) for i in split.target_ids
        },
    }


def _for_script(values: Any) -> str:
    """JSON that can stand within a script element."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True)
    # Nothing that could end the element, or begin a comment in it.
    return text.replace("<", "\\u003c").replace("&", "\\u0026")
