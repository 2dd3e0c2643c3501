// The functions of the race: value, gradient, where the paths start, what the picture shows
// and where the minimum is, as in gradtx.plot.surfaces; and rates at which each optimizer
// gets somewhere in a few hundred steps.
const surfaces = (() => {
  "use strict";

  const quadratic = {
    label: "Ill-conditioned quadratic",
    formula: "f(x, y) = (x² + 20 y²) / 2",
    start: [-4, 1],
    xlim: [-5, 2],
    ylim: [-1.6, 1.6],
    minimum: [0, 0],
    rates: {
      sgd: 0.05, momentum: 0.01, nesterov: 0.02, adagrad: 0.5, rmsprop: 0.02,
      adadelta: 1, adam: 0.1, adamax: 0.1, amsgrad: 0.1, adamw: 0.1, lion: 0.01,
    },
    f: ([x, y]) => (x * x + 20 * y * y) / 2,
    grad: ([x, y]) => [x, 20 * y],
  };

  const saddle = {
    label: "Saddle",
    formula: "f(x, y) = x² − y²",
    start: [1.5, 0.01],
    xlim: [-1.75, 1.75],
    ylim: [-1.4, 1.4],
    minimum: null,
    rates: {
      sgd: 0.02, momentum: 0.01, nesterov: 0.01, adagrad: 0.1, rmsprop: 0.01,
      adadelta: 1, adam: 0.02, adamax: 0.02, amsgrad: 0.02, adamw: 0.02, lion: 0.01,
    },
    f: ([x, y]) => x * x - y * y,
    grad: ([x, y]) => [2 * x, -2 * y],
  };

  const beale = {
    label: "Beale",
    formula: "f(x, y) = (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
    start: [1, 1.5],
    xlim: [-0.5, 4],
    ylim: [-1.25, 2],
    minimum: [3, 0.5],
    rates: {
      sgd: 0.01, momentum: 0.005, nesterov: 0.005, adagrad: 0.5, rmsprop: 0.01,
      adadelta: 1, adam: 0.1, adamax: 0.1, amsgrad: 0.1, adamw: 0.1, lion: 0.01,
    },
    f: ([x, y]) =>
      (1.5 - x + x * y) ** 2 + (2.25 - x + x * y ** 2) ** 2 + (2.625 - x + x * y ** 3) ** 2,
    grad([x, y]) {
      const [r1, r2, r3] = [1.5 - x + x * y, 2.25 - x + x * y ** 2, 2.625 - x + x * y ** 3];
      return [
        2 * (r1 * (y - 1) + r2 * (y ** 2 - 1) + r3 * (y ** 3 - 1)),
        2 * (r1 * x + r2 * 2 * x * y + r3 * 3 * x * y ** 2),
      ];
    },
  };

  const rosenbrock = {
    label: "Rosenbrock",
    formula: "f(x, y) = (1 − x)² + 100 (y − x²)²",
    start: [-1.2, 1],
    xlim: [-1.75, 1.75],
    ylim: [-0.6, 2],
    minimum: [1, 1],
    rates: {
      sgd: 0.001, momentum: 0.001, nesterov: 0.001, adagrad: 0.5, rmsprop: 0.01,
      adadelta: 1, adam: 0.05, adamax: 0.05, amsgrad: 0.05, adamw: 0.05, lion: 0.005,
    },
    f: ([x, y]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2,
    grad: ([x, y]) => [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)],
  };

  const plateau = {
    label: "Plateau",
    formula: "f(x, y) = 1 − exp(−(x² + y²) / 2)",
    start: [-2.4, 1.8],
    xlim: [-3.25, 2],
    ylim: [-1.75, 2.5],
    minimum: [0, 0],
    rates: {
      sgd: 0.1, momentum: 0.05, nesterov: 0.05, adagrad: 0.2, rmsprop: 0.02,
      adadelta: 1, adam: 0.1, adamax: 0.1, amsgrad: 0.1, adamw: 0.1, lion: 0.01,
    },
    f: ([x, y]) => -Math.expm1(-(x * x + y * y) / 2),
    grad([x, y]) {
      const slope = Math.exp(-(x * x + y * y) / 2);
      return [x * slope, y * slope];
    },
  };

  const two_minima = {
    label: "Two minima",
    formula: "f(x, y) = (x − 1)² ((x + 1)² + 3/8) + y²",
    start: [-1.6, 1],
    xlim: [-2, 2],
    ylim: [-1, 1.3],
    minimum: [1, 0],
    rates: {
      sgd: 0.05, momentum: 0.01, nesterov: 0.01, adagrad: 0.3, rmsprop: 0.02,
      adadelta: 1, adam: 0.1, adamax: 0.1, amsgrad: 0.1, adamw: 0.1, lion: 0.01,
    },
    f: ([x, y]) => (x - 1) ** 2 * ((x + 1) ** 2 + 3 / 8) + y * y,
    grad: ([x, y]) => [4 * (x + 3 / 4) * (x + 1 / 4) * (x - 1), 2 * y],
  };

  return { quadratic, saddle, beale, rosenbrock, plateau, two_minima };
})();
