"""Generated pictures as a new user has them: nothing is named as ours is.

Own ids and names of categories, sub-folders, umlauts (one folder in
decomposed form, as macOS writes it), mixed endings, EXIF orientation, a
table of tags with other columns.
"""

import json
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask

from keras_wsss.shapes import make

# What some categories are called here; the others keep their names.
SOURCE = {"disc": "Scheibe", "ring": "ring (groß)", "cross": "Kreuz"}
TARGET = {"heart": "Herz", "star": "Schlüssel", "fish": "fish"}
ENDINGS = (".jpg", ".JPG", ".png", ".jpeg")
WIDER = 16  # pixels, so that a turned picture has another size
FOLDERS = ("Büro 2", "Straße/2025", unicodedata.normalize("NFD", "Höfe"))


def write_pictures(root: Path, size: make.ShapesSize) -> dict[str, tuple]:
    """Writes masks.json, pictures, tags.csv and photos below `root`.

    Returns:
        Name below `photos` to the upright (width, height) of each.
    """
    drawn = root / "drawn"
    make.write_shapes(drawn, size=size)
    content = json.loads((drawn / "source/instances.json").read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    own = {number: 1000 - 7 * number for number in names}
    for number, image in enumerate(content["images"]):
        image["id"] += 90_000
        path = drawn / "source/images" / image["file_name"]
        image["file_name"] = _move(path, root / "pictures", "Bild", number)
        image["width"] += WIDER
    for each in content["annotations"]:
        each["image_id"] += 90_000
        each["category_id"] = own[each["category_id"]]
        if isinstance(each["segmentation"], dict):
            each["segmentation"] = _wider(each["segmentation"])
    content["categories"] = [
        {"id": own[number], "name": {**SOURCE, **TARGET}.get(name, name)}
        for number, name in names.items()
    ]
    text = json.dumps(content, ensure_ascii=False)
    (root / "masks.json").write_text(text, encoding="utf-8")
    rows, sizes = ["file;tags;camera"], {}
    lines = (drawn / "target/train_tags.csv").read_text().splitlines()[1:]
    for number, line in enumerate(lines):
        name, _, labels = line.partition(",")
        labels = [TARGET.get(each, each) for each in labels.split(";")]
        path = drawn / "target/JPEGImages" / name
        with Image.open(path) as picture:
            width, height = picture.size
        name = _move(path, root / "photos", "Foto äöü", number)
        rows.append(f"{name};{', '.join(labels)};X100")
        sizes[name] = width + WIDER, height
    (root / "tags.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return sizes


def _wider(runs: dict) -> dict:
    """Run lengths of a mask, with background at its right."""
    height, width = runs["size"]
    if isinstance(runs["counts"], list):
        runs = coco_mask.frPyObjects(runs, height, width)
    mask = np.pad(coco_mask.decode(runs), ((0, 0), (0, WIDER)))
    runs = coco_mask.encode(np.asfortranarray(mask))
    return {**runs, "counts": runs["counts"].decode()}


def _move(path: Path, folder: Path, stem: str, number: int) -> str:
    """A picture under an odd name, every third JPEG turned by EXIF."""
    ending = ENDINGS[number % len(ENDINGS)]
    name = f"{FOLDERS[number % len(FOLDERS)]}/{stem}_{number}{ending}"
    out = folder / name
    out.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as drawn:
        picture = ImageOps.expand(drawn, (0, 0, WIDER, 0), "grey")
    exif = Image.Exif()
    if ending != ".png" and number % 3 == 1:
        exif[0x0112] = 6  # stored lying on its left side
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    picture.save(out, "PNG" if ending == ".png" else "JPEG", exif=exif)
    return name
