"""Checks the built site: every link within it leads somewhere, and nothing that a page needs is fetched from elsewhere.

python docs/check_links.py docs/_build
"""

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches to show a page; of a link, only that of a kind that it fetches.
FETCHED = {
    ("script", "src"),
    ("img", "src"),
    ("source", "src"),
    ("iframe", "src"),
    ("object", "data"),
    ("link", "href"),
}
NOT_FETCHED = {"canonical", "next", "prev", "search", "index", "author", "license"}


class Page(HTMLParser):
    """The links and anchors of one page.

    Attributes:
        anchors: Everything that a link into the page can name.
        links: Links, and whether a browser fetches them to show the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Notes what one tag links to, and what it can be found by."""
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values and (name == "id" or tag == "a")}
        kinds = set(values.get("rel", "").split())
        for name in ("href", "src", "data"):
            if name in values and (name != "data" or tag == "object"):
                self.links.append((values[name], (tag, name) in FETCHED and not kinds & NOT_FETCHED))


@cache
def read(path: Path) -> Page:
    """A page of the site; each is read once.

    Args:
        path: Its file.
    """
    return Page(path.read_text(encoding="utf-8"))


def problems(site: Path) -> Iterator[str]:
    """A sentence on each link that leads nowhere or away.

    Args:
        site: The folder of the built site.
    """
    for path in sorted(site.rglob("*.html")):
        for link, is_fetched in read(path).links:
            parts = urlsplit(link)
            if parts.scheme == "data" or (parts.scheme in ("http", "https", "mailto") and not is_fetched):
                continue
            where = f"{path.relative_to(site)}: {link}"
            if parts.scheme or parts.netloc:
                yield f"{where} is fetched from elsewhere"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.is_file() or not target.is_relative_to(site.resolve()):
                yield f"{where} leads to no file of the site"
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
                yield f"{where} leads to no anchor of that page"


def main(site: Path) -> int:
    """Prints the problems of a site, and returns the exit code.

    Args:
        site: The folder of the built site.
    """
    if not any(site.rglob("*.html")):
        print(f"check_links.py: {site} holds no page: build the site with make docs", file=sys.stderr)
        return 2
    found = list(problems(site))
    print(*found, sep="\n" if found else "", file=sys.stderr, end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
