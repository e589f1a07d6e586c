"""The page in headless Chromium: it draws, scrolls, switches, obeys the keyboard, can be read, and logs no error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segdistill.viewer import page, static
from segdistill.viewer.cases import gather
from segdistill.viewer.server import serving

pytestmark = pytest.mark.slow

PIXELS = """
const canvas = document.getElementById("view"), copy = document.createElement("canvas");
viewer.view.drawScene();
copy.width = canvas.width; copy.height = canvas.height;
const context = copy.getContext("2d");
context.drawImage(canvas, 0, 0);
const data = context.getImageData(0, 0, copy.width, copy.height).data;
let lit = 0, hash = 0;
for (let i = 0; i < data.length; i += 4) {
  if (data[i] + data[i + 1] + data[i + 2] > 60) lit++;
  hash = (hash * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2]) % 1000003;
}
return [lit / (data.length / 4), hash];
"""
"""The share of the canvas that is not black, and a number that tells pictures apart."""

PIXEL = """
const canvas = document.getElementById("view"), copy = document.createElement("canvas");
viewer.view.drawScene();
copy.width = canvas.width; copy.height = canvas.height;
const context = copy.getContext("2d");
context.drawImage(canvas, 0, 0);
return [...context.getImageData(arguments[0], arguments[1], 1, 1).data].slice(0, 3);
"""
"""Red, green and blue at a place of the canvas."""

CONTRAST = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
  .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
  .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const under = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const [r, g, b, alpha = 1] = numbers(getComputedStyle(each).backgroundColor);
    if (alpha > 0) return [r, g, b];
  }
  return [255, 255, 255];
};
const ratio = (one, other) => {
  const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (element.checkVisibility() && own && !element.disabled) {
    const contrast = ratio(numbers(getComputedStyle(element).color), under(element));
    found.push([`${element.tagName} ${element.textContent.trim().slice(0, 30)}`, contrast, 4.5]);
  }
  if (element.matches("button, select, input[type=number]") && element.checkVisibility()) {
    const border = getComputedStyle(element).borderTopColor;
    if (numbers(border)[3] !== 0) {
      found.push([`border of ${element.id}`, ratio(numbers(border), under(element.parentElement)), 3]);
    }
  }
}
const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
const hex = [1, 3, 5].map((start) => parseInt(accent.slice(start, start + 2), 16));
found.push(["focus ring", ratio(hex, under(document.body)), 3]);
return found;
"""
"""Every visible text with its contrast and what it needs (WCAG 2.2 AA), and borders of controls and the focus ring."""


@pytest.fixture(scope="module")
def address(kept_home: Any) -> Iterator[str]:
    gallery = gather(kept_home.run, beside=[kept_home.path / "runs" / "hinton_alone"])
    with serving(page.files_of(gallery)) as (where, server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield where
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def shown(browser: Any, address: str) -> Any:
    """The browser with the page, its first case drawn; at the end, that its console is empty."""
    browser.open(address)
    browser.until('document.body.dataset.ready === "0"')
    yield browser
    assert browser.messages() == []


def text(browser: Any, identity: str) -> str:
    return str(browser.run("return document.getElementById(arguments[0]).textContent", identity))


def slices(browser: Any) -> list[int]:
    """Where the sliders are: axial, coronal, sagittal."""
    return [
        int(browser.run("return document.getElementById(arguments[0]).value", f"slice-{axis}"))
        for axis in (2, 1, 0)
    ]


def titles(browser: Any) -> list[str]:
    """What is drawn."""
    return [
        name.removesuffix(".nii.gz") for name in browser.run("return viewer.view.volumes.map((v) => v.name)")
    ]


def settled(browser: Any) -> None:
    browser.until("document.body.dataset.ready === String(viewer.state.number)")


def test_it_draws_the_worst_case_first(shown: Any, kept_home: Any) -> None:
    assert text(shown, "case-title") == gather(kept_home.run).cases[0].id
    assert titles(shown) == ["CT", "Student", "Difference: Student"]
    lit, _ = shown.run(PIXELS)
    assert lit > 0.05
    assert text(shown, "problem") == ""


def test_it_begins_where_something_is_marked(shown: Any) -> None:
    axial, coronal, sagittal = slices(shown)
    assert (axial, coronal, sagittal) != (1, 1, 1)
    assert 3 <= axial <= 5 and 4 <= coronal <= 6, "the tumour is at z 2 to 4 and y 3 to 5, from 0"


def test_keys_scroll_slices_and_the_picture_changes(shown: Any) -> None:
    before, (_, picture) = slices(shown), shown.run(PIXELS)
    shown.press("ArrowUp")
    assert slices(shown) == [before[0] + 1, *before[1:]]
    assert shown.run(PIXELS)[1] != picture
    shown.press("ArrowDown", "ArrowDown")
    assert slices(shown)[0] == before[0] - 1
    shown.press("PageUp")
    assert slices(shown)[0] == 8, "not beyond the last"
    shown.press("c", "ArrowLeft", "s", "ArrowRight")
    assert slices(shown)[1:] == [before[1] - 1, before[2] + 1]
    assert "of 8" in shown.run("return document.querySelector('#slices output').textContent")


def test_sliders_scroll_by_keyboard(shown: Any) -> None:
    before = slices(shown)
    shown.run("document.getElementById('slice-1').focus()")
    shown.press("ArrowRight")
    assert slices(shown) == [before[0], before[1] + 1, before[2]], "once, not twice"
    shown.until("document.getElementById('said').textContent.includes('coronal slice')")


def test_the_wheel_scrolls(shown: Any) -> None:
    before = slices(shown)
    wheel = "document.getElementById('view').dispatchEvent(new WheelEvent('wheel', {deltaY: 100, clientX: arguments[0],"
    wheel += " clientY: arguments[1], bubbles: true, cancelable: true}))"
    place = shown.run(
        "const r = document.getElementById('view').getBoundingClientRect();"
        "const [x, y, w, h] = viewer.view.screenSlices.find((s) => s.axCorSag === 0).leftTopWidthHeight;"
        "const k = devicePixelRatio; return [r.left + (x + w / 2) / k, r.top + (y + h / 2) / k]"
    )
    shown.run("document.getElementById('view').focus()")
    shown.run(wheel, *place)
    shown.until(f"document.getElementById('slice-2').value !== '{before[0]}'")


def test_overlays_are_switched_by_keys_and_boxes(shown: Any) -> None:
    (_, picture) = shown.run(PIXELS)
    shown.press("3")
    shown.until("viewer.view.volumes.length === 2")
    assert titles(shown) == ["CT", "Student"] and shown.run(PIXELS)[1] != picture
    shown.press("1", "4")
    shown.until("viewer.view.volumes.length === 4")
    assert titles(shown) == ["CT", "Reference", "Student", "Teacher"]
    shown.run("document.getElementById('overlay-2').click()")
    shown.until("viewer.view.volumes.length === 3")
    shown.press("1", "4")
    shown.until("viewer.view.volumes.length === 1")
    assert "Student" not in text(shown, "readout")


def test_the_choice_stays_when_the_case_changes(shown: Any, kept_home: Any) -> None:
    order = [case.id for case in gather(kept_home.run).cases]
    shown.press("2", "1", "i")
    settled(shown)
    shown.until("viewer.view.volumes[0].name === 'PET.nii.gz'")
    for key, number in (("n", 1), ("n", 2), ("p", 1)):
        shown.press(key)
        shown.until(f'document.body.dataset.ready === "{number}"')
        assert text(shown, "case-title") == order[number]
        assert titles(shown) == ["PET", "Reference", "Difference: Student"]
    current = (
        "return [...document.querySelectorAll('#cases button')].map((b) => b.getAttribute('aria-current'))"
    )
    assert shown.run(current) == [None, "true", *[None] * (len(order) - 2)]


def test_a_nasty_name_does_nothing(shown: Any, kept_home: Any) -> None:
    order = [case.id for case in gather(kept_home.run).cases]
    number = next(index for index, case in enumerate(order) if "<img" in case)
    shown.run(f"document.querySelectorAll('#cases button')[{number}].click()")
    shown.until(f'document.body.dataset.ready === "{number}"')
    assert text(shown, "case-title") == order[number]
    assert shown.run("return document.title") == "hinton: cases"
    assert shown.run("return document.images.length") == 0


def test_window_and_level(shown: Any) -> None:
    bounds = "return [viewer.view.volumes[0].cal_min, viewer.view.volumes[0].cal_max]"
    (_, picture) = shown.run(PIXELS)
    type_it = "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
    type_it += " f.dispatchEvent(new Event('change'))"
    shown.run(type_it, "window", 20)
    shown.run(type_it, "level", 95)
    assert shown.run(bounds) == [85, 105] and shown.run(PIXELS)[1] != picture
    assert shown.run("return document.getElementById('preset').value") == "As typed"
    shown.run(type_it, "preset", "Lung")
    assert shown.run(bounds) == [-1350, 150]
    shown.run(type_it, "window", -5)
    assert shown.run(bounds) == [-1350, 150], "nonsense changes nothing"
    shown.run(type_it, "preset", "Automatic")
    assert shown.run(PIXELS)[1] == picture


def test_keys_in_a_field_belong_to_it(shown: Any) -> None:
    before, drawn = slices(shown), titles(shown)
    shown.run("document.getElementById('level').focus(); document.getElementById('level').select()")
    shown.press("3", "ArrowUp")
    assert slices(shown) == before and titles(shown) == drawn
    assert float(shown.run("return document.getElementById('level').value")) > 2


def test_opacity_outlines_and_views(shown: Any) -> None:
    pictures = [shown.run(PIXELS)[1]]
    for script in (
        "const o = document.getElementById('opacity'); o.value = 20; o.dispatchEvent(new Event('input'))",
        "document.getElementById('outlines').click()",
        "const o = document.getElementById('layout'); o.value = '0'; o.dispatchEvent(new Event('change'))",
        "const o = document.getElementById('layout'); o.value = '4'; o.dispatchEvent(new Event('change'))",
    ):
        shown.run(script)
        pictures.append(shown.run(PIXELS)[1])
    assert len(set(pictures)) == 5
    assert shown.run("return document.querySelector('output[for=opacity]').textContent") == "20 %"


def test_to_the_largest_difference(shown: Any) -> None:
    shown.press("PageUp", "s", "PageUp", "d")
    shown.until("/missed|too much/.test(document.getElementById('readout').textContent)")
    assert 3 <= slices(shown)[0] <= 5


def test_figures_beside_the_case(shown: Any, kept_home: Any) -> None:
    case = gather(kept_home.run).cases[0]
    table = text(shown, "dice")
    assert f"{100 * case.dice['Student']['tumour']:.1f}" in table
    assert all(name in table for name in ("Student", "Teacher", "hinton_alone", "tumour"))


def test_every_control_is_reached_by_tab_and_shows_it(shown: Any) -> None:
    names, rings = [], []
    shown.run("document.activeElement.blur()")
    for _ in range(60):
        shown.press("Tab")
        name, ring = shown.run(
            "const e = document.activeElement, s = getComputedStyle(e), p = getComputedStyle(e.parentElement);"
            "return [e.id || e.tagName, s.outlineStyle !== 'none' || p.boxShadow !== 'none']"
        )
        if name in names and name in ("theme", "BODY"):
            break
        names.append(name)
        rings.append((name, ring))
    wanted = {"theme", "next", "view", "slice-0", "slice-1", "slice-2", "channel", "preset", "window", "level",
              "layout", "opacity", "outlines", "largest", "overlay-1"}  # fmt: skip
    assert wanted <= set(names)
    assert [name for name, ring in rings if not ring and name != "BODY"] == []


def test_what_assistive_technology_is_told(shown: Any) -> None:
    unnamed = """
    return [...document.querySelectorAll("button, select, input, canvas, [role=group]")].filter((e) =>
      !(e.labels?.length || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim())
    ).map((e) => e.outerHTML)"""
    assert shown.run(unnamed) == []
    shown.press("ArrowUp")
    shown.until("/axial slice \\d+ of 8/.test(document.getElementById('said').textContent)")
    shown.press("?")
    assert shown.run("return document.getElementById('help').open")
    assert "next or previous slice" in text(shown, "help-text")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(shown: Any, scheme: str) -> None:
    shown.scheme(scheme)
    shown.press("?")
    found = shown.run(CONTRAST)
    assert len(found) > 60
    assert [(what, round(ratio, 2)) for what, ratio, needed in found if ratio < needed] == []


def test_the_button_changes_light_to_dark(shown: Any) -> None:
    shown.scheme("light")
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = shown.run(paper)
    shown.run("document.getElementById('theme').click()")
    assert shown.run(paper) != light and text(shown, "theme") == "Light"


def test_a_narrow_window_is_one_column(shown: Any) -> None:
    shown.size(700, 900)
    try:
        assert shown.run("return document.documentElement.scrollWidth <= innerWidth")
        assert shown.run("return document.getElementById('view').getBoundingClientRect().width > 400")
    finally:
        shown.size(1440, 900)


def test_a_volume_that_is_gone_is_told(browser: Any, home: Any) -> None:
    files = page.files_of(gather(home.run))
    with serving(files) as (where, server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            for image in (home.path / "data" / "imagesTr").iterdir():
                image.unlink()
            browser.open(where)
            browser.until('document.body.dataset.ready === "failed"')
            told = text(browser, "problem")
            assert "cannot be shown" in told and "does not exist" in told
        finally:
            server.shutdown()
            thread.join()
    assert all("500" in message for message in browser.messages())


@pytest.fixture
def pictures(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on photographs that are red above and blue below, the left half dark; the mask is a square."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGDISTILL_STORE", raising=False)
    for sub in ("images", "labels"):
        (tmp_path / "photos" / sub).mkdir(parents=True)
    for number in range(6):
        picture, mask = np.zeros((16, 24, 3), np.uint8), np.zeros((16, 24), np.uint8)
        picture[:8, :, 0], picture[8:, :, 2], mask[4:10, 14:20] = 200, 200, 255
        picture[:, :12] //= 4
        picture += np.uint8(number)
        Image.fromarray(picture).save(tmp_path / "photos" / "images" / f"p{number}.png")
        Image.fromarray(mask).save(tmp_path / "photos" / "labels" / f"p{number}.png")
    words = (
        "train", "student_alone", "data.path=photos", "data.patch_size=[8,8]", "data.batch_size=2", "data.workers=0",
        "data.splits.folds=3", "data.augmentation=null", "student.channels=[2,4]", "train.epochs=1",
        "train.iterations=1", "--no-report",
    )  # fmt: skip
    assert command(*words, "--out", "runs/photos").code == 0
    assert command("evaluate", "runs/photos").code == 0
    return Path("runs/photos")


def test_photographs_stand_upright_in_colour(browser: Any, pictures: Path) -> None:
    out = static.write(page.files_of(gather(pictures), packed=True), Path("page"))
    browser.open(out.resolve().as_uri())
    browser.until('document.body.dataset.ready === "0"')
    assert titles(browser)[0] == "Colours"
    assert browser.run(
        "return document.getElementById('slices').hidden && document.getElementById('window').disabled"
    )
    for key in ("1", "2", "3"):
        if browser.run(f"return document.getElementById('overlay-{key}').checked"):
            browser.press(key)
    browser.until("viewer.view.volumes.length === 1")
    browser.run("viewer.view.setCrosshairWidth(0)")
    (left, top), (right, bottom) = browser.run(
        "const [x, y, w, h] = viewer.view.screenSlices[0].leftTopWidthHeight;"
        "return [[x + w / 8, y + h / 8], [x + 7 * w / 8, y + 7 * h / 8]]"
    )
    (red, _, blue), (dark_red, *_), (_, _, right_blue) = (
        browser.run(PIXEL, x, y) for x, y in ((right, top), (left, top), (right, bottom))
    )
    assert red > 150 and blue < 60 and right_blue > 150
    assert dark_red < 100
    browser.press("i")
    browser.until("viewer.view.volumes[0].name === 'R.nii.gz'")
    assert not browser.run("return document.getElementById('window').disabled")
    assert browser.messages() == []


def test_a_folder_opens_from_the_disk(browser: Any, home: Any) -> None:
    out = static.write(page.files_of(gather(home.run), packed=True), Path("page"))
    browser.open(out.resolve().as_uri())
    browser.until('document.body.dataset.ready === "0"')
    assert titles(browser) == ["CT", "Student", "Difference: Student"]
    browser.press("n")
    browser.until('document.body.dataset.ready === "1"')
    assert browser.run(PIXELS)[0] > 0.05
    (home.path / "page" / "volumes" / "2-0.js").unlink()
    assert browser.messages() == []
    browser.press("n")
    browser.until('document.body.dataset.ready === "failed"')
    assert "not in the folder" in text(browser, "problem")
    browser.messages()
