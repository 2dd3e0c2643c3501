"""The second panel in use, and the page as a whole: sizes, themes, embedding, keys."""

import re

import pytest

from tests.site.conftest import PAGE

DOCS = PAGE.parents[2]


def number(page, name):
    return float(page.inner_text(f"#classify-{name}").replace("−", "-"))


def test_a_dragged_point_changes_its_scores_only(play):
    rows = play.locator("#classify-points tbody tr")
    before = rows.all_inner_texts()
    play.locator("#classify-point-3").scroll_into_view_if_needed()
    point = play.locator("#classify-point-3").bounding_box()
    x, y = point["x"] + point["width"] / 2, point["y"] + point["height"] / 2
    play.mouse.move(x, y)
    play.mouse.down()
    play.mouse.move(x + 80, y - 40, steps=4)
    play.mouse.up()
    after = rows.all_inner_texts()
    changed = [i for i in range(9) if before[i] != after[i]]
    assert changed == [3]
    assert float(after[3].split()[0].replace("−", "-")) > -0.4  # to the right
    assert float(after[3].split()[1]) > 0.3  # and up


def test_a_point_moves_by_keys_and_stays_in_the_picture(play):
    play.locator("#classify-point-0").focus()
    play.keyboard.press("ArrowUp")
    cells = play.locator("#classify-points tbody tr").nth(0).inner_text().split()
    assert cells[:2] == ["0.50", "0.42"]
    for _ in range(10):
        play.keyboard.press("Shift+ArrowRight")
    label = play.get_attribute("#classify-point-0", "aria-label")
    assert label == "Point 1 of class 0 at (1.00, 0.42): arrow keys move it"


def test_a_point_moves_by_touch(open_page):
    page = open_page(
        PAGE.as_uri(), viewport={"width": 390, "height": 844}, has_touch=True
    )
    page.locator("#classify-point-0").scroll_into_view_if_needed()
    box = page.locator("#classify-point-0").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    moves = [{"x": x - 5 * i, "y": y + 10 * i} for i in range(11)]
    for kind, points in (
        ("touchStart", moves[:1]),
        *(("touchMove", [move]) for move in moves[1:]),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    cells = page.locator("#classify-points tbody tr").nth(0).inner_text().split()
    got = [float(cell.replace("−", "-")) for cell in cells[:2]]
    scale = 2 / page.locator("#classify-canvas").bounding_box()["width"]
    # All the way: the page has not begun to scroll instead.
    assert got == pytest.approx([0.5 - 50 * scale, 0.4 - 100 * scale], abs=0.02)


def test_single_step_run_and_stop(play):
    totals = [number(play, "total")]
    play.click("#classify-step")
    totals.append(number(play, "total"))
    assert play.inner_text("#classify-steps") == "Step 1"
    play.click("#classify-run")
    assert play.inner_text("#classify-run") == "Stop"
    play.wait_for_function(
        "parseInt(document.getElementById('classify-steps').textContent.slice(5)) > 20"
    )
    play.click("#classify-run")
    totals.append(number(play, "total"))
    assert totals == sorted(totals, reverse=True)
    assert totals[2] < 0.8 * totals[0]
    stopped = play.inner_text("#classify-steps")
    play.wait_for_timeout(100)  # ms, six steps
    assert play.inner_text("#classify-steps") == stopped
    assert stopped in play.inner_text("#classify-status")


def test_randomise_and_reset(play):
    weights = "#classify-weights tbody"
    first = play.inner_text(weights)
    play.click("#classify-step")
    play.click("#classify-randomise")
    once = play.inner_text(weights)
    play.click("#classify-randomise")
    assert len({first, once, play.inner_text(weights)}) == 3
    assert play.inner_text("#classify-steps") == "Step 0"
    play.click("#classify-reset")
    assert play.inner_text(weights) == first


def test_loss_and_strength_have_an_effect(play):
    softmax = number(play, "data")
    play.check("#classify-hinge")
    assert number(play, "data") != softmax
    regularisation = number(play, "regularisation")
    play.fill("#classify-l2", "0.2")
    assert number(play, "regularisation") == pytest.approx(2 * regularisation, rel=1e-3)
    play.fill("#classify-l2", "-1")
    assert "at least 0, got -1" in play.inner_text("#classify-status")
    assert number(play, "regularisation") == pytest.approx(2 * regularisation, rel=1e-3)


def test_a_classifier_that_diverges_says_so(play):
    play.fill(
        "#classify-l2", "12"
    )  # 2 * 0.1 * 12 > 2: each step turns the weights over
    play.click("#classify-run")
    play.wait_for_function(
        "document.getElementById('classify-status').textContent.startsWith('Diverged')"
    )
    assert play.inner_text("#classify-run") == "Run"
    play.fill("#classify-l2", "0.1")
    play.click("#classify-reset")
    assert "Diverged" not in play.inner_text("#classify-status")


def test_without_motion_run_jumps(open_page):
    page = open_page(PAGE.as_uri(), reduced_motion="reduce")
    page.click("text=Run 200 steps >> nth=1")
    assert page.inner_text("#classify-steps") == "Step 200"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out(open_page, width):
    page = open_page(PAGE.as_uri(), viewport={"width": width, "height": 844})
    for box in page.locator("[id^=race-on-]").all():
        box.check()
    for more in page.locator(".more:enabled").all():
        more.click()
    for surface in ("saddle", "plateau"):  # notes: escaped; arrived at ...
        page.select_option("#race-surface", surface)
        page.evaluate(
            "for (let i = 0; i < 999; i++) document.getElementById('race-step').click()"
        )
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, surface


def test_light_and_dark_differ_and_the_canvas_is_sharp(open_page):
    pictures = set()
    for scheme in ("light", "dark"):
        page = open_page(PAGE.as_uri(), color_scheme=scheme, device_scale_factor=2)
        page.wait_for_function("document.getElementById('race-canvas').width > 300")
        for name in ("race", "classify"):
            canvas = page.locator(f"#{name}-canvas")
            width, shown = canvas.evaluate("(c) => [c.width, c.clientWidth]")
            assert width == 2 * shown
            pictures.add(canvas.screenshot())
        assert canvas.evaluate(
            "(c) => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height)"
            ".data).size > 20"
        )  # it is painted
    assert len(pictures) == 4


def test_the_site_hands_its_theme_in_and_makes_room(open_page, tmp_path):
    block = re.search(
        r"```\{raw\} html\n(.*?)```", (DOCS / "play.md").read_text(), re.S
    )
    host = tmp_path / "play.html"
    host.write_text(
        f'<!doctype html><base href="{DOCS.as_uri()}/">'
        f'<body data-theme="dark">{block.group(1)}</body>'
    )
    page = open_page(host.as_uri(), color_scheme="light")
    inner = page.locator("iframe.play").element_handle().content_frame()
    inner.wait_for_selector(":root[data-theme=dark]")
    page.evaluate("document.body.dataset.theme = 'light'")
    inner.wait_for_selector(":root[data-theme=light]")
    page.evaluate("document.body.dataset.theme = 'auto'")
    page.emulate_media(color_scheme="dark")
    inner.wait_for_selector(":root[data-theme=dark]")

    def spare():  # pixels between the end of the inner page and that of its frame
        room = page.evaluate("document.querySelector('iframe').clientHeight")
        return room - inner.evaluate("document.body.clientHeight")

    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        for _ in range(50):  # until the message has arrived
            if abs(spare()) < 2:
                break
            page.wait_for_timeout(50)  # ms
        assert abs(spare()) < 2, width
    assert page.evaluate("document.links[0].href").endswith("_static/play/index.html")


def test_everything_has_a_name_and_is_reached_by_tab(play):
    """In the order of the page, and what has the focus shows it."""
    nameless = play.evaluate(
        """[...document.querySelectorAll("button, input, select")]
          .filter((e) => !e.labels.length && !e.ariaLabel)
          .filter((e) => e.tagName !== "BUTTON" || !e.textContent.trim())
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    seen = []
    while "classify-reset" not in seen:
        play.keyboard.press("Tab")
        identifier, outline = play.evaluate(
            "[document.activeElement.id, "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline == "solid", identifier
        seen.append(identifier)
        assert len(seen) < 100
    for identifier in ("race-surface", "race-start", "race-play", "classify-point-8"):
        assert identifier in seen
