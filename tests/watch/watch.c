/* Preloaded into a program: writes each look-up of a host, each use of the internet and each file that is opened for
 * writing, made or renamed to the file that QUIET_LOG names, one a line: LOOKUP, INTERNET or WRITE, a tab, and what.
 *
 * Python's audit hooks do not see what libraries in C++ do; this does, in children as well. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(const char *kind, const char *what) {
    const char *path = getenv("QUIET_LOG");
    int kept = errno;
    char line[2 * PATH_MAX];
    if (path) {
        int length = snprintf(line, sizeof line, "%s\t%s\n", kind, what ? what : "?");
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) {
            syscall(SYS_write, fd, line, (size_t)length);
            syscall(SYS_close, fd);
        }
    }
    errno = kept;
}

static void wrote(int folder, const char *path) {
    char at[PATH_MAX], full[2 * PATH_MAX], link[64];
    int kept = errno;
    if (!path || path[0] == '/') {
        note("WRITE", path);
        return;
    }
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, at, sizeof at - 1);
    at[length < 0 ? 0 : length] = 0;
    snprintf(full, sizeof full, "%s/%s", at, path);
    note("WRITE", full);
    errno = kept;
}

static void spoke(const struct sockaddr *to) {
    char text[INET6_ADDRSTRLEN + 16] = "", address[INET6_ADDRSTRLEN] = "";
    if (to && to->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)to;
        inet_ntop(AF_INET, &v4->sin_addr, address, sizeof address);
        snprintf(text, sizeof text, "%s:%d", address, ntohs(v4->sin_port));
        note("INTERNET", text);
    } else if (to && to->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)to;
        inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof address);
        snprintf(text, sizeof text, "[%s]:%d", address, ntohs(v6->sin6_port));
        note("INTERNET", text);
    }
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    note("LOOKUP", host);
    return REAL(getaddrinfo)(host, service, hints, found);
}
struct hostent *gethostbyname(const char *host) {
    note("LOOKUP", host);
    return REAL(gethostbyname)(host);
}
struct hostent *gethostbyname2(const char *host, int family) {
    note("LOOKUP", host);
    return REAL(gethostbyname2)(host, family);
}
int gethostbyname_r(const char *host, struct hostent *h, char *b, size_t n, struct hostent **r, int *e) {
    note("LOOKUP", host);
    return REAL(gethostbyname_r)(host, h, b, n, r, e);
}
int gethostbyname2_r(const char *host, int f, struct hostent *h, char *b, size_t n, struct hostent **r, int *e) {
    note("LOOKUP", host);
    return REAL(gethostbyname2_r)(host, f, h, b, n, r, e);
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    spoke(to);
    return REAL(connect)(fd, to, length);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    spoke(to);
    return REAL(sendto)(fd, data, size, flags, to, length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    spoke(message->msg_name);
    return REAL(sendmsg)(fd, message, flags);
}
int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    for (unsigned i = 0; i < count; i++)
        spoke(messages[i].msg_hdr.msg_name);
    return REAL(sendmmsg)(fd, messages, count, flags);
}

#define MODE(last)                                                                  \
    mode_t mode = 0;                                                                \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                          \
        va_list more;                                                               \
        va_start(more, last);                                                       \
        mode = va_arg(more, mode_t);                                                \
        va_end(more);                                                               \
    }
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                    \
        MODE(flags)                                                                 \
        if (WRITES(flags))                                                          \
            wrote(AT_FDCWD, path);                                                  \
        return REAL(name)(path, flags, mode);                                       \
    }
#define OPENAT(name)                                                                \
    int name(int folder, const char *path, int flags, ...) {                        \
        MODE(flags)                                                                 \
        if (WRITES(flags))                                                          \
            wrote(folder, path);                                                    \
        return REAL(name)(folder, path, flags, mode);                               \
    }
#define CREAT(name)                                                                 \
    int name(const char *path, mode_t mode) {                                       \
        wrote(AT_FDCWD, path);                                                      \
        return REAL(name)(path, mode);                                              \
    }
#define FOPEN(name)                                                                 \
    FILE *name(const char *path, const char *mode) {                                \
        if (mode && strpbrk(mode, "wa+"))                                           \
            wrote(AT_FDCWD, path);                                                  \
        return REAL(name)(path, mode);                                              \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CREAT(creat)
CREAT(creat64)
CREAT(mkdir)
FOPEN(fopen)
FOPEN(fopen64)

int mkdirat(int folder, const char *path, mode_t mode) {
    wrote(folder, path);
    return REAL(mkdirat)(folder, path, mode);
}
int rename(const char *from, const char *to) {
    wrote(AT_FDCWD, to);
    return REAL(rename)(from, to);
}
int renameat(int old, const char *from, int folder, const char *to) {
    wrote(folder, to);
    return REAL(renameat)(old, from, folder, to);
}
int symlink(const char *from, const char *to) {
    wrote(AT_FDCWD, to);
    return REAL(symlink)(from, to);
}
int link(const char *from, const char *to) {
    wrote(AT_FDCWD, to);
    return REAL(link)(from, to);
}

#define TEMPLATE(name, type, parameters, arguments)                                 \
    type name parameters {                                                          \
        type made = REAL(name) arguments;                                           \
        wrote(AT_FDCWD, template);                                                  \
        return made;                                                                \
    }
TEMPLATE(mkstemp, int, (char *template), (template))
TEMPLATE(mkstemp64, int, (char *template), (template))
TEMPLATE(mkostemp, int, (char *template, int flags), (template, flags))
TEMPLATE(mkostemp64, int, (char *template, int flags), (template, flags))
TEMPLATE(mkdtemp, char *, (char *template), (template))
