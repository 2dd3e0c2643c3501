"""The race in use: what a visitor does and then sees."""

import pytest

from tests.site.conftest import PAGE


def step_of(page):
    return int(page.inner_text("#race-steps").removeprefix("Step "))


def row_of(page, optimizer):
    """Step, f, distance and note of an optimizer, as its row shows them."""
    cells = page.locator(f"#race-row-{optimizer} td").all_inner_texts()
    return int(cells[0]), *cells[1:]


def value_of(page, optimizer):
    return float(row_of(page, optimizer)[1].replace("−", "-"))


def press(page, name, times=1):
    for _ in range(times):
        page.click(f"#race-{name}")


def test_play_advances_and_pause_stops(play):
    press(play, "play")
    play.wait_for_function(
        "document.getElementById('race-steps').textContent !== 'Step 0'"
    )
    assert play.inner_text("#race-play") == "Pause"
    press(play, "play")
    stopped = step_of(play)
    assert stopped > 0
    assert play.inner_text("#race-play") == "Play"
    play.wait_for_timeout(200)  # ms, six steps at the speed it has
    assert step_of(play) == stopped
    assert play.inner_text("#race-status") == f"Stopped at step {stopped}."


def test_steps_and_reset(play):
    first = value_of(play, "sgd")
    press(play, "step", 3)
    assert step_of(play) == 3
    assert row_of(play, "sgd")[0] == 3
    assert value_of(play, "sgd") < first
    press(play, "reset")
    assert step_of(play) == 0
    assert value_of(play, "sgd") == first


def test_play_ends_by_itself(play):
    play.fill("#race-speed", "2.7")  # 500 steps a second
    play.evaluate(
        "for (let i = 0; i < 1990; i += 1) document.getElementById('race-step').click()"
    )
    press(play, "play")
    play.wait_for_function(
        "document.getElementById('race-play').textContent === 'Play'"
    )
    assert step_of(play) == 2000
    assert "arrived" in row_of(play, "sgd")[3]


@pytest.mark.parametrize(
    ("surface", "formula"), [("saddle", "x² − y²"), ("rosenbrock", "100 (y − x²)²")]
)
def test_a_function_brings_its_start_rates_and_formula(play, surface, formula):
    press(play, "step", 2)
    play.select_option("#race-surface", surface)
    assert step_of(play) == 0
    assert formula in play.inner_text("#race-formula")
    start = [float(play.input_value(f"#race-{axis}")) for axis in "xy"]
    assert start == play.evaluate(f"surfaces.{surface}.start")
    rate = play.evaluate(f"surfaces.{surface}.rates.adam")
    assert float(play.input_value("#race-rate-adam")) == rate


def test_a_rate_draws_the_path_anew(play):
    press(play, "step", 20)
    before = value_of(play, "adam"), value_of(play, "sgd")
    play.fill("#race-rate-adam", "0.2")
    assert value_of(play, "adam") != before[0]
    assert value_of(play, "sgd") == before[1]
    assert step_of(play) == 20
    # The slider says the same, and sets the field.
    slider = play.get_by_label("learning rate of Adam, slider")
    assert slider.get_attribute("aria-valuetext") == "0.2"
    slider.fill("-2")
    assert float(play.input_value("#race-rate-adam")) == 0.01


def test_an_option_draws_the_path_anew(play):
    press(play, "step", 20)
    before = value_of(play, "momentum")
    play.get_by_label("options of Momentum").click()
    play.fill("#race-momentum-momentum", "0")
    assert value_of(play, "momentum") != before
    play.fill("#race-momentum-momentum", "1.5")
    assert (
        play.inner_text("#race-status")
        == "Momentum: momentum must be in [0, 1), got 1.5."
    )
    assert play.get_attribute("#race-momentum-momentum", "aria-invalid") == "true"
    play.fill("#race-momentum-momentum", "0.9")
    assert value_of(play, "momentum") == before
    assert "must be" not in play.inner_text("#race-status")


def test_a_late_starter_catches_up(play):
    press(play, "step", 5)
    assert play.locator("#race-row-lion").count() == 0
    play.check("#race-on-lion")
    assert row_of(play, "lion")[0] == 5
    play.uncheck("#race-on-lion")
    assert play.locator("#race-row-lion").count() == 0


def test_divergence_is_said(play):
    play.fill("#race-rate-sgd", "0.105")  # above 2 / 20, see the quadratic's Hessian
    play.evaluate(
        "for (let i = 0; i < 300; i += 1) document.getElementById('race-step').click()"
    )
    step, _, _, note = row_of(play, "sgd")
    assert note == "diverged"
    assert step < 300 == row_of(play, "adam")[0]
    said = f"SGD diverged at step {step}: lower its rate."
    assert said in play.inner_text("#race-status")
    play.fill("#race-rate-sgd", "0.099")
    assert row_of(play, "sgd")[3].startswith("arrived")
    assert said not in play.inner_text("#race-status")


def test_a_saddle_is_escaped(play):
    play.select_option("#race-surface", "saddle")
    play.evaluate(
        "for (let i = 0; i < 100; i += 1) document.getElementById('race-step').click()"
    )
    step, _, _, note = row_of(play, "adam")
    assert note == "escaped"
    assert step < 100
    play.fill("#race-y", "0")  # where no gradient leads out
    assert row_of(play, "adam")[3] == ""


def test_a_click_sets_the_start(play):
    box = play.locator("#race-canvas").bounding_box()
    play.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
    start = [float(play.input_value(f"#race-{axis}")) for axis in "xy"]
    # The frame is [-5, 2] x [-1.6, 1.6]; a pixel is about 0.01.
    assert start == pytest.approx([0.25, 0.8], abs=0.02)
    assert row_of(play, "sgd")[1] == row_of(play, "adam")[1]  # all stand there


def test_the_start_moves_by_mouse_and_by_keys(play):
    press(play, "step", 10)
    before = value_of(play, "adam")
    handle = play.locator("#race-start").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    play.mouse.move(x, y)
    play.mouse.down()
    play.mouse.move(x + 60, y + 20, steps=3)
    play.mouse.up()
    dragged = float(play.input_value("#race-x"))
    assert dragged > -4
    assert value_of(play, "adam") != before
    play.keyboard.press("ArrowRight")
    assert float(play.input_value("#race-x")) == pytest.approx(dragged + 0.07, abs=1e-3)
    play.keyboard.press("Shift+ArrowLeft")
    assert float(play.input_value("#race-x")) == pytest.approx(dragged - 0.28, abs=1e-3)


def test_without_motion_play_jumps(open_page):
    page = open_page(PAGE.as_uri(), reduced_motion="reduce")
    assert page.inner_text("#race-play") == "Run 200 steps"
    press(page, "play")
    assert step_of(page) == 200
    page.wait_for_timeout(100)  # ms
    assert step_of(page) == 200
