/* Bottom-up merging of regions into one tree: the kernel of SOHES phase 1 (section 3.1, "global clustering").
 *
 * Every region keeps the SUM of its features. The cheapest pair of neighbours merges, its sums add, its edges are
 * priced afresh; so on until no edge is left. Price of an edge between regions i and j:
 *
 *     (feature * (1 - cos(s_i, s_j)) + border * mean strength of their common border) * (min area) ** size
 *
 * With feature = 1, border = 0 and size = 0 this is SOHES as published: the pair of highest cosine first.
 *
 * WHICH PAIR IS NEXT does not hang on rounding. Prices are whole steps of 2^-20, from sums in single and products in
 * double precision; of equal prices the edge that stands first in the caller's list goes first, and when two edges
 * become one, it keeps the earlier place.
 *
 * HOW IT STAYS FAST. An edge is priced at one of its ends, the one with more neighbours: its owner. The edges a region
 * owns stand in heaps of its own, the best edge of every region in a tournament. A merge prices the edges of the
 * merged region anew; which is cheap, unless it is a giant. A giant hardly turns when it swallows a crumb, and the
 * angle to a neighbour cannot shrink by more than the turn. So a region of MANY neighbours keeps a few VANTAGES:
 * directions it once had, with edges whose angle was measured from there. Angle less turn bounds the price from below,
 * and an edge is priced only when its bound comes out on top. As the turn is measured from the vantage, not added up
 * from step to step, a giant that sways about one direction stays near its vantages, and bounds stay tight.
 * Likewise a product in single precision bounds a price, and the exact one is computed only on top.
 * All this changes the time, never the result.
 *
 * Memory: the sums, 36 bytes an edge, about 160 a region, and three directions for each region of MANY neighbours.
 *
 * C wants the called before the caller: the file reads from its end, hedgerow_merge, backwards. */
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Found by counting products on maps of 60 x 60 and 200 x 200 patches. Half or twice of any of them changes the count by
 * a tenth or so; only with MANY = 64 it is half as much again on one kind of map. */
enum { MANY = 32, VANTAGES = 3, PATIENCE = 4, READY = VANTAGES };

static const double STEPS = 1048576.0; /* per unit of price */

/* A key is a price and an edge in one number: the bits of the price, a float >= 0, whose order is theirs, above the
 * number of the edge. An edge stands at both its ends; where it is not priced, its key is NEVER or more. */
#define NEVER ((int64_t)0x7f800000 << 32)
#define ONE_BELOW ((int64_t)1 << 32) /* a bound less this sorts before every exact price that it bounds */

typedef struct {
    int64_t *at; /* keys, least first */
    int32_t count, room;
} Heap;

typedef struct {
    float *direction;    /* of length 1 */
    double cosine, sine; /* of the angle by which the region has turned since */
    Heap heap;           /* edges by 1 - cosine as seen from here */
    int32_t wasted;      /* work done in vain since: prices of edges in this vantage or a later one */
} Vantage;

typedef struct {
    Heap ready;        /* edges priced since the region last turned, and those that its neighbours own */
    Vantage *vantages; /* VANTAGES of them, oldest first; NULL unless it has MANY neighbours */
    double norm;
    int32_t looks; /* vantages in use */
    int32_t node;  /* in the merged tree */
} Region;

typedef struct {
    int32_t end[2];
    int32_t slot[2]; /* where it stands at either end: place in the heap ... */
    int8_t list[2];  /* ... of this vantage, or READY */
    int8_t owner;    /* the end it is priced at */
    int8_t exact;    /* its price is, not only a bound */
    float now, then; /* 1 - cosine, when last priced, and from the vantage home */
    int32_t home;    /* -1: none */
} Edge;

typedef struct {
    int32_t dims, places; /* places: leaves of the tournament */
    float *sums;          /* (n, dims) */
    double *areas, *lengths, *weights;
    double feature, border, size;
    double slack; /* error of a cosine in single precision, at most */
    int pure;     /* the price is the cosine alone */
    Region *regions;
    Edge *edges;
    int64_t *best;     /* tournament: best[places + i] is the least key of region i */
    int32_t *marks;    /* the merging region's edge to each region, -1: none */
    int32_t *worklist; /* edges about to be moved */
    int64_t products;
    int32_t merges;
    jmp_buf out_of_memory;
} State;

static void *room_for(State *s, void *old, size_t count, size_t bytes) {
    void *room = realloc(old, count ? count * bytes : 1);
    if (!room) longjmp(s->out_of_memory, 1);
    return room;
}

static float *sum_of(const State *s, int32_t i) { return s->sums + (size_t)i * s->dims; }

static int side_of(const Edge *x, int32_t i) { return x->end[1] == i; }

static int32_t across(const State *s, int32_t e, int32_t i) { return s->edges[e].end[s->edges[e].end[0] == i]; }

static int64_t key_of(double value, int32_t e) {
    float rounded = (float)value;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (int64_t)bits << 32 | e;
}

static double value_of(int64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int32_t edge_of(int64_t key) { return (int32_t)(key & 0x7fffffff); }

/* ---------------------------------------------------------------- products */

/* Compilers turn the lanes into vector instructions; their order of adding is fixed, so the result is too. */
static double rough_dot(State *s, const float *x, const float *y) {
    float lanes[16] = {0};
    int32_t d = 0;
    s->products++;
    for (; d + 16 <= s->dims; d += 16)
        for (int l = 0; l < 16; l++) lanes[l] += x[d + l] * y[d + l];
    double sum = 0;
    for (; d < s->dims; d++) sum += (double)x[d] * y[d];
    for (int l = 0; l < 16; l++) sum += lanes[l];
    return sum;
}

static double exact_dot(State *s, const float *x, const float *y) {
    double lanes[4] = {0};
    int32_t d = 0;
    s->products++;
    for (; d + 4 <= s->dims; d += 4)
        for (int l = 0; l < 4; l++) lanes[l] += (double)x[d + l] * y[d + l];
    double sum = lanes[0] + lanes[1] + lanes[2] + lanes[3];
    for (; d < s->dims; d++) sum += (double)x[d] * y[d];
    return sum;
}

static double length_of(State *s, int32_t i) {
    double norm = sqrt(exact_dot(s, sum_of(s, i), sum_of(s, i)));
    return norm > 1e-15 ? norm : 0; /* the largest feature is near 1: below this, squares leave single precision */
}

/* ---------------------------------------------------------------- the heaps of a region */

static Heap *heap_of(const State *s, int32_t i, int list) {
    return list == READY ? &s->regions[i].ready : &s->regions[i].vantages[list].heap;
}

static void put(State *s, int32_t i, Heap *heap, int32_t at, int64_t key) {
    Edge *x = s->edges + edge_of(key);
    heap->at[at] = key;
    x->slot[side_of(x, i)] = at;
}

static void settle(State *s, int32_t i, Heap *heap, int32_t at) { /* bring the key at this place where it belongs */
    int64_t key = heap->at[at];
    int32_t from = at;
    for (; at > 0 && key < heap->at[(at - 1) / 2]; at = (at - 1) / 2) put(s, i, heap, at, heap->at[(at - 1) / 2]);
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && heap->at[child + 1] < heap->at[child]) child++;
        if (heap->at[child] >= key) break;
        put(s, i, heap, at, heap->at[child]);
        at = child;
    }
    if (at != from) put(s, i, heap, at, key);
}

static void enter(State *s, int32_t i, int list, int64_t key) {
    Heap *heap = heap_of(s, i, list);
    Edge *x = s->edges + edge_of(key);
    if (heap->count == heap->room) {
        int32_t room = heap->room ? 2 * heap->room : 4;
        heap->at = room_for(s, heap->at, room, sizeof *heap->at);
        heap->room = room;
    }
    x->list[side_of(x, i)] = (int8_t)list;
    put(s, i, heap, heap->count++, key);
    settle(s, i, heap, heap->count - 1);
}

static void leave(State *s, int32_t i, int32_t e) {
    Edge *x = s->edges + e;
    Heap *heap = heap_of(s, i, x->list[side_of(x, i)]);
    int32_t at = x->slot[side_of(x, i)];
    int64_t last = heap->at[--heap->count];
    if (at == heap->count) return;
    put(s, i, heap, at, last);
    settle(s, i, heap, at);
}

static void stand(State *s, int32_t i, int list, int64_t key) { /* the edge of the key, wherever it stood at i */
    int32_t e = edge_of(key);
    Edge *x = s->edges + e;
    if (x->list[side_of(x, i)] == list) {
        Heap *heap = heap_of(s, i, list);
        int32_t at = x->slot[side_of(x, i)];
        if (heap->at[at] == key) return;
        heap->at[at] = key;
        settle(s, i, heap, at);
    } else {
        leave(s, i, e);
        enter(s, i, list, key);
    }
}

static int32_t neighbours(const State *s, int32_t i) {
    const Region *r = s->regions + i;
    int32_t count = r->ready.count;
    for (int k = 0; k < r->looks; k++) count += r->vantages[k].heap.count;
    return count;
}

static int larger(const State *s, int32_t a, int32_t b) { /* the larger of two owns their edge and swallows the other */
    int giant_a = s->regions[a].vantages != NULL, giant_b = s->regions[b].vantages != NULL;
    if (giant_a != giant_b) return giant_a;
    int32_t count_a = neighbours(s, a), count_b = neighbours(s, b);
    return count_a != count_b ? count_a > count_b : a < b;
}

/* ---------------------------------------------------------------- prices */

static double cost_of(State *s, int32_t e, int exact) {
    Edge *x = s->edges + e;
    int32_t a = x->end[0], b = x->end[1];
    double cost = 0;
    if (s->feature != 0) {
        double norms = s->regions[a].norm * s->regions[b].norm, cosine = 0;
        if (norms > 0) cosine = (exact ? exact_dot : rough_dot)(s, sum_of(s, a), sum_of(s, b)) / norms;
        x->now = cosine < 1 ? (float)(1 - cosine) : 0;
        cost += s->feature * (1 - cosine);
    }
    if (s->border != 0) cost += s->border * s->weights[e] / s->lengths[e];
    if (s->size != 0) cost *= pow(fmin(s->areas[a], s->areas[b]), s->size);
    return cost;
}

static int64_t exact_price(State *s, int32_t e) {
    s->edges[e].exact = 1;
    double cost = cost_of(s, e, 1);
    return key_of(cost > 0 ? (double)llrint(cost * STEPS) : 0, e);
}

static int64_t price_at_least(const State *s, double gap, int32_t e) { /* 1 - cosine is no less than this gap */
    double steps = s->feature * (gap - s->slack) * STEPS - 0.5;
    return key_of(steps > 0 ? (double)(int64_t)steps : 0, e) - ONE_BELOW;
}

static int64_t rough_price(State *s, int32_t e) {
    if (!s->pure) return exact_price(s, e);
    cost_of(s, e, 0);
    s->edges[e].exact = 0;
    return price_at_least(s, s->edges[e].now, e);
}

static int64_t price_from(const State *s, const Vantage *v) { /* bound for all edges of the vantage, from its first */
    double cosine = 1 - value_of(v->heap.at[0]) + s->slack;
    double nearest = 1; /* cosine of (angle then, less the turn since) */
    if (cosine < v->cosine) nearest = cosine * v->cosine + sqrt(fmax(1 - cosine * cosine, 0)) * v->sine;
    return price_at_least(s, 1 - nearest, edge_of(v->heap.at[0]));
}

static void announce(State *s, int32_t i) { /* the best edge of region i, up the tournament as far as it matters */
    Region *r = s->regions + i;
    int64_t key = r->ready.count ? r->ready.at[0] : NEVER;
    for (int k = 0; k < r->looks; k++) {
        if (!r->vantages[k].heap.count) continue;
        int64_t bound = price_from(s, r->vantages + k);
        if (bound < key) key = bound;
    }
    for (int32_t at = s->places + i; s->best[at] != key; at /= 2) {
        s->best[at] = key;
        if (at == 1) break;
        if (s->best[at ^ 1] < key) key = s->best[at ^ 1];
    }
}

static void price_anew(State *s, int32_t e) {
    Edge *x = s->edges + e;
    x->owner = !larger(s, x->end[0], x->end[1]);
    x->home = -1;
    stand(s, x->end[!x->owner], READY, NEVER | e);
    stand(s, x->end[x->owner], READY, rough_price(s, e));
}

/* ---------------------------------------------------------------- vantages of a giant */

static void see_from(State *s, int32_t i, int k, int32_t e, double gap) {
    Edge *x = s->edges + e;
    x->home = k;
    x->then = (float)gap;
    stand(s, i, k, key_of(gap, e));
}

static void look_from(State *s, int32_t i, int k, int32_t e) {
    int32_t other = across(s, e, i);
    double norm = s->regions[other].norm, cosine = 0;
    if (norm > 0) cosine = rough_dot(s, s->regions[i].vantages[k].direction, sum_of(s, other)) / norm;
    see_from(s, i, k, e, cosine < 1 ? 1 - cosine : 0);
}

static void turn(State *s, int32_t i, Vantage *v) { /* measure the angle between the vantage and the region as it is */
    const float *x = sum_of(s, i), *y = v->direction;
    float lanes[16] = {0}, scale = (float)(1 / s->regions[i].norm);
    double square = 0;
    int32_t d = 0;
    s->products++;
    for (; d + 16 <= s->dims; d += 16)
        for (int l = 0; l < 16; l++) lanes[l] += (x[d + l] * scale - y[d + l]) * (x[d + l] * scale - y[d + l]);
    for (; d < s->dims; d++) square += (double)(x[d] * scale - y[d]) * (x[d] * scale - y[d]);
    for (int l = 0; l < 16; l++) square += lanes[l];
    /* the chord keeps small angles exact where a cosine would not; it errs by two roundings of a unit vector */
    double chord = fmin(sqrt(square) * (1 + s->slack) + 0x1p-21, 2);
    v->cosine = 1 - chord * chord / 2;
    v->sine = chord * sqrt(1 - chord * chord / 4);
}

static void forget(Vantage *v) {
    free(v->direction);
    free(v->heap.at);
    memset(v, 0, sizeof *v);
}

static int place_to_look_from(Region *r) {
    /* The oldest vantage whose edges cost less to look at anew than was wasted by not doing so; else one more. */
    int32_t edges = 0;
    for (int k = 0; k < r->looks; k++) edges += r->vantages[k].heap.count;
    for (int k = 0; k < r->looks; k++) {
        if (r->vantages[k].wasted >= PATIENCE * edges) {
            for (int older = 0; older < k; older++) r->vantages[older].wasted += edges;
            return k;
        }
        edges -= r->vantages[k].heap.count;
    }
    return r->looks;
}

/* The region is about to turn: what was priced since its last turn is kept as seen from the direction it has now. */
static void keep_what_is_priced(State *s, int32_t i) {
    Region *r = s->regions + i;
    int32_t priced = 0, *edges = s->worklist;
    for (int32_t at = 0; at < r->ready.count; at++)
        if (r->ready.at[at] < NEVER) edges[priced++] = edge_of(r->ready.at[at]);
    if (!priced) return;

    int k = place_to_look_from(r), newest = r->looks - 1;
    if (k == VANTAGES) { /* the newest must do */
        for (int32_t c = 0; c < priced; c++) {
            const Edge *x = s->edges + edges[c];
            if (x->home == newest) see_from(s, i, newest, edges[c], x->then);
            else look_from(s, i, newest, edges[c]);
        }
        return;
    }
    Vantage *v = r->vantages + k;
    if (!v->direction) v->direction = room_for(s, NULL, s->dims, sizeof *v->direction);
    float scale = (float)(1 / r->norm);
    for (int32_t d = 0; d < s->dims; d++) v->direction[d] = sum_of(s, i)[d] * scale;
    v->wasted = 0;
    int32_t all = priced;
    for (int old = k; old <= newest; old++)
        for (int32_t at = 0; at < r->vantages[old].heap.count; at++)
            edges[all++] = edge_of(r->vantages[old].heap.at[at]);
    if (k > newest) r->looks = k + 1;
    for (int32_t c = 0; c < all; c++) {
        if (c < priced) see_from(s, i, k, edges[c], s->edges[edges[c]].now);
        else look_from(s, i, k, edges[c]);
    }
    for (; r->looks > k + 1; r->looks--) forget(r->vantages + r->looks - 1);
}

static void become_giant(State *s, int32_t i) {
    Region *r = s->regions + i;
    r->vantages = room_for(s, NULL, VANTAGES, sizeof *r->vantages);
    memset(r->vantages, 0, VANTAGES * sizeof *r->vantages);
}

static void be_small_again(State *s, int32_t i) { /* its edges are to be priced anew */
    Region *r = s->regions + i;
    for (; r->looks > 0; r->looks--) {
        Vantage *v = r->vantages + r->looks - 1;
        for (int32_t at = 0; at < v->heap.count; at++) enter(s, i, READY, NEVER | edge_of(v->heap.at[at]));
        forget(v);
    }
    free(r->vantages);
    r->vantages = NULL;
}

/* ---------------------------------------------------------------- merging two regions */

static int32_t edge_between(const State *s, int32_t i, int32_t other) {
    if (!s->regions[i].vantages) return s->marks[other];
    if (s->regions[other].vantages && neighbours(s, i) < neighbours(s, other)) { /* search the shorter of two fans */
        int32_t swap = i;
        i = other, other = swap;
    }
    for (int list = 0; list <= READY; list++) {
        if (list < READY && list >= s->regions[other].looks) continue;
        const Heap *heap = heap_of(s, other, list);
        for (int32_t at = 0; at < heap->count; at++)
            if (across(s, edge_of(heap->at[at]), other) == i) return edge_of(heap->at[at]);
    }
    return -1;
}

static void fold(State *s, int32_t kept, int32_t gone) { /* two stretches of one border become one */
    if (s->border == 0) return;
    s->lengths[kept] += s->lengths[gone];
    s->weights[kept] += s->weights[gone];
}

static void move_edge(State *s, int32_t i, int32_t j, int32_t e) { /* from j, which goes, to i */
    Edge *x = s->edges + e;
    int side = side_of(x, j);
    int32_t other = x->end[!side], twin = edge_between(s, i, other);
    if (twin >= 0 && twin < e) {
        fold(s, twin, e);
        leave(s, other, e);
        announce(s, other);
        return;
    }
    if (twin >= 0) {
        fold(s, e, twin);
        leave(s, other, twin);
        leave(s, i, twin);
    }
    x->end[side] = i;
    enter(s, i, READY, NEVER | e);
    s->marks[other] = e;
}

static void mark(State *s, int32_t i, int known) {
    const Heap *ready = &s->regions[i].ready;
    for (int32_t at = 0; at < ready->count; at++)
        s->marks[across(s, edge_of(ready->at[at]), i)] = known ? edge_of(ready->at[at]) : -1;
}

static void take_edges(State *s, int32_t i, int32_t j) {
    Region *gone = s->regions + j;
    mark(s, i, 1);
    for (int list = 0; list <= READY; list++) {
        if (list < READY && list >= gone->looks) continue;
        const Heap *heap = heap_of(s, j, list);
        for (int32_t at = 0; at < heap->count; at++) move_edge(s, i, j, edge_of(heap->at[at]));
    }
    mark(s, i, 0);
    for (; gone->looks > 0; gone->looks--) forget(gone->vantages + gone->looks - 1);
    free(gone->vantages);
    free(gone->ready.at);
    memset(gone, 0, sizeof *gone);
    announce(s, j);
}

static void price_edges(State *s, int32_t i) { /* all of them; of a giant, those that no vantage has */
    const Heap *ready = &s->regions[i].ready;
    int32_t count = ready->count;
    for (int32_t at = 0; at < count; at++) s->worklist[at] = edge_of(ready->at[at]);
    for (int32_t c = 0; c < count; c++) {
        price_anew(s, s->worklist[c]);
        announce(s, across(s, s->worklist[c], i));
    }
}

static void merge(State *s, int32_t e, int32_t *pair, float *price, int32_t node) {
    Edge *x = s->edges + e;
    int end = !larger(s, x->end[0], x->end[1]);
    int32_t i = x->end[end], j = x->end[!end]; /* i lives on */
    Region *r = s->regions + i, *gone = s->regions + j;
    pair[0] = r->node < gone->node ? r->node : gone->node;
    pair[1] = r->node < gone->node ? gone->node : r->node;
    *price = (float)(value_of(s->regions[x->end[x->owner]].ready.at[0]) / STEPS);
    r->node = node;
    leave(s, i, e);
    leave(s, j, e);

    if (r->vantages) keep_what_is_priced(s, i);
    float *sum = sum_of(s, i);
    const float *more = sum_of(s, j);
    for (int32_t d = 0; d < s->dims; d++) sum[d] += more[d];
    if (s->size != 0) s->areas[i] += s->areas[j];
    r->norm = length_of(s, i);
    take_edges(s, i, j);

    int32_t count = neighbours(s, i);
    if (r->vantages && (count <= MANY / 2 || r->norm == 0)) be_small_again(s, i);
    if (!r->vantages && count > MANY && r->norm > 0 && s->pure) become_giant(s, i);
    for (int k = 0; k < r->looks; k++) turn(s, i, r->vantages + k);
    price_edges(s, i);
    announce(s, i);
}

/* ---------------------------------------------------------------- the whole run */

static void prepare(State *s, int32_t n, int32_t m, const int32_t *ends) {
    s->pure = s->feature != 0 && s->border == 0 && s->size == 0;
    s->slack = (s->dims / 16 + 12) * 0x1p-23; /* a lane adds dims / 16 products, each rounding by 2^-24, norms too */
    for (s->places = 1; s->places < n;) s->places *= 2;
    s->regions = room_for(s, NULL, n, sizeof *s->regions);
    memset(s->regions, 0, n * sizeof *s->regions);
    s->edges = room_for(s, NULL, m, sizeof *s->edges);
    s->best = room_for(s, NULL, 2 * (size_t)s->places, sizeof *s->best);
    s->marks = room_for(s, NULL, n, sizeof *s->marks);
    s->worklist = room_for(s, NULL, m, sizeof *s->worklist);
    for (int32_t i = 0; i < n; i++) {
        s->regions[i].node = i;
        s->regions[i].norm = length_of(s, i);
        s->marks[i] = -1;
    }
    for (int32_t e = 0; e < m; e++) {
        s->edges[e] = (Edge){.end = {ends[2 * (size_t)e], ends[2 * (size_t)e + 1]}};
        enter(s, s->edges[e].end[0], READY, NEVER | e);
        enter(s, s->edges[e].end[1], READY, NEVER | e);
    }
    for (int32_t e = 0; e < m; e++) price_anew(s, e);
    for (int32_t at = 0; at < 2 * s->places; at++) s->best[at] = NEVER;
    for (int32_t i = 0; i < n; i++) announce(s, i);
}

static void release(State *s, int32_t n) {
    for (int32_t i = 0; s->regions && i < n; i++) {
        free(s->regions[i].ready.at);
        for (int k = 0; s->regions[i].vantages && k < VANTAGES; k++) forget(s->regions[i].vantages + k);
        free(s->regions[i].vantages);
    }
    free(s->regions);
    free(s->edges);
    free(s->best);
    free(s->marks);
    free(s->worklist);
    free(s);
}

/* n regions of dims features, m edges (pairs of regions, none twice). sums (n, dims), the largest value near 1; areas
 * (n), read if size is not 0; lengths and weights (m), a weight being length times strength, read if border is not 0.
 * All four are overwritten. pairs (n - 1, 2) takes the two tree nodes of each merge: 0..n-1 are the regions given,
 * n + k is the region that merge k made. prices (n - 1) takes the price of each merge, products how many products of
 * two features it took. Returns the number of merges, fewer than n - 1 if the graph falls apart, or -1 if memory ran
 * out. */
int32_t hedgerow_merge(int32_t n, int32_t dims, float *sums, double *areas, int32_t m, const int32_t *ends,
                       double *lengths, double *weights, double feature, double border, double size, int32_t *pairs,
                       float *prices, int64_t *products) {
    State *s = calloc(1, sizeof *s);
    if (!s) return -1;
    s->dims = dims, s->sums = sums, s->areas = areas, s->lengths = lengths, s->weights = weights;
    s->feature = feature, s->border = border, s->size = size;
    if (setjmp(s->out_of_memory)) {
        release(s, n);
        return -1;
    }
    prepare(s, n, m, ends);
    while (s->best[1] < NEVER) {
        int32_t e = edge_of(s->best[1]);
        Edge *x = s->edges + e;
        int32_t i = x->end[x->owner];
        int list = x->list[x->owner];
        if (list == READY && x->exact) {
            merge(s, e, pairs + 2 * (size_t)s->merges, prices + s->merges, n + s->merges);
            s->merges++;
            continue;
        }
        for (int k = 0; list < READY && k <= list; k++) s->regions[i].vantages[k].wasted++;
        stand(s, i, READY, list == READY ? exact_price(s, e) : rough_price(s, e));
        announce(s, i);
    }
    int32_t merges = s->merges;
    *products = s->products;
    release(s, n);
    return merges;
}

/* Where the leaves of each tree node stand when every node is one run: start and stop (leaves + merges); parent too. */
void hedgerow_lay_out(int32_t leaves, int32_t merges, const int32_t *pairs, int32_t *parent, int32_t *start,
                      int32_t *stop) {
    int32_t placed = 0;
    for (int32_t i = 0; i < leaves; i++) stop[i] = 1; /* for now: how many leaves */
    for (int32_t i = 0; i < leaves + merges; i++) parent[i] = -1;
    for (int32_t k = 0; k < merges; k++) {
        const int32_t *pair = pairs + 2 * (size_t)k;
        parent[pair[0]] = parent[pair[1]] = leaves + k;
        stop[leaves + k] = stop[pair[0]] + stop[pair[1]];
    }
    for (int32_t i = 0; i < leaves + merges; i++) {
        if (parent[i] >= 0) continue;
        start[i] = placed;
        placed += stop[i];
    }
    for (int32_t k = merges - 1; k >= 0; k--) {
        const int32_t *pair = pairs + 2 * (size_t)k;
        start[pair[0]] = start[leaves + k];
        start[pair[1]] = start[leaves + k] + stop[pair[0]];
    }
    for (int32_t i = 0; i < leaves + merges; i++) stop[i] += start[i];
}
