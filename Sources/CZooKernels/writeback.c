#define _GNU_SOURCE
#include "CZooKernels.h"

#if defined(__linux__)
#include <fcntl.h>

void zoo_start_writeback(int descriptor, int64_t offset, int64_t count) {
    sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}
#else
void zoo_start_writeback(int descriptor, int64_t offset, int64_t count) {
    (void)descriptor;
    (void)offset;
    (void)count;
}
#endif
