// A linear classifier of points in the plane, three classes: s = W x + b. Its losses are
// those of gradtx: softmax_cross_entropy_with_integer_labels and multiclass_hinge_loss.
const linear = (() => {
  "use strict";

  // L = log sum_j exp(s_j) - s_y,   dL/ds_j = softmax(s)_j - [j = y]
  function softmax(s, y) {
    const top = Math.max(...s);
    const weights = s.map((v) => Math.exp(v - top));
    const total = weights.reduce((a, b) => a + b);
    return {
      loss: Math.log(total) + top - s[y],
      grad: weights.map((w, j) => w / total - (j === y ? 1 : 0)),
    };
  }

  // L = sum_{j != y} max(0, s_j - s_y + 1); each margin above 0 pulls at s_j and at s_y
  function hinge(s, y) {
    const margins = s.map((v, j) => (j === y ? 0 : Math.max(0, v - s[y] + 1)));
    const grad = margins.map((m) => (m > 0 ? 1 : 0));
    grad[y] = -grad.reduce((a, b) => a + b);
    return { loss: margins.reduce((a, b) => a + b), grad };
  }

  const losses = { softmax, hinge };

  const scores = ({ W, b }, x) => W.map((w, k) => w[0] * x[0] + w[1] * x[1] + b[k]);

  // data = mean L_i,   regularisation = l2 sum W^2 (not b),   total is their sum.
  // dW and db are the gradients of the total.
  function evaluate(params, points, { loss, l2 }) {
    const rows = points.map(({ x, y }) => {
      const s = scores(params, x);
      return { s, ...losses[loss](s, y) };
    });
    const mean = (value) => rows.reduce((sum, row, i) => sum + value(row, i), 0) / rows.length;
    const data = mean((row) => row.loss);
    const regularisation = l2 * params.W.flat().reduce((sum, w) => sum + w * w, 0);
    return {
      rows,
      data,
      regularisation,
      total: data + regularisation,
      dW: params.W.map((w, k) =>
        w.map((v, d) => mean((row, i) => row.grad[k] * points[i].x[d]) + 2 * l2 * v),
      ),
      db: params.b.map((_, k) => mean((row) => row.grad[k])),
    };
  }

  // One step of gradient descent on all points.
  function step(params, points, options) {
    const { dW, db } = evaluate(params, points, options);
    const { step_size } = options;
    return {
      W: params.W.map((w, k) => w.map((v, d) => v - step_size * dW[k][d])),
      b: params.b.map((v, k) => v - step_size * db[k]),
    };
  }

  return { scores, evaluate, step };
})();
