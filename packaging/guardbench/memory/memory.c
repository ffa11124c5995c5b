// memory stands for a process that holds memory: a tier, or what takes the memory away from all. It holds what it is told to
// hold, goes on using some of it, and leaks when it is told to. It is in C because it must see SIGTERM on the thread that works,
// at once: Go hands signals to a thread of its own, and all threads of a process share one processor in User-Mode Linux.
//
//   memory -name NAME [-anon MIB] [-touch MIB/S] [-file PATH] [-dma MIB] [-leak anon|locked|dma|cache] [-rate MIB/S]
//          [-most MIB] [-from PATH] [-deaf 1]
//
// What it says and hears is a page of numbers, /run/bench/NAME.page; the guest's page.go knows it too.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define PAGE 4096ull
#define TICK 5000000ull // nanoseconds between two rounds of work
#define STEP (4 * MIB)  // the most that is taken between two looks at the clock

// The page. Times are CLOCK_MONOTONIC in nanoseconds, amounts are bytes.
static volatile struct {
	uint64_t ready; // 1: all that it holds is in place
	uint64_t term;  // when the first SIGTERM came
	uint64_t go;    // 1: leak, as the next two say
	uint64_t fast;  // up to so much as fast as can be, then at the rate
	uint64_t cap;   // no further
	uint64_t taken; // so far
	uint64_t full;  // when the cap was reached
	uint64_t fails; // allocations that the kernel refused
} *page;

static int deaf;

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void nap(uint64_t until)
{
	struct timespec t = {.tv_sec = (time_t)(until / 1000000000ull), .tv_nsec = (long)(until % 1000000000ull)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void on_term(int signal)
{
	(void)signal;
	if (!page->term)
		page->term = now();
	if (!deaf)
		_exit(0);
}

// open_page makes the page anew. It is locked: to write to it must never wait for memory.
static void open_page(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "/run/bench/%s.page", name);
	unlink(path);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, PAGE))
		die(path);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || mlock((void *)page, PAGE))
		die(path);
}

static unsigned char *map(uint64_t size, int flags)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

// fill takes the memory at once, since a fault for every page takes twenty times as long there, and leaves half of each page
// such that it cannot be compressed.
static int fill(unsigned char *at, uint64_t size)
{
	if (madvise(at, size, MADV_POPULATE_WRITE))
		return -1;
	for (uint64_t o = 0; o < size; o += PAGE) {
		uint64_t *p = (uint64_t *)(at + o), x = (uint64_t)(uintptr_t)p * 0x9E3779B97F4A7C15ull | 1;
		for (int i = 0; i < 256; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			p[i] = x;
		}
	}
	return 0;
}

// take_dma takes kernel memory behind a descriptor, as a GPU's driver hands it out: in no process and in no cgroup.
static int take_dma(uint64_t size)
{
	static int heap = -1;
	if (heap < 0) {
		struct rlimit many = {65536, 65536}; // a descriptor each
		setrlimit(RLIMIT_NOFILE, &many);
		if ((heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC)) < 0)
			die("/dev/dma_heap/system");
	}
	struct dma_heap_allocation_data d = {.len = size, .fd_flags = O_RDWR | O_CLOEXEC};
	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &d);
}

// leak is what a process takes on demand.
struct leak {
	char kind; // the first letter; 0: none
	uint64_t rate, done, begin;
	unsigned char *at;
	int file;
};

static int take(struct leak *l, uint64_t size)
{
	static char buffer[STEP];
	switch (l->kind) {
	case 'd':
		return take_dma(size);
	case 'c':
		return pread(l->file, buffer, size, (off_t)l->done) == (ssize_t)size ? 0 : -1;
	default:
		return fill(l->at + l->done, size);
	}
}

// go_on takes what is due by now.
static void go_on(struct leak *l)
{
	while (l->done < page->cap) {
		uint64_t t = now();
		if (l->done < page->fast)
			l->begin = 0;
		else if (!l->begin)
			l->begin = t;
		uint64_t due = l->begin ? page->fast + (t - l->begin) / 1000 * l->rate / 1000000 : page->fast;
		if (due > page->cap)
			due = page->cap;
		uint64_t size = due > l->done ? (due - l->done) & ~(64 * 1024 - 1) : 0;
		if (size > STEP)
			size = STEP;
		if (!size)
			return;
		if (take(l, size)) {
			page->fails++;
			return;
		}
		page->taken = l->done += size;
	}
	if (!page->full)
		page->full = now();
}

// use touches so much of a region a tick, round and round.
static unsigned use(volatile unsigned char *at, uint64_t size, uint64_t *place, uint64_t amount, int write)
{
	unsigned sum = 0;
	for (uint64_t n = 0; n < amount; n += PAGE) {
		if (write)
			at[*place]++;
		else
			sum += at[*place];
		*place = *place + PAGE < size ? *place + PAGE : 0;
	}
	return sum;
}

int main(int argc, char **argv)
{
	const char *name = "memory", *file = NULL, *from = NULL;
	uint64_t anon = 0, touch = 0, dma = 0, most = 0;
	struct leak l = {.file = -1};
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *flag = argv[i], *value = argv[i + 1];
		uint64_t n = strtoull(value, NULL, 10);
		if (!strcmp(flag, "-name")) name = value;
		else if (!strcmp(flag, "-anon")) anon = n * MIB;
		else if (!strcmp(flag, "-touch")) touch = n * MIB;
		else if (!strcmp(flag, "-file")) file = value;
		else if (!strcmp(flag, "-dma")) dma = n * MIB;
		else if (!strcmp(flag, "-leak")) l.kind = value[0];
		else if (!strcmp(flag, "-rate")) l.rate = n * MIB;
		else if (!strcmp(flag, "-most")) most = n * MIB;
		else if (!strcmp(flag, "-from")) from = value;
		else if (!strcmp(flag, "-deaf")) deaf = n != 0;
		else {
			fprintf(stderr, "memory: there is no flag %s\n", flag);
			return 2;
		}
	}
	prctl(PR_SET_NAME, name);
	open_page(name);
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	signal(SIGTERM, on_term);

	unsigned char *held = NULL;
	for (uint64_t o = 0; o < anon; o += STEP) {
		if (!held)
			held = map(anon, 0);
		if (fill(held + o, anon - o < STEP ? anon - o : STEP))
			die("anonymous memory");
	}
	unsigned char *mapped = NULL;
	uint64_t place[2] = {0, 0}, mapped_size = 0;
	unsigned sum = 0;
	if (file) {
		struct stat s;
		int fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &s))
			die(file);
		mapped_size = (uint64_t)s.st_size;
		mapped = mmap(NULL, mapped_size, PROT_READ, MAP_SHARED, fd, 0);
		if (mapped == MAP_FAILED)
			die(file);
		madvise(mapped, mapped_size, MADV_POPULATE_READ);
	}
	for (uint64_t o = 0; o < dma; o += 16 * MIB)
		if (take_dma(dma - o < 16 * MIB ? dma - o : 16 * MIB))
			die("dma-heap");
	if (l.kind == 'c' && (l.file = open(from, O_RDONLY | O_CLOEXEC)) < 0)
		die(from);
	if (l.kind == 'a' || l.kind == 'l')
		l.at = map(most, 0);
	if (l.kind == 'l' && mlock2(l.at, most, MLOCK_ONFAULT))
		die("mlock2");
	page->ready = 1;

	for (uint64_t next = now();;) {
		next += TICK;
		nap(next);
		if (held)
			sum += use(held, anon, &place[0], touch / 200, 1);
		if (mapped && touch)
			sum += use(mapped, mapped_size, &place[1], MIB / 40, 0);
		if (l.kind && page->go)
			go_on(&l);
		if (now() > next + TICK)
			next = now(); // no bursts after a stall
	}
	return (int)(sum & 0);
}
