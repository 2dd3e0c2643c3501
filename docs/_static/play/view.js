// What both panels are drawn with: a sharp canvas over a frame of the plane, handles that
// can be moved in it, the colours of the theme, numbers as text.
const view = (() => {
  "use strict";

  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

  // The value of a custom colour property in the present theme, as [r, g, b].
  const colors = new Map();
  function color(name) {
    if (!colors.has(name)) colors.set(name, readColor(name));
    return colors.get(name);
  }

  function readColor(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const parts = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return parts;
  }

  const css = (name, alpha = 1) => `rgb(${color(name).join(" ")} / ${alpha})`;

  function format(value) {
    if (value === 0) return "0";
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : "∞";
    const size = Math.abs(value);
    const text = size < 1e-3 || size >= 1e5 ? value.toExponential(2) : value.toPrecision(4);
    return text.replace("-", "−").replace("e-", "e−");
  }

  // For coordinates and the table of the classifier, where columns should line up.
  const fixed = (value) => value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−");

  // A canvas that shows frame() = { xlim, ylim }, the same scale on both axes. draw(context,
  // width, height, scale) is called, in CSS pixels, whenever size or theme change, and by
  // redraw(), at most once a frame.
  function makeView(canvas, frame, draw) {
    const context = canvas.getContext("2d");
    let waiting = false;

    const toPixel = ([x, y]) => {
      const { xlim, ylim } = frame();
      return [
        ((x - xlim[0]) / (xlim[1] - xlim[0])) * canvas.clientWidth,
        ((ylim[1] - y) / (ylim[1] - ylim[0])) * canvas.clientHeight,
      ];
    };

    // The point of the plane under a pointer event, kept inside of the frame.
    const toPoint = (event) => {
      const { xlim, ylim } = frame();
      const box = canvas.getBoundingClientRect();
      const u = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const v = Math.min(1, Math.max(0, (event.clientY - box.top) / box.height));
      return [xlim[0] + u * (xlim[1] - xlim[0]), ylim[1] - v * (ylim[1] - ylim[0])];
    };

    function paint() {
      waiting = false;
      const { clientWidth: width, clientHeight: height } = canvas;
      const scale = window.devicePixelRatio;
      const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
      if (!w || !h) return;
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
      context.setTransform(scale, 0, 0, scale, 0, 0);
      draw(context, width, height, scale);
    }

    function redraw() {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(paint);
    }

    function fit() {
      const { xlim, ylim } = frame();
      canvas.style.aspectRatio = `${xlim[1] - xlim[0]} / ${ylim[1] - ylim[0]}`;
      redraw();
    }

    new ResizeObserver(redraw).observe(canvas);
    window.addEventListener("resize", redraw);
    window.addEventListener("themechange", redraw);
    fit();
    return { toPixel, toPoint, frame, redraw, fit };
  }

  // Round numbers inside of a range, about one for each 70 pixels.
  function ticks([low, high], pixels) {
    const rough = ((high - low) * 70) / pixels;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((k) => k * power >= rough) * power;
    const all = [];
    for (let k = Math.ceil(low / step); k * step <= high; k += 1) all.push(k * step);
    return all;
  }

  function drawAxes({ toPixel, frame }, context, width, height) {
    const { xlim, ylim } = frame();
    const label = (value) => String(Number(value.toPrecision(6))).replace("-", "−");
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = css("--quiet");
    context.strokeStyle = css("--quiet", 0.6);
    context.lineWidth = 1;
    context.beginPath();
    const write = (text, px, py) => {
      context.save();
      context.strokeStyle = css("--background", 0.75); // so that lines below do not disturb
      context.lineWidth = 3;
      context.strokeText(text, px, py);
      context.restore();
      context.fillText(text, px, py);
    };
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (const x of ticks(xlim, width)) {
      const [px] = toPixel([x, 0]);
      context.moveTo(px, height);
      context.lineTo(px, height - 5);
      if (px > 24 && px < width - 12) write(label(x), px, height - 6);
    }
    context.textAlign = "left";
    context.textBaseline = "middle";
    for (const y of ticks(ylim, height)) {
      const [, py] = toPixel([0, y]);
      context.moveTo(0, py);
      context.lineTo(5, py);
      if (py > 12 && py < height - 24) write(label(y), 8, py);
    }
    context.stroke();
  }

  // Puts a button over a point of the view. It can be dragged, and moved with arrow keys
  // (faster with Shift); moved(point) is told where to.
  function makeHandle(button, target, moved) {
    let at = [0, 0];

    function place(point) {
      const { xlim, ylim } = target.frame();
      at = point;
      button.style.left = `${((at[0] - xlim[0]) / (xlim[1] - xlim[0])) * 100}%`;
      button.style.top = `${((ylim[1] - at[1]) / (ylim[1] - ylim[0])) * 100}%`;
    }

    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      button.focus();
      event.preventDefault();
    });
    button.addEventListener("pointermove", (event) => {
      if (button.hasPointerCapture(event.pointerId)) moved(target.toPoint(event));
    });
    const arrows = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, 1],
      ArrowDown: [0, -1],
    };
    button.addEventListener("keydown", (event) => {
      const arrow = arrows[event.key];
      if (!arrow || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const { xlim, ylim } = target.frame();
      const by = ((xlim[1] - xlim[0]) / 100) * (event.shiftKey ? 5 : 1);
      const clamp = (value, [low, high]) => Math.min(high, Math.max(low, value));
      moved([clamp(at[0] + arrow[0] * by, xlim), clamp(at[1] + arrow[1] * by, ylim)]);
    });
    return { place };
  }

  // Calls tick(seconds) for each frame between start and stop, with the time since the last.
  function makeLoop(tick) {
    let request = null;
    let last = null;
    function frame(now) {
      request = requestAnimationFrame(frame);
      const seconds = last === null ? 0 : Math.min(0.1, (now - last) / 1000);
      last = now;
      tick(seconds);
    }
    return {
      running: () => request !== null,
      start() {
        if (request !== null) return;
        last = null;
        request = requestAnimationFrame(frame);
      },
      stop() {
        cancelAnimationFrame(request);
        request = null;
      },
    };
  }

  // An element with properties (aria-* and role as attributes) and children.
  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  // How tall this page is, for the page around it (see embed.js).
  function sendHeight() {
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    window.parent.postMessage({ playHeight: height }, "*");
  }

  // The theme: the system's, or what the page around says.
  function changed() {
    colors.clear();
    window.dispatchEvent(new Event("themechange"));
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  if (window.parent !== window) {
    document.documentElement.classList.add("embedded");
    new ResizeObserver(sendHeight).observe(document.body);
    window.addEventListener("message", ({ source, data }) => {
      if (source !== window.parent || !["light", "dark"].includes(data?.theme)) return;
      document.documentElement.dataset.theme = data.theme;
      changed();
      sendHeight();
    });
  }

  return {
    reducedMotion, color, css, format, fixed, makeView, drawAxes, makeHandle, makeLoop,
    element,
  };
})();
