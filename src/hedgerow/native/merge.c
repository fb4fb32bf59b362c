/* Bottom-up merging of regions into one tree: the kernel of SOHES phase 1, "global clustering".
 *
 * Every region keeps the SUM of its features. The cheapest pair of neighbours merges, its sums add, its edges are
 * priced afresh; so on until no edge is left. Price of an edge between regions i and j:
 *
 *     (feature * (1 - cos(s_i, s_j)) + border * mean strength of their common border) * (min area) ** size
 *
 * With feature = 1, border = 0 and size = 0 this is SOHES as published: the pair of highest cosine first.
 *
 * WHICH PAIR IS NEXT does not hang on the machine. Sums are in single and products in double precision, prices are
 * whole steps of 2^-20; of equal prices the edge that stands first in the caller's list goes first, and when two edges
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
#include "regions.h"

static const double STEPS = 1048576.0; /* per unit of price */

/* Found by counting products on maps of 60 x 60 and 200 x 200 patches, VANTAGES with them. Half or twice of any of them
 * changes the count by a tenth or so; only with MANY = 64 it is half as much again on one kind of map. */
enum { MANY = 32, PATIENCE = 4 };

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

WIDE static void turn(State *s, int32_t i, Vantage *v) { /* measure the angle between the vantage and the region as it is */
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
        if (r->vantages[k].wasted >= PATIENCE * (int64_t)edges) {
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

static void merge_all(State *s, int32_t n, int32_t *pairs, float *prices) {
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
    merge_all(s, n, pairs, prices);
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
