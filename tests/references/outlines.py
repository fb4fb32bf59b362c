"""Outlines by walking: one side of a pixel after the other, keeping the mask on the right; insides pixel by pixel."""

WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up


def rings(mask):
    """Every ring as the corners at which it turns, cut where it comes by a corner again."""
    height, width = len(mask), len(mask[0])

    def inside(x, y):
        return 0 <= x < width and 0 <= y < height and bool(mask[y][x])

    def is_side(x, y, way):
        """Does a side start at this corner and go this way, the mask on its right and none on its left?"""
        right = ((x, y), (x - 1, y), (x - 1, y - 1), (x, y - 1))[way]
        left = ((x, y - 1), (x, y), (x - 1, y), (x - 1, y - 1))[way]
        return inside(*right) and not inside(*left)

    waiting = {
        (x, y, way) for x in range(width + 1) for y in range(height + 1) for way in range(4) if is_side(x, y, way)
    }
    found = []
    while waiting:
        side = min(waiting)
        walk = []
        while side in waiting:
            waiting.remove(side)
            walk.append(side)
            x, y, way = side
            x, y = x + WAYS[way][0], y + WAYS[way][1]
            side = next((x, y, turn % 4) for turn in (way + 1, way, way + 3) if is_side(x, y, turn % 4))
        found += cut(walk)
    return [
        [(x, y) for (x, y, way), (_, _, before) in zip(ring, ring[-1:] + ring, strict=False) if way != before]
        for ring in found
    ]


def cut(walk):
    path, parts = [], []
    for side in walk:
        places = [place for place, other in enumerate(path) if other[:2] == side[:2]]
        if places:
            parts.append(path[places[0] :])
            path = path[: places[0]]
        path.append(side)
    return [*parts, path]


def is_inside(rings, x, y):
    """Does a walk from (x, y) to the left cross an odd number of sides?"""
    crossings = 0
    for ring in rings:
        for (ax, ay), (bx, by) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (ay <= y) != (by <= y) and ax + (y - ay) / (by - ay) * (bx - ax) < x:
                crossings += 1
    return crossings % 2 == 1
