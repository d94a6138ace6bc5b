"""The stand-in for Fashion-MNIST: silhouettes of its ten classes, drawn by polygons, for machines without the data.

The shapes are similar, the difficulty is not, and no accuracy carries over.
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
_JITTER = 0.02  # standard deviation of a corner's place

# The parts of each class, in the order that they are painted: the range of their shade (0 is black, 1 the cloth's own)
# and two outlines, of which each image takes a mean. x runs from -1 to 1 to the right, y down. _HALF: the right half of
# an outline, from the top down; the left one is its mirror image.
_HALF = True
_GARMENTS = (
    ((1, 1, '0,-.84 .2,-.92 .44,-.78 .69,-.28 .47,-.18 .42,-.32 .4,.72',  # t-shirt, some with a print
      '0,-.62 .2,-.92 .56,-.78 1.15,-.08 .87,.02 .54,-.32 .58,.92', _HALF),
     (.3, 1.3, '0,-.2 .02,-.2 .02,-.1', '0,-.3 .27,-.3 .27,.1', _HALF)),
    ((1, 1, '0,-.98 .26,-.98 .34,-.5 .3,.2 .3,.85 .14,.85 .05,-.4 0,-.5',  # trouser
      '0,-.87 .36,-.87 .48,-.3 .5,.2 .5,1 .24,1 .08,-.15 0,-.3', _HALF),
     (.6, 1.1, '-.26,-.98 .26,-.98 .26,-.86 -.26,-.86', '-.36,-.87 .36,-.87 .36,-.75 -.36,-.75')),
    ((1, 1, '0,-.87 .2,-.92 .44,-.78 .84,.46 .62,.56 .42,-.32 .4,.62',  # pullover
      '0,-.76 .2,-.92 .56,-.78 1.5,.6 1.25,.7 .54,-.32 .58,.9', _HALF),
     (.6, 1, '-.4,.5 .4,.5 .4,.62 -.4,.62', '-.58,.77 .58,.77 .58,.9 -.58,.9'),
     (.6, 1.1, '-.22,-.94 .22,-.94 .22,-.82 -.22,-.82', '-.22,-.94 .22,-.94 .22,-.82 -.22,-.82')),
    ((1, 1, '0,-.87 .1,-.98 .2,-.95 .24,-.62 .24,-.5 .17,-.2 .28,.15 .3,.98',  # dress
      '0,-.63 .24,-.98 .34,-.95 .5,-.62 .34,-.5 .28,-.2 .42,.15 .62,.98', _HALF),
     (.5, 1.1, '-.17,-.23 .17,-.23 .17,-.17 -.17,-.17', '-.28,-.23 .28,-.23 .28,-.17 -.28,-.17')),
    ((1, 1, '0,-.8 .2,-.92 .42,-.78 .82,.46 .6,.56 .4,-.32 .38,.88',  # coat, open, with lapels
      '0,-.7 .2,-.92 .54,-.78 1.45,.56 1.2,.66 .52,-.32 .56,1.02', _HALF),
     (0, .35, '0,-.96 .17,-.96 .03,-.35 .03,1.05', '0,-.96 .17,-.96 .07,0 .07,1.05', _HALF),
     (.55, 1.2, '-.06,-.35 -.16,-.94 -.34,-.76', '-.06,0 -.16,-.94 -.34,-.76'),
     (.55, 1.2, '.06,-.35 .16,-.94 .34,-.76', '.06,0 .16,-.94 .34,-.76')),
    ((1, 1, '-.98,.42 -.3,.4 .3,.4 .92,.36 .95,.46 .3,.52 -.3,.52 -.98,.53',  # sandal: sole, heel, five straps
      '-.98,.42 -.3,.4 .3,.1 .92,-.14 .95,.02 .3,.33 -.3,.58 -.98,.6'),
     (1, 1, '.62,.34 .95,.4 .9,.56 .76,.56', '.62,-.06 .95,-.1 .9,.56 .76,.56'),
     (1, 1, '-.83,.48 -.26,.25 -.3,.15 -.87,.38', '-.8,.51 -.23,.1 -.33,-.03 -.9,.37'),
     (1, 1, '-.64,.25 -.14,.48 -.1,.38 -.6,.15', '-.67,.1 -.17,.5 -.07,.38 -.57,-.03'),
     (1, 1, '.17,.44 .45,-.28 .35,-.32 .07,.4', '.19,.3 .67,-.92 .53,-.98 .05,.24'),
     (1, 1, '.36,-.22 .89,-.13 .91,-.23 .38,-.32', '.55,-.84 .88,-.75 .92,-.91 .59,-1'),
     (1, 1, '.83,-.22 .83,.4 .93,.4 .93,-.22', '.8,-.87 .8,-.1 .96,-.1 .96,-.87')),
    ((1, 1, '0,-.84 .2,-.92 .44,-.78 .75,-.1 .53,0 .42,-.32 .4,.75',  # shirt: sleeves of any length, collar, buttons
      '0,-.7 .2,-.92 .56,-.78 1.5,.6 1.25,.7 .54,-.32 .58,1', _HALF),
     (.6, 1.3, '0,-.8 .03,-.8 .03,.75', '0,-.8 .04,-.8 .04,1', _HALF),
     (.7, 1.3, '0,-.82 -.17,-1 -.27,-.86 -.13,-.66', '0,-.68 -.17,-1 -.27,-.86 -.13,-.66'),
     (.7, 1.3, '0,-.82 .17,-1 .27,-.86 .13,-.66', '0,-.68 .17,-1 .27,-.86 .13,-.66'),
     *((0, .3, f'0,{y - .05} .05,{y - .05} .05,{y + .05}', f'0,{y - .05} .05,{y - .05} .05,{y + .05}', _HALF)
       for y in (-.45, -.1, .25, .6))),
    ((1, 1, '-.98,.42 -.96,.18 -.7,.12 -.3,0 .05,-.3 .25,-.28 .65,-.18 .88,-.33 .96,-.2 .95,.42',  # sneaker, laced
      '-.98,.5 -.96,.32 -.7,.26 -.3,.14 .3,-.08 .5,-.06 .65,.04 .88,-.11 .96,.02 .95,.5'),
     (.4, 1.3, '-1,.39 .98,.37 .98,.52 -.92,.52', '-1,.47 .98,.45 .98,.7 -.92,.7'),
     (.2, 1.4, '-.21,-.05 .01,-.17 -.03,-.23 -.25,-.11', '.04,.17 .26,.05 .22,-.01 0,.11'),
     (.2, 1.4, '-.38,.05 -.16,-.07 -.2,-.13 -.42,-.01', '-.13,.27 .09,.15 .05,.09 -.17,.21'),
     (.2, 1.4, '-.55,.15 -.33,.03 -.37,-.03 -.59,.09', '-.3,.37 -.08,.25 -.12,.19 -.34,.31'),
     (.3, 1.4, '-.09,-.03 .16,.44 .26,.42 .01,-.07', '.21,.2 .46,.53 .54,.47 .29,.14')),
    ((.5, 1.1, '0,-.62 .14,-.57 .23,-.46 .27,-.3 .17,-.3 .15,-.4 .08,-.47 0,-.5',  # bag: handle, body, flap, lock
      '0,-.66 .3,-.57 .52,-.33 .6,0 .44,0 .38,-.22 .22,-.39 0,-.45', _HALF),
     (1, 1, '0,-.35 .47,-.35 .55,-.27 .65,.5 .55,.6', '0,-.05 .87,-.05 .95,.03 .98,.75 .88,.85', _HALF),
     (.2, 1.2, '-.55,-.23 .55,-.23 .55,-.16 -.55,-.16', '-.95,.42 .95,.42 .95,.48 -.95,.48'),
     (.2, 1.4, '0,-.29 .08,-.26 .08,-.14 0,-.11', '0,.36 .08,.39 .08,.51 0,.54', _HALF)),
    ((1, 1, '-.96,.62 -.95,.25 -.75,.15 -.3,0 -.05,-.1 0,-.95 .85,-.91 .8,.1 .92,.4 .9,.62',  # ankle boot
      '-.96,.72 -.95,.45 -.75,.35 -.3,.2 .15,-.1 .2,-.5 .85,-.46 .8,.1 .92,.4 .9,.72'),
     (.3, 1.1, '-.98,.6 .93,.6 .92,.73 .5,.73 .4,.68 -.9,.68', '-.98,.7 .93,.7 .92,1.16 .5,1.16 .4,.86 -.9,.86'),
     (.6, 1.2, '0,-.95 .84,-.93 .84,-.77 0,-.79', '.2,-.5 .84,-.48 .84,-.32 .2,-.34')),
)
_SHOES = 5, 7, 9


def synthetic_fashion(num, seed):
    """Draw `num` gray images (num, 28, 28), uint8, of the ten classes, and their labels (num,), int32.

    Each image has its own proportions, place, size, turn, brightness, pattern and noise. The classes come equally
    often and in random order. The same seed gives the same images, those of a smaller `num` the first of a larger.

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
    for label in range(len(_GARMENTS)):
        images[labels == label] = _draw(label, count, random)
    images += random.normal(0, 0.04, images.shape).astype(numpy.float32) * (0.15 + images)
    return (images.clip(0, 1) * 255).astype(numpy.uint8), labels


def _draw(garment, count, random):
    """`count` images (count, 28, 28) of one class, in 0 to 1."""
    angle = random.normal(0, 0.09, count)
    scale = random.uniform(9.5, 13.2, (count, 1)) * random.uniform(0.9, 1.1, (count, 2))
    shear = random.normal(0, 0.07, count)
    shift = _SIZE / 2 + random.normal(0, 0.9, (count, 1, 2))
    sign = numpy.where(random.random(count) < 0.5, -1, 1) if garment in _SHOES else numpy.ones(count)
    cos, sin = numpy.cos(angle), numpy.sin(angle)
    # From the unit square around 0 to pixels.
    matrix = numpy.stack([numpy.stack([sign * cos, shear - sin], 1), numpy.stack([sign * sin, cos], 1)], 1)
    matrix = matrix * scale[:, :, None]
    cloth = _random_cloth(count, random)
    between = random.random((count, 1, 1))
    canvas = numpy.zeros((count, _SIZE, _SIZE), dtype=numpy.float32)
    for darkest, brightest, first, second, *half in _GARMENTS[garment]:
        first, second = (numpy.array([point.split(',') for point in outline.split()], float)
                         for outline in (first, second))
        outline = first + between * (second - first)
        outline = outline + random.normal(0, _JITTER, outline.shape)
        if half:
            outline = numpy.concatenate([outline, outline[:, ::-1] * (-1, 1)], axis=1)
        shade = random.uniform(darkest, brightest, (count, 1, 1))
        place = numpy.einsum('nij,nvj->nvi', matrix, outline) + shift
        canvas += _coverage(place) * (shade * cloth - canvas)
    return canvas


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
    """How much of each pixel lies inside a closed outline: (n, V, 2) in pixels to (n, 28, 28) in 0 to 1."""
    # Each edge adds, on every scan line it crosses, the part of each pixel left of the crossing, counted up or down by
    # its direction: inside a simple outline the edges sum to plus or minus one.
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
        numpy.clip(part, 0, 1, out=part)
        part *= direction[:, :, None]
        total += part
    total = numpy.abs(total, out=total)
    return total.reshape(len(outline), _SIZE, _SUBROWS, _SIZE).mean(axis=2).clip(0, 1)
