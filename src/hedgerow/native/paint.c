/* Unions of the parts of one partition as COCO's compressed run lengths, without a dense mask in between.
 *
 * The partition is read once, column by column, into runs of one part; a union is then a walk over those runs.
 */
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    int32_t part;
    uint32_t length;
} Run;

/* One number of COCO's text: six bits a character from '0' up, five of value, lowest first, the last one signed. */
static int64_t write_number(uint8_t *text, int64_t value) {
    int64_t n = 0;
    for (;;) {
        int digit = value & 31;
        value >>= 5;
        int more = digit & 16 ? value != -1 : value != 0;
        text[n++] = (uint8_t)(digit + (more ? 32 : 0) + 48);
        if (!more) return n;
    }
}

static int64_t more(Run *run, int64_t runs, int32_t part, uint32_t length) { /* returns how many runs there are now */
    if (!length) return runs;
    if (runs && run[runs - 1].part == part) {
        run[runs - 1].length += length;
        return runs;
    }
    run[runs] = (Run){part, length};
    return runs + 1;
}

/* labels (height, width) int32 in 0..parts-1, or -1 for no part, lie in a photo that has `above` and `below` pixels
 * more in each of its columns, and `before` and `after` pixels in columns left and right of all that; inside (count,
 * parts) uint8, one row a union. text (room) receives the unions' texts one behind the other and ends (count) where
 * each stops. Returns the number of unions that fit: the caller goes on from there with more room. -1: memory ran
 * out. */
int32_t hedgerow_paint(int32_t height, int32_t width, const int32_t *labels, int32_t above, int32_t below,
                       int32_t before, int32_t after, int32_t parts, int32_t count, const uint8_t *inside,
                       uint8_t *text, int64_t room, int64_t *ends) {
    int64_t runs = 0, filled = 0;
    Run *run = malloc((((int64_t)height + 2) * width + 2) * sizeof *run);
    if (!run) return -1;
    runs = more(run, runs, -1, before);
    for (int32_t x = 0; x < width; x++) {
        runs = more(run, runs, -1, above);
        for (int32_t y = 0; y < height; y++) runs = more(run, runs, labels[(int64_t)y * width + x], 1);
        runs = more(run, runs, -1, below);
    }
    runs = more(run, runs, -1, after);
    int32_t done = 0;
    for (; done < count; done++) {
        const uint8_t *is_in = inside + (int64_t)done * parts;
        int64_t last[2] = {0, 0}; /* the two lengths before, for the differences that COCO writes */
        int64_t length = 0, written = 0, at = filled;
        int on = 0, full = 0;
        for (int64_t r = 0; r <= runs; r++) {
            int now = r < runs ? run[r].part >= 0 && is_in[run[r].part] : -1;
            if (now == on) {
                length += run[r].length;
                continue;
            }
            if (at + 16 > room) { /* a number takes far fewer characters */
                full = 1;
                break;
            }
            at += write_number(text + at, written > 2 ? length - last[written & 1] : length);
            last[written & 1] = length;
            written++;
            if (r < runs) {
                length = run[r].length;
                on = now;
            }
        }
        if (full) break;
        ends[done] = filled = at;
    }
    free(run);
    return done;
}
