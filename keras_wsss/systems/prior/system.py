"""The prior system: image tags alone, no source data."""

from keras_wsss.categories import Split
from keras_wsss.data.views import ViewSpec
from keras_wsss.errors import ConfigError
from keras_wsss.systems.category_axes import (
    CategoryAxes,
    CategoryAxis,
    Column,
)
from keras_wsss.systems.prior.problems import SEGMENT_STRIDE, problems
from keras_wsss.systems.system import Phase, System


class PriorSystem(System):
    """A classifier whose maps make masks on line, which teach a segmenter.

    Reference:
        Redondo-Cabrera et al., TIP 2019; see docs/prior.md.
    """

    name = "prior"
    phases = (
        # From a run of its own, updates are added: other losses after the
        # same warm-up, say.
        Phase(
            "joint",
            "from tags alone",
            target=True,
            source=False,
            mask_weight="prior.segment_weight",
            starts_from=("joint",),
            starts_alone=True,
        ),
    )
    drawer = "stream S"

    def problems(self, config, phase: str) -> list[str]:
        """See `keras_wsss.systems.prior.problems`."""
        return problems(config, phase)

    def build(self, config, split: Split):
        """Builds a `Prior`; see `System.build`."""
        from keras_wsss.precision import dtype_of
        from keras_wsss.systems.network import arguments_from
        from keras_wsss.systems.prior.network import Prior

        try:
            return Prior(
                num_categories=len(split.target_ids),
                encoder=config.model.encoder,
                compute_dtype=dtype_of(config),
                **arguments_from(Prior, config.prior),
            )
        except ValueError as error:
            raise ConfigError(f"config.prior: {error}.") from error

    def category_axes(self, config, split: Split) -> CategoryAxes:
        """Of the scores of both streams."""
        names = tuple(split.name_of(i) for i in split.target_ids)
        scores: tuple[str | Column, ...] = (Column.BACKGROUND, *names)
        return {
            "segmenter/segment_scores/kernel": CategoryAxis(3, scores),
            "segmenter/segment_scores/bias": CategoryAxis(0, scores),
            "classifier/class_head/kernel": CategoryAxis(1, names),
            "classifier/class_head/bias": CategoryAxis(0, names),
        }

    def usage_fields(self, config) -> tuple[str, ...]:
        """A dilation, which no shape tells."""
        return ("prior.fc6_dilation",)

    def make_optimizer(self, config):
        """SGD with the multipliers of `config.prior`."""
        from keras_wsss.systems.prior.update import make_prior_optimizer

        return make_prior_optimizer(config)

    def views(self, config, **grid) -> ViewSpec:
        """Windows within the picture, on the grid of stream S."""
        grid |= {"stride": SEGMENT_STRIDE, "points": True, "inside": True}
        return super().views(config, **grid)

    def load_start(self, config, net, data, log) -> None:
        """First weights of all layers; see `initialise_prior`."""
        from keras_wsss.systems.prior.weights import initialise_prior

        origin = initialise_prior(net, config.model.encoder_weights or None)
        log(
            "fc6 and fc7 start from the "
            + (
                "decimated layers of the weights file."
                if origin == "decimated"
                else "random weights of their initializers: the weights file "
                "has convolutions only."
            )
        )

    def assemble(self, job):
        """See `keras_wsss.systems.prior.parts`."""
        from keras_wsss.systems.prior.parts import assemble

        return assemble(job)

    def make_steps(self, net, split, config, rule=None):
        """`PriorSteps`."""
        from keras_wsss.systems.prior.steps import PriorSteps

        return PriorSteps(net, split, config, rule)


PRIOR = PriorSystem()
