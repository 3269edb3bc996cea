/* Lets the disk fail for the one process into which it is preloaded: below a folder, while a number says so.
 *
 *     DISK_SHIM_FILE=FILE DISK_SHIM_FOLDER=DIR LD_PRELOAD=hack/diskshim/build/libdiskshim.so python ...
 *
 * FILE holds a struct disk in the machine's order and is mapped once, at the start; without it nothing changes. What
 * is written into it holds at once: the error that changes of the disk get (ENOSPC: whatever takes room; EROFS: all of
 * them), and how long each sync lasts before it begins, where less than nothing is until the number is another one.
 * What the shim writes tells whoever looks on: how many calls were refused, how many syncs began, and how many are
 * under way, which is when a process is in the middle of a commit.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SHIM __attribute__((visibility("default")))
#define NEXT(name)                                                                                                     \
    static __typeof__(&name) next;                                                                                     \
    if (!next)                                                                                                         \
    next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

struct disk {
    int64_t error;     /* what changes get; 0 is none */
    int64_t delay_ns;  /* how long each sync lasts before it begins; below 0 it is held until that changes */
    int64_t refused;   /* calls that got the error */
    int64_t syncs;     /* syncs that began */
    int64_t syncing;   /* syncs that are under way; a process that is killed in one leaves it there */
};

static struct disk none;
static struct disk *disk = &none;
static char folder[PATH_MAX];
static size_t folder_length;

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("DISK_SHIM_FILE"), *below = getenv("DISK_SHIM_FOLDER");
    int file = path && *path && below && *below ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    if (lseek(file, 0, SEEK_END) >= (off_t)sizeof *disk && strlen(below) < sizeof folder) {
        void *at = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (at != MAP_FAILED) {
            strcpy(folder, below);
            folder_length = strlen(folder);
            disk = at;
        }
    }
    close(file);
}

static int is_below(const char *path) {
    return folder_length && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

static int file_is_below(int file) {
    char link[64], path[PATH_MAX];
    if (!folder_length)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static int error_now(void) { return (int)__atomic_load_n(&disk->error, __ATOMIC_RELAXED); }

static int refuse(int error) {
    __atomic_fetch_add(&disk->refused, 1, __ATOMIC_RELAXED);
    errno = error;
    return 1;
}

/* Whether a change of an open file is refused; all of them need room. */
static int refused_file(int file) {
    int error = error_now();
    return error && file_is_below(file) && refuse(error);
}

/* Whether a change of a name is refused; *needs_room*: a full disk refuses it, too. */
static int refused_name(const char *path, int needs_room) {
    int error = error_now();
    if (!error || !is_below(path) || (error == ENOSPC && !needs_room))
        return 0;
    return refuse(error);
}

static int refused_open(const char *path, int flags) {
    int error = error_now(), kept = errno;
    if (!error || !is_below(path))
        return 0;
    int makes = flags & O_CREAT && access(path, F_OK) != 0;
    errno = kept;
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    return (error == ENOSPC ? makes : makes || writes) && refuse(error);
}

#define OPEN(name)                                                                                                     \
    SHIM int name(const char *path, int flags, ...) {                                                                  \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list more;                                                                                              \
            va_start(more, flags);                                                                                     \
            mode = va_arg(more, mode_t);                                                                               \
            va_end(more);                                                                                              \
        }                                                                                                              \
        NEXT(name);                                                                                                    \
        return refused_open(path, flags) ? -1 : next(path, flags, mode);                                               \
    }
OPEN(open)
OPEN(open64)

SHIM ssize_t write(int file, const void *from, size_t count) {
    NEXT(write);
    return refused_file(file) ? -1 : next(file, from, count);
}

SHIM ssize_t writev(int file, const struct iovec *from, int count) {
    NEXT(writev);
    return refused_file(file) ? -1 : next(file, from, count);
}

SHIM ssize_t pwrite(int file, const void *from, size_t count, off_t at) {
    NEXT(pwrite);
    return refused_file(file) ? -1 : next(file, from, count, at);
}

SHIM ssize_t pwrite64(int file, const void *from, size_t count, off64_t at) {
    NEXT(pwrite64);
    return refused_file(file) ? -1 : next(file, from, count, at);
}

SHIM int ftruncate(int file, off_t length) {
    NEXT(ftruncate);
    return refused_file(file) ? -1 : next(file, length);
}

SHIM int ftruncate64(int file, off64_t length) {
    NEXT(ftruncate64);
    return refused_file(file) ? -1 : next(file, length);
}

SHIM int fallocate(int file, int mode, off_t at, off_t length) {
    NEXT(fallocate);
    return refused_file(file) ? -1 : next(file, mode, at, length);
}

SHIM int fallocate64(int file, int mode, off64_t at, off64_t length) {
    NEXT(fallocate64);
    return refused_file(file) ? -1 : next(file, mode, at, length);
}

SHIM int posix_fallocate(int file, off_t at, off_t length) {
    NEXT(posix_fallocate);
    return refused_file(file) ? errno : next(file, at, length);
}

SHIM int posix_fallocate64(int file, off64_t at, off64_t length) {
    NEXT(posix_fallocate64);
    return refused_file(file) ? errno : next(file, at, length);
}

SHIM int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    return refused_name(path, 1) ? -1 : next(path, mode);
}

SHIM int unlink(const char *path) {
    NEXT(unlink);
    return refused_name(path, 0) ? -1 : next(path);
}

SHIM int rename(const char *from, const char *to) {
    NEXT(rename);
    return refused_name(from, 0) ? -1 : next(from, to);
}

/* A sync that is counted, and that lasts as long as was asked for. */
static int begin_sync(int file) {
    if (!file_is_below(file))
        return 0;
    __atomic_fetch_add(&disk->syncs, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&disk->syncing, 1, __ATOMIC_SEQ_CST);
    int64_t delay;
    while ((delay = __atomic_load_n(&disk->delay_ns, __ATOMIC_SEQ_CST)) < 0)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    if (delay > 0)
        nanosleep(&(struct timespec){delay / 1000000000, delay % 1000000000}, NULL);
    return 1;
}

static int end_sync(int counted, int result) {
    if (counted)
        __atomic_fetch_sub(&disk->syncing, 1, __ATOMIC_SEQ_CST);
    return result;
}

SHIM int fsync(int file) {
    NEXT(fsync);
    int counted = begin_sync(file);
    if (refused_file(file))
        return end_sync(counted, -1);
    return end_sync(counted, next(file));
}

SHIM int fdatasync(int file) {
    NEXT(fdatasync);
    int counted = begin_sync(file);
    if (refused_file(file))
        return end_sync(counted, -1);
    return end_sync(counted, next(file));
}
