// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static int __init stuck_init(void)
{
	return 0;
}
module_init(stuck_init);

MODULE_DESCRIPTION("has no exit function, and so can not be unloaded");
MODULE_LICENSE("GPL");
