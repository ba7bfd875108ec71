"""The section of the report that shows pictures, with its switches."""

import base64
import json
from collections.abc import Sequence
from html import escape

from keras_wsss.categories import Split
from keras_wsss.drawing import bright_palette
from keras_wsss.evaluation.report_pictures import (
    TAGS_RIGHT,
    Album,
    Layer,
    Shot,
)


def pictures_section(album: Album, split: Split) -> str:
    """All kept pictures, worst first, with switch, filter and order.

    Without scripts, all of them are shown as first predicted.
    """
    shots = album.shots
    if not shots:
        return ""
    left_out = (
        f" {album.left_out} pictures of medium score were left out to keep "
        "this file small."
        if album.left_out
        else ""
    )
    rows = "".join(_shot(shot, split) for shot in shots)
    text = (
        "The score of a picture is the mean IoU over the classes in its "
        "truth and its mask. Maps are drawn for the categories of the truth, "
        "each as a share of its own maximum."
    )
    if shots[0].measure == TAGS_RIGHT:
        text = (
            "The score of a picture is the share of its tags, known or named "
            "by the tagger, that are both. Its true mask is not known. Behind "
            "what the tagger names stands its probability."
        )
    return (
        f"<p>{text}{left_out}</p>"
        f"{_tools(shots, split)}"
        '<p id="status" class="soft" role="status"></p>'
        f'<div id="shots">{rows}</div>'
        '<button type="button" id="more" hidden>Show more</button>'
    )


def chip_styles(split: Split) -> str:
    """Style rules for the colours of the split's scored categories."""
    rules = []
    for number in split.scored_ids:
        red, green, blue = (int(v) for v in bright_palette()[number])
        rules.append(f".c{number}{{background:rgb({red},{green},{blue})}}")
    return "\n".join(rules)


def _tools(shots: Sequence[Shot], split: Split) -> str:
    keys = [key.split(" ", 1) for key in shots[0].masks]
    switches = ""
    for name, legend, values in (
        ("tags", "Tags", [key[0] for key in keys]),
        ("inference", "Prediction", [key[-1] for key in keys]),
    ):
        values = list(dict.fromkeys(values))
        choices = "".join(
            f'<label><input type="radio" name="{name}" '
            f'value="{escape(value)}"{" checked" if not index else ""}>'
            f"<span>{escape(value)}</span></label>"
            for index, value in enumerate(values)
        )
        switches += (
            f"<fieldset><legend>{legend}</legend>"
            f'<div class="choices">{choices}</div></fieldset>'
        )
    present = sorted({number for shot in shots for number in shot.ids})
    classes = "".join(
        f'<option value="{number}">{escape(split.name_of(number))}</option>'
        for number in present
    )
    return (
        '<form class="tools" hidden aria-label="Which pictures, and how">'
        f"{switches}"
        '<label>Class<select name="class"><option value="">all</option>'
        f"{classes}</select></label>"
        '<label>Order<select name="order">'
        '<option value="worst">worst first</option>'
        '<option value="best">best first</option>'
        '<option value="name">by name</option></select></label>'
        '<label>Opacity<input type="range" name="opacity" min="10" '
        'max="100" value="70"></label></form>'
    )


def _shot(shot: Shot, split: Split) -> str:
    name = escape(shot.name)
    chips = "".join(_chip(number, split) for number in shot.ids)
    if shot.measure == TAGS_RIGHT:
        named = "".join(
            _chip(number, split, f" {value:.2f}")
            for number, value in shot.named.items()
        )
        chips = (
            f"<span>tags:</span>{chips or '<span>none</span>'}"
            f"<span>named:</span>{named or '<span>none</span>'}"
        )
    scores = json.dumps({k: round(v, 4) for k, v in shot.scores.items()})
    shown = "".join(
        f'<span data-layer="{escape(key)}"{_hidden(index)}>'
        f"{shot.measure} {value:.2f}</span>"
        for index, (key, value) in enumerate(shot.scores.items())
    )
    width, height = shot.size
    picture = (
        f'<img class="picture" width="{width}" height="{height}" '
        f'alt="Picture {name}" src="{_uri("jpeg", shot.picture)}">'
    )
    masks = "".join(
        _image(shot, layer, f"Mask, {key}", "mask", index, key)
        for index, (key, layer) in enumerate(shot.masks.items())
    )
    panels = [
        f'<figure class="panel"><figcaption>picture</figcaption>'
        f'<div class="stack">{picture}</div></figure>',
        _panel("prediction", masks),
        *(
            _panel("truth", _image(shot, layer, "Truth", "mask"))
            for layer in [shot.truth]
            if layer is not None
        ),
        *(
            _panel(heading, _image(shot, layer, heading.capitalize(), "map"))
            for heading, layer in shot.maps.items()
        ),
    ]
    classes = " ".join(str(number) for number in shot.ids)
    return (
        f'<article class="shot" data-name="{name}" data-classes="{classes}" '
        f'data-scores="{escape(scores)}"><header><h3>{name}</h3>'
        f'<span class="names">{chips}</span>'
        f'<span class="score">{shown}</span></header>'
        f'<div class="panels">{"".join(panels)}</div></article>\n'
    )


def _chip(number: int, split: Split, text: str = "") -> str:
    return (
        f'<span><i class="chip c{number}"></i>'
        f"{escape(split.name_of(number))}{text}</span>"
    )


def _panel(heading: str, images: str) -> str:
    return (
        f'<figure class="panel"><figcaption>{escape(heading)}</figcaption>'
        f'<div class="stack over">{images}</div></figure>'
    )


def _image(
    shot: Shot,
    layer: Layer,
    what: str,
    kind: str,
    index: int = 0,
    key: str | None = None,
) -> str:
    width, height = shot.size
    mark = "" if key is None else f' data-layer="{escape(key)}"'
    text = f"{what} of {shot.name}: {layer.text}"
    return (
        f'<img class="{kind}"{mark}{_hidden(index)} width="{width}" '
        f'height="{height}" alt="{escape(text)}" '
        f'src="{_uri("png", layer.png)}">'
    )


def _hidden(index: int) -> str:
    return " hidden" if index else ""


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
