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

CONTROLS = ("subnetwork", "full_transfer", "random_init", "random_subnetwork", "unmasked_only", "random_as_released")
NUM_DISAMBIGUATION = (10, 100, 250)
SEEDS = (0, 1)
NUM_TRANSFERS = len(CONTROLS) * len(NUM_DISAMBIGUATION) * len(SEEDS)

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECONDS = 60
"""How long the page may take to show something."""


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six controls × three sample counts × two seeds, and a mask."""
    store = Store(str(tmp_path_factory.mktemp("ui") / "store"))
    planned = [
        tiny_mask(),
        *(
            tiny_transfer(control, num_disambiguation=count, seed=seed)
            for control, count, seed in product(CONTROLS, NUM_DISAMBIGUATION, SEEDS)
        ),
    ]
    commit_fabricated(store, planned)
    mirror = Mirror(store, grid="grid", tracking_uri=_uri(store))
    assert mirror.mirror(planned).num_mirrored == NUM_TRANSFERS + 1
    assert mirror.compare(lambda values: (min(values), max(values))) == ""
    return store


@pytest.fixture(scope="module")
def lines(mirrored: Store) -> Iterator[list[str]]:
    """What a process that serves the UI prints until it answers."""
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
    printed = []
    for line in process.stdout:
        printed.append(line.rstrip())
        if "answers" in line:
            break
    yield printed
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "a process of the UI was left behind"


@pytest.fixture
def url(lines: list[str]) -> str:
    """The address of the UI that names no host to resolve."""
    found = re.search(r"http://127[.0-9:]+", lines[1])
    assert found is not None
    return found[0]


@pytest.fixture
def view(lines: list[str]) -> str:
    """The short address that is printed first."""
    return lines[0].partition(": ")[2]


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


def _text(browser: Any) -> str:
    return str(browser.find_element("tag name", "body").text)


def _wait_for(browser: Any, holds: Callable[[], bool]) -> None:
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.wait import WebDriverWait

    waiting = WebDriverWait(browser, SECONDS, ignored_exceptions=(WebDriverException,))
    waiting.until(lambda _: holds())


def _drawn(browser: Any) -> list[tuple[list[float], list[float]]]:
    """The lines with dots that Plotly has drawn in the first chart, which are the means of groups."""
    script = (
        "const plot = document.querySelector('.js-plotly-plot');"
        "return plot.data.filter(trace => trace.mode == 'lines+markers')"
        ".map(trace => [Array.from(trace.x), Array.from(trace.y)]);"
    )
    return [(steps, means) for steps, means in browser.execute_script(script)]


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
def test_ui_prints_the_short_address_first_and_then_its_progress(lines: list[str]) -> None:
    query = "viewStateShareKey=subind-controls&workflowType=machine_learning&compareRunsMode=CHART"
    assert re.fullmatch(rf"grid\.controls: http://subind\.localhost:\d+/#/experiments/\d+/runs\?{query}", lines[0])
    assert [line for line in lines[2:-1] if not re.fullmatch(r"MLflow starts, \d+ s", line)] == []
    assert lines[-1] == "MLflow answers; Ctrl-C ends it"


@pytest.mark.slow
def test_ui_answers_on_loopback(url: str) -> None:
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
def test_view_of_controls_by_the_printed_address_is_in_training_mode_and_has_all_groups(
    browser: Any, view: str, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time as after a reload by the short address
        browser.get("about:blank")
        browser.get(view)
        _wait_for(browser, lambda: len(_drawn(browser)) == len(CONTROLS))
        text = _text(browser)
        assert f"{len(CONTROLS) * len(SEEDS)} matching runs" in text
        assert [control for control in CONTROLS if f"{control} (test_accuracy)" not in text] == []
        assert "You're viewing a shared view" in text
        assert "Mean and range" in text
        assert not [word for word in ("Detect Issues", "Assistant") if word in text]
        browser.save_screenshot(str(tmp_path / "controls.png"))


@pytest.mark.browser
def test_view_of_controls_stands_on_all_transfers(browser: Any, view: str) -> None:
    browser.get("about:blank")
    browser.get(view)
    _wait_for(browser, lambda: len(_drawn(browser)) == len(CONTROLS))
    means = [0.2 + count / 1000 + 0.01 * 0.5 for count in NUM_DISAMBIGUATION]
    assert _drawn(browser) == [(list(NUM_DISAMBIGUATION), pytest.approx(means))] * len(CONTROLS)


@pytest.mark.browser
def test_view_of_means_has_a_row_per_control_and_a_column_per_number_of_samples(browser: Any, view: str) -> None:
    browser.get("about:blank")
    browser.get(view.replace("subind-controls", "subind-means").replace("CHART", "TABLE"))
    _wait_for(browser, lambda: "6 matching runs" in _text(browser) and "at 250" in _text(browser))
    assert _text(browser).count("0.22 [0.21, 0.22]") == len(CONTROLS)
