"""Tables: alignment, and honest cells for what is missing."""

from keras_wsss.evaluation.table import (
    markdown_table,
    per_class_table,
    results_table,
)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_columns_are_aligned():
    table = markdown_table(
        [{"a": "x", "b": 0.5}, {"a": "longer", "b": 12.25}],
        {"name": "a", "value": "b"},
    )
    assert table == (
        "| name   |  value |\n"
        "| ------ | -----: |\n"
        "| x      |  0.500 |\n"
        "| longer | 12.250 |\n"
    )


def test_missing_undefined_and_zero_look_different():
    rows = [
        {"method": "a", "mean_iou": 0.0},
        {"method": "b", "mean_iou": None},
        {"method": "c", "mean_iou": float("nan")},
        {"method": "d"},
    ]
    lines = results_table(rows).splitlines()[2:]
    assert [cells(line)[1] for line in lines] == [
        "0.000",
        "n/a",
        "n/a",
        "not run",
    ]


def test_columns_that_nobody_measured_are_left_out():
    table = results_table([{"method": "a", "mean_iou": 0.5}])
    assert cells(table.splitlines()[0]) == ["method", "mean IoU"]
    table = results_table([{"method": "a"}, {"method": "b", "tags": "oracle"}])
    assert cells(table.splitlines()[2]) == ["a", "-"]


def test_per_class_table_has_the_mean_of_defined_scores():
    table = per_class_table(
        {
            "ours": {"background": 0.8, "cat": 0.4, "cow": None},
            "baseline": {"background": 0.6, "cat": 0.2},
        }
    )
    rows = [cells(line) for line in table.splitlines()]
    assert rows[0] == ["class", "ours", "baseline"]
    assert rows[2:] == [
        ["background", "0.800", "0.600"],
        ["cat", "0.400", "0.200"],
        ["cow", "n/a", "not run"],
        ["mean", "0.600", "0.400"],
    ]


def test_cell_text_cannot_break_the_table():
    table = markdown_table([{"a": "x|y\nz"}], {"name": "a"})
    assert table.splitlines()[2] == "| x\\|y z |"


def test_no_rows_give_a_heading():
    assert len(markdown_table([], {"name": "a"}).splitlines()) == 2
