#pragma once
#include "CZooHDF5.h"

// Later releases of the library rename their calls; this keeps the names of 1.10.
#define H5_USE_110_API
#include <hdf5.h>

/// One child's task.
typedef struct {
    const uint8_t *bytes;
    size_t length;
    zoo_h5_limits limits;
    const char *path;
    size_t count;
} zoo_h5_task;

/// Bytes gathered before they go through the pipe.
typedef struct {
    int descriptor;
    size_t used;
    bool failed;
    uint8_t buffer[1 << 16];
} zoo_h5_pipe;

void zoo_h5_put(zoo_h5_pipe *pipe, const void *bytes, size_t count);
bool zoo_h5_flush(zoo_h5_pipe *pipe);

/// What a child does; returns its exit status.
typedef int (*zoo_h5_body)(const zoo_h5_task *task, zoo_h5_pipe *pipe);

int zoo_h5_list_body(const zoo_h5_task *task, zoo_h5_pipe *pipe);
int zoo_h5_read_body(const zoo_h5_task *task, zoo_h5_pipe *pipe);

/// Opens the task's bytes as a file; the calling process must hold no other.
hid_t zoo_h5_open_memory(const uint8_t *bytes, size_t length);

/// Held around every call into the library in this process and around forking, so that a child never inherits the
/// library halfway through a call.
void zoo_h5_lock(void);
void zoo_h5_unlock(void);
