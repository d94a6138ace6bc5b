"""The stand-in for Fashion-MNIST: silhouettes of its ten classes, drawn by polygons, for machines without the data.

It exists so that every command, notebook and test runs without network. It is not Fashion-MNIST: the
shapes are similar, the difficulty is not, and no accuracy carries over.
"""

import numpy

from .._common.arguments import positive_int

__all__ = ['TRAIN_SIZE', 'TEST_SIZE', 'TRAIN_SEED', 'TEST_SEED', 'synthetic_fashion']

#: Images in the stand-in's two sets, and the seeds they are drawn from.
TRAIN_SIZE, TEST_SIZE = 12000, 2000
TRAIN_SEED, TEST_SEED = 20170825, 20170831

_SIZE = 28      # pixels
_SUBROWS = 3    # scan lines in a pixel row; along a row the coverage is exact
_BLOCK = 1000   # images drawn from one random stream: the first images do not depend on how many follow


def synthetic_fashion(num, seed):
    """Draw `num` grey images of the ten classes of Fashion-MNIST, as light silhouettes on black.

    Each image has its own proportions, place, size, turn, brightness, pattern and noise. The classes come equally
    often and in random order, and the images of a smaller `num` are the first ones of a larger.

    Parameters
    ----------
    num : int, >= 1
        Number of images.
    seed : int, >= 0
        Another seed gives other images; the same seed the same.

    Returns
    -------
    images : numpy.ndarray
        (num, 28, 28), uint8.
    labels : numpy.ndarray
        (num,), int32, 0 to 9, in the order of `FASHION_MNIST_LABELS`.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> images, labels = synthetic_fashion(20, seed=0)
    >>> images.shape, str(images.dtype), sorted(set(labels.tolist()))
    ((20, 28, 28), 'uint8', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    positive_int('num', num)
    positive_int('seed', seed, least=0)
    images = numpy.empty((num, _SIZE, _SIZE), dtype=numpy.uint8)
    labels = numpy.empty(num, dtype=numpy.int32)
    for start in range(0, num, _BLOCK):
        stop = min(start + _BLOCK, num)
        block_images, block_labels = _block(numpy.random.default_rng([seed, start // _BLOCK]))
        images[start:stop], labels[start:stop] = block_images[:stop - start], block_labels[:stop - start]
    return images, labels


def _block(random):
    """`_BLOCK` images and labels from the stream `random`."""
    count = _BLOCK // len(_GARMENTS)
    # Every ten images hold each class once, so that even a small set has all of them.
    labels = random.permuted(numpy.tile(numpy.arange(len(_GARMENTS), dtype=numpy.int32), (count, 1)), axis=1).ravel()
    images = numpy.empty((_BLOCK, _SIZE, _SIZE), dtype=numpy.float32)
    for label, garment in enumerate(_GARMENTS):
        images[labels == label] = _draw(garment, count, random)
    images += random.normal(0, 0.04, images.shape).astype(numpy.float32) * (0.15 + images)
    return (images.clip(0, 1) * 255).astype(numpy.uint8), labels


def _draw(garment, count, random):
    """`count` images (count, 28, 28) of one class, in 0 to 1."""
    place = _random_affine(count, random, mirror=garment in (_sandal, _sneaker, _boot))
    cloth = _random_cloth(count, random)
    canvas = numpy.zeros((count, _SIZE, _SIZE), dtype=numpy.float32)
    for outline, shade in garment(random, count):
        cover = _coverage(place(outline))
        canvas += cover * (shade[:, None, None] * cloth - canvas)
    return canvas


def _random_affine(count, random, mirror):
    """A function that takes outlines (count, V, 2) from the unit square around 0 to pixels, each image its own way."""
    angle = random.normal(0, 0.09, count)
    scale = random.uniform(9.5, 13.2, (count, 1)) * random.uniform(0.9, 1.1, (count, 2))
    shear = random.normal(0, 0.07, count)
    shift = _SIZE / 2 + random.normal(0, 0.9, (count, 1, 2))
    sign = numpy.where(random.random(count) < 0.5, -1, 1) if mirror else numpy.ones(count)
    cos, sin = numpy.cos(angle), numpy.sin(angle)
    matrix = numpy.stack([numpy.stack([sign * cos, shear - sin], 1), numpy.stack([sign * sin, cos], 1)], 1)
    matrix = matrix * scale[:, :, None]

    def place(outline):
        return numpy.einsum('nij,nvj->nvi', matrix, outline) + shift

    return place


def _random_cloth(count, random):
    """Brightness and pattern (count, 28, 28): plain, stripes along or across, or checks, under a soft shadow."""
    brightness = random.uniform(0.4, 1.0, (count, 1, 1))
    kind = random.integers(0, 5, (count, 1, 1))
    frequency = random.uniform(0.7, 1.9, (count, 1, 1))
    phase = random.uniform(0, 6.28, (count, 1, 1))
    depth = random.uniform(0.08, 0.35, (count, 1, 1))
    y, x = numpy.mgrid[:_SIZE, :_SIZE][:, None]
    along, across = numpy.sin(frequency * x + phase), numpy.sin(frequency * y + phase)
    pattern = numpy.select([kind == 0, kind == 1, kind == 2], [along, across, along * across], 0.0)
    shadow = random.normal(0, 0.012, (count, 1, 1)) * (x - _SIZE / 2)
    shadow = shadow + random.normal(0, 0.012, (count, 1, 1)) * (y - _SIZE / 2)
    return (brightness * (1 + depth * pattern + shadow)).astype(numpy.float32)


def _coverage(outline):
    """How much of each pixel lies inside a closed outline: (n, V, 2) in pixels to (n, 28, 28) in 0 to 1.

    Each edge adds, on every scan line it crosses, the part of each pixel left of the crossing, counted up or
    down by its direction; inside a simple outline the edges sum to plus or minus one.
    """
    lines = (numpy.arange(_SIZE * _SUBROWS, dtype=numpy.float32) + 0.5) / _SUBROWS
    columns = numpy.arange(_SIZE, dtype=numpy.float32)
    outline = outline.astype(numpy.float32)
    total = numpy.zeros((len(outline), len(lines), _SIZE), dtype=numpy.float32)
    part = numpy.empty_like(total)
    for start, end in zip(outline.transpose(1, 0, 2), numpy.roll(outline, -1, axis=1).transpose(1, 0, 2)):
        (x0, y0), (x1, y1) = start.T[:, :, None], end.T[:, :, None]
        direction = (lines >= y0).astype(numpy.float32) - (lines >= y1)
        rise = numpy.where(y1 == y0, 1, y1 - y0)
        crossing = x0 + (lines - y0) / rise * (x1 - x0)
        numpy.subtract(crossing[:, :, None], columns, out=part)
        numpy.minimum(part, 1, out=part)
        numpy.maximum(part, 0, out=part)
        part *= direction[:, :, None]
        total += part
    total = numpy.abs(total, out=total)
    return total.reshape(len(outline), _SIZE, _SUBROWS, _SIZE).mean(axis=2).clip(0, 1)


# The garments. Coordinates run from -1 to 1, x to the right and y down. Each function returns the parts of
# `count` garments in the order they are painted: an outline (count, V, 2) and a shade (count,), 0 is black.


def _outline(count, *points):
    """Stack points into (count, V, 2); each coordinate is a number or an array (count,)."""
    return numpy.stack([numpy.stack([numpy.broadcast_to(x, count), numpy.broadcast_to(y, count)], 1)
                        for x, y in points], 1)


def _symmetric(count, *half):
    """Outline from its right half, listed from the top of the middle to the bottom, and the mirror image."""
    return _outline(count, *half, *[(-numpy.asarray(x), y) for x, y in half[::-1]])


def _ellipse(count, x, y, width, height, corners=12):
    """Outline of an ellipse around (x, y) with half axes `width` and `height`."""
    turn = numpy.arange(corners) * (2 * numpy.pi / corners)
    return _outline(count, *[(x + width * numpy.cos(t), y + height * numpy.sin(t)) for t in turn])


def _bar(count, x0, y0, x1, y1, width):
    """Outline of a straight line of the given width."""
    dx, dy = numpy.asarray(x1) - x0, numpy.asarray(y1) - y0
    norm = numpy.hypot(dx, dy) / (width / 2)
    nx, ny = -dy / norm, dx / norm
    return _outline(count, (x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny))


def _shades(random, count, low=1.0, high=1.0):
    """A shade for each of `count` images."""
    return random.uniform(low, high, count)


def _top(random, count, sleeve, hem, neck, chest=(0.42, 0.54)):
    """Torso with two sleeves; `sleeve`, `hem`, `neck`: ranges of the sleeve's length, the hem, the neck's depth."""
    chest, hem = random.uniform(*chest, count), random.uniform(*hem, count)
    length, spread = random.uniform(*sleeve, count), random.uniform(0.2, 0.55, count)
    width, neck = random.uniform(0.2, 0.28, count), random.uniform(*neck, count)
    waist = chest * random.uniform(0.92, 1.12, count)
    # The sleeve leaves the shoulder downwards and outwards; spread 0 would hang straight down.
    x, y = chest + 0.08 + length * numpy.sin(spread), -0.72 + length * numpy.cos(spread)
    body = _symmetric(count, (0, -0.9 + neck), (0.2, -0.92), (chest + 0.02, -0.78), (x + width / 2, y),
                      (x - width / 2, y + 0.1), (chest, -0.32), (waist, hem))
    return body, {'neck': neck, 'hem': hem, 'chest': chest, 'waist': waist}


def _tshirt(random, count):
    body, _ = _top(random, count, sleeve=(0.45, 0.75), hem=(0.75, 0.98), neck=(0.08, 0.3))
    print_width = numpy.where(random.random(count) < 0.3, random.uniform(0.12, 0.3, count), 0.01)
    return [(body, _shades(random, count)),
            (_ellipse(count, 0, -0.1, print_width, print_width), _shades(random, count, 0.3, 1.3))]


def _trouser(random, count):
    waist, hip = random.uniform(0.26, 0.36, count), random.uniform(0.34, 0.48, count)
    knee, foot = random.uniform(0.3, 0.5, count), random.uniform(0.14, 0.28, count)
    crotch, top = random.uniform(-0.5, -0.3, count), random.uniform(-0.98, -0.85, count)
    bottom = random.uniform(0.85, 1.0, count)
    gap = random.uniform(0.03, 0.1, count)
    body = _symmetric(count, (0, top), (waist, top), (hip, crotch), (knee, 0.2), (knee, bottom),
                      (knee - foot, bottom), (gap, crotch + 0.1), (0, crotch))
    return [(body, _shades(random, count)),
            (_bar(count, -waist, top + 0.07, waist, top + 0.07, 0.1), _shades(random, count, 0.6, 1.1))]


def _pullover(random, count):
    body, cut = _top(random, count, sleeve=(1.2, 1.55), hem=(0.62, 0.9), neck=(0.03, 0.14))
    hem = cut['hem']
    return [(body, _shades(random, count)),
            (_bar(count, -cut['waist'], hem - 0.07, cut['waist'], hem - 0.07, 0.13), _shades(random, count, 0.6, 1.0)),
            (_bar(count, -0.22, -0.88, 0.22, -0.88, 0.12), _shades(random, count, 0.6, 1.1))]


def _dress(random, count):
    shoulder, chest = random.uniform(0.2, 0.34, count), random.uniform(0.24, 0.34, count)
    waist, hip = random.uniform(0.17, 0.28, count), random.uniform(0.28, 0.42, count)
    hem, neck = random.uniform(0.3, 0.62, count), random.uniform(0.08, 0.32, count)
    sleeve = numpy.where(random.random(count) < 0.35, random.uniform(0.1, 0.26, count), 0.0)
    body = _symmetric(count, (0, -0.95 + neck), (shoulder - 0.1, -0.98), (shoulder, -0.95),
                      (chest + sleeve, -0.62), (chest, -0.5), (waist, -0.2), (hip, 0.15), (hem, 0.98))
    return [(body, _shades(random, count)),
            (_bar(count, -waist, -0.2, waist, -0.2, 0.07), _shades(random, count, 0.5, 1.1))]


def _coat(random, count):
    body, cut = _top(random, count, sleeve=(1.2, 1.5), hem=(0.88, 1.02), neck=(0.1, 0.2), chest=(0.4, 0.52))
    parted = random.uniform(0.05, 0.12, count)
    dark = _shades(random, count, 0.0, 0.35)
    lapel = random.uniform(-0.35, 0.0, count)
    lapels = [(_outline(count, (side * 0.06, lapel), (side * 0.16, -0.94), (side * 0.34, -0.76)),
               _shades(random, count, 0.55, 1.2)) for side in (-1, 1)]
    return [(body, _shades(random, count)),
            (_outline(count, (-0.17, -0.96), (0.17, -0.96), (parted / 2, lapel), (parted / 2, 1.05),
                      (-parted / 2, 1.05), (-parted / 2, lapel)), dark), *lapels]


def _sandal(random, count):
    heel = random.uniform(0.0, 0.5, count)
    thick, height = random.uniform(0.08, 0.16, count), random.uniform(0.3, 0.55, count)
    sole = _outline(count, (-0.98, 0.42), (-0.3, 0.4), (0.3, 0.4 - heel * 0.6), (0.92, 0.36 - heel),
                    (0.95, 0.36 - heel + thick), (0.3, 0.42 + thick - heel * 0.5), (-0.3, 0.42 + thick),
                    (-0.98, 0.44 + thick))
    prop = _outline(count, (0.62, 0.34 - heel * 0.8), (0.95, 0.4 - heel), (0.9, 0.56), (0.76, 0.56))
    strap, shade = random.uniform(0.09, 0.16, count), _shades(random, count)
    # Two straps cross over the toes; a third goes up from the middle to the ankle and down to the heel.
    cross, ankle, up = 0.42 - height * 0.7, random.uniform(0.4, 0.6, count), 0.0 - height - heel * 0.8
    return [(sole, shade), (prop, shade),
            (_bar(count, -0.85, 0.44, -0.28, cross, strap), shade),
            (_bar(count, -0.62, cross, -0.12, 0.44, strap), shade),
            (_bar(count, 0.12, 0.42 - heel * 0.3, ankle, up, strap), shade),
            (_bar(count, ankle - 0.03, up + 0.03, 0.9, up + 0.12, strap), shade),
            (_bar(count, 0.88, up + 0.08, 0.88, 0.4 - heel, strap), shade)]


def _shirt(random, count):
    short = random.random(count) < 0.3
    seed_state = random.integers(0, 2 ** 31)
    outlines = [_top(numpy.random.default_rng(seed_state), count, sleeve=sleeve, hem=(0.75, 1.0), neck=(0.06, 0.2))
                for sleeve in ((0.5, 0.8), (1.15, 1.5))]
    body = numpy.where(short[:, None, None], outlines[0][0], outlines[1][0])
    neck = outlines[0][1]['neck']
    placket = random.uniform(0.05, 0.09, count)
    collar = [(_outline(count, (0, -0.88 + neck), (side * 0.17, -1.0), (side * 0.27, -0.86), (side * 0.13, -0.66)),
               _shades(random, count, 0.7, 1.3)) for side in (-1, 1)]
    buttons = [(_ellipse(count, 0.0, y, 0.05, 0.05, corners=6), _shades(random, count, 0.0, 0.3))
               for y in (-0.45, -0.1, 0.25, 0.6)]
    return [(body, _shades(random, count)),
            (_bar(count, 0, -0.8, 0, outlines[0][1]['hem'], placket), _shades(random, count, 0.6, 1.3)),
            *collar, *buttons]


def _sneaker(random, count):
    top, toe = random.uniform(-0.3, -0.08, count), random.uniform(0.12, 0.26, count)
    base, thick = random.uniform(0.42, 0.5, count), random.uniform(0.1, 0.2, count)
    throat = random.uniform(0.05, 0.3, count)
    upper = _outline(count, (-0.98, base), (-0.96, toe + 0.06), (-0.7, toe), (-0.3, toe - 0.12), (throat, top),
                     (throat + 0.2, top + 0.02), (0.65, top + 0.12), (0.88, top - 0.03), (0.96, top + 0.1),
                     (0.95, base))
    sole = _outline(count, (-1.0, base - 0.03), (0.98, base - 0.05), (0.98, base + thick), (-0.92, base + thick))
    laces = [(_bar(count, throat - 0.28 - along, top + 0.22 + down, throat - 0.06 - along, top + 0.1 + down, 0.07),
              _shades(random, count, 0.2, 1.4)) for along, down in ((0, 0), (0.17, 0.1), (0.34, 0.2))]
    stripe = random.uniform(-0.05, 0.25, count)
    return [(upper, _shades(random, count)), (sole, _shades(random, count, 0.4, 1.3)), *laces,
            (_bar(count, stripe, top + 0.25, stripe + 0.25, base, 0.1), _shades(random, count, 0.3, 1.4))]


def _bag(random, count):
    top, bottom = random.uniform(-0.35, -0.05, count), random.uniform(0.6, 0.85, count)
    above, below = random.uniform(0.55, 0.95, count), random.uniform(0.65, 0.98, count)
    handle, rise = random.uniform(0.25, 0.6, count), random.uniform(0.3, 0.62, count)
    width = random.uniform(0.08, 0.16, count)
    turn = numpy.linspace(numpy.pi, 0, 7)
    arcs = [[(handle * size * numpy.cos(t), top + 0.05 - rise * size * numpy.sin(t)) for t in turn]
            for size in (1, 1 - width / handle)]
    loop = _outline(count, *arcs[0], *arcs[1][::-1])
    flap = random.uniform(0.15, 0.5, count)
    shade = _shades(random, count)
    return [(loop, _shades(random, count, 0.5, 1.1)),
            (_symmetric(count, (0, top), (above - 0.08, top), (above, top + 0.08), (below, bottom - 0.1),
                        (below - 0.1, bottom)), shade),
            (_bar(count, -above, top + flap, above, top + flap, 0.07), _shades(random, count, 0.2, 1.2)),
            (_ellipse(count, 0, top + flap, 0.09, 0.09, corners=8), _shades(random, count, 0.2, 1.4))]


def _boot(random, count):
    top, shaft = random.uniform(-0.95, -0.5, count), random.uniform(0.0, 0.2, count)
    toe, base = random.uniform(0.15, 0.35, count), random.uniform(0.62, 0.72, count)
    heel, thick = random.uniform(0.05, 0.3, count), random.uniform(0.06, 0.14, count)
    upper = _outline(count, (-0.96, base), (-0.95, toe + 0.1), (-0.75, toe), (-0.3, toe - 0.15), (shaft - 0.05, -0.1),
                     (shaft, top), (0.85, top + 0.04), (0.8, 0.1), (0.92, 0.4), (0.9, base))
    sole = _outline(count, (-0.98, base - 0.02), (0.93, base - 0.02), (0.92, base + thick + heel),
                    (0.5, base + thick + heel), (0.4, base + thick), (-0.9, base + thick))
    cuff = _bar(count, shaft, top + 0.08, 0.84, top + 0.1, 0.16)
    return [(upper, _shades(random, count)), (sole, _shades(random, count, 0.3, 1.1)),
            (cuff, _shades(random, count, 0.6, 1.2))]


_GARMENTS = (_tshirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _boot)
