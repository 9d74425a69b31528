// SPDX-License-Identifier: GPL-2.0
/*
 * A module in C that uses fortune.ko: when it is loaded it stores a fortune, and prints one that it has drawn.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <fortune.h>
#include <linux/module.h>
#include <linux/string.h>

static int __init teller_init(void)
{
	static const char text[] = "It is a wise module that knows its own namespace.";
	char buf[200];
	size_t len;
	int err;

	err = fortune_store(text, strlen(text));
	if (err)
		return err;

	len = fortune_draw(buf, sizeof(buf));
	if (len > sizeof(buf))
		pr_info("a fortune of %zu bytes is too long for me\n", len);
	else
		pr_info("%.*s\n", (int)len, buf);
	return 0;
}

static void __exit teller_exit(void)
{
}

module_init(teller_init);
module_exit(teller_exit);
MODULE_IMPORT_NS("FORTUNE");
MODULE_DESCRIPTION("Tells a fortune, in C");
MODULE_LICENSE("GPL");
