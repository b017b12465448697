"""How a mosaic's pieces are laid: in rows that follow every shape's border, cut where they meet."""

import numpy as np

from .common import Array, Rng


def distance(edge: Array) -> Array:
    """Distance of every pixel from the nearest marked one, by jump flooding."""
    n = len(edge)
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    sy, sx = np.where(edge, y, -1e4), np.where(edge, x, -1e4)
    best = np.hypot(sy - y, sx - x)
    jump = 1 << (n - 1).bit_length()
    while jump > 1:
        jump //= 2
        for v, u in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            dy, dx = v * jump, u * jump
            to = np.s_[max(0, -dy) : n - max(0, dy), max(0, -dx) : n - max(0, dx)]
            of = np.s_[max(0, dy) : n - max(0, -dy), max(0, dx) : n - max(0, -dx)]
            d = np.hypot(sy[of] - y[to], sx[of] - x[to])
            closer = d < best[to]
            for field, value in ((sy, sy[of]), (sx, sx[of]), (best, d)):
                field[to][closer] = value[closer]
    return best


def disc(at: Array, reach: int, n: int) -> tuple[tuple[slice, slice], Array]:
    """The window about a point, clipped to the picture, and its squared distances."""
    y, x = int(at[0]), int(at[1])
    rows, cols = (np.arange(max(0, c - reach), min(n, c + reach + 1)) for c in (y, x))
    window = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    return window, ((rows - at[0]) ** 2)[:, None] + (cols - at[1]) ** 2


def scatter(key: Array, candidates: Array, step: float) -> Array:
    """Those of the points, first come first served, that keep a step from others of their row."""
    free, points = np.ones(key.shape, bool), []
    for y, x in candidates:
        if free[y, x]:
            window, gap = disc((y, x), int(step) + 1, len(key))
            free[window] &= (gap > step**2) | (key[window] != key[y, x])
            points.append((y, x))
    return np.array(points, np.float32)


def cells(points: Array, own: Array, key: Array, part: Array, reach: int) -> Array:
    """The number of the nearest point in each pixel's row, or else in its shape; -1 for none."""
    n = len(key)
    label, best = np.full((n, n), -1, np.int32), np.full((n, n), 1e8, np.float32)
    for i, at in enumerate(points):
        window, cost = disc(at, reach, n)
        cost = cost + 1e5 * (key[window] != own[i, 0]) + 1e9 * (part[window] != own[i, 1])
        closer = cost < best[window]
        best[window][closer] = cost[closer]
        label[window][closer] = i
    return label


def lay(rng: Rng, part: Array, depth: Array, row: float) -> tuple[Array, Array]:
    """Lay tesserae in rows along the shapes' borders: their middles; the row and shape of each."""
    level = depth / row
    key = np.floor(level).astype(np.int32) + 1000 * part
    ridge = np.zeros_like(depth, bool)
    for axis in (0, 1):
        ridge |= (depth >= np.roll(depth, 1, axis)) & (depth > np.roll(depth, -1, axis))
    middle = np.argwhere(np.abs(level % 1 - 0.5) < 0.08)
    narrow = np.argwhere(ridge & (level % 1 > 0.22) & (level % 1 <= 0.42))
    candidates = np.concatenate([rng.permutation(middle), rng.permutation(narrow)])
    points = scatter(key, candidates, 0.78 * row)
    i, j = points.astype(int).T
    own = np.stack([key[i, j], part[i, j]], axis=1)
    for _ in range(4):
        label = cells(points, own, key, part, int(1.6 * row))
        y, x = np.nonzero((label >= 0) & (key == own[label, 0]))
        at = label[y, x]
        count = np.bincount(at, minlength=len(points))[:, None]
        sums = [np.bincount(at, weights=axis, minlength=len(points)) for axis in (y, x)]
        points = np.where(count > 0, np.stack(sums, 1) / np.maximum(count, 1), points)
    return points.astype(np.float32), own


def inset(label: Array, most: int) -> Array:
    """How many pixels each pixel lies inside its tessera, counted up to a few."""
    inside, total = label >= 0, np.zeros(label.shape, np.float32)
    for dy, dx in ((0, 1), (1, 0)):
        same = label == np.roll(label, (dy, dx), (0, 1))
        inside &= same & np.roll(same, (-dy, -dx), (0, 1))
    for i in range(most):
        total += inside
        wide = [np.roll(inside, s, a) for a in (0, 1) for s in (-1, 1)]
        inside = inside & np.logical_and.reduce(wide)
        if i % 2:
            diagonal = [np.roll(inside, s, (0, 1)) for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            inside = inside & np.logical_and.reduce(diagonal)
    return total
