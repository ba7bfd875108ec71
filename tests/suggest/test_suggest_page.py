"""The page on which tags are corrected, as a browser runs it."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import Browser, find_browser
from small_data import CAT, DOG, SPLIT, write_picture

from keras_wsss.categories import Split
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.suggest.page import Page, html_of, make_card, write_page
from keras_wsss.suggest.scores import Look

HOSTILE = "</script><script>alert(1)</script><!--.jpg"
# In the order of the tags file; the page shows three of them.
ROWS = (
    ("first.jpg", (CAT,), ()),
    ("a, b.jpg", (CAT, DOG), ()),
    ("none.jpg", (), ()),
    ("unsure.jpg", (CAT,), (DOG,)),
    (HOSTILE, (DOG,), ()),
)
SHOWN = (3, 1, 0)


def card(row, rows=ROWS, split=SPLIT):
    name, tags, unknown = rows[row]
    image = np.full((30, 40, 3), 40 * row, np.uint8)
    mask = np.zeros((30, 40), bool)
    mask[:, :20] = True
    scores = np.linspace(0.9, 0.1, split.num_categories)
    look = Look(
        name, tags, unknown, True, tags, scores, {}, {}, competition=0.0
    )
    masks = dict.fromkeys(split.target_ids, mask)
    return make_card(row, image, masks, look, ["it looks wrong"])


def page(rows=ROWS, cards=None, **changes):
    values = {
        "title": f"Tags of {HOSTILE}",
        "key": "1",
        "split": SPLIT,
        "is_given": True,
        "rows": rows,
        "cards": cards or [card(row, rows) for row in SHOWN],
    }
    return Page(**{**values, **changes})


def test_only_our_script_runs_and_data_cannot_end_it():
    text = html_of(page())
    assert HOSTILE not in text
    assert text.count("<script") == 2
    code = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(code) == 1
    digest = hashlib.sha256(code[0].encode()).digest()
    policy = html.unescape(text)
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "default-src 'none'; img-src data:;" in policy
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.S)
    assert json.loads(data)["rows"][4][0] == HOSTILE


@pytest.fixture(scope="module")
def started():
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on the PATH (Debian: chromium)")
    with Browser(path) as browser:
        browser.look(1200, 900)
        yield browser


@pytest.fixture
def opened(started, tmp_path):
    """Opens a page with nothing kept of it; gives the browser.

    Its key is its own: all files share one storage.
    """

    def open_page(content=None):
        content = replace(content or page(), key=str(tmp_path))
        write_page(tmp_path / "page.html", content)
        started.open((tmp_path / "page.html").as_uri())
        started.folder = tmp_path / "saved"
        return started

    return open_page


def press(browser, key, code=None, **more):
    code = code or (f"Digit{key}" if key.isdigit() else key)
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=code, **more
        )


def click(browser, selector):
    """Clicks with the mouse at the middle of an element."""
    x, y = browser.run(
        f"""(() => {{
             const element = document.querySelector({selector!r});
             element.scrollIntoView({{block: "center"}});
             const box = element.getBoundingClientRect();
             return [box.x + box.width / 2, box.y + box.height / 2];
           }})()"""
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call(
            "Input.dispatchMouseEvent",
            type=kind, x=x, y=y, button="left", clickCount=1,
        )  # fmt: skip


def state(browser):
    """Name of a category -> what its chip tells a screen reader."""
    return browser.run(
        """Object.fromEntries([...document.querySelectorAll(".chip .tag")]
             .map(e => [e.querySelector(".what").textContent,
                        e.getAttribute("aria-checked")]))"""
    )


def text_of(browser, selector):
    return browser.run(f"document.querySelector({selector!r}).textContent")


def saved(browser):
    """What the button gives to save, as text."""
    return browser.download("#save", browser.folder).read_text("utf-8")


def test_tags_are_flipped_undone_kept_and_read_again(opened, tmp_path):
    browser = opened()
    assert browser.problems == []
    assert state(browser) == {"cat": "true", "dog": "mixed"}
    press(browser, "1")  # cat away
    press(browser, "2")  # dog there
    assert state(browser) == {"cat": "false", "dog": "true"}
    press(browser, "ArrowRight")
    assert text_of(browser, "#place") == "2 of 3"
    click(browser, ".chip[data-id='1'] .tag")
    click(browser, ".chip[data-id='2'] .doubt")
    assert state(browser) == {"cat": "false", "dog": "mixed"}
    press(browser, "u")
    press(browser, "u")
    assert state(browser) == {"cat": "true", "dog": "true"}
    click(browser, ".chip[data-id='2'] .doubt")
    press(browser, "ArrowRight")
    press(browser, "0")
    browser.reload()
    assert text_of(browser, "#place") == "3 of 3"
    assert state(browser) == {"cat": "false", "dog": "false"}
    assert "2 of 3 checked, 3 changed" in text_of(browser, "#count")
    press(browser, "u")  # also after a reload
    assert state(browser) == {"cat": "true", "dog": "false"}
    press(browser, "0")

    text = saved(browser)
    images = tmp_path / "images"
    for name, _, _ in ROWS[:4]:
        write_picture(images / name, 8, 8)
    # A folder cannot hold the last one; all others come back as they are.
    lines = text.splitlines()
    assert lines[0] == "image,labels,unknown"
    assert lines[5:] == [f"{HOSTILE},dog,"]
    (tmp_path / "tags.csv").write_text("\n".join(lines[:5]))
    records = read_tags(tmp_path / "tags.csv", images, SPLIT).records
    assert {r.image_path.name: (r.labels, r.uncertain) for r in records} == {
        "first.jpg": ((), ()),
        "a, b.jpg": ((CAT,), (DOG,)),
        "none.jpg": ((), ()),
        "unsure.jpg": ((DOG,), ()),
    }
    assert browser.problems == []


def test_untouched_tags_come_back_as_they_were(opened, tmp_path):
    rows = [row for row in ROWS if row[0] != HOSTILE]
    text = saved(opened(page(rows)))
    images = tmp_path / "images"
    for name, _, _ in rows:
        write_picture(images / name, 8, 8)
    (tmp_path / "tags.csv").write_text(text)
    records = read_tags(tmp_path / "tags.csv", images, SPLIT).records
    assert [(r.image_path.name, r.labels, r.uncertain) for r in records] == rows


def test_what_nobody_looked_at_is_no_tag(opened):
    browser = opened(page(is_given=False))
    assert saved(browser).splitlines() == ["image,labels"]
    press(browser, "ArrowRight")
    assert saved(browser).splitlines() == [
        "image,labels,unknown", "unsure.jpg,cat,dog",
    ]  # fmt: skip


def test_a_copy_is_the_same_text(opened):
    browser = opened()
    browser.run(
        "navigator.clipboard.writeText = async t => { window.copied = t; }"
    )
    click(browser, "#copy")
    assert browser.run("window.copied") == saved(browser)


@pytest.mark.parametrize(
    "lost",
    [
        "localStorage.clear()",
        "history.replaceState(null, '')",
        "for (const key of Object.keys(localStorage)) localStorage[key] = '{'",
    ],
)
def test_what_was_changed_outlives_the_loss_of_either_keeper(opened, lost):
    browser = opened()
    press(browser, "1")
    browser.run(lost)
    browser.reload()
    assert state(browser)["cat"] == "false"


def test_the_later_of_both_keepers_counts(opened):
    browser = opened()
    press(browser, "1")
    key = json.dumps(str(browser.folder.parent))
    browser.run(f"window.before = localStorage.getItem({key})")
    press(browser, "1")
    browser.run(f"localStorage.setItem({key}, window.before)")
    browser.reload()
    assert state(browser)["cat"] == "true"


def test_another_list_begins_anew(opened):
    browser = opened()
    press(browser, "1")
    write_page(browser.folder.parent / "page.html", page(key="2"))
    browser.reload()
    assert state(browser)["cat"] == "true"


def test_a_screen_reader_is_told_what_happens(opened):
    browser = opened()
    press(browser, "1")
    assert text_of(browser, "[role=status]") == "cat: is not there."
    press(browser, "ArrowRight")
    assert text_of(browser, "[role=status]") == (
        "Picture 2 of 3. Tags: cat, dog. it looks wrong"
    )
    names = browser.run(
        """[...document.querySelectorAll("button, progress, input")].every(
             e => e.getAttribute("aria-label") || e.textContent.trim()
               || e.closest("label"))"""
    )
    assert names
    # Focus stays on the chip that a key is pressed at.
    browser.run("document.querySelector('.chip .tag').focus()")
    press(browser, " ", "Space", text=" ")
    assert browser.run("document.activeElement.className") == "tag"
    assert state(browser)["cat"] == "false"


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_it_needs_no_scrolling_to_the_side(opened, width):
    browser = opened()
    browser.look(width, 800)
    assert browser.run("document.documentElement.scrollWidth") == width
    browser.look(1200, 900)


def test_a_finger_turns_the_page(opened):
    browser = opened()
    for kind, x in (("touchStart", 300), ("touchMove", 150), ("touchEnd", 0)):
        points = [] if kind == "touchEnd" else [{"x": x, "y": 300}]
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    assert text_of(browser, "#place") == "2 of 3"


def test_many_categories_put_the_likely_ones_at_the_keys(opened):
    names = tuple(f"name {n}" for n in range(12))
    split = Split("many", names, (), names, names)
    rows = [("a.jpg", (12,), ())]
    browser = opened(page(rows, split=split, cards=[card(0, rows, split)]))
    shown = browser.run(
        """[...document.querySelectorAll("#chips .what")]
             .map(e => e.textContent)"""
    )
    assert shown[:3] == ["name 11", "name 0", "name 1"]
    assert len(shown) == 9
    press(browser, "1")
    assert state(browser)["name 11"] == "false"
    click(browser, "#more summary")
    click(browser, "#others .chip:last-child .tag")
    assert saved(browser).splitlines()[1] == "a.jpg,name 10"
