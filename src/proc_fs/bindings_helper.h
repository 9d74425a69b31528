/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads: the headers whose items the kernel crate's own bindings lack. */

#include <linux/proc_fs.h>
