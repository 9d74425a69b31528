// SPDX-License-Identifier: GPL-2.0
/*
 * The layout of struct proc_ops as the kernel's own C compiler sees it. Kbuild compiles this file
 * to assembly only and turns its markers into Rust constants, which bindings.rs compares with what
 * bindgen's libclang made of the same header.
 */

#include <linux/kbuild.h>
#include <linux/proc_fs.h>

#define FIELD(name) OFFSET(name, proc_ops, name)

int main(void)
{
	DEFINE(size, sizeof(struct proc_ops));
	FIELD(proc_flags);
	FIELD(proc_open);
	FIELD(proc_read);
	FIELD(proc_read_iter);
	FIELD(proc_write);
	FIELD(proc_lseek);
	FIELD(proc_release);
	FIELD(proc_poll);
	FIELD(proc_ioctl);
#ifdef CONFIG_COMPAT
	FIELD(proc_compat_ioctl);
#endif
	FIELD(proc_mmap);
	FIELD(proc_get_unmapped_area);
	return 0;
}
