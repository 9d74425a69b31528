// SPDX-License-Identifier: GPL-2.0
/*
 * Does on purpose, when it is loaded, what a kernel can detect: to show that it does. NEVER COPY FROM THIS, and load
 * it in a guest only: insmod controls.ko fault=NAME
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static char *fault = "";
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "What to do wrong");

/* Not for the compiler to see through. */
static noinline char *hide(char *pointer)
{
	OPTIMIZER_HIDE_VAR(pointer);
	return pointer;
}

static void use_after_free(void)
{
	char *text = hide(kmalloc(100, GFP_KERNEL));

	kfree(text);
	if (text)
		WRITE_ONCE(text[50], 1);
}

/* One byte after a size that neither fills a page nor the eight bytes that KASAN counts in. */
static void past_the_pot(void)
{
	char *pot = hide(vmalloc(4099));

	if (pot)
		WRITE_ONCE(pot[4099], 1);
	vfree(pot);
}

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

static void lock_inversion(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static DEFINE_SPINLOCK(spinning);

static void sleep_in_atomic(void)
{
	spin_lock(&spinning);
	might_sleep();
	spin_unlock(&spinning);
}

static void leak(void)
{
	int i;

	/* Many, since the allocator's own lists of free objects still hold the addresses of the last ones. */
	for (i = 0; i < 1000; i++)
		hide(kmalloc(100, GFP_KERNEL));
}

static void list(void)
{
	static LIST_HEAD(head);
	static struct list_head entry;

	list_add(&entry, &head);
	entry.next = &entry;
	list_del(&entry);
}

static void refcount(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

static void warning(void)
{
	WARN(1, "asked for\n");
}

static const struct {
	const char *name;
	void (*commit)(void);
} faults[] = {
	{ "use_after_free", use_after_free },
	{ "past_the_pot", past_the_pot },
	{ "lock_inversion", lock_inversion },
	{ "sleep_in_atomic", sleep_in_atomic },
	{ "leak", leak },
	{ "list", list },
	{ "refcount", refcount },
	{ "warning", warning },
};

static int __init controls_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (!strcmp(faults[i].name, fault)) {
			faults[i].commit();
			return 0;
		}
	}
	return -EINVAL;
}

static void __exit controls_exit(void)
{
}

module_init(controls_init);
module_exit(controls_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("What a kernel can detect, done on purpose");
