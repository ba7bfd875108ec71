"""The metrics of masks: one module each; all of them are scored.

`keras_wsss.evaluation.metrics.metric.Metric` is what a metric must say of
itself.
"""

from keras_wsss.evaluation.metrics.metric import Metric
from keras_wsss.registry import Registry

_METRICS: Registry[type[Metric]] = Registry(
    "metric",
    {
        "confusion": "keras_wsss.evaluation.metrics.confusion:ConfusionMatrix",
        "boundary": "keras_wsss.evaluation.metrics.boundary:BoundaryIou",
    },
)


def register_metric(metric: type[Metric]) -> type[Metric]:
    """Makes a metric known by its name; gives it back, as a decorator does."""
    return _METRICS.register(metric)


def all_metrics() -> tuple[type[Metric], ...]:
    """Everything that `evaluate` scores, those of the package first."""
    return tuple(map(_METRICS.get, _METRICS.names()))
