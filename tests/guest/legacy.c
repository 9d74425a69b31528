// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/fortune with one of the bugs that such modules have had since the article. NEVER COPY FROM THIS.
 *
 * It is tests/bench/twin.c, which does what fortune.ko does, so that the tests of fortune.ko can be run on it: without a
 * bug they pass, and with bug=NUMBER some of them have to fail. src/README.md has the table of the bugs, and
 * tests/guest/own_boot.rs says which test notices which.
 */
#include <linux/moduleparam.h>

static int bug;
module_param(bug, int, 0);
MODULE_PARM_DESC(bug, "The number of the bug; 0: none");

#define HAS_BUG(number)	(bug == (number))
#define NAME		"fortune"

#include "../bench/twin.c"
