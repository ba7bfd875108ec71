"""The prior system by its commands, as a user runs them.

Training by command is the fixture `prior_run` that all tests share.
"""

from tiny import read_json, run_script


def test_evaluate(prior_run, prior_data, tmp_path):
    done = run_script(
        "evaluate.py",
        f"--workdir={prior_run[0]}",
        f"--out={tmp_path}",
        "--limit=2",
        "--noaugment",
        data=prior_data,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Computing on ")
    results = read_json(tmp_path / "results.json")
    methods = {row["method"] for row in results["rows"]}
    assert {"Prior", "masks on line", "class activation maps"} <= methods
    assert "raw + own CRF" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "report.html").exists()


def test_export(prior_run, prior_data, tmp_path):
    out = tmp_path / "model" / "1"
    done = run_script(
        "export/__main__.py",
        f"--workdir={prior_run[0]}",
        f"--out={out}",
        data=prior_data,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Computing on ")
    assert "Checked in a fresh process without keras_wsss" in done.stdout
    assert (out / "saved_model.pb").exists()
    # The CRF is in the graph, and was compared with the run's own answers.
    quality = read_json(out / "manifest.json")["options"]["quality"]
    assert (quality["own_crf"], quality["refine"]) == (True, False)
    assert len(quality["views"]) == 2
