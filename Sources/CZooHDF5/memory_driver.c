// A file driver over bytes in memory. A child inherits its parent's mappings, so files inside archives and bytes that
// never were a file are read without a copy, without a temporary file and without opening anything.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

typedef struct {
    H5FD_t base;
    haddr_t allocated;
} memory_file;

// Set once in a child, which has one thread and opens one file.
static const uint8_t *image;
static size_t image_length;

static H5FD_t *memory_open(const char *name, unsigned flags, hid_t access, haddr_t limit) {
    (void)name, (void)access, (void)limit;
    if (flags & H5F_ACC_RDWR) return NULL;
    memory_file *file = calloc(1, sizeof *file);
    return file ? &file->base : NULL;
}

static herr_t memory_close(H5FD_t *file) {
    free(file);
    return 0;
}

static int memory_compare(const H5FD_t *left, const H5FD_t *right) { return left < right ? -1 : left > right; }

static herr_t memory_query(const H5FD_t *file, unsigned long *flags) {
    (void)file;
    if (flags) *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE;
    return 0;
}

static haddr_t memory_allocated(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const memory_file *)file)->allocated;
}

static herr_t memory_allocate(H5FD_t *file, H5FD_mem_t type, haddr_t address) {
    (void)type;
    ((memory_file *)file)->allocated = address;
    return 0;
}

static haddr_t memory_end(const H5FD_t *file, H5FD_mem_t type) {
    (void)file, (void)type;
    return image_length;
}

static herr_t memory_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, void *buffer) {
    (void)file, (void)type, (void)transfer;
    if (address > image_length || size > image_length - address) return -1;
    memcpy(buffer, image + address, size);
    return 0;
}

static herr_t memory_write(
    H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, const void *buffer) {
    (void)file, (void)type, (void)transfer, (void)address, (void)size, (void)buffer;
    return -1;
}

static const H5FD_class_t memory_class = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600,
#endif
    .name = "zoo-memory",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = memory_open,
    .close = memory_close,
    .cmp = memory_compare,
    .query = memory_query,
    .get_eoa = memory_allocated,
    .set_eoa = memory_allocate,
    .get_eof = memory_end,
    .read = memory_read,
    .write = memory_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t zoo_h5_open_memory(const uint8_t *bytes, size_t length) {
    image = bytes;
    image_length = length;
    hid_t driver = H5FDregister(&memory_class);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (driver < 0 || access < 0 || H5Pset_driver(access, driver, NULL) < 0) return -1;
    return H5Fopen("memory", H5F_ACC_RDONLY, access);
}
