"""The built site, page by page: `GRADTX_SITE` is the folder that it was built into."""

import html
import os
import re
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag

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
        if scheme == "light":  # where things are does not depend on their colours
            cut = page.evaluate(CUT, size is PHONE)
            found += [f"{name}: {what}" for what in cut]
    context.close()
    assert not found


# Tables and equations that are cut off, and words of code that are broken in tables.
# On a phone a table of many numbers moves by itself; the one to choose by, and the
# whole update of an algorithm, must be seen at once.
CUT = """phone => {
  const said = [];
  const kinds = phone
    ? ".costs .table-wrapper, #the-whole-update .equations"
    : ".table-wrapper, .equations";
  for (const box of document.querySelectorAll(kinds)) {
    if (box.scrollWidth > box.clientWidth + 1)
      said.push(`${box.className} is cut: ${box.textContent.slice(0, 60)}`);
  }
  for (const code of document.querySelectorAll("td code")) {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      for (const word of text.data.matchAll(/\\w+/g)) {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        const tops = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
        if (tops.size > 1) said.push(`${word[0]} is broken`);
      }
    }
  }
  return said;
}"""


def test_algorithms_have_their_update_typeset_and_their_links():
    pages = sorted((SITE / "algorithms").glob("*.html"))
    assert len(pages) > 50
    for path in pages:
        if path.stem == "index":
            continue
        text = path.read_text()
        update, _, rest = text.partition('id="the-whole-update"')[2].partition(
            "</section>"
        )
        assert update.count("<math") >= 2, path
        assert '<dt class="sig' in rest, path
        [first] = re.findall(r'<dt class="sig[^>]*id="gradtx\.(\w+)"', rest)[:1]
        assert not first.startswith("scale_by_"), path
        links = parsed(path.relative_to(SITE)).links
        assert f"../_modules/gradtx/optimizers/{path.stem}.html" in links
        [published] = re.findall(r"<strong>Published</strong>.*?</li>", text, re.DOTALL)
        assert 'href="https://' in published, path
        # What is shown as it is written is code, not an equation.
        for block in re.findall(
            r'<div class="highlight-text.*?</pre>', text, re.DOTALL
        ):
            written = html.unescape(re.sub(r"<[^>]*>", "", block)).strip()
            assert written.startswith(("update(", "def ")), (path, written)


@pytest.mark.parametrize("page", PAGES)
def test_no_link_is_in_a_link(page):
    text = (SITE / page).read_text()
    for inside in re.findall(r"<a\b[^>]*>(.*?)</a>", text, flags=re.DOTALL):
        assert "<a " not in inside, inside


def test_the_first_page_says_how_to_install_it_and_which_it_is():
    text = (SITE / "index.html").read_text()
    assert "pip install" in text
    assert f"version {version('gradtx')}" in text


def test_pictures_do_not_glare_in_the_dark(browser):
    context = browser.new_context(viewport=WIDE, color_scheme="dark")
    page = context.new_page()
    page.goto((SITE / "results/logistic.html").as_uri())
    asked = "i => getComputedStyle(i).filter"
    assert "invert" in page.eval_on_selector("article img", asked)
    context.close()


def test_equations_have_the_font_that_comes_with_the_site(browser):
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.goto((SITE / "algorithms/adam.html").as_uri())
    loaded = page.evaluate(
        "document.fonts.ready.then(f => [...f].map(x => [x.family, x.status]))"
    )
    assert ["STIX Two Math subset", "loaded"] in [
        [family.strip("\"'"), status] for family, status in loaded
    ]
    context.close()


# What people look for, and a page that must be among the first found.
WANTED = {
    "freeze layers": "guide.html",
    "EMA": "guide.html",
    "parameter groups": "guide.html",
    "adamw": "algorithms/adamw.html",
    "checkpoint": "checkpoints.html",
}


@pytest.mark.parametrize("words", WANTED)
def test_the_search_finds(browser, words):
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.goto(f"{(SITE / 'search.html').as_uri()}?q={quote(words)}")
    page.wait_for_selector("#search-results li a", timeout=10_000)  # ms
    page.wait_for_function("document.querySelector('.search-summary') !== null")
    links = page.eval_on_selector_all(
        "#search-results li a", "all => all.map(a => a.getAttribute('href'))"
    )
    context.close()
    pages = list(dict.fromkeys(urldefrag(link)[0].partition("?")[0] for link in links))
    assert WANTED[words] in pages[:8]
