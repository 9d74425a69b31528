/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FORTUNE_H
#define FORTUNE_H

#include <linux/types.h>

/**
 * DOC: Fortunes for other modules
 *
 * What fortune.ko offers to other modules of the kernel: the pot of /proc/fortune. The symbols are
 * GPL-only, and in a namespace: MODULE_IMPORT_NS("FORTUNE").
 *
 * All of these functions may sleep: they are for process context, with no spinlock held, interrupts
 * and preemption on, and outside of RCU read-side critical sections. They lock nothing of the
 * caller's, and may be called on any number of CPUs at once. Nobody has to ask whether fortune.ko is
 * there: it can't be unloaded as long as a module is that uses them.
 */

/* The longest fortune, in bytes. */
#define FORTUNE_MAX 65536

/**
 * fortune_draw() - draw the next fortune from the pot
 * @buf: where it goes; NULL stands for a buffer of no bytes
 * @size: how many bytes there is room for
 *
 * Draws as a read of /proc/fortune does, in the order that was chosen there, and counts as a draw.
 * What is copied are the bytes of the fortune, without a newline and without a NUL at the end; any
 * byte can be among them, NUL included.
 *
 * A fortune for which there is too little room is not drawn: @buf and the pot stay as they are, the
 * length is returned all the same, and the next draw by a module, this one or another, has the same
 * fortune, unless somebody else comes first or it leaves the pot. With FORTUNE_MAX bytes there is
 * always room enough.
 *
 * The caller owns @buf, of which at least @size bytes can be written to, and keeps others from using
 * it until this returns. It may be on the stack. It is not memory of user space. Nothing is allocated.
 *
 * Context: Process context. May sleep, for no longer than copying 128 KiB takes and others have
 * their turn; can't be interrupted.
 *
 * Return: the length of the fortune in bytes, which is more than @size if it was not drawn; 0 if the
 * pot is empty. It can't fail.
 */
size_t __must_check fortune_draw(void *buf, size_t size);

/**
 * fortune_store() - store a fortune in the pot
 * @text: the fortune
 * @len: its length in bytes
 *
 * Stores what a program would that opens /proc/fortune, writes @text at once and closes it: one
 * newline at its end is not part of the fortune, a line that is just "%" separates two of them, and
 * empty ones are skipped. It is stored whole or not at all. Where there is no room, it depends on
 * /proc/driver/fortune/when_full whether the oldest fortunes leave for it.
 *
 * The caller owns @text, and keeps it as it is until this returns: it is copied. It may be NULL if
 * @len is 0. It is not memory of user space.
 *
 * What is allocated, which is a part of the index now and then, is the kernel's, and charged to
 * nobody (GFP_KERNEL). So this must not be called where reclaiming memory can wait for the caller.
 *
 * Context: Process context. May sleep.
 *
 * Return: 0, or why nothing was stored and nothing has left:
 *
 * * %-ENOSPC - there is no room for it, now or ever
 * * %-ENOMEM - there is no memory for the index
 * * %-EINTR - the task was killed while it waited for somebody else who stores
 */
int __must_check fortune_store(const void *text, size_t len);

/**
 * fortune_count() - how many fortunes are in the pot
 *
 * That can be another number by the time that this returns, if others draw nothing but store.
 *
 * Context: Process context. May sleep, as fortune_draw() may.
 *
 * Return: the number.
 */
unsigned long fortune_count(void);

#endif
