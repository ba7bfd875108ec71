"""Predictions for Label Studio: brush masks and choices of tags."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from keras_wsss.categories import palette
from keras_wsss.data.brush_rle import encode_brush
from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)
from keras_wsss.files import JsonListFile, atomic_path, write_text

TASKS_FILE = "labelstudio.json"
CONFIG_FILE = "labelstudio_config.xml"
# Names of the tags in the labelling configuration.
IMAGE, BRUSH, TAGS = "image", "brush", "tags"


class _LabelStudio(Writer):
    """Tasks with predictions, and the configuration of their project."""

    name = "labelstudio"

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        out: Path,
        names: Sequence[str],
        options: WriterOptions,
    ) -> list[Path]:
        """See `Writer`."""
        with (
            atomic_path(out / TASKS_FILE) as temporary,
            JsonListFile(temporary) as tasks,
        ):
            for picture in pictures:
                tasks.add(_task(picture, names, options.image_url))
        write_text(out / CONFIG_FILE, _configuration(names))
        return [out / TASKS_FILE, out / CONFIG_FILE]


def _task(
    picture: LabelledPicture, names: Sequence[str], image_url: str
) -> dict[str, Any]:
    height, width = picture.mask.shape
    place = {
        "to_name": IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    result: list[dict[str, Any]] = [
        {
            "id": f"brush{number}",
            "type": "brushlabels",
            "from_name": BRUSH,
            **place,
            "value": {
                "format": "rle",
                "rle": encode_brush(region),
                "brushlabels": [names[number - 1]],
            },
            "score": round(float(score), 5),
        }
        for number, region, score in picture.regions()
    ]
    scores = [each["score"] for each in result]
    if picture.tags:
        result.append(
            {
                "id": "tags",
                "type": "choices",
                "from_name": TAGS,
                "to_name": IMAGE,
                "value": {"choices": [names[i - 1] for i in picture.tags]},
            }
        )
    return {
        "data": {IMAGE: image_url + picture.file_name},
        "predictions": [
            {
                "model_version": "keras_wsss",
                # Of the least sure, by which a project can be sorted.
                "score": min(scores, default=0.0),
                "result": result,
            }
        ],
    }


def _configuration(names: Sequence[str]) -> str:
    """The labelling configuration that the predictions fit, XML."""
    labels, choices = [], []
    for name, colour in zip(names, palette()[1:].tolist(), strict=False):
        shown = "#{:02x}{:02x}{:02x}".format(*colour)
        labels.append(
            f'    <Label value={quoteattr(name)} background="{shown}"/>'
        )
        choices.append(f"    <Choice value={quoteattr(name)}/>")
    return "\n".join(
        [
            "<View>",
            f'  <Image name="{IMAGE}" value="${IMAGE}"/>',
            f'  <BrushLabels name="{BRUSH}" toName="{IMAGE}">',
            *labels,
            "  </BrushLabels>",
            f'  <Choices name="{TAGS}" toName="{IMAGE}" choice="multiple">',
            *choices,
            "  </Choices>",
            "</View>",
            "",
        ]
    )


LABEL_STUDIO = _LabelStudio()
