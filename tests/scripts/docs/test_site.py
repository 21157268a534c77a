"""The documentation in a browser, on a phone and on a desk: nothing overflows, nothing is missing.

`make browser` builds the site before.
"""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from browsing import chromium, requested
from selenium.webdriver.common.by import By

SITE = Path(__file__).parents[3] / "build/site"
PAGES = (
    "index.html", "getting-started.html", "how-to/own-method.html", "explanation/ties.html",
    "reference/commands.html", "reference/settings.html", "reference/metrics.html",
    "reference/columns.html", "reference/experiments.html", "reference/methods/index.html",
    "reference/methods/hsic.html", "reference/api/metrics.html", "changelog.html",
)  # fmt: skip


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    if not (SITE / "index.html").exists():
        pytest.fail("build/site is missing: `make docs` builds it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(SITE)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_pages_fit_and_ask_nobody_else(browser, address, page, width):
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")
    requested(browser)
    browser.get(address + page)
    assert browser.find_element(By.CSS_SELECTOR, "article h1").text
    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    needed, there = browser.execute_script(widths)
    assert needed <= there == width
    assert browser.get_log("browser") == []
    asked = requested(browser)
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    broken = (
        "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    assert browser.execute_script(broken) == []


def test_the_search_finds_a_method(browser, address):
    browser.get(address + "index.html?q=hsic")
    found = "a.md-search-result__link"
    for _ in range(100):
        if browser.find_elements(By.CSS_SELECTOR, found):
            break
        browser.implicitly_wait(0.1)
    links = [each.get_attribute("href") for each in browser.find_elements(By.CSS_SELECTOR, found)]
    assert any("reference/methods/hsic.html" in link for link in links)


def test_a_formula_is_drawn(browser, address):
    browser.get(address + "reference/methods/hsic.html")
    formula = browser.find_element(By.CSS_SELECTOR, "math[display=block] mfrac")
    assert formula.size["height"] > 20
