// Lines of equal height, at levels that are even in the logarithm of the function.
const contours = (() => {
  "use strict";

  const LEVELS = 18;
  const COLUMNS = 140; // of the grid on which lines are found

  // Heights at (columns + 1) x (rows + 1) points of the frame, row by row from ylim[0] up.
  // A height is what the levels are even in: the logarithm, near 0 the function itself, so
  // that there is one at 0; on both sides of 0 for the saddle, and then less steep.
  function sample({ f, xlim, ylim, minimum }, columns, rows) {
    const steepness = minimum ? 20 : 2;
    const height = (z) => Math.sign(z) * Math.log1p(steepness * Math.abs(z));
    const grid = new Float64Array((columns + 1) * (rows + 1));
    for (let j = 0, n = 0; j <= rows; j += 1) {
      const y = ylim[0] + ((ylim[1] - ylim[0]) * j) / rows;
      for (let i = 0; i <= columns; i += 1, n += 1) {
        grid[n] = height(f([xlim[0] + ((xlim[1] - xlim[0]) * i) / columns, y]));
      }
    }
    return grid;
  }

  // Where a level crosses the edges of a unit cell with the heights a b below and c d above:
  // none, two or four points, which are the ends of lines in pairs (marching squares).
  function crossings(a, b, c, d, level) {
    const part = (from, to) => (level - from) / (to - from);
    const points = [];
    if (a < level !== b < level) points.push([part(a, b), 0]);
    if (b < level !== d < level) points.push([1, part(b, d)]);
    if (c < level !== d < level) points.push([part(c, d), 1]);
    if (a < level !== c < level) points.push([0, part(a, c)]);
    return points;
  }

  function lines(grid, columns, rows, level, width, tall) {
    const path = new Path2D();
    for (let j = 0; j < rows; j += 1) {
      for (let i = 0; i < columns; i += 1) {
        const n = j * (columns + 1) + i;
        const above = n + columns + 1;
        crossings(grid[n], grid[n + 1], grid[above], grid[above + 1], level).forEach(
          ([u, v], k) => {
            const x = ((i + u) / columns) * width;
            const y = (1 - (j + v) / rows) * tall;
            if (k % 2) path.lineTo(x, y);
            else path.moveTo(x, y);
          },
        );
      }
    }
    return path;
  }

  // One pixel a point, coloured by its band between the colours low and high (r g b).
  function bands(grid, columns, rows, [bottom, top], low, high) {
    const image = new ImageData(columns, rows);
    for (let j = 0, k = 0; j < rows; j += 1) {
      for (let i = 0; i < columns; i += 1, k += 4) {
        const value = grid[(rows - j) * (columns + 1) + i];
        const part = Math.floor(((value - bottom) / (top - bottom)) * LEVELS) / LEVELS;
        for (let c = 0; c < 3; c += 1) {
          image.data[k + c] = low[c] + (high[c] - low[c]) * part;
        }
        image.data[k + 3] = 255;
      }
    }
    return image;
  }

  // A canvas with the picture of a surface, width x tall CSS pixels at the given scale.
  function picture(surface, width, tall, scale, { low, high, line }) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(tall * scale);
    const context = canvas.getContext("2d");

    const fine = [canvas.width, canvas.height];
    const pixels = sample(surface, ...fine);
    const range = [
      pixels.reduce((a, b) => Math.min(a, b)),
      pixels.reduce((a, b) => Math.max(a, b)),
    ];
    context.putImageData(bands(pixels, ...fine, range, low, high), 0, 0);

    const coarse = [COLUMNS, Math.round((COLUMNS * tall) / width)];
    const grid = sample(surface, ...coarse);
    context.scale(scale, scale);
    context.strokeStyle = line;
    context.lineWidth = 0.75;
    for (let n = 1; n < LEVELS; n += 1) {
      const level = range[0] + ((range[1] - range[0]) * n) / LEVELS;
      context.stroke(lines(grid, ...coarse, level, width, tall));
    }
    return canvas;
  }

  return { picture };
})();
