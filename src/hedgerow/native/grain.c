/* Watershed by flooding (Meyer 1991, without ridge lines): every pixel joins the seed whose water reaches it first.
 *
 * Pixels wait in one queue a height, first come, first served, so the result depends on nothing but the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HEIGHTS 256

/* relief (height, width) uint8. labels (height, width) int32: seeds >= 0, all else -1; every pixel a seed can reach is
 * labelled on return. Returns 0, or -1 if memory ran out. */
int32_t hedgerow_flood(int32_t height, int32_t width, const uint8_t *relief, int32_t *labels) {
    int64_t pixels = (int64_t)height * width;
    int32_t *next = malloc((pixels ? pixels : 1) * sizeof *next);
    if (!next) return -1;
    int32_t first[HEIGHTS], last[HEIGHTS];
    for (int h = 0; h < HEIGHTS; h++) first[h] = last[h] = -1;
#define WAIT(pixel, level)                                 \
    do {                                                   \
        next[pixel] = -1;                                  \
        if (first[level] < 0) first[level] = (pixel);      \
        else next[last[level]] = (pixel);                  \
        last[level] = (pixel);                             \
    } while (0)
    for (int32_t p = 0; p < pixels; p++)
        if (labels[p] >= 0) WAIT(p, relief[p]);
    for (int level = 0; level < HEIGHTS;) {
        int32_t p = first[level];
        if (p < 0) {
            level++;
            continue;
        }
        first[level] = next[p];
        int32_t x = p % width;
        int32_t around[4] = {p >= width ? p - width : -1, x > 0 ? p - 1 : -1, x + 1 < width ? p + 1 : -1,
                             p + (int64_t)width < pixels ? p + width : -1};
        for (int k = 0; k < 4; k++) {
            int32_t q = around[k];
            if (q < 0 || labels[q] >= 0) continue;
            labels[q] = labels[p];
            int rise = relief[q] > level ? relief[q] : level; /* water stands at least as high as where it came from */
            WAIT(q, rise);
        }
    }
    free(next);
    return 0;
}
