// Panel 2: a linear classifier of points that can be moved, trained step by step.
(() => {
  "use strict";

  // The points and the weights that the lecture's demonstration shows.
  const POINTS = [
    [0.5, 0.4, 0], [0.8, 0.3, 0], [0.3, 0.8, 0],
    [-0.4, 0.3, 1], [-0.3, 0.7, 1], [-0.7, 0.2, 1],
    [0.7, -0.4, 2], [0.5, -0.6, 2], [-0.4, -0.5, 2],
  ];
  const START = {
    W: [[2.06, 1.48], [0.44, -1.82], [2.27, -2.04]],
    b: [-0.42, 0.52, -0.1],
  };
  const FRAME = { xlim: [-1, 1], ylim: [-1, 1] };
  const FAR = 1e6; // weights beyond it have diverged
  const JUMP = 200; // steps that run takes at once where motion is not wanted
  const RATE = 60; // steps a second

  const { element, fixed, format } = view;
  const find = (id) => document.getElementById(`classify-${id}`);

  let params = START;
  let points = [];
  let steps = 0;
  let due = 0; // part of a step that has passed since the last
  let diverged = false;
  let complaint = "";
  const options = { loss: "softmax", step_size: 0.1, l2: 0.1 };

  // ---- the picture

  // The part of a polygon where a x + b y + c >= 0.
  function clip(polygon, [a, b, c]) {
    const value = ([x, y]) => a * x + b * y + c;
    return polygon.flatMap((p, i) => {
      const q = polygon[(i + 1) % polygon.length];
      const [u, v] = [value(p), value(q)];
      const cut = () => p.map((from, d) => from + (u / (u - v)) * (q[d] - from));
      const kept = u >= 0 ? [p] : [];
      return u >= 0 === v >= 0 ? kept : [...kept, cut()];
    });
  }

  // Where class k has the highest score.
  function region(k) {
    const { W, b } = params;
    const [[x0, x1], [y0, y1]] = [FRAME.xlim, FRAME.ylim];
    const frame = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
    return [0, 1, 2]
      .filter((j) => j !== k)
      .map((j) => [W[k][0] - W[j][0], W[k][1] - W[j][1], b[k] - b[j]])
      .reduce(clip, frame);
  }

  function drawRegion(context, k) {
    context.fillStyle = view.css(`--class-${k}`, 0.22);
    context.beginPath();
    region(k).forEach((p) => context.lineTo(...plane.toPixel(p)));
    context.fill();
  }

  // The line where s_k = 0, and from its middle a tick to where s_k grows.
  function drawZero(context, k) {
    const [w0, w1] = params.W[k];
    const size = Math.hypot(w0, w1);
    if (size === 0) return;
    const normal = [w0 / size, w1 / size];
    const foot = normal.map((n) => (-params.b[k] / size) * n);
    const along = (far, up) => [
      foot[0] - far * normal[1] + up * normal[0],
      foot[1] + far * normal[0] + up * normal[1],
    ];
    context.strokeStyle = view.css(`--class-${k}`);
    context.lineWidth = 2;
    context.setLineDash([6, 4]);
    context.beginPath();
    context.moveTo(...plane.toPixel(along(-3, 0)));
    context.lineTo(...plane.toPixel(along(3, 0)));
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(...plane.toPixel(along(0, 0)));
    context.lineTo(...plane.toPixel(along(0, 0.12)));
    context.stroke();
  }

  const plane = view.makeView(find("canvas"), () => FRAME, (context, width, height) => {
    context.clearRect(0, 0, width, height);
    if (!diverged) {
      [0, 1, 2].forEach((k) => drawRegion(context, k));
      [0, 1, 2].forEach((k) => drawZero(context, k));
    }
    view.drawAxes(plane, context, width, height);
  });

  // ---- the tables

  const weightCells = [0, 1, 2].map((k) => {
    const cells = [0, 1, 2].map((d) => {
      const name = d < 2 ? `W-${k}-${d}` : `b-${k}`;
      const value = element("span", { id: `classify-${name}` });
      const grad = element("span", { id: `classify-d${name}`, className: "gradient" });
      return { value, grad, cell: element("td", {}, value, grad) };
    });
    const head = element("th", { scope: "row" }, classMark(k), String(k));
    find("weights").tBodies[0].append(element("tr", {}, head, ...cells.map((c) => c.cell)));
    return cells;
  });

  const pointCells = POINTS.map(([, , y]) => {
    const cells = Array.from({ length: 7 }, () => element("td"));
    cells[2].append(classMark(y), String(y));
    find("points").tBodies[0].append(element("tr", {}, ...cells));
    return cells;
  });

  function classMark(k) {
    return element("span", { className: `swatch class-${k}`, "aria-hidden": "true" });
  }

  function show() {
    const { rows, data, regularisation, total, dW, db } = linear.evaluate(params, points, options);
    weightCells.forEach((cells, k) => {
      const values = [...params.W[k], params.b[k]];
      const grads = [...dW[k], db[k]];
      cells.forEach(({ value, grad }, d) => {
        value.textContent = shorter(values[d]);
        grad.textContent = shorter(grads[d]);
      });
    });
    pointCells.forEach((cells, i) => {
      const { s, loss } = rows[i];
      const top = s.indexOf(Math.max(...s));
      cells[0].textContent = fixed(points[i].x[0]);
      cells[1].textContent = fixed(points[i].x[1]);
      s.forEach((value, k) => {
        cells[3 + k].textContent = shorter(value);
        cells[3 + k].classList.toggle("top", k === top);
        cells[3 + k].classList.toggle("wrong", k === top && k !== points[i].y);
      });
      cells[6].textContent = shorter(loss);
    });
    find("data").textContent = format(data);
    find("regularisation").textContent = format(regularisation);
    find("total").textContent = format(total);
    find("steps").textContent = `Step ${steps}`;
    plane.redraw();
    say(total, rows);
  }

  // Two decimals, as long as they fit.
  const shorter = (value) => (Math.abs(value) < 1000 ? fixed(value) : format(value));

  function say(total, rows) {
    const right = rows.filter(({ s }, i) => s.indexOf(Math.max(...s)) === points[i].y).length;
    const done = `${right} of ${points.length} points right, total loss ${format(total)}.`;
    let text = complaint || (loop.running() ? "Running." : `Step ${steps}: ${done}`);
    if (diverged) text = `Diverged at step ${steps}: lower the step size or the L2 strength, then Reset.`;
    if (find("status").textContent !== text) find("status").textContent = text;
  }

  // ---- what changes them

  function step(count) {
    for (let i = 0; i < count && !diverged; i += 1) {
      params = linear.step(params, points, options);
      steps += 1;
      diverged = ![...params.W.flat(), ...params.b].every((v) => Math.abs(v) < FAR);
    }
    if (diverged) loop.stop();
    showRun();
    show();
  }

  function setParams(next) {
    params = next;
    steps = 0;
    diverged = false;
    show();
  }

  // A normal random number (Box and Muller).
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

  const randomise = () =>
    setParams({ W: START.W.map((w) => w.map(normal)), b: START.b.map(normal) });

  function movePoint(i, x) {
    points[i].x = x;
    placeHandle(i);
    show();
  }

  function placeHandle(i) {
    const { x, y } = points[i];
    handles[i].place(x);
    buttons[i].setAttribute(
      "aria-label",
      `Point ${i + 1} of class ${y} at (${fixed(x[0])}, ${fixed(x[1])}): arrow keys move it`,
    );
  }

  // A strength with which the numbers are those of the lecture's demonstration: its losses
  // have one, its gradients another.
  function showSlide(l2) {
    Object.assign(options, { loss: "hinge", step_size: 0.1, l2 });
    complaint = "";
    find("hinge").checked = true;
    for (const name of ["step_size", "l2"]) {
      find(name).value = options[name];
      find(name).setAttribute("aria-invalid", "false");
    }
    reset();
  }

  function reset() {
    loop.stop();
    showRun();
    points = POINTS.map(([x0, x1, y]) => ({ x: [x0, x1], y }));
    points.forEach((_, i) => placeHandle(i));
    setParams(START);
  }

  const loop = view.makeLoop((seconds) => {
    due += seconds * RATE;
    const whole = Math.floor(due);
    due -= whole;
    if (whole) step(whole);
  });

  function showRun() {
    const still = view.reducedMotion.matches ? `Run ${JUMP} steps` : "Run";
    find("run").textContent = loop.running() ? "Stop" : still;
  }

  function toggle() {
    if (loop.running()) loop.stop();
    else if (view.reducedMotion.matches) step(JUMP);
    else if (!diverged) loop.start();
    showRun();
    show();
  }

  // ---- the controls

  const buttons = POINTS.map(([, , y], i) =>
    element("button", { type: "button", className: `handle class-${y}`, id: `classify-point-${i}` },
      String(y)),
  );
  find("plane").append(...buttons);
  const handles = buttons.map((button, i) =>
    view.makeHandle(button, plane, (x) => movePoint(i, x)),
  );

  for (const loss of ["softmax", "hinge"]) {
    find(loss).addEventListener("change", () => {
      options.loss = loss;
      show();
    });
  }
  for (const name of ["step_size", "l2"]) {
    const field = find(name);
    field.addEventListener("input", () => {
      const value = field.value === "" ? NaN : Number(field.value);
      const valid = Number.isFinite(value) && value >= 0;
      field.setAttribute("aria-invalid", String(!valid));
      const label = name === "l2" ? "L2 strength" : "step size";
      complaint = valid ? "" : `The ${label} must be at least 0, got ${field.value || "nothing"}.`;
      if (valid) options[name] = value;
      show();
    });
  }
  find("run").addEventListener("click", toggle);
  find("step").addEventListener("click", () => {
    loop.stop();
    step(1);
  });
  find("randomise").addEventListener("click", randomise);
  find("reset").addEventListener("click", reset);
  find("slide").addEventListener("click", () => showSlide(0.1));
  find("slide_gradients").addEventListener("click", () => showSlide(0.025));
  view.reducedMotion.addEventListener("change", () => {
    loop.stop();
    showRun();
    show();
  });
  reset();
})();
