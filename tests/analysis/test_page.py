"""The page in a real browser: every picture is there, tables sort, pictures enlarge, nothing is asked of a network."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from analysis import write_report
from tests.conftest import REPOSITORY

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ROWS = REPOSITORY / "results" / "figure-3-depth-2.parquet"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The report of the committed rows, open in headless Chromium."""
    if not (BROWSER and DRIVER):
        pytest.skip("chromium and chromedriver are not installed: `apt-get install chromium chromium-driver`")
    webdriver = pytest.importorskip("selenium.webdriver")
    path = write_report(ROWS, tmp_path_factory.mktemp("page") / "report")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.get(path.as_uri())
    yield driver
    driver.quit()


def test_page_shows_every_picture_and_says_nothing_wrong(page: Any):
    sizes = page.execute_script("return [...document.querySelectorAll('figure img')].map(i => i.naturalWidth)")
    assert len(sizes) >= 8
    assert min(sizes) > 300
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_page_asks_nothing_of_a_network(page: Any):
    asked = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def test_page_sorts_a_table_by_numbers_in_both_directions(page: Any):
    read = "return [...document.querySelectorAll('#audit tbody tr')].map(row => parseFloat(row.cells[4].textContent))"
    heading = "document.querySelectorAll('#audit th button')[4].click()"
    page.execute_script(heading)
    rising = page.execute_script(read)
    page.execute_script(heading)
    falling = page.execute_script(read)
    assert rising == sorted(rising)
    assert falling == sorted(rising, reverse=True)
    assert rising[0] == 0.0
    assert rising[-1] == 100.0


def test_page_enlarges_a_picture_and_zooms_into_it(page: Any):
    page.execute_script("document.querySelector('figure img').click()")
    width = "return document.querySelector('dialog .view img').getBoundingClientRect().width"
    page.execute_async_script("document.querySelector('dialog .view img').decode().then(arguments[0])")
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    fitted = page.execute_script(width)
    page.execute_script("document.querySelector('dialog button[data-factor=\"1.25\"]').click()")
    assert page.execute_script(width) == pytest.approx(1.25 * fitted, rel=0.01)
    page.execute_script("document.querySelector('dialog button[data-factor=close]').click()")
    assert page.execute_script("return document.querySelector('dialog').open") is False
