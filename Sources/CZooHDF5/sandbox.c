// The child process: started, confined, heard and waited for.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define HAS_FILTER 1
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#endif

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

void zoo_h5_lock(void) { pthread_mutex_lock(&library_lock); }
void zoo_h5_unlock(void) { pthread_mutex_unlock(&library_lock); }

// MARK: In the child

bool zoo_h5_flush(zoo_h5_pipe *pipe) {
    size_t sent = 0;
    while (sent < pipe->used && !pipe->failed) {
        ssize_t written = write(pipe->descriptor, pipe->buffer + sent, pipe->used - sent);
        if (written < 0 && errno != EINTR) pipe->failed = true;
        if (written > 0) sent += (size_t)written;
    }
    pipe->used = 0;
    return !pipe->failed;
}

void zoo_h5_put(zoo_h5_pipe *pipe, const void *bytes, size_t count) {
    const uint8_t *rest = bytes;
    while (count > 0 && !pipe->failed) {
        size_t room = sizeof pipe->buffer - pipe->used;
        size_t part = count < room ? count : room;
        memcpy(pipe->buffer + pipe->used, rest, part);
        pipe->used += part;
        rest += part;
        count -= part;
        if (pipe->used == sizeof pipe->buffer) zoo_h5_flush(pipe);
    }
}

static void limit(int resource, rlim_t value) {
    struct rlimit both = {value, value};
    setrlimit(resource, &both);
}

// The address space that this process has already: mapped archives may be larger than any sensible limit.
static size_t inherited_bytes(void) {
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[64] = {0};
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    size_t pages = 0;
    for (ssize_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; i++)
        pages = pages * 10 + (size_t)(text[i] - '0');
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

#if HAS_FILTER
#define ALLOW(call) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

// Memory, time and the one pipe; anything else fails with EPERM. Without the filter (an old kernel) the limits stand.
static void filter_calls(int output) {
#if defined(__x86_64__)
    const unsigned architecture = AUDIT_ARCH_X86_64;
#else
    const unsigned architecture = AUDIT_ARCH_AARCH64;
#endif
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(exit_group),
        ALLOW(exit),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(mprotect),
        ALLOW(madvise),
        ALLOW(futex),
        ALLOW(rt_sigreturn),
        ALLOW(rt_sigprocmask),
        ALLOW(clock_gettime),
        ALLOW(gettimeofday),
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(getrandom),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)output, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}
#endif

static void confine(const zoo_h5_task *task, int output) {
    // Crash handlers of the host must not run here; a crash is an answer.
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU, SIGPIPE, SIGALRM};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) signal(faults[i], SIG_DFL);
    // Requests to stop are the parent's to answer: it reads on or ends this process.
    const int requests[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) signal(requests[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
#endif
    size_t inherited = inherited_bytes();
    if (inherited > 0) limit(RLIMIT_AS, (rlim_t)(inherited + task->limits.memory_bytes));
    limit(RLIMIT_CPU, task->limits.processor_seconds);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    // No descriptor can be opened any more, so no link or external storage reaches another file.
    limit(RLIMIT_NOFILE, 0);
#if HAS_FILTER
    filter_calls(output);
#else
    (void)output;
#endif
}

_Noreturn static void child(const zoo_h5_task *task, zoo_h5_body body, int output) {
    confine(task, output);
    static zoo_h5_pipe pipe;
    pipe.descriptor = output;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    int status = body(task, &pipe);
    if (!zoo_h5_flush(&pipe) && status == 0) status = 2;
    _exit(status);
}

// MARK: In the parent

/// Where the child's bytes go: a block that grows to a limit, or one of exactly the right size.
typedef struct {
    uint8_t *data;
    size_t count, capacity, limit;
    bool grows;
} sink;

static bool make_room(sink *to) {
    if (to->count < to->capacity) return true;
    if (!to->grows || to->capacity >= to->limit) return false;
    size_t capacity = to->capacity ? to->capacity * 2 : 1 << 16;
    if (capacity > to->limit) capacity = to->limit;
    uint8_t *larger = realloc(to->data, capacity);
    if (!larger) return false;
    to->data = larger;
    to->capacity = capacity;
    return true;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// Reads until the child closes its end; false when it had to be stopped.
static bool listen_to(int input, double deadline, sink *to, zoo_h5_outcome *outcome) {
    while (true) {
        double left = deadline - now();
        struct pollfd wait = {input, POLLIN, 0};
        int ready = left > 0 ? poll(&wait, 1, (int)(left * 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) {
            outcome->timed_out = ready == 0;
            outcome->system_error = ready < 0 ? errno : 0;
            return false;
        }
        uint8_t extra;
        bool fits = make_room(to);
        void *target = fits ? (void *)(to->data + to->count) : &extra;
        ssize_t count = read(input, target, fits ? to->capacity - to->count : 1);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            outcome->system_error = errno;
            return false;
        }
        if (count == 0) return true;
        if (!fits) {
            outcome->overflowed = true;
            return false;
        }
        to->count += (size_t)count;
    }
}

static void wait_for(pid_t process, zoo_h5_outcome *outcome) {
    int status = 0;
    pid_t waited;
    do waited = waitpid(process, &status, 0);
    while (waited < 0 && errno == EINTR);
    // A host that ignores SIGCHLD has no status to give; what the child sent must then speak for itself.
    outcome->status = waited < 0 ? 0 : WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome->signal = waited > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

// Starts a child; its end of the pipe exists only under the lock, so no other child inherits it.
static pid_t start(const zoo_h5_task *task, zoo_h5_body body, int *input) {
    static bool is_ready;
    zoo_h5_lock();
    if (!is_ready) {
        // Done once here rather than in every child.
        H5open();
        is_ready = true;
    }
    int ends[2];
    if (pipe(ends) != 0) {
        zoo_h5_unlock();
        return -1;
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#if defined(F_SETPIPE_SZ)
    if (task->count > 1 << 16) fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
#endif
    pid_t process = fork();
    if (process == 0) {
        close(ends[0]);
        child(task, body, ends[1]);
    }
    int code = errno;
    close(ends[1]);
    zoo_h5_unlock();
    if (process < 0) {
        close(ends[0]);
        errno = code;
        return -1;
    }
    *input = ends[0];
    return process;
}

static bool run(const zoo_h5_task *task, zoo_h5_body body, sink *to, zoo_h5_outcome *outcome) {
    memset(outcome, 0, sizeof *outcome);
    int input;
    pid_t process = start(task, body, &input);
    if (process < 0) {
        outcome->system_error = errno;
        outcome->status = -1;
        return false;
    }
    // Processor time is the real limit; this one ends a child that waits for something.
    double deadline = now() + 60 + 8.0 * task->limits.processor_seconds;
    bool is_complete = listen_to(input, deadline, to, outcome);
    close(input);
    if (!is_complete) kill(process, SIGKILL);
    wait_for(process, outcome);
    return is_complete && outcome->signal == 0;
}

bool zoo_h5_list(
    const void *bytes, size_t length, zoo_h5_limits limits, uint8_t **listing, size_t *count, zoo_h5_outcome *outcome) {
    zoo_h5_task task = {.bytes = bytes, .length = length, .limits = limits};
    sink to = {.limit = limits.listing_bytes, .grows = true};
    bool is_complete = run(&task, zoo_h5_list_body, &to, outcome);
    *listing = to.data;
    *count = to.count;
    return is_complete;
}

bool zoo_h5_read(
    const void *bytes, size_t length, zoo_h5_limits limits, const char *path, void *buffer, size_t count,
    zoo_h5_outcome *outcome) {
    zoo_h5_task task = {.bytes = bytes, .length = length, .limits = limits, .path = path, .count = count};
    sink to = {.data = buffer, .capacity = count, .limit = count};
    return run(&task, zoo_h5_read_body, &to, outcome) && outcome->status == 0 && to.count == count;
}
