"""Which weights belong to categories, and how they follow the names."""

import dataclasses

import numpy as np
import pytest
from tiny import tiny_config
from tiny_prior import tiny_prior_config

from keras_wsss.categories import Split, get_split, same_categories
from keras_wsss.config import split_of, to_json
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.systems import get_system
from keras_wsss.systems.category_axes import (
    CategoryAxis,
    Column,
    carry_over,
)
from keras_wsss.systems.network import (
    build_network,
    named_variables,
)
from keras_wsss.systems.prior.system import PRIOR

SMALL = get_split("small", source=("a", "b"), target=("c", "d"))
LARGE = get_split("large", source=("a",), target=("d", "e", "c", "f"))
# Every form that has other variables laid out by category.
FORMS = {
    "published": (tiny_config, {"model.attention": "dense"}),
    "absent": (tiny_config, {"train.absent_per_image": 1}),
    "tagger": (tiny_config, {"model.judge": "tagger"}),
    "guide maps": (tiny_config, {"model.guide_maps": True}),
    "prior": (tiny_prior_config, {}),
}


def changed(config, fields):
    return config.replace(fields)


def shapes(config, split):
    net = build_network(config, split)
    named = named_variables(net, net.trained_parts)
    return {name: tuple(v.shape) for name, v in named.items()}


@pytest.mark.parametrize("form", FORMS)
def test_a_network_names_all_that_is_laid_out_by_category(form):
    make, fields = FORMS[form]
    config = changed(make("data"), fields)
    one, two = shapes(config, SMALL), shapes(config, LARGE)
    assert one.keys() == two.keys()
    axes = get_system(config.system).category_axes(config, LARGE)
    assert {n for n in one if one[n] != two[n]} == axes.keys()
    for name, axis in axes.items():
        assert two[name][axis.axis] == len(axis.keys)
        others = list(two[name])
        others[axis.axis] = one[name][axis.axis]
        assert tuple(others) == one[name]


def test_columns_stand_where_the_losses_look_for_them():
    config = changed(tiny_config("data"), FORMS["absent"][1])
    axes = get_system(config.system).category_axes(config, LARGE)
    assert axes["attention/att/cls_embed/kernel"].keys == LARGE.categories
    last = axes["attention/classifier_logits/bias"].keys
    assert last == (*LARGE.categories, Column.ABSENT)
    # Of the prior system, targets in the order of their ids.
    turned = dataclasses.replace(LARGE, target=("f", "c", "e", "d"))
    axes = PRIOR.category_axes(tiny_prior_config("data"), turned)
    scores = axes["segmenter/segment_scores/bias"].keys
    assert scores == (Column.BACKGROUND, "d", "e", "c", "f")


# A value other than that of the tiny configs for every field of the model.
OTHER = {
    "model.encoder": "vgg16",
    "model.encoder_weights": "other.h5",
    "model.compute_dtype": "bfloat16",
    "model.attention": "dense",
    "model.attention_units": 8,
    "model.attention_gain": 3.0,
    "model.classifier_units": 8,
    "model.classifier_gain": 3.0,
    "model.normalization": "max",
    "model.ignore_padding": True,
    "model.decoder_width": 0.3,
    "model.output_stride": 2,
    "model.initializer": "published",
    "model.shortcut": True,
    "model.guide_maps": True,
    "model.guide_features": 4,
    "model.tagger_units": 8,
    "model.tagger_sharpness": 0.5,
    "model.judge": "tagger",
    "image.size": 80,
    "prior.dropout": 0.0,
    "prior.frozen_blocks": 2,
    "prior.fc6_dilation": 2,
}


def test_every_field_of_the_model_is_tried():
    model = to_json(tiny_config("data").model)
    assert {f"model.{name}" for name in model} <= OTHER.keys()


@pytest.mark.parametrize("field", OTHER)
def test_fields_that_decide_shapes_are_those_that_must_agree(field):
    make = tiny_prior_config if field.startswith("prior.") else tiny_config
    before = make("data")
    after = changed(make("data"), {field: OTHER[field]})
    differ = shapes(before, SMALL) != shapes(after, SMALL)
    system = get_system(after.system)
    decisive = system.shape_fields(after)
    assert differ == (field in decisive)
    assert not set(decisive) & set(system.usage_fields(after))


def test_the_picture_decides_shapes_of_published_attention_alone():
    dense = {"model.attention": "dense"}
    before = changed(tiny_config("data"), dense)
    after = changed(tiny_config("data"), {**dense, "image.size": 80})
    assert shapes(before, SMALL) != shapes(after, SMALL)
    assert "image.size" in get_system(after.system).shape_fields(after)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_entries_follow_their_names(axis):
    there = CategoryAxis(axis, (Column.BACKGROUND, "a", "b", "old"))
    here = CategoryAxis(
        axis, ("b", "new", Column.BACKGROUND, Column.ABSENT, "A")
    )
    rng = np.random.default_rng(axis)

    def array(count):
        shape = [2, 3, 2, 2][: axis + 1]
        shape[axis] = count
        return rng.normal(size=shape).astype(np.float32)

    trained = {"w": array(4), "other": array(2)}
    fresh = {"w": array(5)}
    before = {name: value.copy() for name, value in trained.items()}
    first = fresh["w"].copy()
    carried = carry_over(
        trained, {"w": there}, fresh, {"w": here}, {"b": "b", "A": "a"}, "run"
    )
    assert carried["other"] is trained["other"]
    for place, (source, index) in enumerate(
        [(before, 2), (fresh, 1), (before, 0), (fresh, 3), (before, 1)]
    ):
        np.testing.assert_array_equal(
            np.take(carried["w"], place, axis),
            np.take(source["w"], index, axis),
        )
    # Neither what was trained nor what was fresh has been written to.
    np.testing.assert_array_equal(trained["w"], before["w"])
    np.testing.assert_array_equal(fresh["w"], first)


def test_an_array_that_does_not_fit_its_categories_is_named():
    axis = {"part/kernel": CategoryAxis(1, ("a", "b"))}
    good, bad = np.zeros((3, 2)), np.zeros((3, 4))
    with pytest.raises(
        DataError, match=r"run: 'part/kernel' has shape \(3, 4\), \(3, 2\) is"
    ):
        carry_over(
            {"part/kernel": bad},
            axis,
            {"part/kernel": good},
            axis,
            {"a": "a"},
            "run",
        )


def test_categories_are_found_by_name_and_by_the_aliases_of_both():
    here = get_split(
        "here",
        source=("truck", "lamp"),
        target=("sofa", "kitty", "van"),
        aliases={"lorry": "truck", "minibus": "van"},
    )
    there = get_split(
        "there",
        source=("couch", "cat", "bus"),
        target=("lorry", "lamp"),
        aliases={"kitty": "cat", "minibus": "bus"},
    )
    assert same_categories(here, there) == {
        "truck": "lorry",  # an alias here
        "kitty": "cat",  # an alias there
        "sofa": "couch",  # COCO's spelling, known anyway
        "van": "bus",  # a spelling that both have
        "lamp": "lamp",  # it may stand on the other side
    }


def test_the_same_name_goes_before_any_alias():
    here = get_split("h", target=("mouse", "rat"))
    there = get_split("t", target=("rat", "x"), aliases={"mouse": "rat"})
    assert same_categories(here, there) == {"rat": "rat"}


def test_a_divided_category_gives_its_weights_to_both():
    here = get_split("h", target=("red cup", "blue cup"))
    aliases = {"red cup": "cup", "blue cup": "cup"}
    there = get_split("t", target=("cup",), aliases=aliases)
    assert same_categories(here, there) == dict.fromkeys(here.target, "cup")


def test_one_category_of_several_is_refused():
    aliases = {"red cup": "cup", "blue cup": "cup"}
    here = get_split("h", target=("cup",), aliases=aliases)
    there = get_split("t", target=("red cup", "blue cup"))
    with pytest.raises(ConfigError, match="'cup' would go on from each of red"):
        same_categories(here, there)


def test_names_of_the_projects_own_splits_are_found_again():
    first, second = (
        split_of(tiny_config("data").replace({"split.name": name}))
        for name in ("mini75", "coco60_voc20")
    )
    assert isinstance(first, Split)
    assert same_categories(first, second) == {n: n for n in first.categories}
