"""What docs/play.md says one will see is what one sees."""

import pytest

from tests.site.conftest import PAGE

TEXT = " ".join((PAGE.parents[2] / "play.md").read_text().split())

RACE = """([name, optimizer, learning_rate, start, steps]) => {
  const surface = surfaces[name];
  const { options } = rules.optimizers[optimizer];
  const racer = { name: optimizer, options };
  racer.learning_rate = learning_rate ?? surface.rates[optimizer];
  paths.restart(racer, start ?? surface.start);
  paths.advance(racer, surface, steps);
  const p = racer.path.at(-1);
  return { f: surface.f(p), distance: paths.distance(surface, p), end: racer.end,
           arrived: racer.arrived, steps: racer.path.length - 1, rates: surface.rates };
}"""


@pytest.fixture
def race(calculator):
    def race(surface, optimizer, rate=None, start=None, steps=2000):
        return calculator.evaluate(RACE, [surface, optimizer, rate, start, steps])

    return race


def says(*sentences):
    for sentence in sentences:
        assert sentence in TEXT


def test_over_the_pass_into_the_lower_valley(race):
    says("SGD stays in the first valley, at any rate up to 0.11")
    for rate in (None, 0.08, 0.11):
        stays = race("two_minima", "sgd", rate)
        assert stays["arrived"] is None
        assert stays["distance"] == pytest.approx(1.75, abs=1e-6)
    says("Momentum, at a fifth of its rate, rolls over the pass and arrives at step 77")
    rolls = race("two_minima", "momentum")
    assert rolls["arrived"] == 77
    assert rolls["rates"]["momentum"] == rolls["rates"]["sgd"] / 5
    says("at 0.002 it stays in the first, too")
    slow = race("two_minima", "momentum", 0.002)
    assert slow["distance"] == pytest.approx(1.75, abs=1e-6)
    says("at 0.12 even SGD jumps across")
    assert race("two_minima", "sgd", 0.12)["arrived"]


def test_the_numbers_of_the_slide(play):
    says("The data loss is 0.64, the regularisation loss 1.92")
    play.click("#classify-slide")
    for name, printed in (("data", 0.64), ("regularisation", 1.92)):
        shown = float(play.inner_text(f"#classify-{name}"))
        assert shown == pytest.approx(printed, abs=0.01)
    says("0.025, a quarter")
    play.click("#classify-slide_gradients")
    assert play.input_value("#classify-l2") == "0.025"


def test_a_rate_that_is_just_too_large(race):
    says("SGD's rate to 0.099", "arrives at step 194")
    assert race("quadratic", "sgd", 0.099)["arrived"] == 194
    says("At 0.1 it swings for ever")
    swings = race("quadratic", "sgd", 0.1)
    assert swings["end"] is None
    assert swings["distance"] == 1
    says("at 0.105 it has diverged at step 145")
    assert race("quadratic", "sgd", 0.105)["steps"] == 145
    says("Momentum, at a tenth of that, arrives at step 90")
    momentum = race("quadratic", "momentum")
    assert momentum["arrived"] == 90
    assert momentum["rates"]["momentum"] == 0.01


def test_getting_away_from_a_saddle(race):
    says("has y = 0.01, and Adam escapes at step 57, SGD with the same rate")
    says("at step 126")
    first = race("saddle", "adam")
    assert (first["end"], first["steps"]) == ("escaped", 57)
    assert first["rates"]["adam"] == first["rates"]["sgd"]
    assert race("saddle", "sgd")["steps"] == 126
    says("SGD needs 361 steps", "Adam needs 58")
    assert race("saddle", "sgd", start=[1.5, 1e-6])["steps"] == 361
    assert race("saddle", "adam", start=[1.5, 1e-6])["steps"] == 58
    says("With y = 0 nothing points out")
    for optimizer in first["rates"]:
        stays = race("saddle", optimizer, start=[1.5, 0])
        assert stays["end"] is None
        assert stays["distance"] < 0.01


def test_lost_on_a_plateau(race):
    start = [-3.2, 2.4]
    says("x = −3.2, y = 2.4", "from a distance of 4 to 3.2")
    assert round(race("plateau", "sgd", start=start)["distance"], 1) == 3.2
    says("Adam, with the same rate, arrives at step 93")
    adam = race("plateau", "adam", start=start)
    assert adam["arrived"] == 93
    assert adam["rates"]["adam"] == adam["rates"]["sgd"]


def test_what_a_constant_rate_leaves(race):
    says("run RMSProp for 1,000 steps", "f stays at 0.00105")
    left = race("quadratic", "rmsprop", steps=1000)
    assert left["arrived"]
    assert left["f"] == pytest.approx(0.00105, rel=1e-3)
    says("Half of the rate leaves a quarter of f, 0.0002625")
    rate = left["rates"]["rmsprop"] / 2
    halved = race("quadratic", "rmsprop", rate, steps=1000)
    assert halved["f"] == pytest.approx(0.0002625, rel=1e-3)
    says("its f has fallen below 10⁻⁴⁰ by then")
    assert race("quadratic", "adam", steps=1000)["f"] < 1e-40


def test_two_losses_two_ends(play):
    def step(count):
        play.evaluate(
            "(n) => { while (n--) document.getElementById('classify-step').click(); }",
            count,
        )
        return float(play.inner_text("#classify-data").replace("e−", "e-"))

    says("At step 122 the data loss is exactly 0")
    play.check("#classify-hinge")
    play.fill("#classify-l2", "0")
    assert step(121) > 0
    assert step(1) == 0
    weights = play.inner_text("#classify-weights tbody")
    assert step(10) == 0
    assert play.inner_text("#classify-weights tbody") == weights
    says("it goes on falling, and the weights go on growing")
    play.check("#classify-softmax")
    losses = [step(count) for count in (0, 200, 200)]
    assert losses[0] > losses[1] > losses[2] > 0
    # The sum of the squared weights, seen through a strength that no step uses.
    play.fill("#classify-l2", "1")
    before = float(play.inner_text("#classify-regularisation"))
    play.fill("#classify-l2", "0")
    step(200)
    play.fill("#classify-l2", "1")
    assert float(play.inner_text("#classify-regularisation")) > before


def test_weights_that_turn_over(play):
    says("L2 strength to 12", "1 − 2 · 0.1 · 12 = −1.4 a step")

    def weights():
        ids = [f"#classify-W-{k}-{d}" for k in range(3) for d in range(2)]
        return [float(play.inner_text(i).replace("−", "-")) for i in ids]

    play.fill("#classify-l2", "12")
    for _ in range(3):
        before = weights()
        play.click("#classify-step")
        after = weights()
        assert all(a * b < 0 for a, b in zip(after, before, strict=True))
        assert max(map(abs, after)) > max(map(abs, before))
