// SPDX-License-Identifier: GPL-2.0
#include <linux/crc-itu-t.h>
#include <linux/module.h>

static int __init needs_init(void)
{
	pr_info("%x\n", crc_itu_t(0, "needs", 5));
	return 0;
}
module_init(needs_init);

static void __exit needs_exit(void)
{
}
module_exit(needs_exit);

MODULE_DESCRIPTION("needs crc-itu-t, which is a module of stock kernels");
MODULE_LICENSE("GPL");
