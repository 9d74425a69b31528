// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static noinline void crash_write(int *where)
{
	*(volatile int *)where = 1;
}

static int __init crash_init(void)
{
	crash_write(NULL);
	return 0;
}
module_init(crash_init);

MODULE_DESCRIPTION("writes where nothing is");
MODULE_LICENSE("GPL");
