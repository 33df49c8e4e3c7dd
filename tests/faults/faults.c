/* LD_PRELOAD: lets chosen calls of the operating system fail.
 *
 * Counted are calls on paths and descriptors below $FAULT_ROOT and calls that make sockets. After
 * `fault_arm(first, count, error)`, calls number `first` to `first + count - 1` fail with `error`; `fault_seen()` says how
 * many were counted since, and `fault_name(n)` what call number n was. Nothing fails before the first `fault_arm`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define MAX_NAMES 100000

static atomic_long seen;
static long first_failure, failures;
static int failure_error;
static int armed;
static const char *names[MAX_NAMES];

void fault_arm(long first, long count, int error) {
    first_failure = first;
    failures = count;
    failure_error = error;
    atomic_store(&seen, 0);
    armed = 1;
}

void fault_disarm(void) { armed = 0; }
long fault_seen(void) { return atomic_load(&seen); }
const char *fault_name(long number) { return number >= 1 && number < MAX_NAMES && names[number] ? names[number] : ""; }

static int fails(const char *name) {
    if (!armed) return 0;
    long number = atomic_fetch_add(&seen, 1) + 1;
    if (number < MAX_NAMES) names[number] = name;
    if (number < first_failure || number >= first_failure + failures) return 0;
    errno = failure_error;
    return 1;
}

static int below_root(const char *path) {
    const char *root = getenv("FAULT_ROOT");
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

static int fd_below_root(int fd) {
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!armed) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return below_root(path);
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (below_root(path) && fails("open")) return -1; \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(int, #name, int, const char *, int, ...); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if ((below_root(path) || (folder != AT_FDCWD && fd_below_root(folder))) && fails("openat")) return -1; \
        return real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (fd_below_root(fd) && fails("write")) {
        if (count > 8 && errno == ENOSPC) return real(fd, data, count / 2); /* a disk that has just become full */
        return -1;
    }
    return real(fd, data, count);
}

#define PWRITE(name) \
    ssize_t name(int fd, const void *data, size_t count, off_t offset) { \
        REAL(ssize_t, #name, int, const void *, size_t, off_t); \
        return fd_below_root(fd) && fails("pwrite") ? -1 : real(fd, data, count, offset); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define ON_FD(name) \
    int name(int fd) { \
        REAL(int, #name, int); \
        return fd_below_root(fd) && fails(#name) ? -1 : real(fd); \
    }
ON_FD(fsync)
ON_FD(fdatasync)

#define TRUNCATE(name) \
    int name(int fd, off_t size) { \
        REAL(int, #name, int, off_t); \
        return fd_below_root(fd) && fails("ftruncate") ? -1 : real(fd, size); \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return below_root(from) && fails("rename") ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    return below_root(from) && fails("renameat") ? -1 : real(from_folder, from, to_folder, to);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    return below_root(path) && fails("unlink") ? -1 : real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    return below_root(path) && fails("unlinkat") ? -1 : real(folder, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    return below_root(path) && fails("mkdir") ? -1 : real(path, mode);
}

int socket(int domain, int type, int protocol) {
    REAL(int, "socket", int, int, int);
    return fails("socket") ? -1 : real(domain, type, protocol);
}

int accept(int fd, struct sockaddr *address, socklen_t *length) {
    REAL(int, "accept", int, struct sockaddr *, socklen_t *);
    return fails("accept") ? -1 : real(fd, address, length);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
    return fails("accept") ? -1 : real(fd, address, length, flags);
}
