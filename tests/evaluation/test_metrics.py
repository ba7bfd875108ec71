"""A metric is one class and one line: it reaches every table by itself."""

import json

import numpy as np
import pytest
from small_data import CAT

from keras_wsss.evaluation import metrics
from keras_wsss.evaluation.metrics import all_metrics, register_metric
from keras_wsss.evaluation.metrics.metric import Metric
from keras_wsss.registry import Registry


class Overreach(Metric):
    """Share of the background's pixels that get a category."""

    name = "overreach"
    columns = {"overreach": "overreach"}  # noqa: RUF012
    counted = ("wrong", "pixels")

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.wrong = self.pixels = 0

    def update(self, truth, prediction, name=""):
        self.wrong += np.count_nonzero(prediction[truth == 0])
        self.pixels += np.count_nonzero(truth == 0)

    def result(self, split=None):
        return {"overreach": self.wrong / self.pixels if self.pixels else None}


@pytest.fixture
def overreach(monkeypatch):
    """The toy metric, which is forgotten afterwards."""
    fresh = Registry("metric", metrics._METRICS._places)
    monkeypatch.setattr(metrics, "_METRICS", fresh)
    return register_metric(Overreach)


def test_every_metric_says_what_the_contract_asks():
    truth = np.zeros((8, 8), np.uint8)
    truth[:4, :4] = CAT
    keys = []
    for metric in all_metrics():
        counts = metric(3)
        counts.update(truth, truth)
        result = counts.result()
        twice = metric(3)
        for _ in range(2):
            twice.add_state(json.loads(json.dumps(counts.state())))
        counts.update(truth, truth)
        assert twice.state() == counts.state() != metric(3).state()
        json.dumps(twice.result())
        assert set(metric.columns.values()) <= set(result)
        assert all(result[key] == 1 for key in metric.columns.values())
        keys += [key for key in result if key != "per_class"]
    assert len(keys) == len(set(keys))  # none writes over another's figure


def test_a_metric_is_in_results_tables_and_page(
    overreach, transfer_run, tmp_path
):
    from keras_wsss.evaluation.run import evaluate_run

    results = evaluate_run(
        transfer_run[0], out=tmp_path, limit=2, refine=False, log=lambda _: None
    )
    rows = [row for row in results["rows"] if "overreach" in row]
    assert [row["tags"] for row in rows if "inference" in row] == [
        *("oracle", "oracle", "predicted", "predicted")
    ]
    assert rows[-1]["method"] == "all background"
    assert rows[-1]["overreach"] == 0
    figure = f"{rows[0]['overreach']:.3f}"
    for name, heading in (
        ("results.json", '"overreach": '),
        ("results.md", "| overreach |"),
        ("report.html", '<th scope="col" class="number">overreach</th>'),
    ):
        text = (tmp_path / name).read_text()
        assert heading in text
        assert figure.rstrip("0") in text
