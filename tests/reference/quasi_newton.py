"""NumPy float64 references: L-BFGS, line searches, conjugate gradients.

From Nocedal & Wright, Numerical optimization, 2nd edition (2006). Vectors are real.
"""

import numpy as np


def inverse_hessian(pairs, gamma, size):
    """H as a matrix, from the oldest pair to the newest (eq. 7.16 with 6.17)."""
    h = gamma * np.eye(size)
    for s, y in pairs:
        rho = 1 / (y @ s)
        v = np.eye(size) - rho * np.outer(y, s)
        h = v.T @ h @ v + rho * np.outer(s, s)
    return h


def two_loops(g, pairs, gamma):
    """H g without H (algorithm 7.4)."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (y @ s))
        q -= alphas[-1] * y
    r = gamma * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r += s * (alpha - y @ r / (y @ s))
    return r


def lbfgs_directions(params, grads, memory_size, scaled=True):
    """H g of each step, for given parameters and gradients: lists of vectors.

    Pairs without positive curvature leave their place empty; after a step that does
    not move the memory is empty.
    """
    found, places = [], []
    for k, g in enumerate(grads):
        if k:
            s, y = params[k] - params[k - 1], g - grads[k - 1]
            if not s.any():
                places = []
            places.append((s, y) if s @ y > 0 else None)
        pairs = [pair for pair in places[-memory_size:] if pair is not None]
        gamma = min(1, 1 / np.linalg.norm(g))
        if pairs:
            s, y = pairs[-1]
            gamma = (s @ y) / (y @ y)  # eq. 7.20
        gamma = gamma if scaled else 1.0
        found.append(inverse_hessian(pairs, gamma, len(g)) @ g)
    return found


def bfgs(gradient, x, rate, steps):
    """The path of the full method from H = I: algorithm 6.1 with a fixed step, eq. 6.17
    written with the matrix itself, which is kept from step to step."""
    h, g, path = np.eye(x.size), gradient(x), []
    for _ in range(steps):
        s = -rate * h @ g
        x, before = x + s, g
        g = gradient(x)
        y = g - before
        v = np.eye(x.size) - np.outer(y, s) / (y @ s)
        h = v.T @ h @ v + np.outer(s, s) / (y @ s)
        path.append(x)
    return np.stack(path)


def backtracking(phi, slope, guess, factor, c1, most):
    """The first step of guess factor^i that satisfies eq. 3.4, and how many it took."""
    step = guess
    for i in range(most + 1):
        if phi(step) <= phi(0.0) + c1 * step * slope:
            return step, i + 1
        step *= factor
    return 0.0, most + 1


def strong_wolfe(phi, derivative, step, c1, c2):
    """Whether both of eq. 3.7 hold."""
    start = derivative(0.0)
    return (
        phi(step) <= phi(0.0) + c1 * step * start,
        abs(derivative(step)) <= c2 * abs(start),
    )


def cubic_minimum(a, fa, da, b, fb, db):
    """Where the cubic through two values and slopes is lowest; None if nowhere."""
    rows = [
        [x**3, x**2, x, 1.0] if not slope else [3 * x**2, 2 * x, 1.0, 0.0]
        for x, slope in ((a, False), (b, False), (a, True), (b, True))
    ]
    c = np.linalg.solve(rows, [fa, fb, da, db])
    roots = np.roots([3 * c[0], 2 * c[1], c[2]])
    for x in roots[np.isreal(roots)].real:
        if 6 * c[0] * x + 2 * c[1] > 0:
            return x
    return None


def cubic_through(a, fa, da, b, fb, c, fc):
    """Where the cubic through a value, its slope and two more values is lowest."""
    rows = [[x**3, x**2, x, 1.0] for x in (a, b, c)] + [[3 * a**2, 2 * a, 1.0, 0.0]]
    k = np.linalg.solve(rows, [fa, fb, fc, da])
    roots = np.roots([3 * k[0], 2 * k[1], k[2]])
    lowest = [x.real for x in roots if np.isreal(x) and 6 * k[0] * x + 2 * k[1] > 0]
    return lowest[0] if lowest else None


def conjugate_gradients(matrix, g, tolerance, most):
    """The z of algorithm 7.1 for B z = g; how many products it took, and whether a
    direction of negative curvature ended it."""
    z, r = np.zeros_like(g), g.copy()
    d = r.copy()
    for j in range(most):
        curvature = d @ matrix @ d
        if curvature <= 0:
            return z, j + 1, True
        alpha = r @ r / curvature
        z = z + alpha * d
        new = r - alpha * matrix @ d
        if np.linalg.norm(new) <= tolerance:
            return z, j + 1, False
        d = new + (new @ new) / (r @ r) * d
        r = new
    return z, most, False
