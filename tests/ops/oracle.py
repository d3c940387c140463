"""RoIAlign, RoIWarp and RoIPool in NumPy, written from their definitions as plain loops, and what they are tried on."""

import math
import types

import numpy as np

F = np.float32


def _nearest_cell(position):
    """The whole number nearest to a float32; a half goes away from 0."""
    whole = math.floor(abs(float(position)) + 0.5)
    return -whole if position < 0 else whole


def _cells(low, high, scale):
    """First cell and number of cells of a box that is rounded to whole cells."""
    first, last = _nearest_cell(F(low) * F(scale)), _nearest_cell(F(high) * F(scale))
    return first, max(last - first + 1, 1)


def _axis(low, high, scale, bins, sampling_ratio, aligned):
    """First edge, bin size and samples per bin, in float32 as all implementations count samples in it."""
    offset = F(0.5 if aligned else 0.0)
    start = F(low) * F(scale) - offset
    size = F(high) * F(scale) - offset - start
    if not aligned:
        size = max(size, F(1))
    bin_size = size / F(bins)
    samples = sampling_ratio if sampling_ratio > 0 else max(int(np.ceil(bin_size)), 0)
    return start, bin_size, samples


def _warp_axis(low, high, scale, bins, sampling_ratio, aligned):
    """The same for RoIWarp: the box's cells, cut into bins and sampled as RoIAlign does."""
    first, number = _cells(low, high, scale)
    bin_size = F(number) / F(bins)
    return F(first) - F(0.5 if aligned else 0.0), bin_size, sampling_ratio or math.ceil(bin_size)


def _bilinear(y, x, height, width):
    """The four (row, column, weight) of a position, or None where it counts as 0."""
    if y < -1 or y > height or x < -1 or x > width:
        return None
    y, x = min(max(float(y), 0.0), height - 1.0), min(max(float(x), 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    return [
        (top, left, (1 - down) * (1 - across)),
        (top, right, (1 - down) * across),
        (bottom, left, down * (1 - across)),
        (bottom, right, down * across),
    ]


def _positions(start, bin_size, samples, index):
    first = start + F(index) * bin_size
    return [first + F(i + 0.5) * bin_size / F(samples) for i in range(samples)]


def numpy_roi_align(
    maps, boxes, image_index, level, upstream=None, *, scales, output_size, sampling_ratio, aligned, reduce, axis=_axis
):
    """Values (R, P, P, C), and with an upstream gradient also the list of the maps' gradients; summed in float64."""
    rows, columns = output_size
    channels = maps[0].shape[-1]
    pooled = np.zeros((len(boxes), rows, columns, channels))
    gradients = [np.zeros(m.shape) for m in maps]
    for r, (x1, y1, x2, y2) in enumerate(boxes):
        image = maps[level[r]][image_index[r]].astype(np.float64)
        gradient = gradients[level[r]][image_index[r]]
        ys = axis(y1, y2, scales[level[r]], rows, sampling_ratio, aligned)
        xs = axis(x1, x2, scales[level[r]], columns, sampling_ratio, aligned)
        for i, j in np.ndindex(rows, columns):
            cells = [_bilinear(y, x, *image.shape[:2]) for y in _positions(*ys, i) for x in _positions(*xs, j)]
            if not cells:
                continue
            values = np.array([sum((w * image[a, b] for a, b, w in c or []), np.zeros(channels)) for c in cells])
            share = np.full(values.shape, 1.0 / len(cells))
            if reduce == "max":
                share = np.eye(len(cells))[values.argmax(axis=0)].T
            pooled[r, i, j] = (share * values).sum(axis=0)
            if upstream is not None:
                for sample, part in zip(cells, share * upstream[r, i, j], strict=True):
                    for a, b, w in sample or []:
                        gradient[a, b] += w * part
    return pooled if upstream is None else (pooled, gradients)


def numpy_roi_warp(*tensors, **options):
    """The same for RoIWarp."""
    return numpy_roi_align(*tensors, **options, axis=_warp_axis)


def _bin_cells(low, high, scale, bins, extent):
    """The cells of the map in each bin of RoIPool, as ranges."""
    first, number = _cells(low, high, scale)
    size = F(number) / F(bins)
    edges = [(first + math.floor(F(b) * size), first + math.ceil(F(b + 1) * size)) for b in range(bins)]
    return [range(min(max(a, 0), extent), min(max(b, 0), extent)) for a, b in edges]


def numpy_roi_pool(maps, boxes, image_index, level, upstream=None, *, scales, output_size):
    """The same for RoIPool."""
    channels = maps[0].shape[-1]
    pooled = np.zeros((len(boxes), *output_size, channels))
    gradients = [np.zeros(m.shape) for m in maps]
    for r, (x1, y1, x2, y2) in enumerate(boxes):
        image = maps[level[r]][image_index[r]]
        rows = _bin_cells(y1, y2, scales[level[r]], output_size[0], image.shape[0])
        columns = _bin_cells(x1, x2, scales[level[r]], output_size[1], image.shape[1])
        for i, j, c in np.ndindex(*output_size, channels):
            cells = [(y, x) for y in rows[i] for x in columns[j]]
            if not cells:
                continue
            winner = max(cells, key=lambda cell: image[(*cell, c)])  # the first of equals
            pooled[r, i, j, c] = image[(*winner, c)]
            if upstream is not None:
                gradients[level[r]][(image_index[r], *winner, c)] += upstream[r, i, j, c]
    return pooled if upstream is None else (pooled, gradients)


def make_pyramid():
    """Five levels of three images, and boxes inside, partly outside, outside, reversed, empty, long and tiny."""
    rng = np.random.default_rng(7)
    sizes = ((20, 26), (10, 13), (5, 7), (3, 4), (1, 1))
    maps = [rng.normal(size=(3, h, w, 5)).astype(F) for h, w in sizes]
    corner = rng.uniform(-30, 90, (24, 2))
    side = rng.uniform(1, 60, (24, 2))
    random = np.concatenate([corner, corner + side], axis=1)
    special = [
        [0, 0, 104, 80],  # the whole image
        [-8.5, -6.25, 20, 11],  # over the corner
        [90, 60, 300, 200],  # over the other corner
        [200, 200, 260, 250],  # outside
        [-90, -70, -40, -30],
        [60, 50, 20, 10],  # reversed
        [60, 10, 20, 50],  # reversed across only
        [33, 21, 33, 21],  # empty
        [10, 20, 10.01, 20.02],  # tiny
        [0, 30, 104, 32],  # long
        [14, -300, 18, 500],  # tall, far over both sides
        [28, 28, 56, 56],  # a whole number of cells in 7 bins
    ]
    boxes = np.concatenate([random, np.array(special)]).astype(F)
    return types.SimpleNamespace(
        maps=maps,
        boxes=boxes,
        image_index=rng.integers(0, 3, len(boxes)).astype(np.int32),
        level=(np.arange(len(boxes)) % 5).astype(np.int32),
        scales=[1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64],
        upstream=lambda shape: np.random.default_rng(11).normal(size=shape).astype(F),
    )
