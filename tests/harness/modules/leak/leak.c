// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>

static int __init leak_init(void)
{
	int i;

	/* Many, since the allocator's own lists of free objects still hold the addresses of the last ones. */
	for (i = 0; i < 100; i++) {
		void *forgotten = kmalloc(100, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(forgotten);
	}
	return 0;
}
module_init(leak_init);

static void __exit leak_exit(void)
{
}
module_exit(leak_exit);

MODULE_DESCRIPTION("forgets what it allocates");
MODULE_LICENSE("GPL");
