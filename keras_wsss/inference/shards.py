"""Shares of the pictures, for arrays of jobs."""

import dataclasses
import hashlib
import re

from keras_wsss.errors import ConfigError

FOLDER = "shards"  # below the folder of outputs


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of `of` shares, which together hold every picture exactly once.

    The name decides, and neither the number of pictures nor their order:
    files that arrive or go while jobs run move no other picture.

    Attributes:
        number: of the share, from 1.
        of: how many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str | None) -> "Shard | None":
        """The share that a text such as "3/8" names; None for None.

        Raises:
            ConfigError: it names none.
        """
        if text is None:
            return None
        match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
        shard = cls(*map(int, match.groups())) if match else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise ConfigError(
                f"--shard={text}: give NUMBER/JOBS, such as 3/8 for the third "
                "of 8 jobs; numbers begin at 1."
            )
        return shard

    def has(self, name: str) -> bool:
        """Whether the picture of that name is in this share."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape"))
        return int.from_bytes(digest.digest()[:8]) % self.of == self.number - 1

    @property
    def folder(self) -> str:
        """Where it keeps what is of all its pictures, below the outputs."""
        return f"{FOLDER}/{self.number}-of-{self.of}"
