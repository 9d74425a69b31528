// SPDX-License-Identifier: GPL-2.0
/*
 * A fortune-cookie dispenser as they were written for old kernels, with their bugs. NEVER COPY FROM THIS.
 *
 * It is what the tests of the classic bugs (tests/guest/src/classic.rs) are shown to catch. The numbers are
 * those of the tests. It makes /proc/legacy_fortune, and must be loaded in a guest only.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#define MAX_COOKIE_LENGTH PAGE_SIZE

static char *cookie_pot;
static char *page;
static int cookie_index;
static int next_fortune;

/* 10: no lock anywhere. */
static ssize_t fortune_write(struct file *file, const char __user *buff, size_t len, loff_t *off)
{
	/* 1: one byte more than there is. */
	int space_available = (MAX_COOKIE_LENGTH - cookie_index) + 1;

	/* 3: negative, and so small enough, from 2 GiB on; but today the VFS passes no more than 2 GiB - 4 KiB. */
	if ((int)len > space_available) {
		/* 13: whoever may write can fill the log. */
		pr_info("legacy_fortune: cookie pot is full!\n");
		return -ENOSPC;
	}
	if (copy_from_user(&cookie_pot[cookie_index], buff, len))
		return -EFAULT;
	cookie_index += len;
	/* 2: at -1, if the first write is one of nothing. 4: the last byte, newline or not. */
	cookie_pot[cookie_index - 1] = 0;
	return len;
}

static ssize_t fortune_read(struct file *file, char __user *buff, size_t count, loff_t *off)
{
	int len;

	if (*off > 0)
		return 0;
	if (next_fortune >= cookie_index)
		next_fortune = 0;
	/* 6: up to a NUL. 7: however much that is. 14: the pot was never zeroed. */
	len = sprintf(page, "%s\n", &cookie_pot[next_fortune]);
	/* 5: also in an empty pot. 9: also if nothing is delivered. */
	next_fortune += len;
	/* 15: more than was asked for. */
	if (copy_to_user(buff, page, len))
		return -EFAULT;
	/* 8: what did not fit is lost, since the next read is at the end. */
	*off = len;
	return len;
}

static const struct proc_ops fortune_ops = {
	.proc_read = fortune_read,
	.proc_write = fortune_write,
	.proc_lseek = default_llseek,
};

static int __init legacy_init(void)
{
	cookie_pot = vmalloc(MAX_COOKIE_LENGTH);
	page = vmalloc(PAGE_SIZE);
	/* 15: everybody may write. */
	if (!cookie_pot || !page || !proc_create("legacy_fortune", 0666, NULL, &fortune_ops)) {
		vfree(page);
		vfree(cookie_pot);
		return -ENOMEM;
	}
	return 0;
}

static void __exit legacy_exit(void)
{
	remove_proc_entry("legacy_fortune", NULL);
	vfree(page);
	vfree(cookie_pot);
}

module_init(legacy_init);
module_exit(legacy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A fortune-cookie dispenser with the classic bugs, to be caught");
