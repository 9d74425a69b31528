// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static int __init absent_init(void)
{
	return -ENODEV;
}
module_init(absent_init);

static void __exit absent_exit(void)
{
}
module_exit(absent_exit);

MODULE_DESCRIPTION("finds no device");
MODULE_LICENSE("GPL");
