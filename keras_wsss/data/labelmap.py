"""CVAT's labelmap.txt: which colour of a mask means which category."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_wsss.categories import palette
from keras_wsss.data.problems import read_text
from keras_wsss.errors import ConfigError, DataError

LABELMAP = "labelmap.txt"
BACKGROUND = "background"
Colour = tuple[int, int, int]
_HEADER = "# label:color_rgb:parts:actions"


def labelmap_text(names: Sequence[str]) -> str:
    """The text for categories in the colours of VOC, index 1 first.

    Raises:
        ConfigError: a name that the format cannot hold.
    """
    lines = [_HEADER]
    for name, colour in zip((BACKGROUND, *names), palette(), strict=False):
        if ":" in name or "\n" in name or name.startswith("#"):
            raise ConfigError(
                f"The category {name!r} cannot stand in CVAT's {LABELMAP}, "
                "which ends names at ':'; rename it."
            )
        lines.append(f"{name}:{','.join(map(str, colour.tolist()))}::")
    return "".join(f"{line}\n" for line in lines)


def read_labelmap(path: Path) -> Mapping[Colour, str]:
    """Colour, red green blue from 0 to 255, to category, in the file's order.

    Raises:
        DataError: names file, line, value and remedy.
    """
    found: dict[Colour, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, *rest = (part.strip() for part in line.split(":"))
        colour = _colour(rest[0] if rest else "")
        if not name or colour is None:
            raise DataError(
                f"{path}: line {number}: {line!r} is not name:red,green,blue::"
                " with colours from 0 to 255; export it again."
            )
        if colour in found:
            raise DataError(
                f"{path}: line {number}: {name!r} has the colour of "
                f"{found[colour]!r}; give each category its own."
            )
        if name in found.values():
            raise DataError(
                f"{path}: line {number}: {name!r} stands twice; remove one."
            )
        found[colour] = name
    if not found:
        raise DataError(f"{path}: it names no category; export it again.")
    return found


def _colour(text: str) -> Colour | None:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() for p in parts):
        return None
    red, green, blue = map(int, parts)
    return (red, green, blue) if max(red, green, blue) < 256 else None
