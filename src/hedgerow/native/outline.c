/* What lies inside and along the outline of unions of regions. */
#include <stdint.h>

/* sets (count, regions) uint8, one row a union; ends (m, 2) int32, pairs of touching regions; values (m, kinds)
 * float32 of each pair. within and around (count, kinds) float64 take the sums over the pairs of which a union holds
 * both, and one. */
void hedgerow_outline(int32_t count, int32_t regions, const uint8_t *sets, int32_t m, const int32_t *ends, int32_t kinds,
                      const float *values, double *within, double *around) {
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *has = sets + (int64_t)i * regions;
        double *in = within + (int64_t)i * kinds, *along = around + (int64_t)i * kinds;
        for (int32_t k = 0; k < kinds; k++) in[k] = along[k] = 0;
        for (int32_t e = 0; e < m; e++) {
            int held = has[ends[2 * e]] + has[ends[2 * e + 1]];
            if (!held) continue;
            double *sum = held == 2 ? in : along;
            for (int32_t k = 0; k < kinds; k++) sum[k] += values[(int64_t)e * kinds + k];
        }
    }
}
