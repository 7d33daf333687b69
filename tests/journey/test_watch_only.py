"""Watch only, as a person does it: the tutorial's table and its commands, the file in a browser, the page on a port."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from evertrain.testing.tree import free_port, wait_until

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "watch.md"
BLOCK = re.compile(r"```(python|sh)\n(.*?)```", re.DOTALL)
ASKED = ["--score", "p", "--label", "churned", "--time", "at"]
SCREENS = [
    pytest.param(1300, 900, "light", id="desk"),
    pytest.param(1300, 900, "dark", id="desk in the dark"),
    pytest.param(390, 844, "light", id="phone"),
]


def evertrain(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


class Walked(msgspec.Struct, frozen=True):
    """The tutorial's folder, and what its commands printed, in order."""

    folder: Path
    printed: list[str]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """The tutorial, block by block, as it stands."""
    folder = tmp_path_factory.mktemp("somebody's model")
    printed = []
    for language, text in BLOCK.findall(TUTORIAL.read_text()):
        if language == "python":
            subprocess.run([sys.executable, "-W", "error", "-c", text], cwd=folder, check=True)
            continue
        for line in text.strip().splitlines():
            done = evertrain(folder, *line.removeprefix("evertrain ").split())
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            printed.append(done.stdout)
    return Walked(folder, printed)


def test_the_first_look_finds_what_was_planted(walked: Walked) -> None:
    first = walked.printed[0]
    assert "region = west is shown to be worse than all other rows" in first
    assert re.search(r"^Got worse: region = west since about 1\d Feb 2024, ", first, re.MULTILINE)
    assert re.search(r"^plan = pro +not shown worse: not without region", first, re.MULTILINE)
    assert re.search(
        r"^region = west got worse since about 1[3-7] Feb 2024: log loss 0\.\d+ before", first, re.MULTILINE
    )
    moved = r"^age has moved since about 1[3-7] Feb 2024: up, median 40\.\d+ to 42\.\d+; the newest stretch, from 8 Mar"
    assert re.search(moved, first, re.MULTILINE)
    assert "No horizon is stated" in first
    assert "evertrain serve MODEL" not in first  # that is for people at a terminal, not for a pipe


def test_a_horizon_leaves_rows_out_whose_label_is_not_due(walked: Walked) -> None:
    assert "No horizon is stated" not in walked.printed[1]
    assert re.search(r"Labels: 17,\d\d\d of 20,000 rows, 0 missing, 2,\d\d\d not due yet", walked.printed[1])


def test_machines_get_the_same(walked: Walked) -> None:
    report = json.loads(walked.printed[2])
    assert (report["rows"], report["kind"], report["metric"]) == (20_000, "probability", "log_loss")
    assert report["first"].startswith("2024-01-01T00:")
    assert {one["column"] for one in report["inputs"]["columns"]} == {"id", "region", "plan", "age", "p"}


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_the_file_shows_without_a_network(
    walked: Walked, browser: Browser, width: int, height: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((walked.folder / "report.html").as_uri())
    assert page.locator("h1").inner_text() == "predictions.csv"
    assert page.locator(".tone.bad").first.inner_text() == "worse now"
    boxes = (
        "[...document.querySelectorAll('.rows, table, td')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    )
    assert page.evaluate(boxes) == 0  # nothing is hidden beyond an edge
    assert page.locator("svg.pygal-chart").count() == 2
    assert page.locator(".courses figcaption").first.inner_text().startswith("region = west worse since about 1")
    assert page.locator(".courses .onset > line").count() == 1
    assert page.locator("td.plot svg .range").count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert (light[0] > light[1]) == (scheme == "light")
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_the_page_is_served_and_follows_the_file(walked: Walked, tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    lines = (walked.folder / "predictions.csv").read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:2001]))
    command = [sys.executable, "-m", "evertrain", "watch", str(table), *ASKED, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("Page "))
        address = said.split()[1]
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            wait_until(lambda: answers(client), "the page")
            assert "2,000 rows" in client.get("/").text
            assert client.get("/static/observed.css").status_code == 200
            assert client.get("/", headers={"host": "evil.example"}).status_code == 400
            table.write_text("".join(lines[:3001]))
            wait_until(lambda: client.get("/report.json").json()["rows"] == 3000, "the longer file")
            table.write_text("not what it was\n1\n")
            wait_until(lambda: "no column &#39;p&#39;" in client.get("/").text, "the fault of the file")
            assert "3,000 rows" in client.get("/").text  # the last good report stays
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(180) == 0


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("words", "says", "remedy"),
    [
        (["--segments", "regoin"], "predictions.csv has no column 'regoin'", 'Did you mean "region"?'),
        (["--metric", "rmse"], "The metric 'rmse' does not fit: the score is a probability", "Known are: accuracy"),
        (["--horizon", "soon"], "'soon' is not a duration", "1d 12h"),
        (["--now", "2024-05-01T10:00"], "--now: '2024-05-01T10:00' has no time zone", "ISO 8601"),
        (["--out", "nowhere/report.html"], "--out: there is no folder", "Make it"),
        (["--out", "."], "--out: . is a folder", "--out report.html"),
    ],
)
def test_faults_of_the_input_are_told_with_a_remedy(walked: Walked, words: list[str], says: str, remedy: str) -> None:
    options = dict(zip(ASKED[::2], ASKED[1::2], strict=True)) | dict([words])
    done = evertrain(walked.folder, "watch", "predictions.csv", *[word for pair in options.items() for word in pair])
    assert done.returncode == 1
    assert says in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 10


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """`evertrain watch --listen`, and what it says."""
    folder = tmp_path_factory.mktemp("somebody's server")
    words = ["--listen", "--service", "churn", "--segments", "region", "--dir", str(folder / ".evertrain")]
    ports = ["--port", str(free_port()), "--control-port", str(free_port()), "--workers", "1"]
    command = [sys.executable, "-m", "evertrain", "watch", *words, *ports]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if line.startswith("Next: "):
                break
        yield folder, said
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(180) == 0, (folder / "log").read_text()[-2000:]


def test_what_another_server_posts_is_watched_on_a_page(
    listening: tuple[Path, list[str]], browser: Browser, tmp_path: Path
) -> None:
    """The commands that are printed, as they are printed; then the link that is printed."""
    folder, said = listening
    assert said[0].startswith("Watches      churn: segments region; horizon none;")
    for line in said:
        if line.startswith("curl "):
            done = subprocess.run(["sh", "-c", f"{line} -fsS"], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, '{"taken":1}'), done.stderr
    link = next(line.split()[1] for line in said if line.startswith("Page "))
    page = browser.new_page()
    page.clock.install()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    wait_until(lambda: opens(page, link), "the page")
    assert page.url.endswith("/services/churn/observed")
    assert page.locator("h1").inner_text() == "churn"
    assert "1 of 1 row" in page.locator(".figures").inner_text()
    assert page.locator(".mark svg").evaluate("one => one.getBoundingClientRect().width") < 40  # the styles are there
    post = next(line for line in said if "/observe/churn" in line)
    subprocess.run(["sh", "-c", f"{post.replace('r1', 'r2')} -fsS"], check=True, capture_output=True)
    wait_until(lambda: renewed(page, "1 of 2 rows"), "the page to renew itself")
    assert complaints == []
    shown = page.locator("header .status").inner_text()
    page.close()
    wait_until(lambda: "the newest of" in evertrain(folder, "status").stdout, "the first look")
    status = evertrain(folder, "status")
    assert status.returncode == 0
    assert "churn: only watched" in status.stdout
    assert "1 that count, " in status.stdout
    assert re.search(r"^  looked at  \d+ \w+ \d+, \d\d:\d\d, .* ago$", status.stdout, re.MULTILINE)
    assert "; looked at " in shown
    told = httpx.get(f"{link.partition('?')[0]}metrics", trust_env=False, timeout=60).text
    assert 'evertrain_observed_labels{service="churn"} 1' in told
    joined = evertrain(folder, "watch", "--listen", "--service", "fraud", "--segments", "region")
    assert joined.returncode == 0, joined.stderr
    assert "runs already, and takes what is posted to /observe/fraud and /labels/fraud from now on" in joined.stdout
    other = post.replace("/observe/churn", "/observe/fraud")
    assert subprocess.run(["sh", "-c", f"{other} -fsS"], capture_output=True, check=False).stdout == b'{"taken":1}'


def renewed(page: Page, text: str) -> bool:
    """Whether the page shows it, some seconds of its own later."""
    page.clock.run_for(11_000)
    return text in page.locator(".figures").inner_text()


def opens(page: Page, link: str) -> bool:
    try:
        answer = page.goto(link)
    except PlaywrightError:
        return False
    return answer is not None and answer.ok


def test_a_table_or_a_stream_is_watched_and_not_both(walked: Walked) -> None:
    named = evertrain(walked.folder, "watch", "predictions.csv", "--score", "p")
    assert named.returncode == 2
    assert "Say which of its columns they are: id, at, region, plan, age, p, churned." in named.stderr
    out = evertrain(walked.folder, "watch", "--listen", "--service", "x", "--out", "report.html")
    assert out.returncode == 2
    assert "--out is for a table, not for a stream." in out.stderr
    name = evertrain(walked.folder, "watch", "--listen", "--service", "my model")
    assert name.returncode == 1
    assert "--service my-model." in name.stderr
    for words in (["predictions.csv", "--listen", "--service", "x"], []):
        done = evertrain(walked.folder, "watch", *words)
        assert done.returncode == 2
        assert "evertrain watch --help" in done.stderr
