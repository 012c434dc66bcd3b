#define _GNU_SOURCE
#include "CZooKernels.h"
#include <errno.h>
#include <stdio.h>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int zoo_exchange_paths(const char *left, const char *right) {
#if defined(SYS_renameat2)
    // 2 is RENAME_EXCHANGE, which not every C library names.
    return syscall(SYS_renameat2, AT_FDCWD, left, AT_FDCWD, right, 2u) == 0 ? 0 : errno;
#else
    (void)left;
    (void)right;
    return ENOSYS;
#endif
}
#elif defined(__APPLE__)
int zoo_exchange_paths(const char *left, const char *right) {
    return renamex_np(left, right, RENAME_SWAP) == 0 ? 0 : errno;
}
#else
int zoo_exchange_paths(const char *left, const char *right) {
    (void)left;
    (void)right;
    return ENOSYS;
}
#endif
