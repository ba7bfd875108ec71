"""TransferNet as a system: its phases, its network, how it is trained."""

from keras_wsss.categories import Split
from keras_wsss.errors import ConfigError
from keras_wsss.systems.category_axes import (
    CategoryAxes,
    CategoryAxis,
    Column,
)
from keras_wsss.systems.problems import phase_of
from keras_wsss.systems.system import Phase, System
from keras_wsss.systems.transfernet.problems import problems

MASK_WEIGHT = "train.mask_weight"


class TransferNetSystem(System):
    """Masks of source categories, tags of target categories.

    Reference:
        Hong et al., CVPR 2016; see docs/method.md.
    """

    name = "transfernet"
    phases = (
        # Ours: masks teach the decoder before any target category exists.
        Phase(
            "decoder",
            "on pictures with masks",
            target=False,
            mask_weight=MASK_WEIGHT,
        ),
        # Published step 2 when it starts from "attention". From "decoder",
        # new target categories need this phase alone. From "transfer", tags
        # of further pictures are added, and further categories.
        Phase(
            "transfer",
            "to the categories that have tags only",
            target=True,
            mask_weight=MASK_WEIGHT,
            starts_from=("decoder", "attention", "transfer"),
        ),
        # Published step 1.
        Phase("attention", "on tags alone, before transfer", target=True),
    )

    def problems(self, config, phase: str) -> list[str]:
        """See `keras_wsss.systems.transfernet.problems`."""
        return problems(config, phase_of(config, phase))

    def build(self, config, split: Split):
        """Builds a `TransferNet`; see `System.build`."""
        from keras_wsss.precision import dtype_of
        from keras_wsss.systems.network import arguments_from
        from keras_wsss.systems.transfernet.network import TransferNet

        try:
            return TransferNet(
                num_categories=split.num_categories,
                image_size=config.image.size,
                absent_class=config.train.absent_per_image > 0,
                **arguments_from(TransferNet, config.model)
                | {"compute_dtype": dtype_of(config)},
            )
        except ValueError as error:
            raise ConfigError(f"config.model: {error}.") from error

    def category_axes(self, config, split: Split) -> CategoryAxes:
        """Of the embedding of labels and of the heads that name categories."""
        names, judge = split.categories, config.model.judge
        by_name = {"attention/att/cls_embed/kernel": CategoryAxis(0, names)}
        # A layer that two parts share stands under the first.
        shared = judge == "tagger" or config.model.guide_maps
        tagger = "attention" if shared else "tagger"
        layers = {f"{tagger}/tagger_logits": names}
        if judge == "classifier":
            absent = (Column.ABSENT,) * (config.train.absent_per_image > 0)
            layers["attention/classifier_logits"] = (*names, *absent)
        for layer, keys in layers.items():
            by_name[f"{layer}/kernel"] = CategoryAxis(1, keys)
            by_name[f"{layer}/bias"] = CategoryAxis(0, keys)
        return by_name

    def shape_fields(self, config) -> tuple[str, ...]:
        """What decides the shapes of a `TransferNet`."""
        fields = [
            f"model.{name}"
            for name in (
                "encoder",
                "attention",
                "attention_units",
                "judge",
                "decoder_width",
                "output_stride",
                "shortcut",
                "guide_maps",
                "guide_features",
                "tagger_units",
            )
        ]
        if config.model.judge == "classifier":
            fields.append("model.classifier_units")
        if config.model.attention == "dense":
            fields.append("image.size")
        return tuple(fields)

    def usage_fields(self, config) -> tuple[str, ...]:
        """Constant factors, which no shape tells."""
        names = (
            "attention_gain",
            "classifier_gain",
            "ignore_padding",
            "normalization",
            "tagger_sharpness",
        )
        return tuple(f"model.{name}" for name in names)

    def make_optimizer(self, config):
        """Adam with the multipliers of `config.train`."""
        from keras_wsss.systems.transfernet.update import make_optimizer

        return make_optimizer(config)

    def assemble(self, job):
        """See `keras_wsss.systems.transfernet.parts`."""
        from keras_wsss.systems.transfernet.parts import assemble

        return assemble(job)

    def make_steps(self, net, split, config, rule=None):
        """`TransferSteps`."""
        from keras_wsss.systems.transfernet.steps import TransferSteps

        return TransferSteps(net, split, config, rule)


TRANSFERNET = TransferNetSystem()
