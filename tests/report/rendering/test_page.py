"""The page is one complete file, is escaped, and works in a real browser."""

import csv
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import Report, ReportRequest, analyse
from hybridnets.report.figures import pictures
from hybridnets.report.reading.progress import Progress, RunProgress
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.rendering.live import Live
from hybridnets.report.rendering.page import render_page
from hybridnets.runs import Run

Contrast = Callable[..., list[Run]]
PRIMARY = {"primary": {"variant": "ecrnn-bilstm-1x16", "baseline": "cnn", "margin": 1.0}}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<script>document.title = 'ran'</script> & \"it's\" \u202egnp " + "long" * 40


class Reader(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def html_of(report: Report) -> str:
    drawn = {}
    for part in report.parts:
        analyses = [answer.analysis for answer in part.answers]
        drawn[part.data_set.name] = list(
            pictures(part.data_set, part.comparisons, analyses, part.compressed, lambda: None)
        )
    return render_page(report, drawn)


@pytest.fixture
def page(tmp_path: Path, grid: Contrast) -> str:
    """The page of a grid with a run that failed, one that was not started, and one that is damaged."""
    runs = grid(2, PRIMARY, lost=(("crnn", "lstm", 16, 1), ("ecrnn", "lstm", 32, 0)))
    lost = next(run for run in runs if not (run.folder / "result.json").exists())
    with pytest.raises(RuntimeError), lost.claim():
        raise RuntimeError(HOSTILE)
    (runs[1].folder / "result.json").write_text("{", encoding="utf-8")
    return html_of(analyse(read([tmp_path]), "a title", "python report.py runs"))


def test_the_page_is_complete_and_fetches_nothing(page: str) -> None:
    reader = Reader(page)
    text = " ".join(" ".join(reader.words).split())
    for words in (
        "Is ecrnn-bilstm-1x16 better than cnn by its test accuracy, on these test images, over splits and seeds?",
        "declared 20",
        "model: crnn and ecrnn (test accuracy)",
        "1/2 runs",
        "How many seeds a claim needs",
        "pending",
        "RuntimeError: <script>document.title",
        "is not a complete JSON file",
        "commit c0ffee, torch 2.13.0",
        "python train.py -cn grid",
        "Next step: 3 requested runs have no result",
        "For your paper",
        "not recorded: memory and storage",
        "python report.py runs",
    ):
        assert words in text, words
    assert sum(tag == "svg" for tag, _ in reader.tags) == 7
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for _, a in reader.tags if (a.get("href") or "").startswith("#")}  # type: ignore[index]
    assert targets <= set(ids)
    _check_safety(page, reader)


def _check_safety(page: str, reader: Reader) -> None:
    """Nothing is fetched, and nothing of a run is markup."""
    for tag, attributes in reader.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert not re.match(r"(?!#|data:)", attributes.get(name) or "#"), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import", page)
    (policy,) = [a["content"] for tag, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'")
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert "\u202e" not in page  # it would reverse the text after it
    assert "[U+202E]gnp" in page


def test_a_page_without_a_declared_analysis_says_so(tmp_path: Path, grid: Contrast) -> None:
    grid(2)
    text = " ".join(" ".join(Reader(render_page(analyse(read([tmp_path]), "t", "c"), {})).words).split())
    assert "No primary analysis was declared: everything here is exploratory." in text


PROBE = """
<pre id="result"></pre><script>
const result = {errors: [], ran: document.title};
addEventListener("error", (event) => result.errors.push(String(event.message)));
addEventListener("load", async () => {
  const frames = [360, 800, 1600].map((width) => {
    const frame = document.createElement("iframe");
    frame.style = `width:${width}px;height:900px;border:0`;
    frame.src = "page.html";
    document.body.append(frame);
    return new Promise((resolve) => frame.addEventListener("load", () => resolve([width, frame])));
  });
  result.widths = {};
  for (const [width, frame] of await Promise.all(frames)) {
    const page = frame.contentDocument;
    for (const detail of page.querySelectorAll("details")) detail.open = true;
    result.widths[width] = page.documentElement.scrollWidth;
    result.title = page.title;
    const table = page.querySelector("table[data-sortable]");
    const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.startsWith("score"));
    const column = () => [...table.tBodies[0].rows].map((row) => row.cells[head].textContent.trim());
    const button = table.tHead.rows[0].cells[head].querySelector("button");
    result.sorts = [];
    for (let click = 0; click < 3; click += 1) {
      button.click();
      result.sorts.push([table.tHead.rows[0].cells[head].getAttribute("aria-sort"), column()]);
    }
    result.color = getComputedStyle(page.body).backgroundColor;
    result.ink = getComputedStyle(page.querySelector("svg text")).fill;
  }
  document.getElementById("result").textContent = JSON.stringify(result);
});
</script>
"""


def probed(folder: Path, profile: Path, *options: str) -> Any:
    """What the script of a folder's probe.html wrote into its element `result`, in a browser of its own profile."""
    process = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
            *(f"--user-data-dir={profile}", *options, "--virtual-time-budget=10000", "--dump-dom"),
            (folder / "probe.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = re.search(r'<pre id="result">(.+?)</pre>', process.stdout, re.S)
    assert output, process.stderr[-2000:]
    return json.loads(html.unescape(output[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_in_a_browser_it_fits_sorts_and_follows_the_scheme(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["variant", "seed", "score"])
        for n, variant in enumerate(("plain", HOSTILE, "third", "lost")):
            for seed in range(3):
                rows.writerow([variant, seed, "inf" if variant == "lost" else 9.5 + (3 - n) + seed / 7])
    report = analyse(read_scores(path), HOSTILE, "command", ReportRequest(primary=("third", "plain"), margin=0.1))
    (tmp_path / "page.html").write_text(html_of(report), encoding="utf-8")
    (tmp_path / "probe.html").write_text(f"<!doctype html><title>quiet</title><body>{PROBE}", encoding="utf-8")
    results: dict[str, Any] = {}
    for scheme, number in (("light", 1), ("dark", 0)):
        results[scheme] = probed(tmp_path, tmp_path / scheme, f"--blink-settings=preferredColorScheme={number}")
    light, dark = results["light"], results["dark"]
    assert light["errors"] == dark["errors"] == []
    assert {int(width): wide for width, wide in light["widths"].items() if wide > int(width)} == {}
    assert light["title"] != "ran"
    (_, up), (_, down), (_, again) = light["sorts"]
    assert [state for state, _ in light["sorts"]] == ["ascending", "descending", "none"]
    assert up[:-1] == sorted(up[:-1], key=lambda text: float(text.split()[0]))
    assert down[:-1] == up[-2::-1]
    assert up[-1] == down[-1] == "n/a (3 failed)"
    assert sorted(again) == sorted(up)
    assert light["color"] != dark["color"]
    assert light["ink"] != dark["ink"]


HEAD_PROBE = """
<pre id="result"></pre><script>
addEventListener("load", () => {
  const frame = document.createElement("iframe");
  frame.style = "width:1280px;height:800px;border:0";
  frame.src = "page.html";
  document.body.append(frame);
  frame.addEventListener("load", () => {
    const bottom = (of) => frame.contentDocument.querySelector(of).getBoundingClientRect().bottom;
    const parts = ["#answer h2", "#answer svg", "#answer .next pre", ".facts"];
    document.getElementById("result").textContent = JSON.stringify(Object.fromEntries(parts.map((p) => [p, bottom(p)])));
  });
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_answer_its_figure_and_three_facts_fit_one_screen(tmp_path: Path, page: str) -> None:
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "probe.html").write_text(f"<!doctype html><body>{HEAD_PROBE}", encoding="utf-8")
    bottoms = probed(tmp_path, tmp_path / "profile")
    assert len(bottoms) == 4
    assert {part: bottom for part, bottom in bottoms.items() if bottom > 800} == {}


def test_the_head_states_runs_seeds_hardware_and_hours(page: str) -> None:
    text = " ".join(" ".join(Reader(page).words).split())
    # 18 requested runs of 15 seconds: two have no result and one is damaged, which leaves one variant without any.
    assert "15/18 finished runs of 8 variants; 3 runs failed or missing ; 1 problem" in text
    assert "2 different seeds, 2 splits into train and val" in text
    assert "3.8 min of training on cpu, 1 thread, a processor" in text


def test_a_page_of_pending_runs_reloads_itself_without_a_script(tmp_path: Path, finished: Callable[..., Run]) -> None:
    finished("cnn")
    running = RunProgress(Path("digits/crnn/seed=0-<b>"), "running", 3, 0.7125)
    live = Live(
        Progress((running, RunProgress(Path("digits/cnn/seed=0-0"), "finished", 9, 0.8))), "12:34:56", reloads=True
    )
    report = analyse(read([tmp_path]), "title", "command")
    reader = Reader(render_page(report, {}, live))
    assert [a["content"] for tag, a in reader.tags if tag == "meta" and a.get("http-equiv") == "refresh"] == ["10"]
    assert [tag for tag, _ in reader.tags].count("script") == 1
    text = " ".join(" ".join(reader.words).split())
    assert "1 of 2 requested runs finished, 1 running at 12:34:56" in text
    assert "digits/crnn/seed=0-<b>: epoch 3 finished, best val/acc 71.25 %" in text
    assert 'http-equiv="refresh"' not in render_page(report, {}, live._replace(reloads=False))
