// The elements of one dataset, in a child process: unpacked by the library, in slabs of whole chunks.
#include "internal.h"

#include <stdlib.h>

enum { slab_bytes = 8 << 20 };

static bool send_all(hid_t dataset, hid_t type, size_t count, zoo_h5_pipe *pipe) {
    void *data = malloc(count ? count : 1);
    bool done = data && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    if (done) zoo_h5_put(pipe, data, count);
    free(data);
    return done;
}

// Rows of the first axis whose bytes make about a slab, in whole chunks so that none is unpacked twice.
static hsize_t rows_per_slab(hid_t dataset, int rank, const hsize_t *extents, size_t row_bytes) {
    hsize_t rows = row_bytes && row_bytes < slab_bytes ? slab_bytes / row_bytes : 1;
    hsize_t chunk[H5S_MAX_RANK] = {1};
    hid_t list = H5Dget_create_plist(dataset);
    if (list >= 0) {
        if (H5Pget_layout(list) != H5D_CHUNKED || H5Pget_chunk(list, rank, chunk) < 1) chunk[0] = 1;
        H5Pclose(list);
    }
    if (chunk[0] > 0) rows = (rows + chunk[0] - 1) / chunk[0] * chunk[0];
    return rows < extents[0] ? rows : extents[0];
}

static bool send_slabs(
    hid_t dataset, hid_t type, hid_t space, int rank, const hsize_t *extents, size_t count, zoo_h5_pipe *pipe) {
    size_t row_bytes = count / (size_t)extents[0];
    hsize_t rows = rows_per_slab(dataset, rank, extents, row_bytes);
    void *data = malloc((size_t)rows * row_bytes);
    if (!data) return false;
    hsize_t start[H5S_MAX_RANK] = {0}, size[H5S_MAX_RANK];
    for (int i = 0; i < rank; i++) size[i] = extents[i];
    bool goes_on = true;
    for (hsize_t row = 0; row < extents[0] && goes_on; row += rows) {
        start[0] = row;
        size[0] = extents[0] - row < rows ? extents[0] - row : rows;
        hid_t memory = H5Screate_simple(rank, size, NULL);
        goes_on = memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL) >= 0
            && H5Dread(dataset, type, memory, space, H5P_DEFAULT, data) >= 0;
        if (goes_on) zoo_h5_put(pipe, data, (size_t)size[0] * row_bytes);
        if (memory >= 0) H5Sclose(memory);
    }
    free(data);
    return goes_on;
}

int zoo_h5_read_body(const zoo_h5_task *task, zoo_h5_pipe *pipe) {
    hid_t file = zoo_h5_open_memory(task->bytes, task->length);
    hid_t dataset = file < 0 ? -1 : H5Dopen2(file, task->path, H5P_DEFAULT);
    if (dataset < 0) return 1;
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    if (type < 0 || space < 0) return 1;
    hsize_t extents[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_dims(space, extents, NULL);
    size_t size = H5Tget_size(type);
    hssize_t points = H5Sget_simple_extent_npoints(space);
    // The listing promised this many bytes.
    if (rank < 0 || points < 0 || size == 0) return 1;
    if (task->count % size != 0 || (size_t)points != task->count / size) return 1;
    H5T_class_t class = H5Tget_class(type);
    bool is_plain = class == H5T_INTEGER || class == H5T_FLOAT || class == H5T_ENUM || class == H5T_COMPOUND;
    if (!is_plain || H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tdetect_class(type, H5T_REFERENCE) > 0) return 1;
    bool is_small = rank == 0 || task->count <= slab_bytes;
    bool done = is_small ? send_all(dataset, type, task->count, pipe)
                         : send_slabs(dataset, type, space, rank, extents, task->count, pipe);
    return done ? 0 : 1;
}
