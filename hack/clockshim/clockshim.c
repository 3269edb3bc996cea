/* Steps the wall clock of the one process into which it is preloaded.
 *
 *     CLOCK_SHIM_FILE=FILE LD_PRELOAD=hack/clockshim/build/libclockshim.so python ...
 *
 * FILE holds one signed 64-bit number in the machine's order: by how many nanoseconds the wall clock is ahead. It is
 * mapped once, at the start, so that a write to it is a step at once; without it the clock is as it is. The monotonic
 * clock is left alone. A wait until a time of day is a wait of the same length as before, whatever the clock says then:
 * its deadline is put back to the kernel's time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SHIM __attribute__((visibility("default")))
#define SECOND 1000000000LL
#define REAL(name, ...)                                                                                                \
    static __typeof__(&name) real;                                                                                     \
    if (!real)                                                                                                         \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                             \
    return real(__VA_ARGS__)

static const int64_t none = 0;
static const int64_t *offset = &none;

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("CLOCK_SHIM_FILE");
    int file = path && *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    if (lseek(file, 0, SEEK_END) >= (off_t)sizeof *offset) {
        void *at = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
        if (at != MAP_FAILED)
            offset = at;
    }
    close(file);
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

static void add(struct timespec *time, int64_t nanoseconds) {
    int64_t total = time->tv_nsec + nanoseconds % SECOND;
    time->tv_sec += nanoseconds / SECOND + (total < 0 ? -1 : total / SECOND);
    time->tv_nsec = total < 0 ? total + SECOND : total % SECOND;
}

static int64_t shift(void) { return __atomic_load_n(offset, __ATOMIC_RELAXED); }

static int real_gettime(clockid_t clock, struct timespec *time) { REAL(clock_gettime, clock, time); }

SHIM int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = real_gettime(clock, time);
    if (!result && is_wall(clock))
        add(time, shift());
    return result;
}

SHIM int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (time && !clock_gettime(CLOCK_REALTIME, &now))
        *time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

SHIM time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

SHIM int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, time) ? base : 0;
}

/* The kernel's deadline for one of this process's clock. */
static const struct timespec *kernels(const struct timespec *deadline, struct timespec *room) {
    if (!deadline)
        return NULL;
    *room = *deadline;
    add(room, -shift());
    if (room->tv_sec < 0) /* the kernel refuses it; long ago is over, too */
        *room = (struct timespec){0};
    return room;
}

SHIM int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                                const struct timespec *restrict deadline) {
    struct timespec room;
    /* glibc keeps in this bit that the condition's deadlines are on the monotonic clock */
    int monotonic = cond->__data.__wrefs & 2;
    const struct timespec *until = monotonic ? deadline : kernels(deadline, &room);
    REAL(pthread_cond_timedwait, cond, mutex, until);
}

SHIM int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t clock,
                                const struct timespec *restrict deadline) {
    struct timespec room;
    const struct timespec *until = is_wall(clock) ? kernels(deadline, &room) : deadline;
    REAL(pthread_cond_clockwait, cond, mutex, clock, until);
}

SHIM int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline) {
    struct timespec room;
    const struct timespec *until = kernels(deadline, &room);
    REAL(pthread_mutex_timedlock, mutex, until);
}

SHIM int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline) {
    struct timespec room;
    const struct timespec *until = kernels(deadline, &room);
    REAL(sem_timedwait, sem, until);
}

SHIM int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict deadline) {
    struct timespec room;
    const struct timespec *until = is_wall(clock) ? kernels(deadline, &room) : deadline;
    REAL(sem_clockwait, sem, clock, until);
}

SHIM int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request, struct timespec *left) {
    struct timespec room;
    const struct timespec *until = is_wall(clock) && flags & TIMER_ABSTIME ? kernels(request, &room) : request;
    REAL(clock_nanosleep, clock, flags, until, left);
}

/* Some libraries wait by futex themselves (Abseil, and by it gRPC), and ask for the time without libc's wrapper. */
SHIM long syscall(long number, ...) {
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    struct timespec room;
    if (number == SYS_futex && a[1] & FUTEX_CLOCK_REALTIME)
        a[3] = (long)kernels((const struct timespec *)a[3], &room);
    if (number == SYS_clock_gettime)
        return clock_gettime((clockid_t)a[0], (struct timespec *)a[1]);
    REAL(syscall, number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
