"""What is wrong with index masks and shows in several of them only."""

from pathlib import Path

import numpy as np

from keras_wsss.categories import BACKGROUND, IGNORE
from keras_wsss.data.problems import Problem


class MaskSet:
    """Counts and colours of the masks of a folder.

    Programs that turn colours into a palette number them as they come, and
    in each file anew.
    """

    def __init__(self):
        self._seen: dict[int, tuple[tuple[int, ...], Path]] = {}
        self._masks = self._with_first = self._background = 0

    def add(
        self, path: Path, counts: np.ndarray, own: np.ndarray | None
    ) -> Problem | None:
        """Adds a mask; says how its colours contradict those before.

        Args:
            path: of the mask.
            counts: pixels of each of the 256 indices.
            own: its colours, uint8 [256, 3]; None if they say nothing.
        """
        self._masks += 1
        self._with_first += bool(counts[1])
        self._background += int(counts[BACKGROUND])
        if own is None:
            return None
        for index in np.flatnonzero(counts[:IGNORE]).tolist():
            colour = tuple(own[index].tolist())
            other, first = self._seen.setdefault(index, (colour, path))
            if other != colour:
                return Problem(
                    "palette contradicts indices",
                    str(path),
                    "",
                    f"index {index} has the colour {colour}, and in {first} "
                    f"{other}: a program numbered the colours of each file "
                    "anew; save the original indices, or one palette for all",
                )
        return None

    def shifted(self) -> str:
        """What is wrong if all masks were shifted by one, else "".

        Where the background is 1, it is in all of them.
        """
        everywhere = 1 < self._masks == self._with_first
        if not everywhere or self._background:
            return ""
        return (
            f"none of its {self._masks} masks has a 0, the background, and all "
            "have a 1: the indices seem to be shifted by one; save masks with "
            "0 for the background"
        )
