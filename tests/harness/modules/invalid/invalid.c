// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static int __init invalid_init(void)
{
	pr_err("a parameter is missing\n");
	return -EINVAL;
}
module_init(invalid_init);

static void __exit invalid_exit(void)
{
}
module_exit(invalid_exit);

MODULE_DESCRIPTION("does not load");
MODULE_LICENSE("GPL");
