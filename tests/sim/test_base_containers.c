/* SPDX-License-Identifier: MIT */
/*
 * test_base_containers.c - lists, trees, sparse arrays and bitmaps against
 * plain models, under random operation sequences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include <mmkit/errno.h>

#include "base/bitmap.h"
#include "base/interval_tree.h"
#include "base/list.h"
#include "base/rbtree.h"
#include "base/xarray.h"
#include "base_seed.h"

/* ---- lists
 * ------------------------------------------------------------------- */

struct item {
	int id;
	struct list_head link;
	struct hlist_node hash;
};

/* The list's ids, in order, are IDS. */
static void expect_ids(struct list_head *head, const int *ids, size_t n)
{
	struct item *it;
	size_t i = 0;

	list_for_each_entry (it, head, link) {
		assert_true(i < n);
		assert_int_equal(it->id, ids[i++]);
	}
	assert_int_equal(i, n);
	list_for_each_entry_reverse (it, head, link)
		assert_int_equal(it->id, ids[--i]);
	assert_int_equal(list_count_nodes(head), n);
}

static void list_basic(void **state)
{
	struct item it[4];
	struct item *p, *n;
	LIST_HEAD(a);
	LIST_HEAD(b);

	(void)state;
	for (int i = 0; i < 4; i++)
		it[i].id = i;
	assert_true(list_empty(&a));
	assert_null(list_first_entry_or_null(&a, struct item, link));
	list_add(&it[1].link, &a);
	assert_true(list_is_singular(&a));
	list_add(&it[0].link, &a);
	list_add_tail(&it[2].link, &a);
	list_add_tail(&it[3].link, &b);
	expect_ids(&a, (int[]){0, 1, 2}, 3);
	assert_false(list_is_singular(&a));
	assert_ptr_equal(list_last_entry(&a, struct item, link), &it[2]);
	assert_ptr_equal(list_next_entry(&it[0], link), &it[1]);
	list_move(&it[2].link, &a);
	expect_ids(&a, (int[]){2, 0, 1}, 3);
	list_move_tail(&it[0].link, &b);
	expect_ids(&b, (int[]){3, 0}, 2);
	list_splice_init(&b, &a);
	expect_ids(&a, (int[]){3, 0, 2, 1}, 4);
	assert_true(list_empty(&b));
	list_splice_tail_init(&a, &b);
	expect_ids(&b, (int[]){3, 0, 2, 1}, 4);
	list_for_each_entry_safe (p, n, &b, link) {
		if (p->id & 1)
			list_del_init(&p->link);
	}
	expect_ids(&b, (int[]){0, 2}, 2);
	assert_true(list_empty(&it[3].link));
	list_replace(&it[0].link, &it[1].link);
	expect_ids(&b, (int[]){1, 2}, 2);
	list_del(&it[1].link);
	assert_ptr_equal(it[1].link.next, LIST_POISON1);
}

/* A model array under random moves between two lists. */
static void list_random(void **state)
{
	enum { N = 24 };
	struct item it[N];
	int order[2][N], nr[2] = {N, 0};
	LIST_HEAD(a);
	LIST_HEAD(b);
	struct list_head *head[2] = {&a, &b};
	struct prng r;

	(void)state;
	test_seed(&r, "list_random");
	for (int i = 0; i < N; i++) {
		it[i].id = i;
		order[0][i] = i;
		list_add_tail(&it[i].link, &a);
	}
	for (u64 k = test_iters(20000); k > 0; k--) {
		int from = (int)prng_below(&r, 2), to = (int)prng_below(&r, 2);
		bool tail = prng_below(&r, 2);
		int at, id;

		if (!nr[from])
			continue;
		at = (int)prng_below(&r, (u64)nr[from]);
		id = order[from][at];
		nr[from]--;
		memmove(&order[from][at], &order[from][at + 1],
			(size_t)(nr[from] - at) * sizeof(int));
		if (tail) {
			order[to][nr[to]] = id;
			list_move_tail(&it[id].link, head[to]);
		} else {
			memmove(&order[to][1], &order[to][0],
				(size_t)nr[to] * sizeof(int));
			order[to][0] = id;
			list_move(&it[id].link, head[to]);
		}
		nr[to]++;
		if (k % 64 == 0) {
			expect_ids(&a, order[0], (size_t)nr[0]);
			expect_ids(&b, order[1], (size_t)nr[1]);
		}
	}
}

static void hlist_basic(void **state)
{
	struct hlist_head h = HLIST_HEAD_INIT;
	struct hlist_node *n;
	struct item it[5], *p;
	int sum = 0;

	(void)state;
	assert_true(hlist_empty(&h));
	for (int i = 0; i < 5; i++) {
		it[i].id = i;
		INIT_HLIST_NODE(&it[i].hash);
		hlist_add_head(&it[i].hash, &h);
	}
	hlist_del_init(&it[2].hash);
	hlist_del_init(&it[2].hash);
	assert_true(hlist_unhashed(&it[2].hash));
	hlist_for_each_entry(p, &h, hash) sum = sum * 10 + p->id;
	assert_int_equal(sum, 4310);
	hlist_for_each_entry_safe(p, n, &h, hash) hlist_del_init(&p->hash);
	assert_true(hlist_empty(&h));
}

/* ---- red-black tree
 * -------------------------------------------------------------- */

struct num {
	struct rb_node rb;
	u64 key, sum; /* sum: of the keys of the subtree */
	bool in;
};

static bool num_sum(struct num *n, bool exit_same)
{
	u64 sum = n->key;

	if (n->rb.left)
		sum += rb_entry(n->rb.left, struct num, rb)->sum;
	if (n->rb.right)
		sum += rb_entry(n->rb.right, struct num, rb)->sum;
	if (exit_same && n->sum == sum)
		return true;
	n->sum = sum;
	return false;
}

RB_DECLARE_CALLBACKS(static, num_augment, struct num, rb, sum, num_sum);

static int num_cmp(const struct rb_node *a, const struct rb_node *b)
{
	u64 x = rb_entry(a, struct num, rb)->key;
	u64 y = rb_entry(b, struct num, rb)->key;

	return x < y ? -1 : x > y;
}

static bool num_less(struct rb_node *a, const struct rb_node *b)
{
	return num_cmp(a, b) < 0;
}

static int num_key_cmp(const void *key, const struct rb_node *n)
{
	u64 x = *(const u64 *)key, y = rb_entry(n, struct num, rb)->key;

	return x < y ? -1 : x > y;
}

static void num_insert(struct num *n, struct rb_root *root, bool augmented)
{
	struct rb_node **link = &root->rb_node, *up = NULL;

	if (!augmented) {
		rb_add(&n->rb, root, num_less);
		return;
	}
	while (*link) {
		up = *link;
		link = num_less(&n->rb, up) ? &up->left : &up->right;
	}
	n->sum = n->key;
	rb_link_node(&n->rb, up, link);
	rb_insert_augmented(&n->rb, root, &num_augment);
}

/* Every sum, computed afresh, is what the tree keeps. */
static u64 check_sums(struct rb_node *n)
{
	struct num *x = rb_entry_safe(n, struct num, rb);
	u64 sum;

	if (!x)
		return 0;
	sum = x->key + check_sums(n->left) + check_sums(n->right);
	assert_int_equal(sum, x->sum);
	return sum;
}

static void check_walks(struct rb_root *root, u64 expect)
{
	struct rb_node *n, *last = NULL;
	struct num *x, *next;
	u64 count = 0, post = 0;

	for (n = rb_first(root); n; n = rb_next(n)) {
		assert_ptr_equal(rb_prev(n), last);
		last = n;
		count++;
	}
	assert_ptr_equal(rb_last(root), last);
	rbtree_postorder_for_each_entry_safe(x, next, root, rb) post++;
	assert_int_equal(count, expect);
	assert_int_equal(post, expect);
}

static void rbtree_run(bool augmented, u64 key_space)
{
	enum { N = 300 };
	struct num *n = calloc(N, sizeof(*n));
	struct rb_root root = RB_ROOT;
	u64 count = 0;
	struct prng r;

	assert_non_null(n);
	test_seed(&r, augmented ? "rbtree augmented" : "rbtree plain");
	for (u64 k = 0; k < test_iters(20000); k++) {
		/* Grow and shrink in turn. */
		bool grow = (k / 700) % 2 == 0;
		struct num *x = &n[prng_below(&r, N)];

		if (x->in == grow && !prng_one_in(&r, 4))
			continue;
		if (x->in && augmented) {
			rb_erase_augmented(&x->rb, &root, &num_augment);
		} else if (x->in) {
			rb_erase(&x->rb, &root);
		} else {
			x->key = prng_below(&r, key_space);
			num_insert(x, &root, augmented);
		}
		x->in = !x->in;
		count += x->in ? 1 : -1ul;
		assert_true(rb_check(&root, num_cmp));
		if (augmented)
			check_sums(root.rb_node);
		if (x->in)
			assert_non_null(rb_find(&x->key, &root, num_key_cmp));
		if (k % 50 == 0)
			check_walks(&root, count);
	}
	free(n);
}

static void rbtree_plain(void **state)
{
	(void)state;
	rbtree_run(false, 1000000);
	rbtree_run(false, 20);
}

static void rbtree_augmented(void **state)
{
	(void)state;
	rbtree_run(true, 1000000);
}

/* All insertion and removal orders of six nodes. */
static void rbtree_small_scope(void **state)
{
	enum { N = 6, PERMS = 720 };
	struct num n[N];

	(void)state;
	for (int in = 0; in < PERMS; in++) {
		for (int out = in % 5; out < PERMS; out += 5) {
			int order[2] = {in, out};
			struct rb_root root = RB_ROOT;

			for (int pass = 0; pass < 2; pass++) {
				bool used[N] = {false};
				int code = order[pass];

				for (int left = N; left > 0; left--) {
					int pick = code % left, i = 0;

					code /= left;
					while (used[i] || pick-- > 0)
						i++;
					used[i] = true;
					n[i].key = (u64)i;
					if (pass == 0)
						num_insert(&n[i], &root, true);
					else
						rb_erase_augmented(
							&n[i].rb, &root,
							&num_augment);
					if (!rb_check(&root, num_cmp))
						fail();
				}
			}
			assert_true(RB_EMPTY_ROOT(&root));
		}
	}
}

static void rbtree_replace_and_cached(void **state)
{
	struct rb_root_cached root = RB_ROOT_CACHED;
	struct num n[30], spare;

	(void)state;
	for (u64 i = 30; i-- > 0;) {
		struct rb_node **link = &root.rb_root.rb_node, *up = NULL;

		n[i].key = i;
		while (*link) {
			up = *link;
			link = num_less(&n[i].rb, up) ? &up->left : &up->right;
		}
		rb_link_node(&n[i].rb, up, link);
		rb_insert_color_cached(&n[i].rb, &root, true);
	}
	assert_ptr_equal(rb_first_cached(&root), &n[0].rb);
	rb_erase_cached(&n[0].rb, &root);
	assert_ptr_equal(rb_first_cached(&root), &n[1].rb);
	spare.key = 20;
	rb_replace_node(&n[20].rb, &spare.rb, &root.rb_root);
	assert_true(rb_check(&root.rb_root, num_cmp));
	assert_ptr_equal(rb_next(&n[19].rb), &spare.rb);
}

/* The checker sees what it is there for. */
static void rbtree_check_detects(void **state)
{
	struct rb_root root = RB_ROOT;
	struct num n[20];

	(void)state;
	for (u64 i = 0; i < 20; i++) {
		n[i].key = i;
		num_insert(&n[i], &root, false);
	}
	assert_true(rb_check(&root, num_cmp));
	n[5].key = 100;
	assert_false(rb_check(&root, num_cmp));
	n[5].key = 5;
	for (int i = 0; i < 20; i++) {
		n[i].rb.parent_color ^= 1;
		assert_false(rb_check(&root, num_cmp));
		n[i].rb.parent_color ^= 1;
	}
	assert_true(rb_check(&root, num_cmp));
}

/* ---- interval tree
 * ------------------------------------------------------------------- */

struct span {
	struct rb_node rb;
	u64 start, last, subtree_last;
	bool in, hit;
};

#define SPAN_START(s) ((s)->start)
#define SPAN_LAST(s)  ((s)->last)

INTERVAL_TREE_DEFINE(struct span, rb, u64, subtree_last, SPAN_START, SPAN_LAST,
		     static inline, span_tree);

/* The hits of [FROM, TO] are exactly the overlapping ones, by start. */
static void check_overlaps(struct span *s, u64 n, struct rb_root *root,
			   u64 from, u64 to)
{
	struct span *it;
	u64 before = 0;

	for (u64 i = 0; i < n; i++)
		s[i].hit = false;
	for (it = span_tree_iter_first(root, from, to); it;
	     it = span_tree_iter_next(it, from, to)) {
		assert_true(it->in && !it->hit);
		assert_true(it->start >= before);
		before = it->start;
		it->hit = true;
	}
	for (u64 i = 0; i < n; i++) {
		bool over = s[i].in && s[i].start <= to && s[i].last >= from;

		assert_int_equal(over, s[i].hit);
	}
}

static void interval_tree_random(void **state)
{
	enum { N = 120, SPACE = 400 };
	struct span *s = calloc(N, sizeof(*s));
	struct rb_root root = RB_ROOT;
	struct prng r;

	(void)state;
	assert_non_null(s);
	test_seed(&r, "interval_tree_random");
	for (u64 k = test_iters(15000); k > 0; k--) {
		struct span *x = &s[prng_below(&r, N)];
		u64 from = prng_below(&r, SPACE);
		u64 to = from + prng_below(&r, prng_one_in(&r, 4) ? 100 : 4);

		if (x->in) {
			span_tree_remove(x, &root);
		} else {
			x->start = prng_below(&r, SPACE);
			x->last = x->start +
				  prng_below(&r, prng_one_in(&r, 8) ? 150 : 9);
			span_tree_insert(x, &root);
		}
		x->in = !x->in;
		assert_true(rb_check(&root, NULL));
		check_overlaps(s, N, &root, from, to);
	}
	check_overlaps(s, N, &root, 0, UINT64_MAX);
	free(s);
}

/* ---- xarray
 * ----------------------------------------------------------------------------
 */

static u64 nodes_out;

static void *node_alloc(void *arg, size_t size)
{
	if (arg && *(u64 *)arg == 0)
		return NULL;
	if (arg)
		--*(u64 *)arg;
	nodes_out++;
	return malloc(size);
}

static void node_free(void *arg, void *node)
{
	(void)arg;
	nodes_out--;
	free(node);
}

/* A model: indices in use, unordered. */
struct model {
	u64 index;
	void *entry;
	bool mark[XA_NR_MARKS];
};

#define MODEL_MAX 400

struct xa_run {
	struct xarray xa;
	struct xa_preload pl;
	struct model m[MODEL_MAX];
	u64 nr;
	struct prng r;
};

/* Indices cluster, at all magnitudes, so that nodes are shared and split. */
static u64 pick_index(struct prng *r)
{
	u64 base = prng_u64(r) >> prng_below(r, 64);

	if (prng_one_in(r, 50))
		return UINT64_MAX - prng_below(r, 3);
	if (prng_one_in(r, 2))
		base = (prng_below(r, 4) * 64 + 7) << (6 * prng_below(r, 9));
	return base + prng_below(r, 20);
}

static struct model *model_find(struct xa_run *run, u64 index)
{
	for (u64 i = 0; i < run->nr; i++) {
		if (run->m[i].index == index)
			return &run->m[i];
	}
	return NULL;
}

static void xa_do_store(struct xa_run *run, u64 index)
{
	struct model *m = model_find(run, index);
	u64 v = prng_u64(&run->r);
	void *entry = v & 1 ? xa_mk_value(v >> 2) : (void *)((v & ~3ul) | 4);
	u32 need = xa_nodes_needed(&run->xa, index), had;

	if (!m && run->nr == MODEL_MAX)
		return;
	assert_true(need <= XA_PRELOAD_MAX);
	assert_true(!m || need == 0);
	if (need) {
		/* One node less: refused, and nothing has changed. */
		xa_preload_drain(&run->pl);
		assert_int_equal(xa_preload_fill(&run->pl, need - 1), 0);
		assert_int_equal(xa_store(&run->xa, index, entry, &run->pl),
				 -ENOMEM);
		assert_null(xa_load(&run->xa, index));
		assert_int_equal(run->pl.nr, need - 1);
	}
	assert_int_equal(xa_preload_fill(&run->pl, need), 0);
	had = run->pl.nr;
	if (m)
		assert_int_equal(xa_insert(&run->xa, index, entry, &run->pl),
				 -EBUSY);
	assert_int_equal(xa_store(&run->xa, index, entry, &run->pl), 0);
	assert_int_equal(had - run->pl.nr, need);
	if (!m) {
		m = &run->m[run->nr++];
		*m = (struct model){.index = index};
	}
	m->entry = entry;
}

static void xa_do_erase(struct xa_run *run, u64 index)
{
	struct model *m = model_find(run, index);

	assert_ptr_equal(xa_erase(&run->xa, index, &run->pl),
			 m ? m->entry : NULL);
	if (m)
		*m = run->m[--run->nr];
}

static void xa_do_mark(struct xa_run *run, u64 index)
{
	struct model *m = model_find(run, index);
	u32 mark = (u32)prng_below(&run->r, XA_NR_MARKS);
	bool on = prng_below(&run->r, 2);

	if (on)
		xa_set_mark(&run->xa, index, (enum xa_mark)mark);
	else
		xa_clear_mark(&run->xa, index, (enum xa_mark)mark);
	if (m)
		m->mark[mark] = on;
	assert_int_equal(xa_get_mark(&run->xa, index, (enum xa_mark)mark),
			 m && on);
}

/* The model's answer to xa_find(). */
static struct model *model_next(struct xa_run *run, u64 from, u64 max, u32 f)
{
	struct model *best = NULL;

	for (u64 i = 0; i < run->nr; i++) {
		struct model *m = &run->m[i];

		if (m->index < from || m->index > max)
			continue;
		if (f != XA_PRESENT && !m->mark[f])
			continue;
		if (!best || m->index < best->index)
			best = m;
	}
	return best;
}

static void xa_do_find(struct xa_run *run, u64 from)
{
	u32 filter = (u32)prng_below(&run->r, XA_PRESENT + 1);
	u64 max = prng_one_in(&run->r, 2) ? UINT64_MAX
					  : from + prng_below(&run->r, 9000);
	u64 at = from;
	struct model *m = model_next(run, from, max, filter);
	void *got = xa_find(&run->xa, &at, max, (enum xa_mark)filter);

	assert_ptr_equal(got, m ? m->entry : NULL);
	assert_int_equal(at, m ? m->index : from);
	if (!m || m->index == UINT64_MAX)
		return;
	m = model_next(run, at + 1, max, filter);
	got = xa_find_after(&run->xa, &at, max, (enum xa_mark)filter);
	assert_ptr_equal(got, m ? m->entry : NULL);
}

/* Entries come as xa_find() finds them, one after the other, of one leaf. */
static void xa_do_extract(struct xa_run *run, u64 from)
{
	u32 filter = (u32)prng_below(&run->r, XA_PRESENT + 1);
	u32 nr = (u32)prng_below(&run->r, 20), n;
	u64 max = prng_one_in(&run->r, 2) ? UINT64_MAX - 1
					  : from + prng_below(&run->r, 200);
	u64 at = from, seek = from;
	void *got[20];
	struct model *m;

	max = min(max, UINT64_MAX - 1);
	n = xa_extract(&run->xa, &at, max, (enum xa_mark)filter, got, nr);
	assert_true(n <= nr);
	for (u32 i = 0; i < n; i++) {
		m = model_next(run, seek, max, filter);
		assert_non_null(m);
		assert_ptr_equal(got[i], m->entry);
		seek = m->index + 1;
	}
	assert_int_equal(at, seek);
	m = model_next(run, seek, max, filter);
	/* There is more, and room: a leaf ended. */
	if (m && n < nr)
		assert_true(n && m->index / XA_SLOTS > (seek - 1) / XA_SLOTS);
}

static void xa_compare_all(struct xa_run *run)
{
	u64 index, n = 0, before = 0;
	void *entry;

	assert_true(xa_check(&run->xa));
	assert_int_equal(run->xa.count, run->nr);
	xa_for_each (&run->xa, index, entry) {
		struct model *m = model_find(run, index);

		assert_non_null(m);
		assert_ptr_equal(entry, m->entry);
		assert_true(n == 0 || index > before);
		before = index;
		n++;
		for (u32 k = 0; k < XA_NR_MARKS; k++)
			assert_int_equal(
				xa_get_mark(&run->xa, index, (enum xa_mark)k),
				m->mark[k]);
	}
	assert_int_equal(n, run->nr);
}

static void xarray_random(void **state)
{
	struct xa_run *run = calloc(1, sizeof(*run));

	(void)state;
	assert_non_null(run);
	run->pl =
		(struct xa_preload)XA_PRELOAD_INIT(node_alloc, node_free, NULL);
	test_seed(&run->r, "xarray_random");
	for (u64 k = 0; k < test_iters(30000); k++) {
		u64 index = pick_index(&run->r);
		u64 op = prng_below(&run->r, 10);

		if (run->nr && prng_below(&run->r, 2))
			index = run->m[prng_below(&run->r, run->nr)].index;
		if (op < 3 || (op == 3 && (k / 2000) % 2 == 0))
			xa_do_store(run, index);
		else if (op < 6)
			xa_do_erase(run, index);
		else if (op < 8)
			xa_do_mark(run, index);
		else if (op == 8)
			xa_do_find(run, index);
		else
			xa_do_extract(run, index);
		if (k % 200 == 0)
			xa_compare_all(run);
	}
	xa_compare_all(run);
	xa_destroy(&run->xa, &run->pl);
	assert_true(xa_empty(&run->xa));
	xa_preload_drain(&run->pl);
	assert_int_equal(nodes_out, 0);
	free(run);
}

static void xarray_edges(void **state)
{
	u64 budget = 2, index = 0;
	struct xa_preload pl = XA_PRELOAD_INIT(node_alloc, node_free, &budget);
	struct xarray xa = XARRAY_INIT;
	void *top = xa_mk_value((1ul << 62) - 1);

	(void)state;
	assert_true(xa_is_value(top));
	assert_int_equal(xa_to_value(top), (1ul << 62) - 1);
	assert_int_equal(xa_store(&xa, 0, top, NULL), -ENOMEM);
	/* A stock that cannot be filled. */
	assert_int_equal(xa_preload_fill(&pl, 3), -ENOMEM);
	assert_int_equal(pl.nr, 2);
	assert_int_equal(xa_store(&xa, 0, top, &pl), 0);
	assert_int_equal(xa_store(&xa, 1, top, NULL), 0);
	budget = XA_PRELOAD_MAX;
	assert_int_equal(xa_nodes_needed(&xa, UINT64_MAX), XA_PRELOAD_MAX);
	assert_int_equal(xa_preload_fill(&pl, XA_PRELOAD_MAX), 0);
	assert_int_equal(xa_store(&xa, UINT64_MAX, &xa, &pl), 0);
	assert_int_equal(pl.nr, 0);
	assert_false(xa_marked(&xa, XA_MARK_1));
	xa_set_mark(&xa, UINT64_MAX, XA_MARK_1);
	assert_true(xa_marked(&xa, XA_MARK_1));
	assert_ptr_equal(xa_find(&xa, &index, UINT64_MAX, XA_MARK_1), &xa);
	assert_int_equal(index, UINT64_MAX);
	assert_null(xa_find_after(&xa, &index, UINT64_MAX, XA_PRESENT));
	assert_int_equal(xa_store(&xa, UINT64_MAX, NULL, &pl), 0);
	assert_int_equal(pl.nr, XA_PRELOAD_MAX);
	assert_int_equal(xa.count, 2);
	assert_true(xa_check(&xa));
	xa.top->marks[0] |= 4;
	assert_false(xa_check(&xa));
	xa_destroy(&xa, &pl);
	xa_preload_drain(&pl);
	assert_int_equal(nodes_out, 0);
}

/* ---- bits
 * --------------------------------------------------------------------------------
 */

#define MAP_BITS 300

static void expect_bits(const u64 *map, const bool *model, u64 size)
{
	u64 weight = 0, last = size, bit, n = 0;

	for (u64 i = 0, next = size, zero = size; i < size; i++) {
		u64 at = size - 1 - i;

		if (model[at])
			next = at;
		else
			zero = at;
		assert_int_equal(find_next_bit(map, size, at), next);
		assert_int_equal(find_next_zero_bit(map, size, at), zero);
	}
	for (u64 i = 0; i < size; i++) {
		weight += model[i];
		last = model[i] ? i : last;
	}
	assert_int_equal(bitmap_weight(map, size), weight);
	assert_int_equal(find_last_bit(map, size), last);
	assert_int_equal(bitmap_empty(map, size), weight == 0);
	assert_int_equal(bitmap_full(map, size), weight == size);
	for_each_set_bit (bit, map, size) {
		assert_true(model[bit]);
		n++;
	}
	assert_int_equal(n, weight);
}

/* First fit by trying every place. */
static u64 model_area(const bool *model, u64 size, u64 start, u64 nr, u64 mask)
{
	for (u64 at = (start + mask) & ~mask; at + nr <= size; at += mask + 1) {
		u64 i = 0;

		while (i < nr && !model[at + i])
			i++;
		if (i == nr)
			return at;
	}
	return UINT64_MAX;
}

static void bitmap_random(void **state)
{
	DECLARE_BITMAP(map, MAP_BITS);
	bool model[MAP_BITS] = {false};
	struct prng r;

	(void)state;
	test_seed(&r, "bitmap_random");
	bitmap_zero(map, MAP_BITS);
	for (u64 k = test_iters(3000); k > 0; k--) {
		u64 at = prng_below(&r, MAP_BITS);
		u64 nr = prng_below(&r, prng_one_in(&r, 8) ? 200 : 9);
		u64 size = 1 + prng_below(&r, MAP_BITS);
		u64 mask = (1ul << prng_below(&r, 5)) - 1, area, got;
		bool on = prng_below(&r, 3) != 0;

		nr = min(nr, MAP_BITS - at);
		for (u64 i = at; i < at + nr; i++)
			model[i] = on;
		if (on)
			bitmap_set(map, at, nr);
		else
			bitmap_clear(map, at, nr);
		expect_bits(map, model, size);
		nr = 1 + prng_below(&r, 20);
		area = model_area(model, size, at % size, nr, mask);
		got = bitmap_find_next_zero_area(map, size, at % size, nr,
						 mask);
		if (area == UINT64_MAX)
			assert_true(got + nr > size);
		else
			assert_int_equal(got, area);
	}
	bitmap_fill(map, MAP_BITS);
	assert_true(bitmap_full(map, MAP_BITS));
}

static void bits_single(void **state)
{
	u64 w[2] = {0, 0};

	(void)state;
	set_bit(3, w);
	set_bit(127, w);
	assert_int_equal(w[0], 8);
	assert_int_equal(w[1], 1ul << 63);
	assert_true(test_bit(127, w) && !test_bit(126, w));
	assert_false(test_and_set_bit(64, w));
	assert_true(test_and_set_bit(64, w));
	assert_true(test_and_clear_bit(64, w));
	assert_false(test_and_clear_bit(64, w));
	assert_false(test_and_change_bit(5, w));
	change_bit(5, w);
	clear_bit(3, w);
	assert_int_equal(w[0], 0);
	__set_bit(1, w);
	assert_true(__test_and_set_bit(1, w));
	assert_true(__test_and_clear_bit(1, w));
	assert_false(__test_and_clear_bit(1, w));
	assert_false(test_and_set_bit_lock(0, w));
	clear_bit_unlock(0, w);
	__clear_bit(127, w);
	assert_int_equal(w[0] | w[1], 0);
}

static void bits_arithmetic(void **state)
{
	(void)state;
	for (u32 i = 0; i < 64; i++) {
		u64 x = 1ul << i;

		assert_int_equal(__ffs(x), i);
		assert_int_equal(__fls(x), i);
		assert_int_equal(fls64(x), i + 1);
		assert_int_equal(ffs64(x), i + 1);
		assert_int_equal(ilog2(x), i);
		assert_int_equal(order_base_2(x), i);
		assert_int_equal(roundup_pow_of_two(x), x);
		assert_true(is_power_of_2(x));
		if (i > 1) {
			assert_int_equal(ilog2(x + 1), i);
			assert_int_equal(ilog2(x - 1), i - 1);
			assert_int_equal(order_base_2(x - 1), i);
			assert_int_equal(roundup_pow_of_two(x - 1), x);
			assert_int_equal(rounddown_pow_of_two(x + 1), x);
			assert_false(is_power_of_2(x + 1));
		}
		assert_int_equal(hweight64(x - 1), i);
	}
	assert_int_equal(fls(0), 0);
	assert_int_equal(ffs(0), 0);
	assert_int_equal(ffs(12), 3);
	assert_int_equal(fls(12), 4);
	assert_int_equal(ffz(7), 3);
	assert_int_equal(get_order(1), 0);
	assert_int_equal(get_order(PAGE_SIZE), 0);
	assert_int_equal(get_order(PAGE_SIZE + 1), 1);
	assert_int_equal(get_order(5 * PAGE_SIZE), 3);
	assert_int_equal(GENMASK(7, 4), 0xf0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_basic),
		cmocka_unit_test(list_random),
		cmocka_unit_test(hlist_basic),
		cmocka_unit_test(rbtree_plain),
		cmocka_unit_test(rbtree_augmented),
		cmocka_unit_test(rbtree_small_scope),
		cmocka_unit_test(rbtree_replace_and_cached),
		cmocka_unit_test(rbtree_check_detects),
		cmocka_unit_test(interval_tree_random),
		cmocka_unit_test(xarray_random),
		cmocka_unit_test(xarray_edges),
		cmocka_unit_test(bitmap_random),
		cmocka_unit_test(bits_single),
		cmocka_unit_test(bits_arithmetic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
