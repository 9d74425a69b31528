// SPDX-License-Identifier: GPL-2.0
/*
 * Hands out what mod.rs offers to other modules. The kernel does the same for its own crates: rust/exports.c.
 */

#include <linux/export.h>
#include "fortune.h"

#define EXPORT(sym) EXPORT_SYMBOL_NS_GPL(sym, "FORTUNE")

EXPORT(fortune_draw);
EXPORT(fortune_store);
EXPORT(fortune_count);

/* What nm finds of mod.rs, by its mangled names. That they are functions of other types is nobody's concern here. */
#define EXPORT_RUST(sym) extern int sym; EXPORT(sym)

/* What each user refers to: it is named after the build, and there is nothing in it. */
#define EXPORT_BUILD(sym) extern const char sym; const char sym = 0; EXPORT(sym)

#include "exports_generated.h"
