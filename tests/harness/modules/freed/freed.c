// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>

static char *freed;

static int __init freed_init(void)
{
	freed = kmalloc(100, GFP_KERNEL);
	return freed ? 0 : -ENOMEM;
}
module_init(freed_init);

static void __exit freed_exit(void)
{
	kfree(freed);
	pr_info("%d\n", READ_ONCE(freed[3]));
}
module_exit(freed_exit);

MODULE_DESCRIPTION("uses what it has freed");
MODULE_LICENSE("GPL");
