// The update rules of the race, with the names and the defaults of gradtx. Each is written
// for one entry, as the papers do: g is its gradient, p its value, s its state, t the number
// of the step from 1. A rule returns what is added to p.
const rules = (() => {
  "use strict";

  // 1 - decay^t, to the last digits also where decay is close to 1.
  const oneMinusPower = (decay, t) => -Math.expm1(t * Math.log(decay));

  // a / b, and 0 where b is 0: an entry without gradients stays where it is.
  const divide = (a, b) => (b === 0 ? 0 : a / b);

  // Lifts a rule for one entry to an array: init(params) makes the state, a set of slots for
  // each entry; update(grads, state, params) changes it and returns the updates.
  function lift(slots, rule) {
    return {
      init: (params) => ({ count: 0, entries: params.map(() => ({ ...slots })) }),
      update(grads, state, params) {
        state.count += 1;
        return grads.map((g, i) => rule(g, state.entries[i], params[i], state.count));
      },
    };
  }

  // p_t = p_{t-1} - learning_rate g_t
  function sgd(learning_rate) {
    return lift({}, (g) => -learning_rate * g);
  }

  // v_t = momentum v_{t-1} + g_t,   p_t = p_{t-1} - learning_rate v_t
  function momentum(learning_rate, { momentum }) {
    return lift({ v: 0 }, (g, s) => {
      s.v = momentum * s.v + g;
      return -learning_rate * s.v;
    });
  }

  // v_t = momentum v_{t-1} + g_t,   p_t = p_{t-1} - learning_rate (g_t + momentum v_t)
  function nesterov(learning_rate, { momentum }) {
    return lift({ v: 0 }, (g, s) => {
      s.v = momentum * s.v + g;
      return -learning_rate * (g + momentum * s.v);
    });
  }

  // G_t = G_{t-1} + g_t^2,   p_t = p_{t-1} - learning_rate g_t / sqrt(G_t + eps)
  function adagrad(learning_rate, { initial_accumulator_value, eps }) {
    return lift({ sum_of_squares: initial_accumulator_value }, (g, s) => {
      s.sum_of_squares += g * g;
      return -learning_rate * divide(g, Math.sqrt(s.sum_of_squares + eps));
    });
  }

  // nu_t = decay nu_{t-1} + (1 - decay) g_t^2
  // v_t = momentum v_{t-1} - learning_rate g_t / sqrt(nu_t + eps),   p_t = p_{t-1} + v_t
  function rmsprop(learning_rate, { decay, eps, initial_scale, momentum }) {
    return lift({ nu: initial_scale, v: 0 }, (g, s) => {
      s.nu = decay * s.nu + (1 - decay) * g * g;
      s.v = momentum * s.v - learning_rate * divide(g, Math.sqrt(s.nu + eps));
      return s.v;
    });
  }

  // e_g_t = rho e_g_{t-1} + (1 - rho) g_t^2
  // u_t = sqrt(e_x_{t-1} + eps) / sqrt(e_g_t + eps) g_t,   p_t = p_{t-1} - learning_rate u_t
  // e_x_t = rho e_x_{t-1} + (1 - rho) u_t^2
  function adadelta(learning_rate, { rho, eps }) {
    return lift({ e_g: 0, e_x: 0 }, (g, s) => {
      s.e_g = rho * s.e_g + (1 - rho) * g * g;
      const u = (Math.sqrt(s.e_x + eps) / Math.sqrt(s.e_g + eps)) * g;
      s.e_x = rho * s.e_x + (1 - rho) * u * u;
      return -learning_rate * u;
    });
  }

  // mu_t = b1 mu_{t-1} + (1 - b1) g_t,   nu_t = b2 nu_{t-1} + (1 - b2) g_t^2
  // mu^_t = mu_t / (1 - b1^t),           nu^_t = nu_t / (1 - b2^t)
  // u_t = mu^_t / (sqrt(nu^_t) + eps)
  function adamUpdate(g, s, t, { b1, b2, eps }) {
    s.mu = b1 * s.mu + (1 - b1) * g;
    s.nu = b2 * s.nu + (1 - b2) * g * g;
    const muHat = s.mu / oneMinusPower(b1, t);
    const nuHat = s.nu / oneMinusPower(b2, t);
    return divide(muHat, Math.sqrt(nuHat) + eps);
  }

  // p_t = p_{t-1} - learning_rate u_t
  function adam(learning_rate, options) {
    return lift(
      { mu: 0, nu: 0 },
      (g, s, p, t) => -learning_rate * adamUpdate(g, s, t, options),
    );
  }

  // p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})
  function adamw(learning_rate, options) {
    return lift(
      { mu: 0, nu: 0 },
      (g, s, p, t) =>
        -learning_rate * (adamUpdate(g, s, t, options) + options.weight_decay * p),
    );
  }

  // mu_t = b1 mu_{t-1} + (1 - b1) g_t,   nu_t = max(b2 nu_{t-1}, |g_t| + eps)
  // p_t = p_{t-1} - learning_rate mu_t / ((1 - b1^t) nu_t)
  function adamax(learning_rate, { b1, b2, eps }) {
    return lift({ mu: 0, nu: 0 }, (g, s, p, t) => {
      s.mu = b1 * s.mu + (1 - b1) * g;
      s.nu = Math.max(b2 * s.nu, Math.abs(g) + eps);
      return -learning_rate * divide(s.mu / oneMinusPower(b1, t), s.nu);
    });
  }

  // mu and nu as in Adam,   nu_max_t = max(nu_max_{t-1}, nu^_t)
  // p_t = p_{t-1} - learning_rate mu^_t / (sqrt(nu_max_t) + eps)
  function amsgrad(learning_rate, { b1, b2, eps }) {
    return lift({ mu: 0, nu: 0, nu_max: 0 }, (g, s, p, t) => {
      s.mu = b1 * s.mu + (1 - b1) * g;
      s.nu = b2 * s.nu + (1 - b2) * g * g;
      s.nu_max = Math.max(s.nu_max, s.nu / oneMinusPower(b2, t));
      const muHat = s.mu / oneMinusPower(b1, t);
      return -learning_rate * divide(muHat, Math.sqrt(s.nu_max) + eps);
    });
  }

  // u_t = sign(b1 mu_{t-1} + (1 - b1) g_t),   mu_t = b2 mu_{t-1} + (1 - b2) g_t
  // p_t = p_{t-1} - learning_rate (u_t + weight_decay p_{t-1})
  function lion(learning_rate, { b1, b2, weight_decay }) {
    return lift({ mu: 0 }, (g, s, p) => {
      const u = Math.sign(b1 * s.mu + (1 - b1) * g);
      s.mu = b2 * s.mu + (1 - b2) * g;
      return -learning_rate * (u + weight_decay * p);
    });
  }

  // In the order of the page. The options and their defaults are gradtx's; momentum and
  // Nesterov are gradtx.sgd with momentum=0.9, where its default is none.
  const optimizers = {
    sgd: { label: "SGD", make: sgd, options: {} },
    momentum: { label: "Momentum", make: momentum, options: { momentum: 0.9 } },
    nesterov: { label: "Nesterov", make: nesterov, options: { momentum: 0.9 } },
    adagrad: {
      label: "AdaGrad",
      make: adagrad,
      options: { initial_accumulator_value: 0.1, eps: 1e-7 },
    },
    rmsprop: {
      label: "RMSProp",
      make: rmsprop,
      options: { decay: 0.9, eps: 1e-8, initial_scale: 0, momentum: 0 },
    },
    adadelta: { label: "AdaDelta", make: adadelta, options: { rho: 0.9, eps: 1e-6 } },
    adam: { label: "Adam", make: adam, options: { b1: 0.9, b2: 0.999, eps: 1e-8 } },
    adamax: { label: "AdaMax", make: adamax, options: { b1: 0.9, b2: 0.999, eps: 1e-8 } },
    amsgrad: { label: "AMSGrad", make: amsgrad, options: { b1: 0.9, b2: 0.999, eps: 1e-8 } },
    adamw: {
      label: "AdamW",
      make: adamw,
      options: { b1: 0.9, b2: 0.999, eps: 1e-8, weight_decay: 1e-4 },
    },
    lion: { label: "Lion", make: lion, options: { b1: 0.9, b2: 0.99, weight_decay: 1e-3 } },
  };

  // The ranges that gradtx checks; but a rate must be above 0 here.
  const decays = new Set(["momentum", "decay", "rho", "b1", "b2"]);
  const isPositive = (optimizer, name) =>
    name === "learning_rate" || (optimizer === "adadelta" && name === "eps");

  function range(optimizer, name) {
    if (decays.has(name)) return "in [0, 1)";
    return isPositive(optimizer, name) ? "above 0" : "at least 0";
  }

  function isValid(optimizer, name, value) {
    if (!Number.isFinite(value) || value < 0) return false;
    return decays.has(name) ? value < 1 : value > 0 || !isPositive(optimizer, name);
  }

  function make(name, learning_rate, options = {}) {
    const { make, options: defaults } = optimizers[name];
    return make(learning_rate, { ...defaults, ...options });
  }

  return { optimizers, make, isValid, range };
})();
