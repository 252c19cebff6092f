"""Views on a GPU, in Triton: a program holds a block of a view's pixels, all channels, and takes it through all that it can without its neighbours.

The operations are those of crop.py and ops.py. x is (CP, BLOCK): channels, rounded up to a power of two, before pixels, so that every thread has all
channels of its pixels. Whatever differs between images is loaded, and branched on by whole programs: nothing is computed that a view does not need.

A view that fits one program (WHOLE) is made by ``make`` alone. Of a larger one ``make`` writes the crop and, block by block, the sum of the grey
image as the contrast will meet it; ``finish`` does the rest. ``blur`` comes after, once across lines and once along them.
"""

import triton
import triton.language as tl

from stopgrad.views import sample

NUMBERS = 17
"""Of a view, int64: where its image begins in the buffer; the image's height and width; top, left, height and width of the crop; whether it is
flipped, jittered, grey, blurred, solarised; how many operations of the jitter come before the contrast; and those operations, first to last."""
_BEGIN, _IMAGE_HEIGHT, _IMAGE_WIDTH, _TOP, _LEFT, _HEIGHT, _WIDTH = (tl.constexpr(i) for i in range(7))
_FLIP, _JITTER, _GREY, _BLUR, _SOLARISE, _BEFORE, _ORDER = (tl.constexpr(i) for i in range(7, 14))
_NUMBERS, _OPERATIONS = tl.constexpr(NUMBERS), tl.constexpr(4)
_CONTRAST, _SATURATION, _HUE = tl.constexpr(sample.CONTRAST), tl.constexpr(sample.SATURATION), tl.constexpr(sample.HUE)


@triton.jit
def _clamp(x):
    return tl.minimum(tl.maximum(x, 0.0), 1.0)


@triton.jit
def _block(S: tl.constexpr, BLOCK: tl.constexpr):
    """Return the view and the block that this program is for, and the block's pixels (BLOCK,); the blocks of a view are neighbours."""
    blocks: tl.constexpr = (S * S + BLOCK - 1) // BLOCK
    program = tl.program_id(0)
    return (program // blocks).to(tl.int64), program % blocks, (program % blocks) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def _of_channels(values, channel, C: tl.constexpr):
    """Return what each channel has of a small array, (CP, 1); 0 for those there are not."""
    return tl.load(values + channel, mask=channel < C, other=0.0)


@triton.jit
def _grey(x, luma):
    return tl.sum(x * luma, axis=0)


@triton.jit
def _triangle(output, length, S: tl.constexpr):
    """Return the reach of the triangle of each output to either side, its middle and the first pixel under it, rounded as in crop.py."""
    scale = tl.math.div_rn(length.to(tl.float32), S * 1.0)
    reach = tl.maximum(scale, 1.0)
    middle = scale * (output.to(tl.float32) + 0.5)
    return reach, middle, tl.maximum(tl.floor(middle - reach + 0.5), 0.0)


@triton.jit
def _weight(pixel, reach, middle, length):
    """Return the height of the triangle over pixels of the crop; 0 elsewhere."""
    height = tl.maximum(1.0 - tl.math.div_rn(tl.abs(pixel + 0.5 - middle), reach + tl.zeros_like(middle)), 0.0)
    return tl.where(pixel < length, height, 0.0)


@triton.jit
def _crop(buffer, a, pixel, channel, C: tl.constexpr, S: tl.constexpr, PEAK: tl.constexpr):
    """Return the crop of the view whose numbers are at ``a``, resized as in crop.py and flipped: (CP, BLOCK) in 0..1."""
    image_height, image_width = tl.load(a + _IMAGE_HEIGHT), tl.load(a + _IMAGE_WIDTH)
    height, width = tl.load(a + _HEIGHT), tl.load(a + _WIDTH)
    row, column = pixel // S, pixel % S
    column = tl.where(tl.load(a + _FLIP) != 0, S - 1 - column, column)
    reach_y, middle_y, first_y = _triangle(row, height, S)
    reach_x, middle_x, first_x = _triangle(column, width, S)
    begin = buffer + tl.load(a + _BEGIN) + tl.load(a + _TOP) * image_width + tl.load(a + _LEFT)
    planes = channel * (image_height * image_width)
    there = (channel < C) & (pixel < S * S)[None, :]
    x = tl.zeros((channel.shape[0], pixel.shape[0]), tl.float32)
    total = tl.zeros((pixel.shape[0],), tl.float32)
    for i in range(tl.math.ceil(2 * reach_y).to(tl.int32)):  # an open interval of twice the reach holds no more pixels' middles
        weight_y = _weight(first_y + i, reach_y, middle_y, height)
        lines = begin + (first_y.to(tl.int64) + i) * image_width + first_x.to(tl.int64)
        for j in range(tl.math.ceil(2 * reach_x).to(tl.int32)):
            weight = weight_y * _weight(first_x + j, reach_x, middle_x, width)
            seen = tl.load((lines + j)[None, :] + planes, mask=there & (weight > 0.0)[None, :], other=0)
            x += weight[None, :] * seen.to(tl.float32)
            total += weight
    return x / (tl.maximum(total, 1e-6) * PEAK)[None, :]  # above it but for what lies beyond the last pixel


@triton.jit
def _hue(x, shift, channel):
    """Turn the hue of x (4, BLOCK) by ``shift`` turns; the derivation is at ops.hue."""
    red = tl.sum(tl.where(channel == 0, x, 0.0), axis=0)
    green = tl.sum(tl.where(channel == 1, x, 0.0), axis=0)
    blue = tl.sum(tl.where(channel == 2, x, 0.0), axis=0)
    low = tl.minimum(tl.minimum(green, blue), red)
    chroma = tl.maximum(tl.maximum(green, blue), red) - low
    h = (1.0 + (green + blue - red - low) / tl.maximum(chroma, 1e-12)) * (1.0 / 6.0)
    h = tl.where(green >= blue, h, -h) + shift
    h -= tl.floor(h + 0.5)
    floor = low - chroma
    red = floor + chroma * (3.0 - 6.0 * _bracket(h))
    green = floor + chroma * (6.0 * _bracket(h + 1.0 / 6.0))
    blue = floor + chroma * (6.0 * _bracket(h - 1.0 / 6.0))
    return tl.where(channel == 0, red[None, :], tl.where(channel == 1, green[None, :], blue[None, :]))


@triton.jit
def _bracket(h):
    return tl.minimum(tl.maximum(tl.abs(h), 1.0 / 6.0), 1.0 / 3.0)


@triton.jit
def _jitter(x, a, factors, begin, end, mean, luma, channel, C: tl.constexpr):
    """Apply the operations from place ``begin`` to ``end`` of the view's order; ``mean`` is the grey image's, as the contrast meets it."""
    for place in range(begin, end):
        operation = tl.load(a + _ORDER + place)
        factor = tl.load(factors + operation)
        if operation == _HUE:
            if C == 3:
                x = _hue(x, factor, channel)
        else:
            of_grey = tl.where(operation == _SATURATION, 1.0 - factor, 0.0)
            of_mean = tl.where(operation == _CONTRAST, 1.0 - factor, 0.0)
            x = _clamp(factor * x + (of_grey * _grey(x, luma) + of_mean * mean)[None, :])
    return x


@triton.jit
def _solarise_and_normalise(x, a, centre, inverse, channel, C: tl.constexpr):
    if tl.load(a + _SOLARISE) != 0:
        x = tl.minimum(x, 1.0 - x)
    return (x - _of_channels(centre, channel, C)) * _of_channels(inverse, channel, C)


@triton.jit
def _after_jitter(x, a, luma, centre, inverse, channel, C: tl.constexpr):
    """Make grey what is to be, and what is not to be blurred ready."""
    if tl.load(a + _GREY) != 0:
        x = tl.zeros_like(x) + _grey(x, luma)[None, :]
    if tl.load(a + _BLUR) == 0:
        x = _solarise_and_normalise(x, a, centre, inverse, channel, C)
    return x


@triton.jit
def _places(views, view, pixel, channel, C: tl.constexpr, S: tl.constexpr):
    """Return where a block lies in ``views``, channels last, and which of it there is."""
    return views + view * (S * S * C) + pixel[None, :] * C + channel, (channel < C) & (pixel < S * S)[None, :]


@triton.jit
def make(
    buffer, numbers, factors, lumas, centre, inverse, views, sums,
    C: tl.constexpr, CP: tl.constexpr, S: tl.constexpr, BLOCK: tl.constexpr, PEAK: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Make a whole view but for the blur; or a block of its crop, and the sum of its grey image before the contrast into ``sums`` (views, blocks)."""
    view, block, pixel = _block(S, BLOCK)
    channel = tl.arange(0, CP)[:, None]
    a = numbers + view * _NUMBERS
    factors += view * _OPERATIONS
    luma = _of_channels(lumas, channel, C)
    x = _crop(buffer, a, pixel, channel, C, S, PEAK)
    places, there = _places(views, view, pixel, channel, C, S)
    if not WHOLE:
        tl.store(places, x, mask=there)
    if tl.load(a + _JITTER) != 0:
        before = tl.load(a + _BEFORE)
        x = _jitter(x, a, factors, 0, before, 0.0, luma, channel, C)
        total = tl.sum(tl.where(pixel < S * S, _grey(x, luma), 0.0))
        if WHOLE:
            x = _jitter(x, a, factors, before, _OPERATIONS, total / (S * S), luma, channel, C)
        else:
            tl.store(sums + view * ((S * S + BLOCK - 1) // BLOCK) + block, total)
    if WHOLE:
        tl.store(places, _after_jitter(x, a, luma, centre, inverse, channel, C), mask=there)


@triton.jit
def finish(
    numbers, factors, lumas, centre, inverse, views, sums,
    C: tl.constexpr, CP: tl.constexpr, S: tl.constexpr, BLOCK: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """Take a block of a crop through the jitter and what follows it, but for the blur; BLOCKS: a power of two, at least the blocks of a view."""
    view, _, pixel = _block(S, BLOCK)
    channel = tl.arange(0, CP)[:, None]
    a = numbers + view * _NUMBERS
    luma = _of_channels(lumas, channel, C)
    places, there = _places(views, view, pixel, channel, C, S)
    x = tl.load(places, mask=there, other=0.0)
    if tl.load(a + _JITTER) != 0:
        blocks: tl.constexpr = (S * S + BLOCK - 1) // BLOCK
        each = tl.arange(0, BLOCKS)
        total = tl.sum(tl.load(sums + view * blocks + each, mask=each < blocks, other=0.0))
        x = _jitter(x, a, factors + view * _OPERATIONS, 0, _OPERATIONS, total / (S * S), luma, channel, C)
    tl.store(places, _after_jitter(x, a, luma, centre, inverse, channel, C), mask=there)


@triton.jit
def blur(
    source, numbers, gauss, centre, inverse, to,
    C: tl.constexpr, CP: tl.constexpr, S: tl.constexpr, BLOCK: tl.constexpr, RADIUS: tl.constexpr, ALONG: tl.constexpr,
):  # fmt: skip
    """Blur a block of a view that is to be blurred, mirrored at the border: across lines; or ALONG them, and then make it ready."""
    view, _, pixel = _block(S, BLOCK)
    a = numbers + view * _NUMBERS
    if tl.load(a + _BLUR) != 0:
        channel = tl.arange(0, CP)[:, None]
        weights = gauss + view * (RADIUS + 1)
        place = pixel % S if ALONG else pixel // S
        step: tl.constexpr = 1 if ALONG else S
        places, there = _places(source, view, pixel, channel, C, S)
        x = tl.load(weights) * tl.load(places, mask=there, other=0.0)
        for t in range(1, RADIUS + 1):
            before = tl.abs(place - t) - place
            after = tl.minimum(place + t, 2 * (S - 1) - place - t) - place
            x += tl.load(weights + t) * (
                tl.load(places + (before * (step * C))[None, :], mask=there, other=0.0)
                + tl.load(places + (after * (step * C))[None, :], mask=there, other=0.0)
            )
        if ALONG:
            x = _solarise_and_normalise(x, a, centre, inverse, channel, C)
        places, there = _places(to, view, pixel, channel, C, S)
        tl.store(places, x, mask=there)
