"""Chromium without a screen, for tests that `make browser` runs; all others skip this module."""

import json
import os
import shutil
from contextlib import contextmanager

import pytest

if os.environ.get("BENCH_TEST_BROWSER") != "1":
    pytest.skip("`make browser` runs these in Chromium", allow_module_level=True)

from selenium import webdriver

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic --hide-scrollbars "
    "--window-size=1280,900 --force-prefers-reduced-motion"
).split()


@contextmanager
def chromium(profile):
    """A driver that logs what pages say and ask for; its profile is a folder that is empty."""
    if not (CHROMIUM and DRIVER):  # selenium would look for some elsewhere
        pytest.fail("BENCH_TEST_BROWSER=1 asks for chromium and chromedriver: install both")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def requested(browser):
    """The addresses that were asked for since this was called last."""
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        entry["params"]["request"]["url"]
        for entry in entries
        if entry["method"] == "Network.requestWillBeSent"
    ]
