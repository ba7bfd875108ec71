"""The report as a parser, and as a real browser, sees it."""

import base64
import hashlib
import html.parser
import re

import numpy as np
import pytest
from browser import Browser, find_browser
from small_data import CAT, DOG, SPLIT

from keras_wsss.evaluation.report.history import History
from keras_wsss.evaluation.report.page import Report, html_of, write_report
from keras_wsss.evaluation.report.pictures import Album
from keras_wsss.tagging import tag_scores

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
WAYS = ("raw", "augmented", "raw + refined", "augmented + refined")
PICTURES = 15


def scores(value):
    names = ("background", "cat", "dog")
    return {name: {"iou": value + 0.01 * len(name)} for name in names}


def results():
    rows = [
        {
            "method": "TransferNet",
            "tags": tags,
            "inference": way,
            "mean_iou": 0.4 + 0.01 * index,
            "pixel_accuracy": 0.8,
            "boundary_iou": None,
            "default": way == "augmented",
            "milliseconds": 12.5,
            "per_class": scores(0.4),
        }
        for tags in ("oracle", "predicted")
        for index, way in enumerate(WAYS)
    ]
    rows.append(
        {
            "method": "class activation maps",
            "tags": "oracle",
            "inference": "best threshold here: 0.3",
            "threshold": 0.3,
            "mean_iou": 0.3,
            "pixel_accuracy": 0.7,
            "per_class": scores(0.3),
        }
    )
    confusion = {
        "tags": "predicted",
        "inference": "augmented",
        "classes": ["background", "cat", HOSTILE],
        "pixels": [[996, 4, 0], [30, 60, 10], [0, 0, 0]],
    }
    truth = np.arange(2 * PICTURES).reshape(-1, 2) % 3 == 0
    guess = np.linspace(0, 1, 2 * PICTURES).reshape(-1, 2)
    tagging = tag_scores(truth, guess, ["cat", "dog"])
    return {
        "rows": rows,
        "default": "augmented",
        "tagging": {"views": "augmented", **tagging},
        "pictures": PICTURES,
        "confusion": confusion,
    }


def album():
    """Cats left in the even pictures, dogs in the odd ones.

    Oracle masks miss ever more of them, predicted ones ever less.
    """
    album = Album(SPLIT)
    for number in range(PICTURES):
        truth = np.zeros((45, 60), np.uint8)
        truth[:, :20] = label = (CAT, DOG)[number % 2]
        rng = np.random.default_rng(number)
        image = rng.integers(0, 255, (45, 60, 3), np.uint8)
        masks = {}
        for tags in ("oracle", "predicted"):
            for index, way in enumerate(WAYS):
                mask = truth.copy()
                missed = 2 * number if tags == "oracle" else 30 - 2 * number
                mask[: max(missed - index, 0)] = 0
                masks[f"{tags} {way}"] = mask
        maps = {"attention": ((label,), rng.random((1, 9, 12)))}
        name = HOSTILE if number == 3 else f"picture {number:02}"
        guesses = {
            f"predicted {way}": ((CAT,), np.array([0.9, 0.2, 0, 0, 0]))
            for way in WAYS
        }
        album.add(name, image, truth, masks, maps, guesses)
    return album


def report(**changes):
    curve = {"train/class_loss": [(1, 2.0), (9, 1.0)]}
    values = {
        "title": f"Evaluation of {HOSTILE}",
        "facts": {"phase": "transfer"},
        "split": SPLIT,
        "results": results(),
        "album": album(),
        "histories": [History("decoder", curve), History(HOSTILE, curve)],
        "config": {"name": HOSTILE, "url": "https://example.org/"},
        "versions": {"python": "3"},
    }
    return Report(**{**values, **changes})


class Page(html.parser.HTMLParser):
    """Everything of a page that the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.texts = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "input", "meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            key = self.open[-1]
            self.texts[key] = self.texts.get(key, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text():
    return html_of(report())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_tag_is_closed_and_every_id_unique(page):
    assert page.open == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids)) > 10
    wanted = [a["href"][1:] for a in page.all("a")]
    for _, attributes in page.elements:
        wanted += attributes.get("aria-labelledby", "").split()
    assert wanted
    assert set(wanted) <= set(ids)


def test_every_picture_is_inside_and_described(page):
    images = page.all("img")
    # Picture, truth, eight masks and one map each.
    assert len(images) == PICTURES * 11
    for image in images:
        assert image["alt"]
        assert re.match("data:image/(png|jpeg);base64,", image["src"])
    texts = {image["alt"] for image in images}
    assert "Picture picture 04" in texts
    assert "Truth of picture 04: cat 33%" in texts
    assert "Mask, oracle raw of picture 04: cat 27%" in texts


def test_nothing_is_asked_of_other_machines(page, text):
    for tag, attributes in page.elements:
        for key in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(key, "")
            assert value.startswith(("data:", "#")) or not value, (tag, value)
        assert tag not in ("link", "iframe", "object", "embed", "base")
    assert "url(" not in text
    assert "@import" not in text


def test_names_are_text_and_only_our_script_may_run(page, text):
    assert len(page.all("script")) == 1
    assert HOSTILE not in text
    assert not any(
        key.startswith("on") for _, attributes in page.elements
        for key in attributes
    )  # fmt: skip
    policy = next(
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("script", "style"):
        digest = hashlib.sha256(page.texts[tag].encode()).digest()
        code = base64.b64encode(digest).decode()
        assert f"{tag}-src 'sha256-{code}'" in policy


def test_a_screen_reader_finds_its_way(page):
    tags = [tag for tag, _ in page.elements]
    for landmark in ("main", "nav", "header", "footer"):
        assert landmark in tags
    assert tags.count("h1") == 1
    assert tags.count("caption") == tags.count("table") >= 4
    assert page.all("html")[0]["lang"] == "en"
    headings = [attributes.get("scope") for attributes in page.all("th")]
    assert set(headings) == {"col", "row"}
    assert all(a.get("role") == "img" for a in page.all("svg"))


def test_the_default_comes_first_and_not_what_is_best_here(text):
    assert "mean IoU, oracle tags, augmented</dt><dd>0.410</dd>" in text
    assert "augmented (default)" in text


def test_a_warning_is_seen_first():
    text = html_of(report(results={**results(), "warning": "noise & more"}))
    assert "Warning" not in html_of(report())
    assert text.index("Warning: noise &amp; more") < text.index("<h1>")
    assert Page(text).open == []


def test_numbers_of_the_results_are_shown(text):
    for part in ("0.430", "0.300", "class activation maps", "n/a", "not run"):
        assert part in text
    assert "Phase decoder" in text


def test_confusion_is_a_share_of_the_true_pixels(page, text):
    cells = [a.get("class", "") for a in page.all("td")]
    # 60 % of cat is right, 30 % is not found; a class without pixel is out.
    assert cells.count("number h6 right") == 1
    assert cells.count("number h3") == 1
    assert "<li>30 % of cat is not found</li>" in text
    assert "10 % of cat is taken for &#34;&gt;&lt;script" in text
    assert ">&lt;1</td>" in text  # 4 of 1000
    assert '<th scope="row">&#34;&gt;&lt;script' not in text


def test_results_of_earlier_versions_have_no_confusion():
    old = results()
    del old["confusion"]
    assert 'id="confusion"' not in html_of(report(results=old))


def test_one_value_is_said_to_be_one():
    curves = {
        "train/class_loss": [(1, 2.0), (9, 1.0)],
        "train/mask_loss": [(600, 0.25)],
    }
    text = html_of(report(histories=[History("decoder", curves)]))
    assert "One value only, a point: mask loss 0.25 at step 600." in text
    assert "One value only" not in html_of(report())


def test_parts_that_are_missing_are_left_out():
    lean = results()
    lean["rows"] = lean["rows"][:1]
    del lean["confusion"]
    text = html_of(
        report(results=lean, album=Album(SPLIT), histories=[], config={})
    )
    page = Page(text)
    assert page.open == []
    sections = [a["id"] for a in page.all("section")]
    assert sections == ["results", "classes", "tagger", "settings"]


def test_a_run_of_225_pictures_stays_below_15_mb():
    """Noise cannot be compressed: no photograph is worse."""
    full = Album(SPLIT)
    rng = np.random.default_rng(0)
    for number in range(225):
        image = rng.integers(0, 255, (240, 320, 3), np.uint8)
        truth = np.zeros((240, 320), np.uint8)
        full.add(f"{number}", image, truth, {"raw": truth}, {})
    text = html_of(report(album=full))
    assert len(text.encode()) < 15e6
    assert full.left_out > 0
    assert f"{full.left_out} pictures of medium score were left out" in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on the PATH (Debian: chromium)")
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(file, report())
    with Browser(path) as browser:
        browser.look(1200, 900)
        browser.open(file.as_uri())
        yield browser


def choose(browser, name, value):
    """Sets a control of the form as a user would."""
    browser.run(
        f"""(() => {{
            const form = document.querySelector("form.tools");
            form.elements["{name}"].value = "{value}";
            const field = form.elements["{name}"];
            (field.length && !field.options ? field[0] : field)
              .dispatchEvent(new Event("input", {{bubbles: true}}));
        }})()"""
    )


def shown(browser):
    """Names of the pictures that are shown, in order."""
    return browser.run(
        """[...document.querySelectorAll("#shots > article")]
           .filter(e => !e.hidden).map(e => e.dataset.name)"""
    )


def test_browser_loads_the_page_and_nothing_else(browser):
    assert browser.problems == []
    assert len(browser.requests) == 1
    assert browser.run("document.title") == f"Evaluation of {HOSTILE}"


def test_browser_loads_all_pictures(browser):
    sizes = browser.run(
        """(async () => {
             const images = [...document.images];
             await Promise.all(images.map(i => i.decode()));
             return images.map(i => i.naturalWidth);
           })()"""
    )
    assert len(sizes) > PICTURES * 11
    assert min(sizes) > 0
    # The dark copy below a mask is the picture itself.
    assert browser.run(
        """[...document.querySelectorAll("img.under")].every(copy =>
             copy.naturalWidth === copy.closest("article")
               .querySelector("img.picture").naturalWidth)"""
    )


def test_browser_shows_the_worst_first_and_more_on_request(browser):
    choose(browser, "order", "worst")
    names = shown(browser)
    assert len(names) == 12
    assert names[:2] == ["picture 14", "picture 13"]
    browser.run("document.getElementById('more').click()")
    assert len(shown(browser)) == PICTURES
    assert browser.run("document.getElementById('more').hidden")


def test_browser_orders_by_what_is_shown(browser):
    choose(browser, "order", "best")
    assert shown(browser)[0] == "picture 00"
    choose(browser, "tags", "predicted")
    assert shown(browser)[0] == "picture 14"
    choose(browser, "tags", "oracle")
    choose(browser, "order", "name")
    assert shown(browser)[:2] == [HOSTILE, "picture 00"]
    choose(browser, "order", "worst")


def test_browser_filters_by_class(browser):
    choose(browser, "class", DOG)
    names = shown(browser)
    assert len(names) == PICTURES // 2
    assert HOSTILE in names  # number 3
    assert browser.run("document.getElementById('status').textContent") == (
        f"{PICTURES // 2} of {PICTURES // 2} pictures are shown."
    )
    choose(browser, "class", "")
    assert len(shown(browser)) == 12


def test_browser_switches_the_masks(browser):
    choose(browser, "inference", "raw + refined")
    layers = browser.run(
        """[...new Set([...document.querySelectorAll("#shots > article")]
             .filter(e => !e.hidden)
             .flatMap(e => [...e.querySelectorAll("[data-layer]")])
             .filter(e => !e.hidden).map(e => e.dataset.layer))]"""
    )
    assert layers == ["oracle raw + refined"]
    choose(browser, "inference", "raw")


def names_of(browser, name):
    """Texts of the chips that a picture shows, one text of each kind."""
    return browser.run(
        f"""[...document.querySelectorAll("#shots > article")]
           .filter(e => e.dataset.name === {name!r})
           .flatMap(e => [...e.querySelectorAll("header > .names")])
           .filter(e => !e.hidden).map(e => e.innerText)"""
    )


def test_browser_shows_the_taggers_own_chips(browser):
    choose(browser, "order", "name")
    assert names_of(browser, "picture 01") == ["truth:dog"]
    choose(browser, "tags", "predicted")
    assert names_of(browser, "picture 01") == [
        "truth:dog",
        "named:cat 0.90 is not theredog 0.20 is missed",
    ]
    assert names_of(browser, "picture 00")[1] == "named:cat 0.90"
    choose(browser, "tags", "oracle")


def test_browser_opens_a_picture_large(browser):
    def look(script):
        return browser.run(f"document.querySelector({script}")

    choose(browser, "order", "worst")
    look("'#shots > article .stack').click()")
    assert look("'#large').open")
    assert look("'#large-name').textContent") == "picture 14"
    assert look("'#wipe .mask').alt").startswith("Mask, oracle raw of")
    wide = look("'#wipe').getBoundingClientRect().width")
    assert wide > 400  # the picture has 60 pixels
    # The slider lays the mask bare from there on; it is at 50 before.
    browser.run(
        """(() => {
            const slider = document.querySelector("input[name=wipe]");
            slider.value = 20;
            slider.dispatchEvent(new Event("input", {bubbles: true}));
        })()"""
    )
    shown = "getComputedStyle(document.querySelector('#wipe > div')).clipPath"
    assert browser.run(shown) == "inset(0px 0px 0px 20%)"
    browser.run(
        """(() => {
            const field = document.querySelector("select[name=layer]");
            field.value = "truth";
            field.dispatchEvent(new Event("input", {bubbles: true}));
        })()"""
    )
    look("'#large-after').click()")
    assert look("'#large-name').textContent") == "picture 13"
    assert look("'#wipe .mask').alt").startswith("Truth of picture 13")
    look("'#large-close').click()")
    assert not look("'#large').open")
    assert browser.problems == []


def test_browser_shows_the_number_first_on_a_phone(browser):
    browser.look(390, 844)
    bottom = browser.run(
        """document.querySelector(".figures dd").getBoundingClientRect().bottom
           + window.scrollY"""
    )
    name = browser.run("document.querySelector('.figures dt').textContent")
    assert bottom < 700
    assert name == "mean IoU, predicted tags, augmented"
    browser.look(1200, 900)


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_browser_needs_no_scrolling_to_the_side(browser, width):
    browser.look(width, 800, dark=True)
    assert browser.run("document.documentElement.scrollWidth") == width
    colour = browser.run("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(21, 23, 26)"
    browser.look(1200, 900)


def test_browser_without_scripts_still_shows_every_picture(browser, tmp_path):
    file = tmp_path / "report.html"
    write_report(file, report())
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(file.as_uri())
    count = browser.run(
        """[...document.querySelectorAll("#shots > article")]
           .filter(e => e.getBoundingClientRect().height > 0).length"""
    )
    assert count == PICTURES
    assert browser.run("document.querySelector('form.tools').hidden")
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
