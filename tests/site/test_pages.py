"""The built site, page by page: `GRADTX_SITE` is the folder that it was built into."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

FOLDER = os.environ.get("GRADTX_SITE")
if FOLDER is None:
    pytest.skip(
        "GRADTX_SITE is not set: build the site (sphinx-build -b html docs out/site) "
        "and set it to the folder.",
        allow_module_level=True,
    )
SITE = Path(FOLDER).resolve()
PAGES = sorted(
    str(path.relative_to(SITE))
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts
)
PHONE, WIDE = {"width": 390, "height": 800}, {"width": 1280, "height": 900}


class Links(HTMLParser):
    """What a page loads, what it links to, and what can be linked to in it."""

    def __init__(self):
        super().__init__()
        self.loads, self.links, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.add(found["id"])
        if "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") not in (
            "search",
            "prev",
            "next",
            "index",
        ):
            self.loads.append(found["href"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


def parsed(page):
    links = Links()
    links.feed((SITE / page).read_text())
    return links


def is_remote(address):
    return address.startswith(("http:", "https:", "//"))


def test_there_are_pages():
    assert len(PAGES) > 40


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_loaded_from_elsewhere(page):
    loads = parsed(page).loads
    assert loads
    assert not [address for address in loads if is_remote(address)]


def test_no_style_loads_from_elsewhere():
    for path in SITE.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]*)", path.read_text())
        assert not [address for address in found if is_remote(address)], path


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    here = parsed(page)
    for address in [*here.links, *here.loads]:
        if is_remote(address) or address.startswith(("data:", "mailto:")):
            continue
        target, anchor = urldefrag(address)
        path = target.partition("?")[0]  # a stamp against old copies in a cache
        file = (SITE / page).parent / unquote(path) if path else SITE / page
        assert file.is_file(), address
        if anchor and file.suffix == ".html":
            to = parsed(file.resolve().relative_to(SITE))
            assert unquote(anchor) in to.ids | {""}, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["phone", "wide"])
def test_pages_fit_and_are_silent(browser, size, scheme):
    """No page is wider than the screen, complains, or asks for what is not a file."""
    found = []

    def heard(message):
        if message.type in ("warning", "error"):
            found.append(f"{name}: {message.text}")

    def asked(request):
        if not request.url.startswith(("file:", "data:")):
            found.append(f"{name}: {request.url}")

    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(f"{name}: {error}"))
    page.on("request", asked)
    for name in PAGES:
        page.goto((SITE / name).as_uri())
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            found.append(f"{name}: {width} wide")
    context.close()
    assert not found
