"""Jobs that score a share each give what one evaluation gives."""

import dataclasses
import re
import shutil

import pytest
from readers import read_voc
from tiny import run_script

from keras_wsss.errors import ConfigError, DataError
from keras_wsss.evaluation import evaluate as module
from keras_wsss.evaluation import jobs
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.jobs import Jobs
from keras_wsss.evaluation.report.pictures import Album
from keras_wsss.evaluation.run import evaluate_run
from keras_wsss.inference.shards import Shard


@pytest.fixture(scope="module")
def records(predictor, shapes_dir):
    return read_voc(shapes_dir / "target", "val", predictor.split).records[:4]


@pytest.fixture
def score(predictor, records, monkeypatch):
    """Scores a share; `score.seen` has the pictures that it looked at."""

    def run(out, shard=None, about="", records=records, **options):
        work = Jobs(out, shard, about, run.lines.append)
        options = {"augment": False, "log": lambda _: None, **options}
        results = evaluate(predictor, records, jobs=work, **options)
        if shard is None:
            work.clear()
        return results

    add = module._Evaluation.add

    def noting(self, read):
        run.seen.append(read.record.image_id)
        if len(run.seen) == run.fails_at:
            raise DataError("the machine is gone.")
        return add(self, read)

    monkeypatch.setattr(module._Evaluation, "add", noting)
    run.seen, run.lines, run.fails_at = [], [], 0
    return run


def timeless(results):
    """Without what no two runs have in common."""
    rows = [{**row, "milliseconds": None} for row in results["rows"]]
    return {**results, "rows": rows, "seconds": sorted(results["seconds"])}


def test_a_last_command_joins_what_jobs_have_counted(
    score, records, predictor, tmp_path
):
    albums = [Album(predictor.split) for _ in range(2)]
    expected = score(tmp_path / "whole", album=albums[0])
    score.seen.clear()
    for number in (1, 2, 3):
        album = Album(predictor.split)
        score(tmp_path, Shard(number, 3), album=album)
    assert sorted(score.seen) == sorted(r.image_id for r in records)
    found = score(tmp_path, album=albums[1])
    assert len(score.seen) == len(records)  # nothing was computed again
    assert timeless(found) == timeless(expected)
    assert list(found["per_picture"]["scores"]) == [
        record.image_id for record in records
    ]
    assert albums[0].shots == albums[1].shots
    assert not (tmp_path / "shards").exists()


def test_a_job_goes_on_where_it_was_stopped(score, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_STEP", 1)
    options = {"refine": False, "baselines": False}
    score.fails_at = 3
    with pytest.raises(DataError, match="gone"):
        score(tmp_path, Shard(1, 1), **options)
    done = score.seen[:2]
    score.seen.clear()
    score.fails_at = 0
    score(tmp_path, Shard(1, 1), **options)
    assert len(score.seen) == 2
    assert not set(score.seen) & set(done)


def test_counts_of_other_settings_or_pictures_are_not_believed(
    score, records, tmp_path
):
    options = {"refine": False, "baselines": False}
    score(tmp_path, Shard(1, 1), **options)
    score.seen.clear()
    score(tmp_path, about="other weights", **options)
    assert len(score.seen) == len(records)
    assert re.search("counted anew", score.lines[-1])
    score.seen.clear()
    mask = dataclasses.replace(records[2], mask=records[0].mask)
    picture = dataclasses.replace(records[2], image_path=tmp_path / "copy.png")
    shutil.copyfile(records[2].image_path, picture.image_path)
    for changed in (mask, picture):
        other = [*records[:2], changed, records[3]]
        score(tmp_path, records=other, **options)
        assert len(score.seen) == len(records)
        score.seen.clear()
    score(tmp_path, **options)
    assert not score.seen


def test_results_are_of_the_last_command(transfer_run, tmp_path, monkeypatch):
    options = {"limit": 2, "augment": False, "refine": False}
    options |= {"out": tmp_path, "log": lambda _: None, "baselines": False}
    run, shard = transfer_run[0], Shard(1, 1)
    assert evaluate_run(run, shard=shard, **options) == {"pictures": 2}
    assert not (tmp_path / "results.json").exists()
    counts = tmp_path / "shards/1-of-1/counts.json"
    assert counts.exists()
    with monkeypatch.context() as patch:
        patch.setattr("keras_wsss.evaluation.run.write_report", full_disk)
        with pytest.raises(OSError, match="disk"):
            evaluate_run(run, **options)
    assert counts.exists()
    lines = []
    evaluate_run(run, **{**options, "log": lines.append})
    assert "2 of 2 pictures were scored before." in lines
    assert (tmp_path / "results.json").exists()
    assert (tmp_path / "report.html").exists()
    assert not (tmp_path / "shards").exists()


def full_disk(*_):
    raise OSError("no room on the disk")


def test_tags_alone_are_not_divided(transfer_run, tmp_path, monkeypatch):
    from keras_wsss.config_files import load_run_config

    config = load_run_config(transfer_run[0]).replace({"data.eval_root": ""})
    monkeypatch.setattr(
        "keras_wsss.evaluation.run.data_of", lambda _: config.data
    )
    with pytest.raises(ConfigError, match="eval_root"):
        evaluate_run(transfer_run[0], out=tmp_path, shard=Shard(1, 2))


def test_the_command_divides_one_run(tmp_path):
    flags = [f"--workdir={tmp_path}", tmp_path, "--shard=1/2"]
    done = run_script("evaluate.py", *flags)
    assert done.returncode == 2
    assert "--shard takes one run" in done.stderr
