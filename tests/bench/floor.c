// SPDX-License-Identifier: GPL-2.0
/* /proc/floor: a file that does nothing. What a call on it costs, it costs on any file in /proc. */

#include <linux/module.h>
#include <linux/proc_fs.h>

static ssize_t floor_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	return 0;
}

static ssize_t floor_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	return count;
}

static const struct proc_ops floor_ops = {
	.proc_read = floor_read,
	.proc_write = floor_write,
	.proc_lseek = noop_llseek,
};

static int __init floor_init(void)
{
	return proc_create("floor", 0644, NULL, &floor_ops) ? 0 : -ENOMEM;
}

static void __exit floor_exit(void)
{
	remove_proc_entry("floor", NULL);
}

module_init(floor_init);
module_exit(floor_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("An empty file in /proc");
