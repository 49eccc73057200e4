/* A wall clock that jumps, for the one process that this is preloaded into. It is off by as many seconds as the file
   GPKAFKA_CLOCK says, whose eight bytes somebody else may change at any time. The monotonic clock is the system's own.

   Waits until a time of day are what such a jump hurts: the kernel ends them when the clock on the wall says so, an hour
   late where it was set back by one. libfaketime takes their end for real time when they begin, and so never shows it.
   Here they are cut into slices, between which the jumping clock is looked at. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL
#define SLICE (200 * 1000000LL)

static volatile int64_t none;
static volatile int64_t *seconds_off = &none;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("GPKAFKA_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *bytes = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
  if (bytes != MAP_FAILED) seconds_off = bytes;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int outcome = (int)syscall(SYS_clock_gettime, clock, now);
  if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *seconds_off;
  return outcome;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec time;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  if (now) *now = time.tv_sec;
  return time.tv_sec;
}

static long long until(const struct timespec *end) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (end->tv_sec - now.tv_sec) * BILLION + (end->tv_nsec - now.tv_nsec);
}

/* Who waits is not woken between two slices, for he would look at some other clock. Were he signalled in just the moment
   between them, he would wait to the end. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *end) {
  for (;;) {
    long long left = until(end);
    if (left <= 0) return ETIMEDOUT;
    struct timespec slice;
    clock_gettime(CLOCK_MONOTONIC, &slice);
    long long ends = slice.tv_sec * BILLION + slice.tv_nsec + (left < SLICE ? left : SLICE);
    slice.tv_sec = ends / BILLION;
    slice.tv_nsec = ends % BILLION;
    int outcome = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &slice);
    if (outcome != ETIMEDOUT) return outcome;
  }
}

/* What librdkafka calls. */
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *end) {
  int outcome = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, end);
  return outcome == 0 ? thrd_success : outcome == ETIMEDOUT ? thrd_timedout : thrd_error;
}

int timespec_get(struct timespec *now, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}
