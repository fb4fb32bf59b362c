/* Outlines of a mask along the sides of its pixels, and the same with fewer corners. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const int DOWN[4] = {0, 1, 0, -1}, ACROSS[4] = {1, 0, -1, 0}; /* a side goes right, down, left or up */

/* Numbers the pieces of a mask that hang together by sides, from 1 on; 0 where it is not. */
static void number_pieces(int32_t height, int32_t width, const uint8_t *mask, int32_t *piece, int32_t *waiting) {
    int32_t pieces = 0;
    memset(piece, 0, (size_t)height * width * sizeof *piece);
    for (int32_t first = 0; first < height * width; first++) {
        if (!mask[first] || piece[first]) continue;
        int32_t most = 1;
        waiting[0] = first;
        piece[first] = ++pieces;
        while (most) {
            int32_t at = waiting[--most], y = at / width, x = at % width;
            for (int way = 0; way < 4; way++) {
                int32_t y2 = y + DOWN[way], x2 = x + ACROSS[way], next = y2 * width + x2;
                if (y2 < 0 || x2 < 0 || y2 >= height || x2 >= width || !mask[next] || piece[next]) continue;
                piece[next] = pieces;
                waiting[most++] = next;
            }
        }
    }
}

typedef struct {
    int32_t *corners, *ends, *pieces; /* what is written: x and y of corners, where each ring stops, whose it is */
    int32_t filled, rings;
} Rings;

/* The sides of one loop: of each the corner where it starts and its way. Corners where nothing turns are left out. */
static void write_ring(Rings *out, const int32_t *corner, const uint8_t *way, int32_t sides, int32_t across,
                       int32_t piece) {
    for (int32_t k = 0; k < sides; k++) {
        if (way[k] == way[k ? k - 1 : sides - 1]) continue;
        out->corners[2 * out->filled] = corner[k] % across;
        out->corners[2 * out->filled + 1] = corner[k] / across;
        out->filled++;
    }
    out->ends[out->rings] = out->filled;
    out->pieces[out->rings++] = piece;
}

/* mask (height, width) uint8. corners (room, 2) int32, ends (room) and pieces (room) take the rings: x and y of their
 * corners one ring behind the other, where each stops, and its piece of the mask, from 1 on. `room` is at least the
 * number of sides between the mask and what is around it. The mask lies to the right of its rings; where two of its
 * pixels touch at a corner alone a ring stays with its own, and one that comes by a corner twice is cut there.
 * Returns the number of rings; -1: memory ran out. */
int32_t hedgerow_rings(int32_t height, int32_t width, const uint8_t *mask, int32_t room, int32_t *corners,
                       int32_t *ends, int32_t *pieces) {
    int32_t across = width + 1, count = (height + 1) * across;
    uint8_t *starts = calloc(count, 1), *left = malloc(count); /* of sides that start at a corner, as bits: all; to go */
    uint8_t *way = malloc(room);
    int32_t *place = malloc((size_t)count * sizeof *place);       /* of a corner in the path, or -1 */
    int32_t *path = malloc((size_t)room * sizeof *path);          /* corners gone along and not yet in a ring */
    int32_t *piece = malloc((size_t)height * width * 2 * sizeof *piece);
    Rings out = {corners, ends, pieces, 0, 0};
    if (!starts || !left || !way || !place || !path || !piece) {
        out.rings = -1;
        goto end;
    }
    number_pieces(height, width, mask, piece, piece + (size_t)height * width);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            const uint8_t *at = mask + (size_t)y * width + x;
            if (!*at) continue;
            uint8_t *corner = starts + (size_t)y * across + x;
            if (!y || !at[-width]) corner[0] |= 1;
            if (x == width - 1 || !at[1]) corner[1] |= 2;
            if (y == height - 1 || !at[width]) corner[across + 1] |= 4;
            if (!x || !at[-1]) corner[across] |= 8;
        }
    memcpy(left, starts, count);
    for (int32_t k = 0; k < count; k++) place[k] = -1;
    for (int32_t first = 0; first < count; first++)
        while (left[first]) {
            int32_t at = first, length = 0;
            int turn = 0;
            while (!(left[first] >> turn & 1)) turn++;
            int32_t y = first / across - (turn >= 2), x = first % across - (turn == 1 || turn == 2);
            int32_t own = piece[(size_t)y * width + x]; /* of the pixel to the right of the first side */
            do {
                if (place[at] >= 0) {
                    int32_t cut = place[at];
                    write_ring(&out, path + cut, way + cut, length - cut, across, own);
                    for (int32_t k = cut; k < length; k++) place[path[k]] = -1;
                    length = cut;
                }
                left[at] &= (uint8_t) ~(1 << turn);
                place[at] = length;
                path[length] = at;
                way[length++] = (uint8_t)turn;
                at += DOWN[turn] * across + ACROSS[turn];
                int next = (turn + 1) & 3; /* to the right: around the same pixel */
                if (!(starts[at] >> next & 1)) next = turn;
                if (!(starts[at] >> next & 1)) next = (turn + 3) & 3;
                turn = next;
            } while (left[at] >> turn & 1); /* where the next side was gone along the loop is closed */
            write_ring(&out, path, way, length, across, own);
            for (int32_t k = 0; k < length; k++) place[path[k]] = -1;
        }
end:
    free(starts);
    free(left);
    free(way);
    free(place);
    free(path);
    free(piece);
    return out.rings;
}

static double away(const double *at, const double *from, const double *to) { /* from a line that ends at its ends */
    double line[2] = {to[0] - from[0], to[1] - from[1]}, way[2] = {at[0] - from[0], at[1] - from[1]};
    double along = (way[0] * line[0] + way[1] * line[1]) / fmax(line[0] * line[0] + line[1] * line[1], 1e-12);
    along = fmin(fmax(along, 0), 1);
    return hypot(way[0] - along * line[0], way[1] - along * line[1]);
}

/* ring (corners, 2) float64; kept (corners) uint8 holds 1 at two or more corners that stay, 0 elsewhere, and receives 1
 * at those that have to stay as well so that none is farther than `tolerance` from the line beside it (Douglas and
 * Peucker 1973). waiting (2 * corners) int32 is room to work in. */
void hedgerow_simplify(int32_t corners, const double *ring, double tolerance, uint8_t *kept, int32_t *waiting) {
    int32_t first = 0, most = 0;
    while (!kept[first]) first++;
    for (int32_t from = first, k = first + 1; k <= first + corners; k++)
        if (kept[k % corners]) {
            waiting[most++] = from;
            waiting[most++] = k;
            from = k;
        }
    while (most) {
        int32_t to = waiting[--most], from = waiting[--most], farthest = from;
        double distance = tolerance;
        for (int32_t k = from + 1; k < to; k++) {
            double d = away(ring + 2 * (k % corners), ring + 2 * (from % corners), ring + 2 * (to % corners));
            if (d > distance) {
                distance = d;
                farthest = k;
            }
        }
        if (farthest == from) continue;
        kept[farthest % corners] = 1;
        waiting[most++] = from;
        waiting[most++] = farthest;
        waiting[most++] = farthest;
        waiting[most++] = to;
    }
}
