"""The MLflow UI on a mirrored store: as a process, and in a real browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from subind.store.store import Store
from sweeps.mirror.mirror import Mirror
from sweeps.mirror.ui import serve_ui
from tests.specs import tiny_mask, tiny_transfer
from tests.sweeps.fabricated import commit_fabricated

CONTROLS = ("subnetwork", "random_init")
NUM_DISAMBIGUATION = (10, 100, 1000)
SEEDS = (0, 1)
NUM_TRANSFERS = len(CONTROLS) * len(NUM_DISAMBIGUATION) * len(SEEDS)

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECONDS = 60
"""How long the page may take to show something."""


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two controls × three sample counts × two seeds, and a mask."""
    store = Store(str(tmp_path_factory.mktemp("ui") / "store"))
    planned = [
        tiny_mask(),
        *(
            tiny_transfer(control, num_disambiguation=count, seed=seed)
            for control, count, seed in product(CONTROLS, NUM_DISAMBIGUATION, SEEDS)
        ),
    ]
    commit_fabricated(store, planned)
    assert Mirror(store, grid="grid", tracking_uri=_uri(store)).mirror(planned).num_mirrored == NUM_TRANSFERS + 1
    return store


@pytest.fixture(scope="module")
def url(mirrored: Store) -> Iterator[str]:
    """The address of the UI, served by a process of its own."""
    port = _free_port()
    script = (
        "import sys\nfrom subind.store.store import Store\nfrom sweeps.mirror.ui import serve_ui\n"
        "sys.exit(serve_ui(Store(sys.argv[1]), port=int(sys.argv[2]), tracking_uri=sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, mirrored.url, str(port), _uri(mirrored)],
        env={**os.environ, "MLFLOW_SERVER_ALLOWED_HOSTS": "*", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    yield found[0] if found else ""
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "a process of the UI was left behind"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium with a window wide enough for the charts."""
    if not (BROWSER and DRIVER):
        pytest.skip("chromium and chromedriver are not installed: `apt-get install chromium chromium-driver`")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=2000,1400"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page of an experiment's runs, by what a reader sees."""

    def __init__(self, browser: Any, url: str, folder: Path) -> None:
        self._browser = browser
        self._folder = folder
        browser.get(f"{url}/health")
        browser.execute_script("localStorage.clear(); sessionStorage.clear();")  # the UI remembers filter and grouping
        browser.get(f"{url}/#/experiments/1/runs?compareRunsMode=TABLE")
        self.wait_for_text(f"{NUM_TRANSFERS + 1} matching runs")

    def wait_for(self, holds: Callable[[Any], Any]) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        ignored = (WebDriverException, StaleElementReferenceException)
        return WebDriverWait(self._browser, SECONDS, ignored_exceptions=ignored).until(holds)

    def text(self) -> str:
        return str(self._browser.find_element("tag name", "body").text)

    def wait_for_text(self, expected: str) -> None:
        self.wait_for(lambda _: expected in self.text())

    def click(self, path: str) -> None:
        """Click the element at an XPath once it is there and takes a click."""
        self.wait_for(lambda browser: (browser.find_element("xpath", path).click(), True)[1])

    def search(self, query: str) -> None:
        from selenium.webdriver.common.keys import Keys

        box = self.wait_for(lambda browser: browser.find_element("css selector", "[data-testid='search-box']"))
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(query, Keys.ENTER)

    def group_by(self, param: str) -> None:
        self.click("//button[contains(.,'Group by')]")
        self.click(f"//*[starts-with(@role,'menuitem')][normalize-space()='{param}']")

    def choose_axis(self, axis: str, metric: str) -> None:
        from selenium.webdriver.common.keys import Keys

        field = f"//*[normalize-space()='{axis}']/following::input[@role='combobox'][1]"
        self.click(f"{field}/ancestor::*[contains(@class,'selector')][1]")
        self._browser.find_element("xpath", field).send_keys(metric)
        self.click(f"//*[contains(@class,'select-dropdown') and not(contains(@class,'hidden'))]//*[@title='{metric}']")
        self._browser.find_element("xpath", field).send_keys(Keys.TAB)

    def plotted(self) -> list[tuple[float, float]]:
        """The points of the chart in the dialog, sorted, from what Plotly has drawn."""
        script = (
            "return Array.from(document.querySelectorAll('[role=dialog] .js-plotly-plot'))"
            ".flatMap(plot => plot.data).flatMap(trace => Array.from(trace.x).map((x, i) => [x, trace.y[i]]));"
        )
        return sorted((float(x), float(y)) for x, y in self._browser.execute_script(script))

    def screenshot(self, name: str) -> None:
        self._browser.save_screenshot(str(self._folder / f"{name}.png"))


@pytest.fixture
def page(browser: Any, url: str, tmp_path: Path) -> Iterator[Page]:
    found = Page(browser, url, tmp_path)
    yield found
    found.screenshot("end")


def _uri(store: Store) -> str:
    return f"sqlite:///{store.url}/mlflow.db"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_ui_on_a_port_that_is_taken_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port is {port}"):
            serve_ui(Store(str(tmp_path)), port=port, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


def test_ui_of_a_tracking_server_points_at_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"http://\*\*\*@host:5000.*browser"):
        serve_ui(Store(str(tmp_path)), port=5000, tracking_uri="http://anna:s3cret@host:5000")


@pytest.mark.slow
def test_ui_answers_on_loopback(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
        assert answer.read() == b"OK"


@pytest.mark.slow
def test_ui_answers_no_page_of_another_site(url: str) -> None:
    port = url.rpartition(":")[2]
    for name in ("evil.example", "10.evil.example", "192.168.evil.example"):
        assert _status(f"{url}/ajax-api/2.0/mlflow/experiments/get?experiment_id=1", {"Host": f"{name}:{port}"}) == 403
    content = b'{"experiment_id": "1"}'
    for origin in ("http://evil.example", "null"):
        headers = {"Origin": origin, "Content-Type": "application/json"}
        assert _status(f"{url}/ajax-api/2.0/mlflow/experiments/delete", headers, content) == 403
    assert _status(f"{url}/ajax-api/2.0/mlflow/experiments/get?experiment_id=1", {}) == 200


def _status(url: str, headers: dict[str, str], content: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.browser
def test_ui_filtered_by_control_shows_its_runs_only(page: Page) -> None:
    page.search('params.control = "subnetwork"')
    page.wait_for_text(f"{NUM_TRANSFERS // 2} matching runs")
    assert "random_init" not in page.text()


@pytest.mark.browser
def test_ui_grouped_by_control_shows_a_group_for_each(page: Page) -> None:
    page.search('params.stage = "transfer"')
    page.wait_for_text(f"{NUM_TRANSFERS} matching runs")
    page.group_by("control")
    for control in CONTROLS:
        page.wait_for_text(f"Group: {control}")


@pytest.mark.browser
def test_ui_scatter_chart_of_groups_puts_mean_accuracy_against_sample_count(page: Page) -> None:
    page.search('params.stage = "transfer"')
    page.wait_for_text(f"{NUM_TRANSFERS} matching runs")
    page.group_by("control")
    page.wait_for_text(f"Group: {CONTROLS[0]}")
    page.group_by("num_disambiguation")
    page.wait_for_text(f"num_disambiguation: {NUM_DISAMBIGUATION[0]}")
    page.click("//input[@name='runs-view-mode' and @value='CHART']/ancestor::label")
    page.click("(//button[contains(.,'Add chart')])[1]")
    page.click("//*[@role='menuitem'][contains(.,'Scatter')]")
    page.choose_axis("X axis", "num_disambiguation")
    page.choose_axis("Y axis", "test_accuracy")
    means = {10: 0.215, 100: 0.305, 1000: 1.0}
    expected = sorted([*means.items()] * len(CONTROLS))
    page.wait_for(lambda _: page.plotted() == [pytest.approx(each) for each in expected])
    page.screenshot("scatter")
