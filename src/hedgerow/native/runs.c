/* COCO's compressed run lengths, read. */
#include <stdint.h>

enum { NO_TEXT = -1, CUT_SHORT = -2, TOO_LONG = -3, BELOW_ZERO = -4 };

/* text holds `count` masks one behind the other, ends (count) int64 where each stops. runs, with room for a number a
 * character, receives their run lengths one mask behind the other, and numbers (count) int64 how many each has.
 * `longest` is how many characters a number may have. Returns how many run lengths there are, or what is wrong. */
int64_t hedgerow_runs(int64_t count, const uint8_t *text, const int64_t *ends, int32_t longest, int64_t *runs,
                      int64_t *numbers) {
    int64_t filled = 0, at = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t first = filled;
        while (at < ends[i]) {
            int64_t value = 0;
            int32_t digits = 0, digit;
            do {
                if (at == ends[i]) return CUT_SHORT;
                digit = text[at++] - 48;
                if (digit < 0 || digit > 63) return NO_TEXT;
                if (digits == longest) return TOO_LONG;
                value |= (int64_t)(digit & 31) << (5 * digits++);
            } while (digit & 32);
            if (digit & 16) value -= (int64_t)1 << (5 * digits);
            if (filled - first > 2) value += runs[filled - 2]; /* from the fourth number on, the difference */
            runs[filled++] = value;
        }
        numbers[i] = filled - first;
    }
    for (int64_t r = 0; r < filled; r++)
        if (runs[r] < 0) return BELOW_ZERO;
    return filled;
}
