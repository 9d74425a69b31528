// SPDX-License-Identifier: GPL-2.0
/*
 * fortune.ko in C: the same contract, locks, limits and allocations, for /proc/twin and /proc/driver/twin, but for what
 * only large pots ask for: this one evicts one by one, stores all of a write under the lock, and lists by seq_file.
 * tests/guest/legacy.c is the same with bugs, each where HAS_BUG() says; here there is none.
 *
 * tests/bench compares the two. So this is written as well as C can be, with what the kernel has for the
 * purpose (word-at-a-time.h, memcpy, copy_to_user, no memory cleared that is written anyway), and nothing is
 * left out that the other one does. src/dispenser.rs, src/pot.rs and src/records.rs say why things are as they are.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>
#include <linux/vmalloc.h>

#include <asm/word-at-a-time.h>

#ifndef HAS_BUG
#define HAS_BUG(number)	false
#define NAME		"twin"
#endif

#define MAX_FORTUNE	65536
#define MAX_POT		(64UL << 20)
#define SHORT		256
#define CHARGED		(GFP_KERNEL_ACCOUNT | __GFP_NOWARN)

enum order { SEQUENTIAL, RANDOM, SHUFFLE };
enum when_full { REJECT, EVICT };

static const char *const order_words[] = { "sequential", "random", "shuffle" };
static const char *const when_full_words[] = { "reject", "evict" };

/* Of a fortune, and of the place of the same number: see src/pot.rs. */
struct entry {
	u32 begin;
	u32 drawn;
	u32 place;
};

#define BLOCK_LEN	341

struct block {
	struct entry entries[BLOCK_LEN];
};

/* All but the errors is protected by the lock, and so is what it points to. */
static struct pot {
	struct mutex lock;
	char *bytes;
	size_t size;
	/* A ring: block number n is at n & mask. */
	struct block **index;
	u32 mask;
	int order;
	int when_full;
	size_t used;
	size_t tail;
	size_t reserved;
	u64 unfinished;
	u64 oldest;
	u64 end;
	u64 next;
	u64 lap;
	u64 first_block;
	u64 end_block;
	u64 draws;
	u64 stores;
	u64 evictions;
	u64 clears;
	atomic64_t nospace;
	atomic64_t faults;
	atomic64_t nomem;
} pot;

static unsigned long pot_size = 4096;
module_param(pot_size, ulong, 0);
MODULE_PARM_DESC(pot_size, "Size of the pot in bytes, from 1 to 67108864; a fortune takes its length plus 1");

/* What a write asks for. */
struct demand {
	u64 fortunes;
	size_t bytes;
	size_t before;
	size_t after;
};

/* Where fortunes end in what is written: see src/records.rs. */
struct records {
	const char *text;
	size_t len;
	size_t begin;
	size_t line;
	size_t scanned;
	bool separated;
};

struct open_file {
	struct mutex read_lock;
	struct mutex write_lock;
	/* What was drawn: in `longer`, if there is one. */
	char *longer;
	size_t len;
	bool undelivered;
	/* What is unfinished. */
	bool separated;
	bool failed;
	char *text;
	size_t text_len;
	size_t line;
	size_t reserved;
	char shorter[SHORT];
};

static ssize_t counted(ssize_t error)
{
	switch (error) {
	case -ENOSPC:
		if (HAS_BUG(13))
			pr_info(NAME ": the pot is full\n");
		atomic64_inc(&pot.nospace);
		break;
	case -EFAULT:
		atomic64_inc(&pot.faults);
		break;
	case -ENOMEM:
		atomic64_inc(&pot.nomem);
		break;
	}
	return error;
}

static inline size_t cost(size_t len)
{
	return len ? len + 1 : 0;
}

static inline struct entry *entry(u64 number)
{
	u64 block = number / BLOCK_LEN;

	return &pot.index[block & pot.mask]->entries[number - block * BLOCK_LEN];
}

/* A number whose lower half is known. */
static inline u64 whole(u32 lower)
{
	return pot.oldest + (u32)(lower - (u32)pot.oldest);
}

static void put(u64 place, u64 number)
{
	entry(place)->drawn = number;
	entry(number)->place = place;
}

static inline size_t begin(u64 number)
{
	return number == pot.end ? pot.tail : entry(number)->begin;
}

/* How long a fortune is, with its newline. */
static inline size_t length(u64 number)
{
	size_t from = begin(number), to = begin(number + 1);

	return from < to ? to - from : pot.size - from + to;
}

static inline u64 needed_blocks(u64 end, u64 unfinished)
{
	return (end + unfinished + BLOCK_LEN - 1) / BLOCK_LEN;
}

static inline u64 free_blocks(u64 oldest)
{
	return min(oldest / BLOCK_LEN, pot.end_block) - pot.first_block;
}

static struct block *surplus(void)
{
	struct block **slot;

	if (pot.end_block > needed_blocks(pot.end, pot.unfinished) && pot.end_block > pot.first_block)
		slot = &pot.index[--pot.end_block & pot.mask];
	else if (free_blocks(pot.oldest) > (pot.oldest != pot.end))
		slot = &pot.index[pot.first_block++ & pot.mask];
	else
		return NULL;
	return no_free_ptr(*slot);
}

/* Gives the lock back, and frees what the index does not need any more, without it. */
static void unlock_and_trim(void)
{
	struct block *block = surplus();

	mutex_unlock(&pot.lock);
	while (block) {
		kfree(block);
		mutex_lock(&pot.lock);
		block = surplus();
		mutex_unlock(&pot.lock);
	}
}

static void evict(void)
{
	u64 oldest = pot.oldest, place = whole(entry(oldest)->place);

	pot.used -= length(oldest);
	if (place >= pot.lap) {
		put(place, whole(entry(pot.lap)->drawn));
		place = pot.lap++;
	}
	if (place != oldest)
		put(place, whole(entry(oldest)->drawn));
	pot.oldest++;
	pot.evictions++;
}

/* Stores a fortune for which there is room, also in the index. */
static void push(const char *text, size_t len)
{
	size_t head, end;

	if (HAS_BUG(6))
		len = strnlen(text, len);
	head = min(len, pot.size - pot.tail);
	end = pot.tail + len;
	memcpy(pot.bytes + pot.tail, text, head);
	memcpy(pot.bytes, text + head, len - head);
	if (end >= pot.size)
		end -= pot.size;
	pot.bytes[end] = '\n';
	*entry(pot.end) = (struct entry){ pot.tail, pot.end, pot.end };
	pot.end++;
	pot.used += len + 1;
	pot.tail = end + 1 == pot.size ? 0 : end + 1;
	pot.stores++;
}

/*
 * Changes what is reserved, and makes room for what is to be stored. Returns -EAGAIN if the index needs one block
 * more. On an error nothing has changed.
 */
static int make_room(const struct demand *demand)
{
	size_t reserved = pot.reserved - demand->before + demand->after;
	u64 unfinished = pot.unfinished - !!demand->before + !!demand->after;
	u64 oldest = pot.oldest, end = pot.end + demand->fortunes, needed;
	size_t used = pot.used;

	lockdep_assert_held(&pot.lock);
	if (reserved > pot.size || demand->bytes > pot.size - reserved)
		return -ENOSPC;
	if (used > pot.size - reserved - demand->bytes) {
		if (pot.when_full != EVICT)
			return -ENOSPC;
		while (used > pot.size - reserved - demand->bytes && oldest < pot.end)
			used -= length(oldest++);
	}
	needed = needed_blocks(end, unfinished);
	if (needed > pot.end_block + free_blocks(oldest))
		return -EAGAIN;

	while (pot.oldest < oldest)
		evict();
	while (pot.end_block < needed) {
		struct block *block = no_free_ptr(pot.index[pot.first_block++ & pot.mask]);

		pot.index[pot.end_block++ & pot.mask] = block;
	}
	pot.reserved = reserved;
	pot.unfinished = unfinished;
	return 0;
}
/* Like memchr for a newline, which goes byte by byte. */
static const char *find_newline(const char *text, size_t len)
{
	const struct word_at_a_time constants = WORD_AT_A_TIME_CONSTANTS;
	const unsigned long newlines = REPEAT_BYTE('\n');
	const char *end = text + len;
	unsigned long found;

	/* In a long text four words at a time, then one, then bytes. */
	for (; end - text >= 16 * sizeof(found); text += 4 * sizeof(found)) {
		const unsigned long *words = (const unsigned long *)text;
		unsigned long any = has_zero(get_unaligned(words) ^ newlines, &found, &constants) |
				    has_zero(get_unaligned(words + 1) ^ newlines, &found, &constants) |
				    has_zero(get_unaligned(words + 2) ^ newlines, &found, &constants) |
				    has_zero(get_unaligned(words + 3) ^ newlines, &found, &constants);

		if (any)
			break;
	}
	for (; end - text >= sizeof(found); text += sizeof(found)) {
		unsigned long word = get_unaligned((const unsigned long *)text) ^ newlines;

		if (has_zero(word, &found, &constants)) {
			found = prep_zero_mask(word, found, &constants);
			return text + find_zero(create_zero_mask(found));
		}
	}
	for (; text < end; text++)
		if (*text == '\n')
			return text;
	return NULL;
}

static bool drop_newline(const char *text, size_t *len)
{
	bool newline = *len && (text[*len - 1] == '\n' || HAS_BUG(4));

	*len -= newline;
	return newline;
}

/* The next fortune that is complete, without its newline; it may be empty. */
static bool next_record(struct records *records, const char **text, size_t *len)
{
	const char *newline;

	*text = records->text + records->begin;
	while (records->scanned < records->len) {
		size_t line = records->line;

		newline = find_newline(records->text + records->scanned, records->len - records->scanned);
		if (!newline)
			break;
		records->line = records->scanned = newline - records->text + 1;
		if (records->scanned - line == 2 && records->text[line] == '%') {
			*len = line - records->begin;
			records->separated = true;
			records->begin = records->line;
			drop_newline(*text, len);
			return true;
		}
	}
	records->scanned = records->len;
	if (((records->separated || records->line != records->len) && !HAS_BUG(11)) || records->begin == records->len)
		return false;
	*len = records->len - records->begin;
	records->begin = records->len;
	drop_newline(*text, len);
	return true;
}

/* Stores the only fortune, if it is given, or all of `records`. */
static int store(const struct demand *demand, const char *only, size_t only_len, struct records records)
{
	const char *text;
	size_t len;
	int error;

	for (;;) {
		struct block *block;

		mutex_lock(&pot.lock);
		error = make_room(demand);
		if (!error) {
			if (only)
				push(only, only_len);
			else
				while (next_record(&records, &text, &len))
					if (len)
						push(text, len);
		}
		if (error != -EAGAIN)
			break;
		mutex_unlock(&pot.lock);
		block = kzalloc_obj(*block, CHARGED);
		mutex_lock(&pot.lock);
		if (!block) {
			error = -ENOMEM;
			break;
		}
		if (pot.end_block - pot.first_block <= pot.mask)
			pot.index[pot.end_block++ & pot.mask] = no_free_ptr(block);
		mutex_unlock(&pot.lock);
		kfree(block);
	}
	unlock_and_trim();
	return error;
}

/* How much of what is unfinished is stored if the file is closed now. */
static size_t at_close(const char *text, size_t len, size_t line)
{
	if (line + 1 == len && text[line] == '%')
		len = line;
	drop_newline(text, &len);
	return len;
}

/* Draws a fortune into `buffer`. Returns its length with its newline, after drawing it only if it fits. */
static size_t draw_locked(char *buffer, size_t room, u64 *lot)
{
	size_t from, len, head;
	u64 number, place;

	lockdep_assert_held(&pot.lock);
	if (pot.oldest == pot.end) {
		if (HAS_BUG(5))
			pot.next++;
		if (!HAS_BUG(14))
			return 0;
		len = min_t(size_t, pot.size, SHORT);
		memcpy(buffer, pot.bytes, len);
		return len;
	}
	switch (pot.order) {
	case SEQUENTIAL:
		number = pot.next < pot.end ? max(pot.next, pot.oldest) : pot.oldest;
		break;
	case RANDOM:
		/* A lot stands when the draw is repeated for a longer buffer. */
		if (*lot < pot.oldest || *lot >= pot.end)
			*lot = pot.oldest + get_random_u32_below(pot.end - pot.oldest);
		number = *lot;
		break;
	default:
		if (pot.lap == pot.end)
			pot.lap = pot.oldest;
		if (*lot < pot.oldest || *lot >= pot.end || whole(entry(*lot)->place) < pot.lap) {
			place = pot.lap + get_random_u32_below(pot.end - pot.lap);
			*lot = whole(entry(place)->drawn);
		}
		number = *lot;
	}
	from = begin(number);
	len = length(number);
	if (len > room && !HAS_BUG(7))
		return len;
	head = min(len, pot.size - from);
	memcpy(buffer, pot.bytes + from, head);
	memcpy(buffer + head, pot.bytes, len - head);

	if (pot.order == SEQUENTIAL) {
		pot.next = number + 1;
	} else if (pot.order == SHUFFLE) {
		place = whole(entry(number)->place);
		put(place, whole(entry(pot.lap)->drawn));
		put(pot.lap, number);
		pot.lap++;
	}
	pot.draws++;
	return len;
}

/* Returns 1 if a fortune was drawn, 0 if there is none; on an error all is as it was. */
static int draw(struct open_file *open_file)
{
	char *buffer = open_file->shorter;
	size_t room = SHORT;
	u64 lot = U64_MAX;

	for (;;) {
		size_t len;

		mutex_lock(&pot.lock);
		len = draw_locked(buffer, room, &lot);
		mutex_unlock(&pot.lock);
		if (len && len <= room) {
			if (open_file->longer)
				kvfree(open_file->longer);
			open_file->longer = room == SHORT ? NULL : buffer;
			open_file->len = len;
			open_file->undelivered = true;
			return 1;
		}
		if (room != SHORT)
			kvfree(buffer);
		if (!len)
			return 0;
		room = len;
		buffer = kvmalloc(room, CHARGED);
		if (!buffer)
			return -ENOMEM;
	}
}

static ssize_t read_locked(struct open_file *open_file, char __user *buf, size_t count, loff_t *pos)
{
	const char *text;
	size_t left;
	int drawn;

	if (*pos == 0 && !open_file->undelivered) {
		drawn = draw(open_file);
		if (drawn <= 0)
			return drawn;
	}
	if (*pos >= open_file->len)
		return 0;
	text = open_file->longer ?: open_file->shorter;
	count = min(count, open_file->len - *pos);
	left = copy_to_user(buf, text + *pos, count);
	if (left < count || HAS_BUG(9))
		open_file->undelivered = false;
	if (left == count)
		return -EFAULT;
	*pos += HAS_BUG(8) ? open_file->len : count - left;
	return count - left + HAS_BUG(15);
}

static ssize_t twin_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	struct open_file *open_file = file->private_data;
	ssize_t done;

	if (!count)
		return 0;
	if (mutex_lock_killable(&open_file->read_lock))
		return -EINTR;
	done = read_locked(open_file, buf, count, pos);
	mutex_unlock(&open_file->read_lock);
	return done < 0 ? counted(done) : done;
}

static ssize_t write_locked(struct open_file *open_file, const char __user *buf, size_t count)
{
	size_t unfinished = open_file->text_len, len = unfinished + count, rest;
	struct demand demand = { .before = open_file->reserved };
	char shorter[SHORT], *longer = NULL, *text = shorter, *kept = NULL;
	const char *record, *only = NULL;
	struct records records, all;
	size_t only_len = 0;
	ssize_t error;

	if (HAS_BUG(3) ? (int)count > (int)(2 * pot.size + MAX_FORTUNE) : count > 2 * pot.size + MAX_FORTUNE)
		return -ENOSPC;
	if (len > SHORT) {
		text = longer = kvmalloc(len, CHARGED);
		if (!longer)
			return -ENOMEM;
	}
	memcpy(text, open_file->text, unfinished);
	error = -EFAULT;
	if (HAS_BUG(10) && count <= pot.size - pot.tail) {
		char *end = pot.bytes + pot.tail;

		if (copy_from_user(end, buf, count))
			goto out;
		memcpy(text + unfinished, end, count);
	} else if (copy_from_user(text + unfinished, buf, count)) {
		goto out;
	}

	all = (struct records){
		.text = text,
		.len = len,
		.line = open_file->line,
		.scanned = unfinished,
		.separated = open_file->separated,
	};
	records = all;
	error = -ENOSPC;
	while (next_record(&records, &record, &len)) {
		if (len > MAX_FORTUNE)
			goto out;
		if (!len)
			continue;
		demand.fortunes++;
		demand.bytes += cost(len);
		only = record;
		only_len = len;
	}
	text += records.begin;
	rest = records.len - records.begin;
	if (rest) {
		len = at_close(text, rest, records.line - records.begin);
		if (len > MAX_FORTUNE)
			goto out;
		demand.after = cost(len);
		error = -ENOMEM;
		kept = kvmalloc(rest, CHARGED);
		if (!kept)
			goto out;
		memcpy(kept, text, rest);
	}

	/* Most writes bring one fortune, which need not be looked for again. */
	error = store(&demand, demand.fortunes == 1 ? only : NULL, only_len, all);
	if (error)
		goto out;
	swap(open_file->text, kept);
	open_file->text_len = rest;
	open_file->line = records.line - records.begin;
	open_file->separated = records.separated;
	open_file->reserved = demand.after;
	error = count;
out:
	if (kept)
		kvfree(kept);
	if (longer)
		kvfree(longer);
	return error;
}

static ssize_t twin_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	struct open_file *open_file = file->private_data;
	ssize_t done;

	if (!count) {
		if (HAS_BUG(2))
			*(pot.bytes + pot.tail - 1) = 0;
		return 0;
	}
	if (mutex_lock_killable(&open_file->write_lock))
		return -EINTR;
	done = write_locked(open_file, buf, count);
	open_file->failed = done < 0;
	mutex_unlock(&open_file->write_lock);
	return done < 0 ? counted(done) : done;
}

static int twin_open(struct inode *inode, struct file *file)
{
	struct open_file *open_file = kmalloc_obj(*open_file, CHARGED);

	if (!open_file)
		return counted(-ENOMEM);
	/* All but the text that is drawn into it. */
	memset(open_file, 0, offsetof(struct open_file, shorter));
	mutex_init(&open_file->read_lock);
	mutex_init(&open_file->write_lock);
	file->private_data = open_file;
	return 0;
}

static int twin_release(struct inode *inode, struct file *file)
{
	struct open_file *open_file = file->private_data;

	if (open_file->reserved) {
		struct demand demand = { .before = open_file->reserved };

		if (!open_file->failed) {
			demand.fortunes = 1;
			demand.bytes = open_file->reserved;
		}
		mutex_lock(&pot.lock);
		/* What is reserved can be stored, and can be given back. */
		make_room(&demand);
		if (!open_file->failed)
			push(open_file->text, open_file->reserved - 1);
		unlock_and_trim();
	}
	if (open_file->text)
		kvfree(open_file->text);
	if (open_file->longer)
		kvfree(open_file->longer);
	kfree(open_file);
	return 0;
}

static const struct proc_ops twin_ops = {
	.proc_open = twin_open,
	.proc_read = twin_read,
	.proc_write = twin_write,
	.proc_lseek = no_seek_end_llseek,
	.proc_release = twin_release,
};

static int stats_show(struct seq_file *m, void *v)
{
	size_t used, reserved;
	u64 fortunes, draws, stores, evictions, clears;

	mutex_lock(&pot.lock);
	used = pot.used;
	reserved = pot.reserved;
	fortunes = pot.end - pot.oldest;
	draws = pot.draws;
	stores = pot.stores;
	evictions = pot.evictions;
	clears = pot.clears;
	mutex_unlock(&pot.lock);
	seq_printf(m, "pot_size %zu\nused %zu\nreserved %zu\nfortunes %llu\n", pot.size, used, reserved, fortunes);
	seq_printf(m, "draws %llu\nstores %llu\nevictions %llu\nclears %llu\n", draws, stores, evictions, clears);
	seq_printf(m, "nospace %lld\nfaults %lld\nnomem %lld\n", atomic64_read(&pot.nospace),
		   atomic64_read(&pot.faults), atomic64_read(&pot.nomem));
	return 0;
}

/* `pot`: the position is 0 for the first line, and the number of a fortune plus one after that. */
static void *contents_at(loff_t *pos)
{
	bool is_there;

	mutex_lock(&pot.lock);
	if (*pos)
		*pos = max_t(u64, *pos, pot.oldest + 1);
	is_there = *pos ? *pos <= pot.end : pot.oldest < pot.end;
	mutex_unlock(&pot.lock);
	return is_there ? pos : NULL;
}

static void *contents_start(struct seq_file *m, loff_t *pos)
{
	return contents_at(pos);
}

static void *contents_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return contents_at(pos);
}

static void contents_stop(struct seq_file *m, void *v)
{
}

static int contents_show(struct seq_file *m, void *v)
{
	u64 id = *(loff_t *)v, number = id - 1;

	if (id) {
		mutex_lock(&pot.lock);
		if (number >= pot.oldest && number < pot.end) {
			size_t from = begin(number), len = length(number), head = min(len, pot.size - from);

			seq_write(m, pot.bytes + from, head);
			seq_write(m, pot.bytes, len - head);
			seq_puts(m, "%\n");
		}
		mutex_unlock(&pot.lock);
	} else {
		seq_puts(m, "%\n");
	}
	return 0;
}

static const struct seq_operations contents_ops = {
	.start = contents_start,
	.next = contents_next,
	.stop = contents_stop,
	.show = contents_show,
};

static void show_words(struct seq_file *m, const char *const *words, int count, int current_one)
{
	for (int at = 0; at < count; at++)
		seq_printf(m, at == current_one ? "%s[%s]" : "%s%s", at ? " " : "", words[at]);
	seq_putc(m, '\n');
}

static int read_word(const char *const *words, int count, const char __user *buf, size_t len)
{
	char word[16] = "";

	if (!len || len >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, buf, len))
		return -EFAULT;
	if (strlen(word) != len)
		return -EINVAL;
	return __sysfs_match_string(words, count, word);
}

static int order_show(struct seq_file *m, void *v)
{
	show_words(m, order_words, ARRAY_SIZE(order_words), READ_ONCE(pot.order));
	return 0;
}

static int order_open(struct inode *inode, struct file *file)
{
	return single_open(file, order_show, NULL);
}

static ssize_t order_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	int order = read_word(order_words, ARRAY_SIZE(order_words), buf, count);

	if (order < 0)
		return order;
	mutex_lock(&pot.lock);
	if (order != pot.order) {
		pot.order = order;
		pot.next = pot.lap = pot.oldest;
	}
	mutex_unlock(&pot.lock);
	return count;
}

static int when_full_show(struct seq_file *m, void *v)
{
	show_words(m, when_full_words, ARRAY_SIZE(when_full_words), READ_ONCE(pot.when_full));
	return 0;
}

static int when_full_open(struct inode *inode, struct file *file)
{
	return single_open(file, when_full_show, NULL);
}

static ssize_t when_full_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	int when_full = read_word(when_full_words, ARRAY_SIZE(when_full_words), buf, count);

	if (when_full < 0)
		return when_full;
	mutex_lock(&pot.lock);
	pot.when_full = when_full;
	mutex_unlock(&pot.lock);
	return count;
}

static ssize_t clear_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	mutex_lock(&pot.lock);
	pot.used = 0;
	pot.oldest = pot.lap = pot.end;
	pot.clears++;
	unlock_and_trim();
	return count;
}

static const struct proc_ops order_ops = {
	.proc_open = order_open,
	.proc_read = seq_read,
	.proc_write = order_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static const struct proc_ops when_full_ops = {
	.proc_open = when_full_open,
	.proc_read = seq_read,
	.proc_write = when_full_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static const struct proc_ops clear_ops = {
	.proc_write = clear_write,
	.proc_lseek = noop_llseek,
};

static struct proc_dir_entry *dir;

static int __init twin_init(void)
{
	size_t blocks;

	if (!pot_size || pot_size > MAX_POT) {
		pr_err(NAME ": pot_size=%lu is not from 1 to %lu\n", pot_size, MAX_POT);
		return -EINVAL;
	}
	mutex_init(&pot.lock);
	pot.size = pot_size + HAS_BUG(1);
	blocks = roundup_pow_of_two(pot_size / 2 / BLOCK_LEN + 2);
	pot.mask = blocks - 1;
	pot.index = vzalloc(array_size(blocks, sizeof(*pot.index)));
	pot.bytes = HAS_BUG(14) ? vmalloc(pot_size) : vzalloc(pot_size);
	if (!pot.index || !pot.bytes)
		goto no_memory;

	dir = proc_mkdir_mode("driver/" NAME, 0555, NULL);
	if (!dir)
		goto no_memory;
	if (!proc_create_single("stats", 0444, dir, stats_show) || !proc_create_seq("pot", 0444, dir, &contents_ops) ||
	    !proc_create("order", 0644, dir, &order_ops) || !proc_create("when_full", 0644, dir, &when_full_ops) ||
	    !proc_create("clear", 0200, dir, &clear_ops) || !proc_create(NAME, HAS_BUG(15) ? 0666 : 0644, NULL, &twin_ops)) {
		proc_remove(dir);
		goto no_memory;
	}
	if (HAS_BUG(12)) {
		proc_remove(dir);
		dir = NULL;
	}
	return 0;

no_memory:
	vfree(pot.bytes);
	vfree(pot.index);
	return -ENOMEM;
}

static void __exit twin_exit(void)
{
	proc_remove(dir);
	/* Files that are still open are closed by this. */
	remove_proc_entry(NAME, NULL);
	while (pot.first_block < pot.end_block)
		kfree(pot.index[pot.first_block++ & pot.mask]);
	vfree(pot.bytes);
	vfree(pot.index);
}

module_init(twin_init);
module_exit(twin_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("/proc/" NAME " in C, to compare fortune.ko with");
