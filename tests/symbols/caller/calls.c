// SPDX-License-Identifier: GPL-2.0
/*
 * Calls fortune.ko as the tests tell it to (tests/guest/src/symbols.rs), when it is loaded, and prints what comes of
 * it: insmod caller.ko calls="d100;c". Each call is a letter and what it is given, and prints a line:
 *
 * sTEXT    stores a text
 * SN       stores N times the byte 'x'
 * FN       stores N fortunes of one byte
 * dN       draws, with room for N bytes
 * n        draws, with no buffer at all, but a size
 * c        counts
 * DN       draws N times, with room for 64 bytes each, and counts those that are nothing but one letter
 *
 * All calls are made through pointers, which a kernel with CONFIG_CFI checks.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <fortune.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *calls = "";
module_param(calls, charp, 0);
MODULE_PARM_DESC(calls, "What to call");

static bool wrong;
module_param(wrong, bool, 0);
MODULE_PARM_DESC(wrong, "Call through a pointer of another type, which no kernel with CFI survives");

/* What lies behind a buffer. */
#define CANARY 0xa5
#define BEHIND 16

static size_t (*volatile draw)(void *buf, size_t size) = fortune_draw;
static int (*volatile store)(const void *text, size_t len) = fortune_store;
static unsigned long (*volatile count)(void) = fortune_count;

static int draw_once(size_t size)
{
	unsigned char *buf = kvmalloc(size + BEHIND, GFP_KERNEL);
	size_t len, written = 0;

	if (!buf)
		return -ENOMEM;
	memset(buf, CANARY, size + BEHIND);
	len = draw(buf, size);
	if (len <= size)
		written = len;
	pr_info("draw %zu: %zu '%.*s'%s\n", size, len, (int)min_t(size_t, written, 100), buf,
		memchr_inv(buf + written, CANARY, size + BEHIND - written) ? ", and more was written" : "");
	kvfree(buf);
	return 0;
}

static void draw_many(size_t times)
{
	char buf[64];
	size_t i, len, whole = 0;

	for (i = 0; i < times; i++) {
		len = draw(buf, sizeof(buf));
		if (len && len <= sizeof(buf) && !memchr_inv(buf, buf[0], len))
			whole++;
		cond_resched();
	}
	pr_info("draws: %zu\n", whole);
}

/* So many times a text. */
static int store_many(const char *text, size_t times)
{
	size_t len = strlen(text), i;
	char *all = kvmalloc_array(len, times, GFP_KERNEL);

	if (!all)
		return -ENOMEM;
	for (i = 0; i < times; i++)
		memcpy(all + i * len, text, len);
	pr_info("store: %d\n", store(all, len * times));
	kvfree(all);
	return 0;
}

static int call(const char *word)
{
	unsigned long number = 0;

	if (strchr("SFdD", word[0]) && kstrtoul(word + 1, 0, &number))
		return -EINVAL;
	switch (word[0]) {
	case 's':
		pr_info("store: %d\n", store(word[1] ? word + 1 : NULL, strlen(word + 1)));
		return 0;
	case 'S':
		return store_many("x", number);
	case 'F':
		return store_many("x\n%\n", number);
	case 'd':
		return draw_once(number);
	case 'n':
		pr_info("draw: %zu\n", draw(NULL, 100));
		return 0;
	case 'c':
		pr_info("count: %lu\n", count());
		return 0;
	case 'D':
		draw_many(number);
		return 0;
	}
	return -EINVAL;
}

static int __init caller_init(void)
{
	char *word;
	int err;

	if (wrong) {
		int (*volatile other)(int) = (int (*)(int))(void *)fortune_count;

		pr_info("other: %d\n", other(0));
	}
	while ((word = strsep(&calls, ";"))) {
		if (!*word)
			continue;
		err = call(word);
		if (err)
			return err;
	}
	return 0;
}

static void __exit caller_exit(void)
{
}

module_init(caller_init);
module_exit(caller_exit);
MODULE_IMPORT_NS("FORTUNE");
MODULE_DESCRIPTION("Calls fortune.ko for its tests");
MODULE_LICENSE("GPL");
