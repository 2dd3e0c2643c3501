// The paths of the race: where an optimizer has been, and what became of it.
const paths = (() => {
  "use strict";

  const FAR = 1e6; // what has gone so far has diverged
  const NEAR = 0.02; // what is so near to the minimum has arrived

  // Puts a racer { name, learning_rate, options } on the start, without a past.
  function restart(racer, start) {
    racer.tx = rules.make(racer.name, racer.learning_rate, racer.options);
    racer.state = racer.tx.init(start);
    racer.path = [[...start]];
    racer.end = null; // "diverged" or "escaped", after which it stands still
    racer.arrived = null; // the step since which it is near the minimum
  }

  // From the minimum, or from the saddle point.
  function distance({ minimum }, [x, y]) {
    const [a, b] = minimum ?? [0, 0];
    return Math.hypot(x - a, y - b);
  }

  function isOutside({ xlim, ylim }, [x, y]) {
    return x < xlim[0] || x > xlim[1] || y < ylim[0] || y > ylim[1];
  }

  const hasDiverged = ([x, y]) => !(Math.hypot(x, y) < FAR); // true of NaN, too

  // Moves a racer on until it has made so many steps, or has come to an end.
  function advance(racer, surface, steps) {
    while (racer.end === null && racer.path.length <= steps) {
      const p = racer.path.at(-1);
      const updates = racer.tx.update(surface.grad(p), racer.state, p);
      const next = p.map((value, i) => value + updates[i]);
      racer.path.push(next);
      const arrived = surface.minimum !== null && distance(surface, next) < NEAR;
      racer.arrived = arrived ? (racer.arrived ?? racer.path.length - 1) : null;
      if (hasDiverged(next)) racer.end = "diverged";
      else if (surface.minimum === null && isOutside(surface, next)) racer.end = "escaped";
    }
  }

  function note({ end, path, arrived }, surface) {
    if (end) return end;
    if (arrived !== null) return `arrived at ${arrived}`;
    return isOutside(surface, path.at(-1)) ? "outside" : "";
  }

  return { restart, advance, distance, hasDiverged, note };
})();
