// Files written by the library in this process: the data is ours.
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct zoo_h5_writer {
    hid_t file;
    hid_t *datasets;
    int count, capacity;
    char message[256];
};

static herr_t keep_message(unsigned depth, const H5E_error2_t *error, void *data) {
    // Entry 0 is where the failure began.
    if (depth != 0 || !error->desc) return 0;
    // The system's own words stand in quotes inside a dump of pointers and sizes.
    const char *words = strstr(error->desc, "error message = '");
    words = words ? words + strlen("error message = '") : error->desc;
    char *text = data;
    size_t length = 0;
    while (words[length] && words[length] != '\'' && words[length] >= ' ' && length < 255) {
        text[length] = words[length];
        length++;
    }
    text[length] = 0;
    return 0;
}

static void note(char *message) {
    snprintf(message, 256, "the HDF5 library gives no reason");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_message, message);
}

static void enter(void) {
    zoo_h5_lock();
    // After a failed write (a full disk) the library's own clean-up at exit crashes. Every file is closed by hand.
    static bool started;
    if (!started) {
        H5dont_atexit();
        started = true;
    }
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static bool leave(zoo_h5_writer *writer, bool done) {
    if (!done) note(writer->message);
    zoo_h5_unlock();
    return done;
}

const char *zoo_h5_message(const zoo_h5_writer *writer) { return writer->message; }

zoo_h5_writer *zoo_h5_create(const char *path, char *message, size_t message_size) {
    zoo_h5_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        snprintf(message, message_size, "no memory");
        return NULL;
    }
    enter();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    // Large data begins at multiples of 64, for readers that map it.
    H5Pset_alignment(access, 64, 64);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    writer->file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    bool done = writer->file >= 0;
    leave(writer, done);
    if (done) return writer;
    snprintf(message, message_size, "%s", writer->message);
    free(writer);
    return NULL;
}

static hid_t half_type(void) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

static hid_t bool_type(void) {
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    int8_t value = 0;
    H5Tenum_insert(type, "FALSE", &value);
    value = 1;
    H5Tenum_insert(type, "TRUE", &value);
    return type;
}

static hid_t complex_type(hid_t part) {
    size_t size = H5Tget_size(part);
    hid_t type = H5Tcreate(H5T_COMPOUND, 2 * size);
    H5Tinsert(type, "r", 0, part);
    H5Tinsert(type, "i", size, part);
    return type;
}

static hid_t file_type(zoo_h5_type type) {
    switch (type) {
    case zoo_h5_bool: return bool_type();
    case zoo_h5_uint8: return H5Tcopy(H5T_STD_U8LE);
    case zoo_h5_int8: return H5Tcopy(H5T_STD_I8LE);
    case zoo_h5_uint16: return H5Tcopy(H5T_STD_U16LE);
    case zoo_h5_int16: return H5Tcopy(H5T_STD_I16LE);
    case zoo_h5_uint32: return H5Tcopy(H5T_STD_U32LE);
    case zoo_h5_int32: return H5Tcopy(H5T_STD_I32LE);
    case zoo_h5_uint64: return H5Tcopy(H5T_STD_U64LE);
    case zoo_h5_int64: return H5Tcopy(H5T_STD_I64LE);
    case zoo_h5_float16: return half_type();
    case zoo_h5_float32: return H5Tcopy(H5T_IEEE_F32LE);
    case zoo_h5_float64: return H5Tcopy(H5T_IEEE_F64LE);
    case zoo_h5_complex64: return complex_type(H5T_IEEE_F32LE);
    case zoo_h5_complex128: return complex_type(H5T_IEEE_F64LE);
    }
    return -1;
}

static hid_t make_dataset(hid_t file, const char *path, hid_t type, int rank, const hsize_t *extents) {
    hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, extents, NULL);
    hid_t links = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    H5Pset_char_encoding(links, H5T_CSET_UTF8);
    // Space is taken at once and never filled with zeros first; no times, so that equal data gives equal files.
    H5Pset_layout(creation, H5D_CONTIGUOUS);
    H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
    H5Pset_obj_track_times(creation, false);
    hid_t dataset = H5Dcreate2(file, path, type, space, links, creation, H5P_DEFAULT);
    if (space >= 0) H5Sclose(space);
    H5Pclose(links);
    H5Pclose(creation);
    return dataset;
}

int zoo_h5_add_dataset(zoo_h5_writer *writer, const char *path, zoo_h5_type type, int rank, const uint64_t *extents) {
    if (rank < 0 || rank > H5S_MAX_RANK) {
        snprintf(writer->message, sizeof writer->message, "more than %d axes", H5S_MAX_RANK);
        return -1;
    }
    hsize_t copied[H5S_MAX_RANK];
    for (int i = 0; i < rank; i++) copied[i] = extents[i];
    if (writer->count == writer->capacity) {
        int capacity = writer->capacity ? writer->capacity * 2 : 64;
        hid_t *larger = realloc(writer->datasets, (size_t)capacity * sizeof *larger);
        if (!larger) return -1;
        writer->datasets = larger;
        writer->capacity = capacity;
    }
    enter();
    hid_t stored = file_type(type);
    hid_t dataset = stored < 0 ? -1 : make_dataset(writer->file, path, stored, rank, copied);
    if (stored >= 0) H5Tclose(stored);
    if (!leave(writer, dataset >= 0)) return -1;
    writer->datasets[writer->count] = dataset;
    return writer->count++;
}

static bool write_rows(hid_t dataset, uint64_t first, uint64_t count, const void *data) {
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    hsize_t extents[H5S_MAX_RANK], start[H5S_MAX_RANK] = {0};
    int rank = H5Sget_simple_extent_dims(space, extents, NULL);
    bool done = false;
    if (rank == 0) {
        done = H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    } else if (rank > 0 && first <= extents[0] && count <= extents[0] - first) {
        start[0] = first;
        extents[0] = count;
        hid_t memory = H5Screate_simple(rank, extents, NULL);
        done = memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extents, NULL) >= 0
            && H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, data) >= 0;
        if (memory >= 0) H5Sclose(memory);
    }
    H5Sclose(space);
    H5Tclose(type);
    return done;
}

bool zoo_h5_write_rows(zoo_h5_writer *writer, int dataset, uint64_t first, uint64_t count, const void *data) {
    if (dataset < 0 || dataset >= writer->count || writer->datasets[dataset] < 0) return false;
    enter();
    return leave(writer, write_rows(writer->datasets[dataset], first, count, data));
}

void zoo_h5_finish_dataset(zoo_h5_writer *writer, int dataset) {
    if (dataset < 0 || dataset >= writer->count || writer->datasets[dataset] < 0) return;
    enter();
    H5Dclose(writer->datasets[dataset]);
    writer->datasets[dataset] = -1;
    leave(writer, true);
}

bool zoo_h5_add_group(zoo_h5_writer *writer, const char *path) {
    enter();
    hid_t group = H5Gopen2(writer->file, path, H5P_DEFAULT);
    if (group < 0) {
        hid_t links = H5Pcreate(H5P_LINK_CREATE);
        H5Pset_create_intermediate_group(links, 1);
        H5Pset_char_encoding(links, H5T_CSET_UTF8);
        group = H5Gcreate2(writer->file, path, links, H5P_DEFAULT, H5P_DEFAULT);
        H5Pclose(links);
    }
    bool done = group >= 0;
    leave(writer, done);
    if (done) {
        enter();
        H5Gclose(group);
        leave(writer, true);
    }
    return done;
}

static bool set_attribute(
    zoo_h5_writer *writer, const char *path, const char *name, hid_t type, hid_t space, const void *value) {
    hid_t object = H5Oopen(writer->file, path, H5P_DEFAULT);
    hid_t creation = H5Pcreate(H5P_ATTRIBUTE_CREATE);
    H5Pset_char_encoding(creation, H5T_CSET_UTF8);
    hid_t attribute = object < 0 ? -1 : H5Acreate2(object, name, type, space, creation, H5P_DEFAULT);
    bool done = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    if (object >= 0) H5Oclose(object);
    H5Pclose(creation);
    return done;
}

static hid_t text_type(void) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

// Texts of variable length live in the file's heap: an attribute itself holds at most 64 kB.
static bool set_texts(
    zoo_h5_writer *writer, const char *path, const char *name, hid_t space, const char *const *texts) {
    hid_t type = text_type();
    bool done = space >= 0 && set_attribute(writer, path, name, type, space, texts);
    H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return done;
}

bool zoo_h5_set_text(zoo_h5_writer *writer, const char *path, const char *name, const char *text) {
    enter();
    return leave(writer, set_texts(writer, path, name, H5Screate(H5S_SCALAR), &text));
}

bool zoo_h5_set_texts(
    zoo_h5_writer *writer, const char *path, const char *name, const char *const *texts, size_t count) {
    hsize_t extent = count;
    enter();
    return leave(writer, set_texts(writer, path, name, H5Screate_simple(1, &extent, NULL), texts));
}

static bool set_scalar(zoo_h5_writer *writer, const char *path, const char *name, bool is_float, const void *value) {
    enter();
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t type = is_float ? H5T_IEEE_F64LE : H5T_STD_I64LE;
    bool done = set_attribute(writer, path, name, type, space, value);
    H5Sclose(space);
    return leave(writer, done);
}

bool zoo_h5_set_integer(zoo_h5_writer *writer, const char *path, const char *name, int64_t value) {
    return set_scalar(writer, path, name, false, &value);
}

bool zoo_h5_set_number(zoo_h5_writer *writer, const char *path, const char *name, double value) {
    return set_scalar(writer, path, name, true, &value);
}

bool zoo_h5_close(zoo_h5_writer *writer, char *message, size_t message_size) {
    enter();
    bool done = true;
    for (int i = 0; i < writer->count; i++) {
        if (writer->datasets[i] >= 0 && H5Dclose(writer->datasets[i]) < 0) done = false;
    }
    if (H5Fflush(writer->file, H5F_SCOPE_GLOBAL) < 0) done = false;
    if (!done) note(writer->message);
    if (H5Fclose(writer->file) < 0 && done) {
        done = false;
        note(writer->message);
    }
    zoo_h5_unlock();
    if (!done) snprintf(message, message_size, "%s", writer->message);
    free(writer->datasets);
    free(writer);
    return done;
}
