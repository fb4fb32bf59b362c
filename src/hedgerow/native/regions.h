/* What merge.c merges: regions, the edges between them, and the heaps in which edges wait. No price is made here. */
#ifndef HEDGEROW_REGIONS_H
#define HEDGEROW_REGIONS_H

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { VANTAGES = 3, READY = VANTAGES };

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

/* Compilers turn the lanes into vector instructions; their order of adding is fixed, so the result is the same whatever
 * the width of the machine's vectors. Where the loader can choose between several versions of a function, wider ones
 * are made beside the plain one. */
#if defined __x86_64__ && defined __gnu_linux__ && defined __GNUC__ && !defined __clang__
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

WIDE static double rough_dot(State *s, const float *x, const float *y) {
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

WIDE static double exact_dot(State *s, const float *x, const float *y) {
    double lanes[16] = {0};
    int32_t d = 0;
    s->products++;
    for (; d + 16 <= s->dims; d += 16)
        for (int l = 0; l < 16; l++) lanes[l] += (double)x[d + l] * y[d + l];
    double sum = 0;
    for (; d < s->dims; d++) sum += (double)x[d] * y[d];
    for (int l = 0; l < 16; l++) sum += lanes[l];
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

#endif
