"""The check of the built site finds what leads nowhere, and what a page would fetch from elsewhere."""

import importlib
import sys
from pathlib import Path

import pytest

from docs.check_links import main, problems
from tests.conftest import ROOT

PAGE = '<html><body><h1 id="top">Title</h1>{}</body></html>'


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="sub/#part">', ""),
        ('<a href="sub/index.html#part">', ""),
        ('<a href="#top">', ""),
        ('<img src="picture%20one.png">', ""),
        ('<a href="https://example.org/page">', ""),
        ('<a href="mailto:somebody@example.org">', ""),
        ('<img src="data:image/png;base64,AAAA">', ""),
        ('<link rel="canonical" href="https://example.org/">', ""),
        ('<a href="missing.html">', "index.html: missing.html leads to no file of the site"),
        ('<a href="sub/#other">', "index.html: sub/#other leads to no anchor of that page"),
        ('<a href="#bottom">', "index.html: #bottom leads to no anchor of that page"),
        ('<a href="../outside.html">', "index.html: ../outside.html leads to no file of the site"),
        ('<img src="picture.png">', "index.html: picture.png leads to no file of the site"),
        (
            '<script src="https://cdn.example.org/x.js">',
            "index.html: https://cdn.example.org/x.js is fetched from elsewhere",
        ),
        ('<script src="//cdn.example.org/x.js">', "index.html: //cdn.example.org/x.js is fetched from elsewhere"),
        (
            '<link rel="stylesheet" href="https://fonts.example.org/x.css">',
            "index.html: https://fonts.example.org/x.css is fetched from elsewhere",
        ),
    ],
)
def test_links_of_a_page(html: str, problem: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    (tmp_path / "outside.html").touch()
    (site / "picture one.png").touch()
    (site / "sub" / "index.html").write_text(PAGE.format('<p id="part"></p><a href="../index.html#top">'))
    (site / "index.html").write_text(PAGE.format(html))
    assert list(problems(site)) == ([problem] if problem else [])
    assert main(site) == bool(problem)


def test_docstrings_are_read_as_plain_text_with_code() -> None:
    pytest.importorskip("sphinx", reason="make docs installs it")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        escape = importlib.import_module("site_parts").escape
    finally:
        sys.path.remove(str(ROOT / "docs"))
    lines = ["A code, (B, *code_shape), of |difference| 2 * x.", "the *first* step of `a * b`", "a ** b"]
    escape(None, "function", "f", None, None, lines)
    assert lines == [
        r"A code, (B, \*code_shape), of \|difference\| 2 \* x.",
        "the *first* step of `a * b`",
        r"a \*\* b",
    ]


def test_a_site_without_pages_is_refused(tmp_path: Path) -> None:
    assert main(tmp_path) == 2
