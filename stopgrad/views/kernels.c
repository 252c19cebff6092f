/* Views on a CPU: each image goes through all its operations while it lies in the cache. The operations are those of crop.py and ops.py.

   A view is worked on lying on its side, x (channels, size, size) with columns before rows: both passes of the crop then run along contiguous
   memory, and nothing between the crop and the writing can tell. Every inner loop is written so that a compiler makes vector instructions of it without
   changing the order of a sum, and none contracts a product and a sum: the same views, bit for bit, whatever the processor. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16 /* lines that are turned on their side at a time: a cache line of floats */
#define QUAD 4   /* taps of the blur that are summed at a time */
#define UNSEEN 1e-9f /* weight of a tap that no float32 sum of values up to 1 can show */

enum { BRIGHTNESS, CONTRAST, SATURATION, HUE };

/* What there is to do: fused.py fills it in, field by field the same. */
typedef struct {
    const void *buffer;     /* pixels, uint8 or uint16, planar */
    const int64_t *places;  /* (count, 7): start in the buffer, height, width of the image; top, left, height, width of the crop */
    const uint8_t *asked;   /* (count, 5): flip, jitter, grey, blur, solarise */
    const int64_t *order;   /* (count, 4): the jitter's operations, first to last */
    const float *factors;   /* (count, 4): by operation */
    const float *gauss;     /* (count, reach + 1): half of the blur's kernel, from its middle */
    const float *luma;      /* (channels,): weights of grey */
    const float *centre;    /* (channels,) */
    const float *inverse;   /* (channels,) */
    float *views;           /* (count, size, size, channels), to be written */
    int64_t count, channels, size, reach, deep; /* deep: 16 bits */
} Work;

static inline float least(float a, float b) { return a < b ? a : b; }
static inline float most(float a, float b) { return a > b ? a : b; }
static inline float clamp(float a) { return least(most(a, 0.0f), 1.0f); }
static inline float size_of(float a) { return __builtin_fabsf(a); }

/* Of each of size outputs made from length pixels, the first pixel and the weights, 0 after the last: torch's antialiased triangle. */
static void find_taps(int64_t length, int64_t size, int mirrored, float unit, int64_t taps, int64_t *restrict first, float *restrict weights) {
    float scale = (float)length / (float)size, reach = most(scale, 1.0f);
    for (int64_t i = 0; i < size; i++) {
        float centre = scale * ((float)(mirrored ? size - 1 - i : i) + 0.5f), total = 0;
        float *w = weights + i * taps;
        int64_t low = (int64_t)__builtin_floorf(centre - reach + 0.5f), high = (int64_t)__builtin_floorf(centre + reach + 0.5f);
        low = low < 0 ? 0 : low;
        high = high > length ? length : high;
        for (int64_t t = 0; t < taps; t++) {
            w[t] = low + t < high ? most(0.0f, 1.0f - size_of((float)(low + t) + 0.5f - centre) / reach) : 0.0f;
            total += w[t];
        }
        for (int64_t t = 0; t < taps; t++) w[t] *= unit / total;
        first[i] = low;
    }
}

/* Sum lines of n values, stride apart, with weights; a line whose weight is 0 may lie outside and is not touched. */
#define SUM_LINES(NAME, TYPE)                                                                                                     \
    static void NAME(const TYPE *restrict source, int64_t stride, const float *restrict w, int64_t taps, int64_t n, float *restrict to) { \
        const TYPE *restrict a = source, *restrict b = w[1] != 0 ? source + stride : source;                                      \
        float w0 = w[0], w1 = w[1], w2 = w[2];                                                                                    \
        if (w2 == 0) {                                                                                                            \
            for (int64_t k = 0; k < n; k++) to[k] = w0 * (float)a[k] + w1 * (float)b[k];                                          \
            return;                                                                                                               \
        }                                                                                                                         \
        const TYPE *restrict c = source + 2 * stride;                                                                             \
        for (int64_t k = 0; k < n; k++) to[k] = w0 * (float)a[k] + w1 * (float)b[k] + w2 * (float)c[k];                           \
        for (int64_t t = 3; t < taps && w[t] != 0; t++) {                                                                         \
            const TYPE *restrict d = source + t * stride;                                                                         \
            float wt = w[t];                                                                                                      \
            for (int64_t k = 0; k < n; k++) to[k] += wt * (float)d[k];                                                            \
        }                                                                                                                         \
    }
SUM_LINES(sum_bytes, uint8_t)
SUM_LINES(sum_shorts, uint16_t)
SUM_LINES(sum_floats, float)

/* What every view of a call is made in. */
typedef struct {
    int64_t taps, *first;
    float *weights;  /* (size, taps) */
    float *lines;    /* (BLOCK, widest) */
    float *turned;   /* (widest, size): a channel of the crop, its rows resized, on its side */
    float *x;        /* (channels, size, size) */
    float *grey;     /* (size, size) */
    float *mirrored; /* (size, size + 2 reach): half blurred */
} Scratch;

/* Cut the crop out of image n and resize it into x. */
static void crop(const Work *work, int64_t n, Scratch *s) {
    const int64_t *place = work->places + 7 * n, size = work->size;
    int64_t image_height = place[1], image_width = place[2], top = place[3], left = place[4], height = place[5], width = place[6];
    float unit = work->deep ? 1.0f / 65535.0f : 1.0f / 255.0f;
    for (int64_t c = 0; c < work->channels; c++) {
        find_taps(height, size, 0, unit, s->taps, s->first, s->weights);
        for (int64_t block = 0; block < size; block += BLOCK) {
            int64_t many = size - block < BLOCK ? size - block : BLOCK;
            for (int64_t b = 0; b < many; b++) {
                const float *w = s->weights + (block + b) * s->taps;
                int64_t at = place[0] + (c * image_height + top + s->first[block + b]) * image_width + left;
                if (work->deep) sum_shorts((const uint16_t *)work->buffer + at, image_width, w, s->taps, width, s->lines + b * width);
                else sum_bytes((const uint8_t *)work->buffer + at, image_width, w, s->taps, width, s->lines + b * width);
            }
            for (int64_t k = 0; k < width; k++)
                for (int64_t b = 0; b < many; b++) s->turned[k * size + block + b] = s->lines[b * width + k];
        }
        find_taps(width, size, work->asked[5 * n], 1.0f, s->taps, s->first, s->weights);
        for (int64_t i = 0; i < size; i++)
            sum_floats(s->turned + s->first[i] * size, size, s->weights + i * s->taps, s->taps, size, s->x + (c * size + i) * size);
    }
}

/* The weighted mean of the channels of x (channels, n). */
static void greyscale(const float *restrict x, const float *restrict luma, int64_t channels, int64_t n, float *restrict grey) {
    for (int64_t i = 0; i < n; i++) grey[i] = luma[0] * x[i];
    for (int64_t c = 1; c < channels; c++)
        for (int64_t i = 0; i < n; i++) grey[i] += luma[c] * x[c * n + i];
}

/* The sum of n values, in BLOCK sums of every BLOCK-th: an order that vector instructions can keep. */
static float sum(const float *values, int64_t n) {
    float sums[BLOCK] = {0}, total = 0;
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int b = 0; b < BLOCK; b++) sums[b] += values[i + b];
    for (int b = 0; b < BLOCK; b++) total += sums[b];
    for (; i < n; i++) total += values[i];
    return total;
}

/* factor x + of_grey grey(x) + of_mean mean(grey(x)), clamped to 0..1. */
static void blend(float *restrict x, float factor, float of_grey, float of_mean, const float *luma, int64_t channels, int64_t n, float *restrict grey) {
    float rest = 0;
    if (of_grey != 0 || of_mean != 0) greyscale(x, luma, channels, n, grey);
    if (of_mean != 0) rest = of_mean * sum(grey, n) / (float)n;
    for (int64_t c = 0; c < channels; c++) {
        float *restrict plane = x + c * n;
        if (of_grey != 0)
            for (int64_t i = 0; i < n; i++) plane[i] = clamp(factor * plane[i] + of_grey * grey[i] + rest);
        else
            for (int64_t i = 0; i < n; i++) plane[i] = clamp(factor * plane[i] + rest);
    }
}

/* Turn the hue of x (3, n) by shift turns; the derivation is at ops.hue. */
static void hue(float *restrict x, float shift, int64_t n) {
    float *restrict reds = x, *restrict greens = x + n, *restrict blues = x + 2 * n;
    const float sixth = 1.0f / 6.0f, third = 1.0f / 3.0f;
    for (int64_t i = 0; i < n; i++) {
        float red = reds[i], green = greens[i], blue = blues[i];
        float low = least(least(green, blue), red), chroma = most(most(green, blue), red) - low;
        float h = sixth + sixth * (green + blue - red - low) / most(chroma, 1e-12f);
        h = (green >= blue ? h : -h) + shift;
        h -= __builtin_floorf(h + 0.5f);
        float floor = low - chroma;
        reds[i] = floor + chroma * (3.0f - 6.0f * least(most(size_of(h), sixth), third));
        greens[i] = floor + 6.0f * chroma * least(most(size_of(h + sixth), sixth), third);
        blues[i] = floor + 6.0f * chroma * least(most(size_of(h - sixth), sixth), third);
    }
}

static void jitter(float *x, const int64_t *order, const float *factors, const Work *work, int64_t n, float *grey) {
    for (int place = 0; place < 4; place++) {
        float factor = factors[order[place]];
        if (order[place] == BRIGHTNESS) blend(x, factor, 0, 0, work->luma, work->channels, n, grey);
        if (order[place] == CONTRAST) blend(x, factor, 0, 1 - factor, work->luma, work->channels, n, grey);
        if (order[place] == SATURATION && work->channels > 1) blend(x, factor, 1 - factor, 0, work->luma, work->channels, n, grey);
        if (order[place] == HUE && work->channels == 3) hue(x, factor, n);
    }
}

/* i mirrored into 0..last; what is too far for one mirroring has no weight, any line will do. */
static inline int64_t near(int64_t i, int64_t last) {
    i = i < 0 ? -i : i;
    i = i > last ? 2 * last - i : i;
    return i < 0 ? 0 : i;
}

/* Add the lines before (a) and after (b), QUAD of each, to a line of n. */
static void add_quad(const float *const a[QUAD], const float *const b[QUAD], const float *restrict w, int64_t n, float *restrict to) {
    const float *restrict a0 = a[0], *restrict a1 = a[1], *restrict a2 = a[2], *restrict a3 = a[3];
    const float *restrict b0 = b[0], *restrict b1 = b[1], *restrict b2 = b[2], *restrict b3 = b[3];
    float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    for (int64_t j = 0; j < n; j++)
        to[j] += (w0 * (a0[j] + b0[j]) + w1 * (a1[j] + b1[j])) + (w2 * (a2[j] + b2[j]) + w3 * (a3[j] + b3[j]));
}

/* Blur a plane (size, size), mirrored at the border: first across lines, then along them. */
static void blur(float *plane, const float *gauss, int64_t reach, int64_t size, float *mirrored) {
    const float *before[QUAD], *after[QUAD];
    int64_t wide = size + 2 * reach;
    for (int64_t i = 0; i < size; i++) {
        float *line = mirrored + i * wide, *to = line + reach;
        for (int64_t j = 0; j < size; j++) to[j] = gauss[0] * plane[i * size + j];
        for (int64_t t = 1; t < reach && gauss[t] > UNSEEN; t += QUAD) {
            for (int q = 0; q < QUAD; q++) {
                before[q] = plane + near(i - t - q, size - 1) * size;
                after[q] = plane + near(i + t + q, size - 1) * size;
            }
            add_quad(before, after, gauss + t, size, to);
        }
        for (int64_t j = 1; j <= reach; j++) {
            line[reach - j] = to[near(j, size - 1)];
            to[size - 1 + j] = to[near(size - 1 - j, size - 1)];
        }
    }
    for (int64_t i = 0; i < size; i++) {
        const float *line = mirrored + i * wide + reach;
        float *to = plane + i * size;
        for (int64_t j = 0; j < size; j++) to[j] = gauss[0] * line[j];
        for (int64_t t = 1; t < reach && gauss[t] > UNSEEN; t += QUAD) {
            for (int q = 0; q < QUAD; q++) {
                before[q] = line - t - q;
                after[q] = line + t + q;
            }
            add_quad(before, after, gauss + t, size, to);
        }
    }
}

/* Put x upright and normalised into a view (size, size, channels). */
static void write_view(const float *restrict x, const Work *work, float *restrict view) {
    int64_t size = work->size, channels = work->channels;
    for (int64_t block = 0; block < size; block += BLOCK) {
        int64_t end = block + BLOCK < size ? block + BLOCK : size;
        for (int64_t i = 0; i < size; i++)
            for (int64_t c = 0; c < channels; c++) {
                float centre = work->centre[c], inverse = work->inverse[c];
                for (int64_t j = block; j < end; j++) view[(j * size + i) * channels + c] = (x[(c * size + i) * size + j] - centre) * inverse;
            }
    }
}

static void make_view(const Work *work, int64_t n, Scratch *s) {
    const uint8_t *asked = work->asked + 5 * n;
    int64_t pixels = work->size * work->size;
    crop(work, n, s);
    if (asked[1]) jitter(s->x, work->order + 4 * n, work->factors + 4 * n, work, pixels, s->grey);
    if (asked[2] && work->channels > 1) {
        greyscale(s->x, work->luma, work->channels, pixels, s->grey);
        for (int64_t c = 0; c < work->channels; c++) memcpy(s->x + c * pixels, s->grey, pixels * sizeof(float));
    }
    for (int64_t c = 0; asked[3] && c < work->channels; c++)
        blur(s->x + c * pixels, work->gauss + n * (work->reach + 1), work->reach, work->size, s->mirrored);
    for (int64_t i = 0; asked[4] && i < work->channels * pixels; i++) s->x[i] = least(s->x[i], 1.0f - s->x[i]);
    write_view(s->x, work, work->views + n * pixels * work->channels);
}

/* Make all views. Returns 0, or 1 when there is no memory to work in. */
int render(const Work *work) {
    int64_t widest = 1, longest = 1, size = work->size;
    for (int64_t n = 0; n < work->count; n++) {
        const int64_t *place = work->places + 7 * n;
        widest = place[6] > widest ? place[6] : widest;
        longest = place[5] > longest ? place[5] : longest;
    }
    longest = widest > longest ? widest : longest;
    Scratch s = {.taps = 2 * longest / size + 4}; /* an open interval of twice the reach, which is the scale or 1; three are always read */
    int64_t floats = size * s.taps + BLOCK * widest + widest * size + (work->channels + 1) * size * size + size * (size + 2 * work->reach);
    s.first = malloc(size * sizeof(int64_t));
    s.weights = malloc(floats * sizeof(float));
    int missing = !s.first || !s.weights;
    if (!missing) {
        s.lines = s.weights + size * s.taps;
        s.turned = s.lines + BLOCK * widest;
        s.x = s.turned + widest * size;
        s.grey = s.x + work->channels * size * size;
        s.mirrored = s.grey + size * size;
        for (int64_t n = 0; n < work->count; n++) make_view(work, n, &s);
    }
    free(s.first);
    free(s.weights);
    return missing;
}

/* The digest of this file when it was compiled. */
const char *source(void) { return SOURCE; }
