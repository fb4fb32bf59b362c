/* A mask of coarse cells brought to the edges of the photo: the kernel of refine.py, which tells what it does and why.
 *
 * Only a band of cells along the mask's border is looked at. A pixel of the band starts as the cells say, is judged by
 * the colours on both sides of the border, and then settles with its neighbours wherever no edge lies between them.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BITS 4 /* of each colour channel: 4096 colours */
#define COLOURS (1 << 3 * BITS)
#define RARE 4e-5f /* share of all pixels that a colour nobody saw is taken to have */
#define SURE 0.98f /* what the cells say is no more certain than this, so that colours can outweigh it */
#define MOST 50.0f /* nor are colours ever more certain than this: odds */
#define TIMES 2 /* rounds of settling, along rows and along columns in each */

/* Rings of cells along the border: not looked at, seen for their colours only, to be decided, at the border itself. */
enum { FAR, SEEN, OPEN, EDGE };

typedef struct {
    int32_t top, bottom, left, right;
} Box; /* of pixels or of cells; bottom and right are outside */

typedef struct {
    int32_t height, width;
    const uint8_t *pixels;                     /* (height, width, 3) */
    const float *right, *left, *down, *up;     /* what hedgerow_pull gave, along rows and along columns */
} Photo;

typedef struct {
    int32_t h, w;
    const float *share; /* (h, w): how much of each cell is inside, 0 to 1 */
    int32_t *top, *left; /* (h + 1), (w + 1): the first pixel of each row and column of cells */
    uint8_t *ring;      /* (h, w) */
    Box *strips;        /* (h * w): runs of cells of a ring, in pixels */
} Cells;

typedef struct {
    Box box;        /* of the pixels that may be inside after refining, and of the band */
    float *inside;  /* of each pixel of the box: 0 to 1 */
    uint8_t *before; /* was it inside as the cells have it */
} Window;

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

static int lay_out(Cells *cells, const Photo *photo);
static Box find_band(Cells *cells);
static int32_t find_strips(Cells *cells, uint8_t ring, int along_columns);
static int start(Window *window, const Photo *photo, Cells *cells);
static int judge(Window *window, const Photo *photo, Cells *cells);
static void settle(Window *window, const Photo *photo, Cells *cells);
static void leave(Cells *cells, Window *window);

static int refine(const Photo *photo, Cells *cells, Window *window) {
    int failed = lay_out(cells, photo) || start(window, photo, cells) || judge(window, photo, cells);
    if (!failed) settle(window, photo, cells);
    return failed;
}

/* bonds (lines, length): how strongly pixel i of a line is tied to pixel i + 1, against 1 for its own value. On return
 * u = weighted least squares of the line v is had by two sweeps: u[i] = v[i] + ahead[i] * (u[i - 1] - v[i]) upwards,
 * then the same downwards with back[i] and u[i + 1]. (Thomas's algorithm, its two sweeps scaled to keep constants.) */
void hedgerow_pull(int32_t lines, int32_t length, const float *bonds, float *ahead, float *back) {
    for (int32_t line = 0; line < lines; line++) {
        const float *bond = bonds + (size_t)line * length;
        float *forth = ahead + (size_t)line * length, *aback = back + (size_t)line * length;
        float before = 0, passed = 0;
        for (int32_t i = 0; i < length; i++) {
            float after = i + 1 < length ? bond[i] : 0, own = 1 + before * (1 - passed);
            forth[i] = before * (1 - passed) / own;
            aback[i] = passed = after / (own + after);
            before = after;
        }
    }
}

/* pixels (height, width, 3) uint8; pull (4, height, width): hedgerow_pull's ahead and back along rows, then along
 * columns; share (h, w): how much of each cell is inside. box (4) receives top, bottom, left, right of what may be
 * inside now; mask, of the photo's size, that box column by column; area (2) the pixels inside both before and after,
 * and inside either. Returns 0, or -1 if memory ran out. */
int32_t hedgerow_refine(int32_t height, int32_t width, const uint8_t *pixels, const float *pull, int32_t h, int32_t w,
                        const float *share, int32_t *box, uint8_t *mask, int64_t *area) {
    size_t plane = (size_t)height * width;
    Photo photo = {height, width, pixels, pull, pull + plane, pull + 2 * plane, pull + 3 * plane};
    Cells cells = {h, w, share, NULL, NULL, NULL, NULL};
    Window window = {{0, 0, 0, 0}, NULL, NULL};
    int failed = refine(&photo, &cells, &window);
    area[0] = area[1] = 0;
    if (!failed) {
        Box b = window.box;
        int32_t high = b.bottom - b.top, wide = b.right - b.left;
        for (int32_t x = 0; x < wide; x++)
            for (int32_t y = 0; y < high; y++) {
                size_t at = (size_t)y * wide + x;
                uint8_t now = window.inside[at] >= 0.5f;
                mask[(size_t)x * high + y] = now;
                area[0] += now & window.before[at];
                area[1] += now | window.before[at];
            }
        memcpy(box, &b, sizeof b);
    }
    leave(&cells, &window);
    return failed ? -1 : 0;
}

/* As hedgerow_refine, for one class of a partition: where it is the strongest so far, `best` (height, width) and
 * `labels` (height, width) take its strength and its number. */
int32_t hedgerow_refine_label(int32_t height, int32_t width, const uint8_t *pixels, const float *pull, int32_t h,
                              int32_t w, const float *share, int32_t number, float *best, int32_t *labels) {
    size_t plane = (size_t)height * width;
    Photo photo = {height, width, pixels, pull, pull + plane, pull + 2 * plane, pull + 3 * plane};
    Cells cells = {h, w, share, NULL, NULL, NULL, NULL};
    Window window = {{0, 0, 0, 0}, NULL, NULL};
    int failed = refine(&photo, &cells, &window);
    if (!failed) {
        Box b = window.box;
        const float *inside = window.inside;
        for (int32_t y = b.top; y < b.bottom; y++)
            for (int32_t x = b.left; x < b.right; x++, inside++)
                if (*inside > best[(size_t)y * width + x]) {
                    best[(size_t)y * width + x] = *inside;
                    labels[(size_t)y * width + x] = number;
                }
    }
    leave(&cells, &window);
    return failed ? -1 : 0;
}

static int lay_out(Cells *cells, const Photo *photo) {
    int32_t h = cells->h, w = cells->w;
    cells->top = malloc((h + 1) * sizeof *cells->top);
    cells->left = malloc((w + 1) * sizeof *cells->left);
    cells->ring = malloc((size_t)h * w);
    cells->strips = malloc((size_t)h * w * sizeof *cells->strips);
    if (!cells->top || !cells->left || !cells->ring || !cells->strips) return -1;
    for (int32_t i = 0; i <= h; i++) cells->top[i] = (int32_t)((2 * (int64_t)i * photo->height + h - 1) / (2 * h));
    for (int32_t j = 0; j <= w; j++) cells->left[j] = (int32_t)((2 * (int64_t)j * photo->width + w - 1) / (2 * w));
    return 0;
}

/* The mask as the cells have it: shares between the middles of cells by bilinear interpolation, inside the band. */
static int start(Window *window, const Photo *photo, Cells *cells) {
    int32_t h = cells->h, w = cells->w;
    Box of = find_band(cells);
    Box b = window->box = (Box){cells->top[of.top], cells->top[of.bottom], cells->left[of.left], cells->left[of.right]};
    int32_t high = b.bottom - b.top, wide = b.right - b.left;
    size_t size = (size_t)high * wide + 1;
    window->inside = malloc(size * sizeof *window->inside);
    window->before = malloc(size);
    int32_t *cell = malloc((wide + 1) * sizeof *cell);
    float *across = malloc((wide + 1) * sizeof *across);
    int failed = !window->inside || !window->before || !cell || !across;
    for (int32_t x = 0; x < wide && !failed; x++) {
        float at = fminf(fmaxf((x + b.left + 0.5f) * w / photo->width - 0.5f, 0), w - 1);
        cell[x] = most(least((int32_t)at, w - 2), 0);
        across[x] = at - cell[x];
    }
    for (int32_t i = of.top; i < of.bottom && !failed; i++)
        for (int32_t y = cells->top[i]; y < cells->top[i + 1]; y++) {
            float at = fminf(fmaxf((y + 0.5f) * h / photo->height - 0.5f, 0), h - 1);
            int32_t row = most(least((int32_t)at, h - 2), 0), step = w > 1;
            const float *upper = cells->share + (size_t)row * w, *lower = h > 1 ? upper + w : upper;
            float down = at - row, *inside = window->inside + (size_t)(y - b.top) * wide;
            for (int32_t j = of.left; j < of.right; j++) {
                int32_t left = cells->left[j] - b.left, right = cells->left[j + 1] - b.left;
                if (cells->ring[(size_t)i * w + j] == FAR) {
                    float whole = cells->share[(size_t)i * w + j] >= 0.5f;
                    for (int32_t x = left; x < right; x++) inside[x] = whole;
                } else
                    for (int32_t x = left; x < right; x++) {
                        const float *u = upper + cell[x], *l = lower + cell[x];
                        float above = u[0] + across[x] * (u[step] - u[0]), below = l[0] + across[x] * (l[step] - l[0]);
                        inside[x] = above + down * (below - above);
                    }
            }
            uint8_t *before = window->before + (size_t)(y - b.top) * wide;
            for (int32_t x = 0; x < wide; x++) before[x] = inside[x] >= 0.5f;
        }
    free(cell);
    free(across);
    return failed;
}

/* The ring of every cell: EDGE next to a cell of the other side, corners included, and one ring a cell from there on.
 * Returns a box of all cells that are inside or in a ring. */
static Box find_band(Cells *cells) {
    int32_t h = cells->h, w = cells->w;
    Box box = {h, 0, w, 0};
    memset(cells->ring, FAR, (size_t)h * w);
    for (int32_t i = 0; i < h; i++)
        for (int32_t j = 0; j < w; j++) {
            size_t at = (size_t)i * w + j;
            int side = cells->share[at] >= 0.5f;
            if (side) box = (Box){least(box.top, i), most(box.bottom, i + 1), least(box.left, j), most(box.right, j + 1)};
            size_t later[4] = {at + 1, at + w, at + w + 1, at + w - 1};
            int there[4] = {j + 1 < w, i + 1 < h, i + 1 < h && j + 1 < w, i + 1 < h && j > 0};
            for (int k = 0; k < 4; k++)
                if (there[k] && (cells->share[later[k]] >= 0.5f) != side) cells->ring[at] = cells->ring[later[k]] = EDGE;
        }
    if (box.bottom <= box.top) return (Box){0, 0, 0, 0};
    /* three cells more on every side hold all rings */
    box = (Box){most(box.top - 3, 0), least(box.bottom + 3, h), most(box.left - 3, 0), least(box.right + 3, w)};
    for (uint8_t ring = EDGE; ring > SEEN; ring--)
        for (int32_t i = box.top; i < box.bottom; i++)
            for (int32_t j = box.left; j < box.right; j++) {
                if (cells->ring[(size_t)i * w + j] != ring) continue;
                for (int32_t k = most(i - 1, 0); k < least(i + 2, h); k++)
                    for (int32_t l = most(j - 1, 0); l < least(j + 2, w); l++)
                        if (cells->ring[(size_t)k * w + l] == FAR) cells->ring[(size_t)k * w + l] = ring - 1;
            }
    return box;
}

/* Runs of cells of this ring or an inner one, along rows or columns of cells, as boxes of pixels. Returns how many. */
static int32_t find_strips(Cells *cells, uint8_t ring, int along_columns) {
    int32_t lines = along_columns ? cells->w : cells->h, length = along_columns ? cells->h : cells->w, count = 0;
    const int32_t *line_at = along_columns ? cells->left : cells->top, *at = along_columns ? cells->top : cells->left;
    size_t step = along_columns ? cells->w : 1, stride = along_columns ? 1 : cells->w;
    for (int32_t line = 0; line < lines; line++)
        for (int32_t first = 0, last; first < length; first = last + 1) {
            const uint8_t *rings = cells->ring + line * stride;
            for (last = first; last < length && rings[last * step] >= ring;) last++;
            if (last == first) continue;
            Box across = {line_at[line], line_at[line + 1], at[first], at[last]};
            cells->strips[count++] = along_columns ? (Box){at[first], at[last], line_at[line], line_at[line + 1]} : across;
        }
    return count;
}

static int32_t colour_of(const uint8_t *pixel) {
    return pixel[0] >> (8 - BITS) << 2 * BITS | pixel[1] >> (8 - BITS) << BITS | pixel[2] >> (8 - BITS);
}

/* Bayes: the odds of the cells, times how much commoner the pixel's colour is inside than outside, along the band. */
static int judge(Window *window, const Photo *photo, Cells *cells) {
    Box b = window->box;
    int32_t wide = b.right - b.left;
    float *inner = calloc(2 * COLOURS, sizeof *inner), *outer = inner + COLOURS;
    if (!inner) return -1;
    double within = 1e-6, without = 1e-6;
    for (int32_t s = 0, count = find_strips(cells, SEEN, 0); s < count; s++)
        for (int32_t y = cells->strips[s].top; y < cells->strips[s].bottom; y++)
            for (int32_t x = cells->strips[s].left; x < cells->strips[s].right; x++) {
                int32_t colour = colour_of(photo->pixels + 3 * ((size_t)y * photo->width + x));
                float inside = window->inside[(size_t)(y - b.top) * wide + x - b.left];
                inner[colour] += inside;
                outer[colour] += 1 - inside;
                within += inside;
                without += 1 - inside;
            }
    float each_in = (float)(1 / within), each_out = (float)(1 / without);
    for (int32_t c = 0; c < COLOURS; c++) {
        float odds = (inner[c] * each_in + RARE) / (outer[c] * each_out + RARE);
        inner[c] = fminf(fmaxf(odds, 1 / MOST), MOST);
    }
    for (int32_t s = 0, count = find_strips(cells, OPEN, 0); s < count; s++)
        for (int32_t y = cells->strips[s].top; y < cells->strips[s].bottom; y++)
            for (int32_t x = cells->strips[s].left; x < cells->strips[s].right; x++) {
                float *inside = window->inside + (size_t)(y - b.top) * wide + x - b.left;
                float said = fminf(fmaxf(*inside, 1 - SURE), SURE);
                float odds = said * inner[colour_of(photo->pixels + 3 * ((size_t)y * photo->width + x))];
                *inside = odds / (odds + 1 - said);
            }
    free(inner);
    return 0;
}

static void settle(Window *window, const Photo *photo, Cells *cells) {
    Box b = window->box;
    int32_t wide = b.right - b.left, stride = photo->width;
    for (int times = 0; times < TIMES; times++) {
        for (int32_t s = 0, count = find_strips(cells, OPEN, 0); s < count; s++) {
            Box strip = cells->strips[s];
            for (int32_t y = strip.top; y < strip.bottom; y++) {
                float *inside = window->inside + (size_t)(y - b.top) * wide - b.left;
                const float *ahead = photo->right + (size_t)y * stride, *back = photo->left + (size_t)y * stride;
                for (int32_t x = most(strip.left, b.left + 1); x < strip.right; x++)
                    inside[x] += ahead[x] * (inside[x - 1] - inside[x]);
                for (int32_t x = least(strip.right, b.right - 1) - 1; x >= strip.left; x--)
                    inside[x] += back[x] * (inside[x + 1] - inside[x]);
            }
        }
        for (int32_t s = 0, count = find_strips(cells, OPEN, 1); s < count; s++) {
            Box strip = cells->strips[s];
            int32_t across = strip.right - strip.left;
            for (int32_t y = most(strip.top, b.top + 1); y < strip.bottom; y++) {
                float *inside = window->inside + (size_t)(y - b.top) * wide + strip.left - b.left;
                const float *ahead = photo->down + (size_t)y * stride + strip.left;
                for (int32_t x = 0; x < across; x++) inside[x] += ahead[x] * (inside[x - wide] - inside[x]);
            }
            for (int32_t y = least(strip.bottom, b.bottom - 1) - 1; y >= strip.top; y--) {
                float *inside = window->inside + (size_t)(y - b.top) * wide + strip.left - b.left;
                const float *back = photo->up + (size_t)y * stride + strip.left;
                for (int32_t x = 0; x < across; x++) inside[x] += back[x] * (inside[x + wide] - inside[x]);
            }
        }
    }
}

static void leave(Cells *cells, Window *window) {
    free(cells->top);
    free(cells->left);
    free(cells->ring);
    free(cells->strips);
    free(window->inside);
    free(window->before);
}
