/*
 * Faults between the gateway and its machine, preloaded before libc: calls on the
 * store's files fail, take their time or do half of what was asked, and the wall
 * clock stands where it is told to. What happens is read from a file that the
 * harness and the process have in common in memory, so that it changes while the
 * process runs; what did happen is counted there, so that nobody takes a fault
 * that never came for one that was survived.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The order is Shim.ts's. All fields are 64 bits wide. */
enum call { OPEN, READ, WRITE, SYNC, TRUNCATE, MAP, calls };
enum mode { NOTHING, FAIL, SLOW, SHORT };

struct rule {
  int64_t mode;
  int64_t error;    /* errno of FAIL and of the end of SHORT; 0 for none */
  int64_t micros;   /* how long SLOW waits */
  int64_t files;    /* bits: 1 database, 2 -wal, 4 -shm */
  int64_t skip;     /* calls that pass before the first that doesn't */
  int64_t times;    /* how many are hit, -1 for all */
  int64_t seen;     /* counted: calls on such files while there is a rule */
  int64_t injected; /* counted: calls that were hit */
};

struct control {
  int64_t offset;  /* milliseconds that the wall clock is ahead */
  int64_t clocked; /* counted: times that were given out with an offset */
  int64_t loaded;  /* pid of the process that has the shim in it */
  int64_t spare;
  struct rule rules[calls];
};

static struct control *control;
static char store[4096];
static size_t store_length;
enum { descriptors = 65536 };
static unsigned char kinds[descriptors];

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void load(void) {
  const char *path = getenv("TORTURE_SHIM_CONTROL");
  const char *file = getenv("TORTURE_SHIM_STORE");
  if (!path || !file || strlen(file) >= sizeof store) return;
  strcpy(store, file);
  store_length = strlen(store);
  REAL(open);
  int fd = real(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared == MAP_FAILED) return;
  control = shared;
  __atomic_store_n(&control->loaded, (int64_t)getpid(), __ATOMIC_SEQ_CST);
}

static unsigned char kind_of_path(const char *path) {
  if (!store_length || !path || strncmp(path, store, store_length) != 0) return 0;
  const char *rest = path + store_length;
  if (*rest == 0) return 1;
  if (strcmp(rest, "-wal") == 0) return 2;
  if (strcmp(rest, "-shm") == 0) return 4;
  return 0;
}

static unsigned char kind_of(int fd) { return fd >= 0 && fd < descriptors ? kinds[fd] : 0; }

static void rest_for(int64_t micros) {
  struct timespec left = {micros / 1000000, (micros % 1000000) * 1000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

/* What is to happen to this call: the rule that hits it, or none. */
static struct rule *hit(enum call call, unsigned char kind) {
  if (!control || !kind) return NULL;
  struct rule *rule = &control->rules[call];
  if (__atomic_load_n(&rule->mode, __ATOMIC_SEQ_CST) == NOTHING || !(rule->files & kind)) return NULL;
  __atomic_add_fetch(&rule->seen, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&rule->skip, __ATOMIC_SEQ_CST) > 0) {
    __atomic_sub_fetch(&rule->skip, 1, __ATOMIC_SEQ_CST);
    return NULL;
  }
  int64_t times = __atomic_load_n(&rule->times, __ATOMIC_SEQ_CST);
  if (times == 0) return NULL;
  if (times > 0) __atomic_sub_fetch(&rule->times, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&rule->injected, 1, __ATOMIC_SEQ_CST);
  return rule;
}

/* Waits or fails as the rule says; true when the call is over with -1. */
static int refused(struct rule *rule) {
  if (!rule) return 0;
  if (rule->micros > 0) rest_for(rule->micros);
  if (rule->mode != FAIL) return 0;
  errno = (int)rule->error;
  return 1;
}

static int opened(int fd, unsigned char kind) {
  if (fd >= 0 && fd < descriptors) kinds[fd] = kind;
  return fd;
}

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = (mode_t)va_arg(rest, int); \
    va_end(rest); \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags)
  REAL(open);
  unsigned char kind = kind_of_path(path);
  if (refused(hit(OPEN, kind))) return -1;
  return opened(real(path, flags, mode), kind);
}

int open64(const char *path, int flags, ...) {
  MODE_OF(flags)
  REAL(open64);
  unsigned char kind = kind_of_path(path);
  if (refused(hit(OPEN, kind))) return -1;
  return opened(real(path, flags, mode), kind);
}

int close(int fd) {
  REAL(close);
  if (fd >= 0 && fd < descriptors) kinds[fd] = 0;
  return real(fd);
}

/* Half of what was asked for, or one byte; the next call then finds the error, as on a disk that fills up. */
static size_t part(struct rule *rule, size_t count) {
  if (!rule || rule->mode != SHORT || count < 2) return count;
  return count / 2;
}

#define TRANSFER(name, call, buffer_type, tail_types, tail_names) \
  ssize_t name(int fd, buffer_type buffer, size_t count tail_types) { \
    REAL(name); \
    struct rule *rule = hit(call, kind_of(fd)); \
    if (refused(rule)) return -1; \
    return real(fd, buffer, part(rule, count) tail_names); \
  }
#define WITH_OFFSET , off_t offset
#define OFFSET , offset
#define WITH_OFFSET64 , off64_t offset
#define NONE

TRANSFER(read, READ, void *, NONE, NONE)
TRANSFER(pread, READ, void *, WITH_OFFSET, OFFSET)
TRANSFER(pread64, READ, void *, WITH_OFFSET64, OFFSET)
TRANSFER(write, WRITE, const void *, NONE, NONE)
TRANSFER(pwrite, WRITE, const void *, WITH_OFFSET, OFFSET)
TRANSFER(pwrite64, WRITE, const void *, WITH_OFFSET64, OFFSET)

int fsync(int fd) {
  REAL(fsync);
  return refused(hit(SYNC, kind_of(fd))) ? -1 : real(fd);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return refused(hit(SYNC, kind_of(fd))) ? -1 : real(fd);
}

int ftruncate(int fd, off_t length) {
  REAL(ftruncate);
  return refused(hit(TRUNCATE, kind_of(fd))) ? -1 : real(fd, length);
}

int ftruncate64(int fd, off64_t length) {
  REAL(ftruncate64);
  return refused(hit(TRUNCATE, kind_of(fd))) ? -1 : real(fd, length);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  REAL(mmap64);
  return refused(hit(MAP, kind_of(fd))) ? MAP_FAILED : real(at, length, protection, flags, fd, offset);
}

static int64_t offset_of_clock(void) {
  int64_t offset = control ? __atomic_load_n(&control->offset, __ATOMIC_SEQ_CST) : 0;
  if (offset != 0) __atomic_add_fetch(&control->clocked, 1, __ATOMIC_SEQ_CST);
  return offset;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  REAL(clock_gettime);
  int result = real(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t offset = offset_of_clock();
    time->tv_sec += offset / 1000;
    time->tv_nsec += (offset % 1000) * 1000000;
    if (time->tv_nsec < 0) time->tv_sec--, time->tv_nsec += 1000000000;
    if (time->tv_nsec >= 1000000000) time->tv_sec++, time->tv_nsec -= 1000000000;
  }
  return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  REAL(gettimeofday);
  int result = real(time, zone);
  if (result == 0) {
    int64_t offset = offset_of_clock();
    time->tv_sec += offset / 1000;
    time->tv_usec += (offset % 1000) * 1000;
    if (time->tv_usec < 0) time->tv_sec--, time->tv_usec += 1000000;
    if (time->tv_usec >= 1000000) time->tv_sec++, time->tv_usec -= 1000000;
  }
  return result;
}
