"""The page in a browser, without a screen: what a reader does, by pointer and by keyboard."""

import base64
import json

import cv2
import numpy as np
import pytest
from browsing import chromium, requested
from rich.console import Console
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from stored_results import SIDE, write_results

from bench.leaderboard.comparison import comparisons
from bench.report.html import write_report
from bench.report.steps import step_pictures
from bench.storage.pictures import Picture
from bench.storage.store import stored_runs

HOSTILE = "</script><img src=x onerror='window.fooled = true'>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    names = (HOSTILE, "grad_cam", "random")
    return write_results(tmp_path_factory.mktemp("results"), names=names)


@pytest.fixture(scope="module")
def address(results):
    write_report([results], results / "page.html", Console(quiet=True))
    return (results / "page.html").as_uri()


@pytest.fixture
def page(browser, address):
    """The page, just opened; it must have said nothing in the console at the end."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get_log("browser")
    requested(browser)
    browser.get(address)
    wait(browser, lambda: shown(browser) == images(browser)[0]["id"])
    yield browser
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.fooled") is None


def wait(page, reached):
    WebDriverWait(page, 10).until(lambda _: reached())


def find(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def every(page, selector):
    return page.find_elements(By.CSS_SELECTOR, selector)


def shown(page):
    return find(page, ".explorer").get_attribute("data-shown")


def column(page, number):
    cells = every(page, f"table.sortable:first-of-type tbody tr > :nth-child({number})")
    return [cell.text for cell in cells[:3]]


def head(page, text):
    return next(heading for heading in every(page, "thead th") if heading.text.startswith(text))


def data(page):
    return json.loads(find(page, "script[type='application/json']").get_attribute("textContent"))


def images(page):
    return data(page)["images"]


def canvas(page, direction, place):
    """Pixels (H, W, 3) of one of a direction's pictures."""
    script = """
        const canvas = document.querySelectorAll(
          `[data-curve=${arguments[0]}] .pictures canvas`)[arguments[1]];
        const context = canvas.getContext("2d");
        return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)"""
    pixels = np.array(page.execute_script(script, direction, place), np.uint8)
    assert (pixels[3::4] == 255).all()
    return pixels.reshape(SIDE, SIDE, 4)[:, :, :3]


def press(page, element, *keys):
    page.execute_script("arguments[0].focus()", element)
    page.switch_to.active_element.send_keys(*keys)


def set_slider(page, value):
    slider = find(page, "input[type=range]")
    press(page, slider, Keys.HOME, *[Keys.ARROW_RIGHT] * value)
    assert slider.get_attribute("value") == str(value)


def test_sorting_by_click(page):
    insertion = head(page, "Insertion")
    assert insertion.get_attribute("aria-sort") == "descending"
    before = column(page, 3)
    assert [float(text) for text in before] == sorted(map(float, before), reverse=True)
    insertion.find_element(By.TAG_NAME, "button").click()
    assert insertion.get_attribute("aria-sort") == "ascending"
    assert column(page, 3) == before[::-1]
    insertion.find_element(By.TAG_NAME, "button").click()
    assert column(page, 3) == before
    deletion = head(page, "Deletion")
    deletion.find_element(By.TAG_NAME, "button").click()
    assert deletion.get_attribute("aria-sort") == "ascending"
    assert insertion.get_attribute("aria-sort") is None
    place = every(page, "thead th").index(deletion) + 1
    values = [float(text) for text in column(page, place)]
    assert values == sorted(values)


def test_sorting_by_keyboard(page):
    method = head(page, "Method")
    press(page, method.find_element(By.TAG_NAME, "button"), Keys.ENTER)
    assert method.get_attribute("aria-sort") == "ascending"
    names = [cell.split("\n")[0].removesuffix(" control") for cell in column(page, 2)]
    assert names == sorted([HOSTILE, "grad_cam", "random"], key=str.lower)
    press(page, method.find_element(By.TAG_NAME, "button"), Keys.SPACE)
    assert method.get_attribute("aria-sort") == "descending"
    assert [cell.split("\n")[0].removesuffix(" control") for cell in column(page, 2)] == names[::-1]


def test_the_first_tab_stop_leads_past_the_head(page):
    find(page, "body").send_keys(Keys.TAB)
    link = page.switch_to.active_element
    assert link.text == "Skip to the leaderboard"
    assert link.location["x"] >= 0
    link.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "main"


def test_arrows_choose_images(page):
    first, second, last = images(page)
    press(page, find(page, ".thumbs input"), Keys.ARROW_RIGHT)
    wait(page, lambda: shown(page) == second["id"])
    about = f"{second['label']} {second['id']} · {second['why']}"
    assert find(page, ".about").text == about
    page.switch_to.active_element.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    wait(page, lambda: shown(page) == last["id"])
    every(page, ".thumbs label")[0].click()
    wait(page, lambda: shown(page) == first["id"])


def test_every_map_is_drawn_and_methods_are_chosen(page):
    assert len(every(page, ".maps label canvas")) == 3
    captions = "[data-curve=insertion] .pictures figcaption"
    assert len(every(page, captions)) == 2
    assert len(every(page, ".chart .chosen")) == 4
    boxes = every(page, ".maps input")
    press(page, boxes[0], Keys.SPACE)
    assert len(every(page, captions)) == 1
    every(page, ".maps label")[2].click()
    method = data(page)["methods"][2]["name"]
    assert [caption.text.split("\n")[0].rpartition(" ")[0] for caption in every(page, captions)][
        1
    ] == method
    assert len(every(page, ".chart .other")) == 2


@pytest.mark.parametrize("step", [0, 5, 12, 25])
def test_pictures_and_scores_are_those_of_the_step(page, results, step):
    """Insertion has 25 steps, deletion 10: each shows its own that is nearest."""
    (comparison,) = comparisons(stored_runs(results, "board"), "board")
    found = data(page)
    image = found["images"][0]
    row = comparison.image_ids.index(image["id"])

    def picture(source):
        if isinstance(source, list):
            return np.full((SIDE, SIDE, 3), source, np.uint8)
        content = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
        return cv2.imdecode(content, cv2.IMREAD_COLOR)[:, :, ::-1]

    baselines = {name: picture(found) for name, found in image["baselines"].items()}
    seen = Picture(image["id"], picture(image["photo"]), "bird", baselines)
    set_slider(page, step)
    protocol = comparison.protocol
    for direction, steps in (("insertion", 25), ("deletion", 10)):
        point = int(step / 25 * steps + 0.5)
        for place in range(2):
            name = found["methods"][place]["name"]
            saliency_map = comparison.runs[name].load_map(image["id"])
            (expected,) = step_pictures(seen, saliency_map, protocol, direction, [point])
            difference = canvas(page, direction, place).astype(int) - expected
            assert abs(difference).max() <= 3  # of two JPEG decoders
            score = comparison.curves(name, direction)[row, point]
            told = every(page, f"[data-curve={direction}] .pictures b")[place].text
            assert float(told) == pytest.approx(score, abs=6e-4)
    share = round(100 * step / 25)
    assert find(page, ".steps output").text == f"{share} % of the pixels"


def test_the_pointer_over_a_curve_moves_the_step(page):
    chart = find(page, "[data-curve=insertion] .chart svg")
    page.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", chart
    )
    actions = webdriver.ActionChains(page)
    size = chart.size
    actions.move_to_element_with_offset(chart, size["width"] // 2 - 13, 0).perform()
    assert find(page, "input[type=range]").get_attribute("value") == "25"
    actions.move_to_element_with_offset(chart, 41 - size["width"] // 2, 0).perform()
    assert find(page, "input[type=range]").get_attribute("value") == "0"


def test_play_goes_to_the_end_and_stops(page):
    slider, play = find(page, "input[type=range]"), find(page, ".play")
    set_slider(page, 23)
    play.click()
    assert play.text == "Pause"
    wait(page, lambda: slider.get_attribute("value") == "25" and play.text == "Play")


def rows_shown(page):
    rows = every(page, "#p1-table ~ .scroll tbody tr")
    return [row.get_attribute("data-method") for row in rows if row.is_displayed()]


def test_methods_are_searched_hidden_and_chosen(page):
    search, controls = find(page, ".filter input[type=search]"), find(page, ".without-controls")
    whole = rows_shown(page)
    press(page, controls, Keys.SPACE)
    assert rows_shown(page) == [name for name in whole if name != "random"]
    assert find(page, ".filter output").text == "2 of 3 shown"
    assert len([label for label in every(page, ".maps label") if label.is_displayed()]) == 2
    assert len(every(page, ".chart path")) == 4
    press(page, search, "CAM gr")  # words in any order and case
    assert rows_shown(page) == ["grad_cam"]
    assert [row.is_displayed() for row in every(page, "[id^=p1-method-]")].count(True) == 1
    assert len(every(page, "[data-curve=insertion] .pictures figure")) == 1
    search.send_keys(Keys.ESCAPE)
    press(page, controls, Keys.SPACE)
    assert rows_shown(page) == whole
    press(page, find(page, ".filter summary"), Keys.ENTER)
    press(page, find(page, ".filter .none"), Keys.ENTER)
    assert rows_shown(page) == []
    press(page, every(page, ".choice")[1], Keys.SPACE)
    assert rows_shown(page) == whole[1:2]


def test_a_row_leads_to_its_maps_and_figure_and_back(page):
    (control,) = (row for row in every(page, "tr.control") if row.get_attribute("data-method"))
    control.find_element(By.LINK_TEXT, "maps").click()
    assert page.current_url.endswith("#p1-images")
    wait(page, lambda: page.switch_to.active_element.get_attribute("type") == "checkbox")
    assert len(every(page, "[data-curve=insertion] .pictures figure")) == 3
    row = find(page, "tr[data-method=grad_cam]")
    row.find_element(By.LINK_TEXT, "figure").click()
    figure = find(page, "figure:target")
    assert "grad_cam" in figure.text
    figure.find_element(By.LINK_TEXT, "Back to its row").click()
    assert find(page, "tr:target").get_attribute("data-method") == "grad_cam"


def test_nothing_is_asked_of_the_network(page):
    asked = requested(page)
    assert any(url.startswith("file:") for url in asked)
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}


@pytest.mark.parametrize("width", [320, 375])
def test_a_phone_scrolls_down_only(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 812, "deviceScaleFactor": 2, "mobile": True},
    )
    page.refresh()
    wait(page, lambda: shown(page))
    for details in every(page, "details"):
        page.execute_script("arguments[0].open = true", details)
    measured = page.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert measured == [width, width]
    table = find(page, ".scroll")
    name = find(page, "tbody .method")  # stays, with its row's line, beside room for numbers
    assert name.size["width"] < 0.6 * table.size["width"]
    page.execute_script("arguments[0].scrollLeft = 200", table)
    assert name.location["x"] == table.location["x"]
    assert name.value_of_css_property("border-bottom-width") == "1px"
    assert page.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", table)


def test_paper_holds_the_tables(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False},  # A4, 96 dpi
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.execute_script("return document.documentElement.scrollWidth") <= 718
    assert not find(page, "#theme").is_displayed()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def luminance(page):
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(", "))) / 765


def test_dark_where_the_reader_is_and_where_he_asks(page):
    for scheme, is_dark in (("light", False), ("dark", True)):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert (luminance(page) < 0.2) == is_dark
        assert (luminance(page) > 0.9) != is_dark
    button = find(page, "#theme")
    wait(page, lambda: button.text == "Light")  # the page is told of the reader's scheme later
    button.click()
    assert luminance(page) > 0.9
    assert button.text == "Dark"
    press(page, button, Keys.ENTER)
    assert luminance(page) < 0.2


def test_text_can_be_read(page):
    """Contrast of 4.5 at least (WCAG 2.2, 1.4.3), of all text, light and dark."""
    script = """
        const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
        const parse = (colour, under) => {
          probe.clearRect(0, 0, 1, 1);
          probe.fillStyle = `rgb(${under})`; probe.fillRect(0, 0, 1, 1);
          probe.fillStyle = colour; probe.fillRect(0, 0, 1, 1);
          return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const light = (rgb) => rgb.map((channel) => channel / 255)
          .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
          .reduce((sum, channel, i) => sum + channel * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = (element) => {
          const under = element.parentElement ? ground(element.parentElement) : [255, 255, 255];
          return parse(getComputedStyle(element).backgroundColor, under);
        };
        const poor = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
          const element = walker.currentNode.parentElement;
          const text = walker.currentNode.data.trim();
          if (!text || ["SCRIPT", "NOSCRIPT"].includes(element.tagName)) continue;
          const under = ground(element);
          const style = getComputedStyle(element);
          const front = parse(element.closest("svg") ? style.fill : style.color, under);
          const [a, b] = [light(front), light(under)].sort((x, y) => y - x);
          const ratio = (a + 0.05) / (b + 0.05);
          if (ratio < 4.5) poor.push([text, ratio]);
        }
        return poor"""
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert page.execute_script(script) == []


def test_without_scripts_the_tables_are_there(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        assert "Scripts are off" in find(browser, "main").text
        assert len(every(browser, "table tbody tr")) >= 3
        assert not find(browser, ".explorer").is_displayed()
        assert not find(browser, ".filter").is_displayed()
        assert not every(browser, ".to-images")[0].is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
