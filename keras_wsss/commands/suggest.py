"""Which pictures to look at: `keras-wsss suggest --workdir RUN --out DIR`.

Ranks the tagged pictures of a run, those of --tags_file and --images, or
pictures without tags that are named after the flags, by what a person's look
at them would bring. Writes DIR/suggestions.json and suggestions.csv, and with
--page suggestions.html, where the tags of the first ones are corrected and
come back as tags.csv. See docs/suggest.md.
"""

from absl import flags

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_max_pixels,
    define_workdir,
    say,
    start_computing,
)

WORKDIR = define_workdir()
OUT = flags.DEFINE_string(
    "out", None, "Folder that the list and the page go to.", required=True
)
TAGS_FILE = flags.DEFINE_string(
    "tags_file",
    None,
    "Tags of other pictures than those of the run's config, in the format "
    "that config.data.tags_format of the run names.",
)
IMAGES = flags.DEFINE_string(
    "images", None, "Folder of the pictures of --tags_file."
)
BY = flags.DEFINE_enum(
    "by",
    "tags",
    ["tags", "masks", "teaching"],
    "What comes first: tags that look wrong (without given tags: predicted "
    "ones that may cost most), masks that are unsure or compete, or pictures "
    "whose true masks would teach most.",
)
COUNT = flags.DEFINE_integer(
    "count", 50, "Pictures on the page.", lower_bound=1
)
PAGE = flags.DEFINE_bool(
    "page", False, "Also write the page on which tags are corrected."
)
AUGMENT = flags.DEFINE_bool(
    "augment",
    True,
    "Average over mirrored pictures and the config's scales, as predict does.",
)
MAX_PIXELS = define_max_pixels()
CHECKPOINT = define_checkpoint()


def run(argv: list[str]) -> int:
    """Parsed flags in, a list and perhaps a page out."""
    start_computing()
    from keras_wsss.suggest.run import suggest

    suggest(
        WORKDIR.value,
        OUT.value,
        pictures=argv[1:],
        tags_file=TAGS_FILE.value,
        images=IMAGES.value,
        by=BY.value,
        count=COUNT.value,
        page=PAGE.value,
        augment=AUGMENT.value,
        checkpoint=CHECKPOINT.value,
        max_pixels=MAX_PIXELS.value,
        log=say,
    )
    return 0
