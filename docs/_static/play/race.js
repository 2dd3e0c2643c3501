// Panel 1: optimizers race on a function. A path depends on its start, its rate, its options
// and the number of steps only, so a change of any of these draws it anew (see paths.js).
(() => {
  "use strict";

  const LIMIT = 2000; // steps
  const MARK = 10; // a mark on the path every so many steps
  const JUMP = 200; // steps that play takes at once where motion is not wanted

  // Optimizers of one colour are told apart by round and square marks, full and dashed lines.
  const looks = {
    sgd: [5, "round"],
    momentum: [1, "round"],
    nesterov: [1, "square"],
    adagrad: [2, "round"],
    rmsprop: [3, "round"],
    adadelta: [2, "square"],
    adam: [0, "round"],
    adamax: [4, "round"],
    amsgrad: [4, "square"],
    adamw: [0, "square"],
    lion: [5, "square"],
  };
  const chosen = new Set(["sgd", "momentum", "rmsprop", "adam"]);

  const { element, format } = view;
  const find = (id) => document.getElementById(`race-${id}`);
  const canvas = find("canvas");

  let surface = surfaces.quadratic;
  let start = [...surface.start];
  let steps = 0;
  let due = 0; // part of a step that has passed since the last
  let picture = { key: "", canvas: null };
  let complaint = "";

  const racers = Object.entries(rules.optimizers).map(([name, { label, options }]) => ({
    name,
    label,
    look: looks[name],
    on: chosen.has(name),
    learning_rate: surface.rates[name],
    options: { ...options },
  }));
  const running = () => racers.filter((racer) => racer.on);

  // ---- the picture

  function drawBackground(context, width, height, scale) {
    const colors = { low: view.color("--low"), high: view.color("--high") };
    const line = view.css("--contour");
    const key = [surface.label, width, height, scale, colors.low, line].join();
    if (picture.key !== key) {
      const drawn = contours.picture(surface, width, height, scale, { ...colors, line });
      picture = { key, canvas: drawn };
    }
    context.drawImage(picture.canvas, 0, 0, width, height);
    view.drawAxes(plane, context, width, height);
    if (surface.minimum) {
      const [x, y] = plane.toPixel(surface.minimum);
      context.strokeStyle = view.css("--text");
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x - 6, y);
      context.lineTo(x + 6, y);
      context.moveTo(x, y - 6);
      context.lineTo(x, y + 6);
      context.stroke();
    }
  }

  function drawMark(context, [x, y], shape, size) {
    context.beginPath();
    if (shape === "round") context.arc(x, y, size, 0, 2 * Math.PI);
    else context.rect(x - 0.9 * size, y - 0.9 * size, 1.8 * size, 1.8 * size);
    context.fill();
  }

  function drawPath(context, { look: [color, shape], path }) {
    const shown = path.filter((p) => !paths.hasDiverged(p)).map(plane.toPixel);
    const paint = view.css(`--series-${color}`);
    context.strokeStyle = paint;
    context.fillStyle = paint;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.setLineDash(shape === "round" ? [] : [5, 3]);
    context.beginPath();
    shown.forEach((p) => context.lineTo(...p));
    context.stroke();
    context.setLineDash([]);
    for (let i = MARK; i < shown.length; i += MARK) drawMark(context, shown[i], shape, 2.5);
    const head = shown.at(-1);
    context.fillStyle = view.css("--background");
    drawMark(context, head, shape, 7.5);
    context.fillStyle = paint;
    drawMark(context, head, shape, 6);
  }

  const plane = view.makeView(canvas, () => surface, (context, width, height, scale) => {
    drawBackground(context, width, height, scale);
    running().forEach((racer) => drawPath(context, racer));
  });

  // ---- the table and the messages

  const cells = new Map(); // racer -> its cells

  function buildTable() {
    cells.clear();
    find("table").tBodies[0].replaceChildren(
      ...running().map((racer) => {
        const made = [0, 1, 2, 3].map(() => element("td"));
        cells.set(racer, made);
        const head = element("th", { scope: "row" }, swatch(racer), racer.label);
        return element("tr", { id: `race-row-${racer.name}` }, head, ...made);
      }),
    );
  }

  function show() {
    find("steps").textContent = `Step ${steps}`;
    for (const [racer, [step, value, away, said]] of cells) {
      const p = racer.path.at(-1);
      step.textContent = racer.path.length - 1;
      value.textContent = format(surface.f(p));
      away.textContent = format(paths.distance(surface, p));
      said.textContent = paths.note(racer, surface);
      said.classList.toggle("bad", racer.end === "diverged");
    }
    plane.redraw();
  }

  function say() {
    const ended = running().filter((racer) => racer.end === "diverged");
    const lost = ended.map(
      ({ label, path }) => `${label} diverged at step ${path.length - 1}: lower its rate.`,
    );
    const now = loop.running() ? "Playing." : steps ? `Stopped at step ${steps}.` : "Ready.";
    const text = [complaint || now, ...lost].join(" ");
    if (find("status").textContent !== text) find("status").textContent = text;
  }

  // ---- what changes them

  function update() {
    running().forEach((racer) => paths.advance(racer, surface, steps));
    show();
    say();
  }

  function again() {
    racers.forEach((racer) => paths.restart(racer, start));
    update();
  }

  function setStart(point) {
    start = point;
    find("x").value = Number(point[0].toFixed(3));
    find("y").value = Number(point[1].toFixed(3));
    handle.place(point);
    again();
  }

  function step(count) {
    steps = Math.min(LIMIT, steps + count);
    update();
  }

  const speed = () => Math.round(10 ** Number(find("speed").value));

  const loop = view.makeLoop((seconds) => {
    due += seconds * speed();
    const whole = Math.floor(due);
    due -= whole;
    if (whole) step(whole);
    if (steps >= LIMIT) pause();
  });

  function showPlay() {
    const still = view.reducedMotion.matches ? `Run ${JUMP} steps` : "Play";
    find("play").textContent = loop.running() ? "Pause" : still;
    say();
  }

  function play() {
    if (steps >= LIMIT) reset();
    if (view.reducedMotion.matches) step(JUMP);
    else loop.start();
    showPlay();
  }

  function pause() {
    loop.stop();
    showPlay();
  }

  function reset() {
    steps = 0;
    due = 0;
    again();
  }

  // ---- the controls

  const swatch = ({ look: [color, shape] }) =>
    element("span", { className: `swatch ${shape} series-${color}`, "aria-hidden": "true" });

  // Takes a number from a field if gradtx would take it; says what is wrong otherwise.
  function accept(racer, field, name) {
    const value = field.value === "" ? NaN : Number(field.value);
    const valid = rules.isValid(racer.name, name, value);
    field.setAttribute("aria-invalid", String(!valid));
    const range = rules.range(racer.name, name);
    const given = field.value || "nothing";
    complaint = valid ? "" : `${racer.label}: ${name} must be ${range}, got ${given}.`;
    return valid ? value : null;
  }

  function changeRacer(racer, change) {
    if (change) Object.assign(racer, change);
    paths.restart(racer, start);
    update();
  }

  function rateControls(racer) {
    const name = `learning rate of ${racer.label}`;
    const slider = element("input", {
      type: "range", min: -4, max: 1, step: 0.05, "aria-label": `${name}, slider`,
    });
    const field = element("input", {
      type: "number", step: "any", min: 0, id: `race-rate-${racer.name}`, "aria-label": name,
    });
    function place() {
      slider.value = Math.log10(racer.learning_rate);
      slider.setAttribute("aria-valuetext", String(racer.learning_rate));
    }
    racer.showRate = () => {
      field.value = racer.learning_rate;
      field.setAttribute("aria-invalid", "false");
      place();
    };
    slider.addEventListener("input", () => {
      complaint = "";
      changeRacer(racer, { learning_rate: Number((10 ** slider.value).toPrecision(2)) });
      racer.showRate();
    });
    field.addEventListener("input", () => {
      const value = accept(racer, field, "learning_rate");
      changeRacer(racer, value === null ? null : { learning_rate: value });
      place();
    });
    racer.showRate();
    return [slider, field];
  }

  function optionFields(racer) {
    return Object.keys(racer.options).map((name) => {
      const field = element("input", {
        type: "number", step: "any", min: 0, value: racer.options[name],
        id: `race-${racer.name}-${name}`,
      });
      field.addEventListener("input", () => {
        const value = accept(racer, field, name);
        if (value !== null) racer.options[name] = value;
        changeRacer(racer);
      });
      return element("label", {}, element("code", {}, name), field);
    });
  }

  function row(racer) {
    const box = element("input", {
      type: "checkbox", checked: racer.on, id: `race-on-${racer.name}`,
    });
    box.addEventListener("change", () => {
      racer.on = box.checked;
      buildTable();
      update();
    });
    const options = element("div", {
      className: "options", hidden: true, id: `race-options-${racer.name}`,
    }, ...optionFields(racer));
    const more = element("button", {
      type: "button", className: "more", "aria-label": `options of ${racer.label}`,
      "aria-expanded": "false", "aria-controls": options.id,
      disabled: !options.children.length,
    }, "⋯");
    more.addEventListener("click", () => {
      options.hidden = !options.hidden;
      more.setAttribute("aria-expanded", String(!options.hidden));
    });
    const label = element("label", {}, box, swatch(racer), racer.label);
    return element("div", { className: "racer" }, label, ...rateControls(racer), more, options);
  }

  function chooseSurface() {
    surface = surfaces[find("surface").value];
    find("formula").textContent = surface.formula;
    find("away").textContent = surface.minimum ? "distance" : "from saddle";
    canvas.setAttribute("aria-label", `Contours of ${surface.formula} and the paths on it`);
    for (const racer of racers) {
      racer.learning_rate = surface.rates[racer.name];
      racer.showRate();
    }
    complaint = "";
    steps = 0;
    plane.fit();
    setStart([...surface.start]);
  }

  const handle = view.makeHandle(find("start"), plane, setStart);
  find("surface").append(
    ...Object.entries(surfaces).map(([value, { label }]) => element("option", { value }, label)),
  );
  find("racers").append(...racers.map(row));
  find("surface").addEventListener("change", chooseSurface);
  find("play").addEventListener("click", () => (loop.running() ? pause() : play()));
  find("step").addEventListener("click", () => {
    pause();
    step(1);
  });
  find("reset").addEventListener("click", () => {
    pause();
    reset();
  });
  find("speed").addEventListener("input", () => {
    find("speed").setAttribute("aria-valuetext", `${speed()} steps a second`);
    find("speed-value").textContent = `${speed()} steps/s`;
  });
  canvas.addEventListener("click", (event) => setStart(plane.toPoint(event)));
  for (const [i, name] of ["x", "y"].entries()) {
    find(name).addEventListener("input", () => {
      const value = find(name).value === "" ? NaN : Number(find(name).value);
      if (!Number.isFinite(value)) return;
      start = start.map((old, k) => (k === i ? value : old));
      handle.place(start);
      again();
    });
  }
  view.reducedMotion.addEventListener("change", () => {
    loop.stop();
    showPlay();
  });
  buildTable();
  chooseSurface();
  showPlay();
})();
