"""A headless Chromium for the pages; each worker starts one when it first needs it."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

# No sandbox: containers have none to give. The rest keeps the browser from talking to
# anyone but the page.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE = Path(__file__).parents[2] / "docs" / "_static" / "play" / "index.html"


def chromium():
    """Return the path of a Chromium, or skip; fail where the environment wants one."""
    named = os.environ.get("GRADTX_CHROMIUM")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        message = (
            f"no browser ({', '.join(names)}): install the package chromium, or set "
            "GRADTX_CHROMIUM to an executable."
        )
        if os.environ.get("GRADTX_BROWSER") == "required":
            pytest.fail(message)
        pytest.skip(message)
    return found


# Not for the session: while playwright is open, its event loop counts as running, and
# tests elsewhere that need one of their own (asyncio.run, Orbax) would fail.
@pytest.fixture(scope="package")
def browser():
    executable = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open pages by `open_page(uri, **settings of the context)`.

    Each of them must stay silent: at the end of the test it has asked nothing but files
    and has written no warning and no error.
    """
    contexts, complaints = [], []

    def listen(page):
        def heard(message):
            if message.type in ("warning", "error"):
                complaints.append(f"console: {message.text}")

        def asked(request):
            if not request.url.startswith(("file:", "data:")):
                complaints.append(f"request: {request.url}")

        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", asked)
        page.on("requestfailed", lambda r: complaints.append(f"failed: {r.url}"))

    def open_page(uri, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(10_000)  # ms; half a minute tells no more
        page = context.new_page()
        listen(page)
        page.goto(uri)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def play(open_page):
    """The page of optimizers to play with, on a wide screen."""
    return open_page(PAGE.as_uri(), viewport={"width": 1280, "height": 900})


@pytest.fixture(scope="package")
def calculator(browser):
    """The same page, for tests that ask its scripts for numbers and press nothing."""
    page = browser.new_page()
    page.goto(PAGE.as_uri())
    yield page
    page.close()
