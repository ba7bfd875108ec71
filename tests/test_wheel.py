"""The wheel is the product: from pictures to a served model by it alone."""

import os
import subprocess
import zipfile

from tiny import REPOSITORY

QUICK = (
    "--config.train.log_every=1",
    "--config.train.heldout_every=100",
    "--config.train.examples=0",
    "--config.image.size=64",
    "--config.image.resize=64",
)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "keras_wsss"
    }
    inside = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "keras_wsss").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert inside <= set(names)


def test_from_pictures_to_a_served_model_by_the_wheel_alone(
    installed, tmp_path
):
    def run(*arguments):
        environment = {**os.environ, "KERAS_WSSS_SHAPES": "shapes"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [installed, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    run("data", "shapes", "--out=shapes", "--image_size=64", "--share=0.02")
    train = ("train", "--config", "shapes", *QUICK)
    for phase, start in (
        ("decoder", ()),
        ("transfer", ("--init_from=decoder",)),
    ):
        run(
            *train,
            f"--phase={phase}",
            f"--workdir={phase}",
            *start,
            f"--config.phases.{phase}.steps=3",
            f"--config.phases.{phase}.warmup_steps=1",
        )
    run("evaluate", "--workdir=transfer", "--limit=2", "--nobaselines")
    assert (tmp_path / "transfer/evaluation/report.html").exists()
    picture = next((tmp_path / "shapes/target/JPEGImages").iterdir())
    run("predict", "--workdir=transfer", "--out=masks", str(picture))
    assert (tmp_path / "masks/predictions.json").exists()
    run("export", "--workdir=transfer", "--out=model/1", "--noaugment")
    assert (tmp_path / "model/1/saved_model.pb").exists()
