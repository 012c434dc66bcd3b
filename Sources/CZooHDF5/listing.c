// A walk over the groups of a file, in a child process. Hard links only; every group once.
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char **names;
    uint8_t *kinds;
    size_t count, capacity;
} link_list;

typedef struct {
    const zoo_h5_task *task;
    zoo_h5_pipe *pipe;
    haddr_t *visited;
    size_t visited_count, visited_capacity;
    unsigned objects;
} walk;

enum { hard_link, soft_link, external_link, other_link };

// MARK: Records

static void put8(walk *w, uint8_t value) { zoo_h5_put(w->pipe, &value, 1); }
static void put16(walk *w, size_t value) {
    uint16_t narrow = value > 0xFFFF ? 0xFFFF : (uint16_t)value;
    zoo_h5_put(w->pipe, &narrow, 2);
}
static void put32(walk *w, uint32_t value) { zoo_h5_put(w->pipe, &value, 4); }
static void put64(walk *w, uint64_t value) { zoo_h5_put(w->pipe, &value, 8); }

static void put_bytes(walk *w, const char *bytes, size_t length) {
    put32(w, (uint32_t)length);
    zoo_h5_put(w->pipe, bytes, (uint32_t)length);
}

static void put_text(walk *w, const char *text) { put_bytes(w, text, strlen(text)); }

static void put_skipped(walk *w, const char *path, const char *reason) {
    put8(w, 'S');
    put_text(w, path);
    put_text(w, reason);
}

// MARK: Types

typedef struct {
    uint8_t kind, is_signed, is_big;
    size_t size, sign, exponent, exponent_size, significand, significand_size, bias;
} type_facts;

enum { kind_other, kind_integer, kind_float, kind_bool, kind_complex };

static bool number_facts(hid_t type, type_facts *facts) {
    H5T_class_t class = H5Tget_class(type);
    H5T_order_t order = H5Tget_order(type);
    facts->size = H5Tget_size(type);
    // Padding bits and mixed byte orders (VAX) would need the library's conversions.
    if (H5Tget_precision(type) != facts->size * 8 || H5Tget_offset(type) != 0) return false;
    if (order != H5T_ORDER_LE && order != H5T_ORDER_BE) return false;
    facts->is_big = order == H5T_ORDER_BE;
    if (class == H5T_INTEGER) {
        facts->kind = kind_integer;
        facts->is_signed = H5Tget_sign(type) == H5T_SGN_2;
        return true;
    }
    if (class != H5T_FLOAT || H5Tget_norm(type) != H5T_NORM_IMPLIED) return false;
    facts->kind = kind_float;
    facts->bias = H5Tget_ebias(type);
    return H5Tget_fields(
               type, &facts->sign, &facts->exponent, &facts->exponent_size, &facts->significand,
               &facts->significand_size) >= 0;
}

static bool member_is(hid_t type, unsigned index, const char *first, const char *second) {
    char *name = H5Tget_member_name(type, index);
    bool same = name && (strcmp(name, first) == 0 || strcmp(name, second) == 0);
    if (name) H5free_memory(name);
    return same;
}

// h5py's truth values: an enumeration of one byte, FALSE and TRUE.
static bool enum_facts(hid_t type, type_facts *facts) {
    hid_t base = H5Tget_super(type);
    bool is_integer = base >= 0 && number_facts(base, facts) && facts->kind == kind_integer;
    if (base >= 0) H5Tclose(base);
    if (!is_integer) return false;
    bool is_bool = H5Tget_nmembers(type) == 2 && facts->size == 1 && member_is(type, 0, "FALSE", "False")
        && member_is(type, 1, "TRUE", "True");
    if (is_bool) facts->kind = kind_bool;
    return true;
}

// h5py's complex numbers: a compound of two equal floats.
static bool complex_facts(hid_t type, type_facts *facts) {
    if (H5Tget_nmembers(type) != 2) return false;
    if (!member_is(type, 0, "r", "real") || !member_is(type, 1, "i", "imag")) return false;
    hid_t real = H5Tget_member_type(type, 0), imaginary = H5Tget_member_type(type, 1);
    bool fits = real >= 0 && imaginary >= 0 && H5Tequal(real, imaginary) > 0 && number_facts(real, facts)
        && facts->kind == kind_float && H5Tget_member_offset(type, 0) == 0
        && H5Tget_member_offset(type, 1) == facts->size && H5Tget_size(type) == 2 * facts->size;
    if (real >= 0) H5Tclose(real);
    if (imaginary >= 0) H5Tclose(imaginary);
    facts->kind = kind_complex;
    facts->size *= 2;
    return fits;
}

static const char *type_refusal(hid_t type, type_facts *facts) {
    memset(facts, 0, sizeof *facts);
    switch (H5Tget_class(type)) {
    case H5T_INTEGER: return number_facts(type, facts) ? NULL : "integers with padding bits are not read";
    case H5T_FLOAT: return number_facts(type, facts) ? NULL : "floats of this layout are not read";
    case H5T_ENUM: return enum_facts(type, facts) ? NULL : "enumerations of this kind are not read";
    case H5T_COMPOUND: return complex_facts(type, facts) ? NULL : "compound elements are not read";
    case H5T_STRING: return "text is not a tensor";
    case H5T_REFERENCE: return "references are not followed";
    case H5T_VLEN: return "elements of variable length are not read";
    case H5T_ARRAY: return "array elements are not read";
    case H5T_OPAQUE: return "opaque elements are not read";
    case H5T_BITFIELD: return "bit fields are not read";
    case H5T_TIME: return "times are not read";
    default: return "elements of an unknown class";
    }
}

// MARK: Datasets

typedef struct {
    H5D_layout_t layout;
    int filters;
    char refusal[96];
} storage_facts;

static bool storage_of(hid_t dataset, storage_facts *facts) {
    facts->refusal[0] = 0;
    hid_t list = H5Dget_create_plist(dataset);
    if (list < 0) return false;
    facts->layout = H5Pget_layout(list);
    facts->filters = H5Pget_nfilters(list);
    if (facts->layout == H5D_VIRTUAL)
        snprintf(facts->refusal, sizeof facts->refusal, "is put together from other files");
    if (facts->layout == H5D_CONTIGUOUS && H5Pget_external_count(list) != 0)
        snprintf(facts->refusal, sizeof facts->refusal, "its data lies in another file");
    for (int i = 0; i < facts->filters; i++) {
        unsigned flags, options;
        size_t values = 0;
        char name[64] = {0};
        H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, sizeof name, name, &options);
        if (filter >= 0 && H5Zfilter_avail(filter) > 0) continue;
        const char *reason = "is packed with filter %d, which is not installed";
        snprintf(facts->refusal, sizeof facts->refusal, reason, (int)filter);
    }
    H5Pclose(list);
    return facts->layout >= 0 && facts->filters >= 0;
}

static void put_dataset(
    walk *w, hid_t dataset, const char *path, const type_facts *facts, const storage_facts *storage) {
    hsize_t extents[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, extents, NULL);
    H5S_class_t class = space < 0 ? H5S_NO_CLASS : H5Sget_simple_extent_type(space);
    if (space >= 0) H5Sclose(space);
    if (class == H5S_NULL) {
        put_skipped(w, path, "has no elements, not even a shape");
        return;
    }
    if (rank < 0 || rank > H5S_MAX_RANK) {
        put_skipped(w, path, "its shape cannot be read");
        return;
    }
    put8(w, 'D');
    put_text(w, path);
    put8(w, facts->kind);
    put8(w, facts->is_signed);
    put8(w, facts->is_big);
    put32(w, facts->size > UINT32_MAX ? UINT32_MAX : (uint32_t)facts->size);
    put16(w, facts->sign);
    put16(w, facts->exponent);
    put16(w, facts->exponent_size);
    put16(w, facts->significand);
    put16(w, facts->significand_size);
    put64(w, facts->bias);
    put8(w, (uint8_t)rank);
    for (int i = 0; i < rank; i++) put64(w, extents[i]);
    put8(w, storage->layout == H5D_CONTIGUOUS ? 1 : storage->layout == H5D_CHUNKED ? 2 : 0);
    put64(w, storage->layout == H5D_CONTIGUOUS ? H5Dget_offset(dataset) : HADDR_UNDEF);
    put64(w, H5Dget_storage_size(dataset));
    put8(w, (uint8_t)storage->filters);
}

static void list_dataset(walk *w, hid_t dataset, const char *path) {
    type_facts facts;
    storage_facts storage;
    hid_t type = H5Dget_type(dataset);
    if (type < 0 || !storage_of(dataset, &storage)) {
        put_skipped(w, path, "its description cannot be read");
        if (type >= 0) H5Tclose(type);
        return;
    }
    const char *refusal = type_refusal(type, &facts);
    H5Tclose(type);
    if (!refusal && storage.refusal[0]) refusal = storage.refusal;
    if (refusal)
        put_skipped(w, path, refusal);
    else
        put_dataset(w, dataset, path, &facts, &storage);
}

// MARK: Attributes

static void attribute_head(walk *w, const char *path, const char *name, uint8_t kind, bool is_scalar, size_t count) {
    put8(w, 'A');
    put_text(w, path);
    put_text(w, name);
    put8(w, kind);
    put8(w, is_scalar);
    put32(w, (uint32_t)count);
}

static void variable_texts(
    walk *w, hid_t attribute, hid_t type, const char *path, const char *name, bool scalar, size_t count) {
    char **texts = calloc(count, sizeof *texts);
    hid_t memory = H5Tcopy(H5T_C_S1);
    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(type));
    if (texts && H5Aread(attribute, memory, texts) >= 0) {
        attribute_head(w, path, name, 1, scalar, count);
        for (size_t i = 0; i < count; i++) put_text(w, texts[i] ? texts[i] : "");
    }
    // What the library allocated for the texts goes with the process.
    H5Tclose(memory);
    free(texts);
}

static void fixed_texts(
    walk *w, hid_t attribute, hid_t type, const char *path, const char *name, bool scalar, size_t count) {
    size_t size = H5Tget_size(type);
    if (size == 0 || count > w->task->limits.attribute_bytes / size) return;
    char *texts = calloc(count, size);
    bool is_spaced = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    if (texts && H5Aread(attribute, type, texts) >= 0) {
        attribute_head(w, path, name, 1, scalar, count);
        for (size_t i = 0; i < count; i++) {
            const char *text = texts + i * size;
            size_t length = strnlen(text, size);
            while (is_spaced && length > 0 && text[length - 1] == ' ') length--;
            put_bytes(w, text, length);
        }
    }
    free(texts);
}

static void numbers(
    walk *w, hid_t attribute, bool is_float, const char *path, const char *name, bool scalar, size_t count) {
    uint64_t values[64];
    if (count > sizeof values / sizeof *values) return;
    if (H5Aread(attribute, is_float ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, values) < 0) return;
    attribute_head(w, path, name, is_float ? 3 : 2, scalar, count);
    zoo_h5_put(w->pipe, values, count * 8);
}

static void list_attribute(walk *w, hid_t object, const char *path, const char *name) {
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) return;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    bool scalar = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR;
    if (type >= 0 && points >= 0 && (size_t)points <= w->task->limits.attribute_bytes / sizeof(char *)) {
        H5T_class_t class = H5Tget_class(type);
        size_t count = (size_t)points;
        if (class == H5T_STRING && H5Tis_variable_str(type) > 0)
            variable_texts(w, attribute, type, path, name, scalar, count);
        else if (class == H5T_STRING)
            fixed_texts(w, attribute, type, path, name, scalar, count);
        else if (class == H5T_INTEGER || class == H5T_FLOAT)
            numbers(w, attribute, class == H5T_FLOAT, path, name, scalar, count);
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    H5Aclose(attribute);
}

static herr_t gather_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data);
static herr_t gather_link(hid_t group, const char *name, const H5L_info_t *info, void *data);

// MARK: Names, gathered first so that the walk never nests inside the library's own iteration

static bool gather(link_list *list, const char *name, uint8_t kind, size_t most) {
    if (list->count >= most) return false;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (names) list->names = names;
        uint8_t *kinds = names ? realloc(list->kinds, capacity) : NULL;
        if (!kinds) return false;
        list->kinds = kinds;
        list->capacity = capacity;
    }
    list->names[list->count] = strdup(name);
    list->kinds[list->count] = kind;
    return list->names[list->count++] != NULL;
}

static void forget(link_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    free(list->kinds);
}

static herr_t gather_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data) {
    (void)object, (void)info;
    return gather(data, name, 0, 1 << 16) ? 0 : -1;
}

static herr_t gather_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
    (void)group;
    uint8_t kind = info->type == H5L_TYPE_HARD ? hard_link
        : info->type == H5L_TYPE_SOFT          ? soft_link
        : info->type == H5L_TYPE_EXTERNAL      ? external_link
                                               : other_link;
    return gather(data, name, kind, 1 << 24) ? 0 : -1;
}

// MARK: Groups

static bool visit(walk *w, hid_t object) {
    H5O_info_t info;
    if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0) return false;
    size_t capacity = w->visited_capacity;
    if (2 * w->visited_count >= capacity) {
        size_t larger = capacity ? 2 * capacity : 1024;
        haddr_t *table = malloc(larger * sizeof *table);
        if (!table) return false;
        for (size_t i = 0; i < larger; i++) table[i] = HADDR_UNDEF;
        for (size_t i = 0; i < capacity; i++) {
            if (w->visited[i] == HADDR_UNDEF) continue;
            size_t at = (size_t)(w->visited[i] * 0x9E3779B97F4A7C15ull) & (larger - 1);
            while (table[at] != HADDR_UNDEF) at = (at + 1) & (larger - 1);
            table[at] = w->visited[i];
        }
        free(w->visited);
        w->visited = table;
        w->visited_capacity = capacity = larger;
    }
    size_t at = (size_t)(info.addr * 0x9E3779B97F4A7C15ull) & (capacity - 1);
    while (w->visited[at] != HADDR_UNDEF) {
        if (w->visited[at] == info.addr) return false;
        at = (at + 1) & (capacity - 1);
    }
    w->visited[at] = info.addr;
    w->visited_count++;
    return true;
}

static bool list_group(walk *w, hid_t group, const char *path, unsigned depth);

static bool list_object(walk *w, hid_t group, const char *path, const char *name, uint8_t kind, unsigned depth) {
    if (kind != hard_link) {
        put_skipped(
            w, path,
            kind == soft_link           ? "is a soft link"
                : kind == external_link ? "links to another file"
                                        : "is a link of unknown kind");
        return true;
    }
    if (++w->objects > w->task->limits.objects) {
        put8(w, 'X');
        put_text(w, "holds more groups and datasets than are listed");
        return false;
    }
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) {
        char reason[96];
        snprintf(
            reason, sizeof reason, "cannot be opened by HDF5 %d.%d.%d: damaged, or written by a newer version",
            H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
        put_skipped(w, path, reason);
        return true;
    }
    bool goes_on = true;
    H5I_type_t type = H5Iget_type(object);
    if (type == H5I_DATASET) list_dataset(w, object, path);
    if (type == H5I_GROUP) goes_on = list_group(w, object, path, depth + 1);
    H5Oclose(object);
    return goes_on;
}

static bool list_members(walk *w, hid_t group, const char *path, unsigned depth) {
    link_list links = {0};
    hid_t list = H5Gget_create_plist(group);
    unsigned order = 0;
    if (list >= 0) {
        H5Pget_link_creation_order(list, &order);
        H5Pclose(list);
    }
    H5_index_t index = order & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    hsize_t position = 0;
    bool goes_on = true;
    if (H5Literate(group, index, H5_ITER_INC, &position, gather_link, &links) < 0)
        put_skipped(w, *path ? path : "/", "its members cannot be listed");
    for (size_t i = 0; i < links.count && goes_on; i++) {
        size_t length = strlen(path) + strlen(links.names[i]) + 2;
        char *inner = malloc(length);
        if (!inner) break;
        snprintf(inner, length, "%s/%s", path, links.names[i]);
        goes_on = list_object(w, group, inner, links.names[i], links.kinds[i], depth);
        free(inner);
    }
    forget(&links);
    return goes_on;
}

static bool list_group(walk *w, hid_t group, const char *path, unsigned depth) {
    if (!visit(w, group)) {
        put_skipped(w, path, "is a group that was listed before");
        return true;
    }
    if (depth > w->task->limits.depth) {
        put_skipped(w, path, "is nested too deeply");
        return true;
    }
    put8(w, 'G');
    put_text(w, path);
    link_list attributes = {0};
    hsize_t position = 0;
    H5Aiterate2(group, H5_INDEX_NAME, H5_ITER_INC, &position, gather_attribute, &attributes);
    for (size_t i = 0; i < attributes.count; i++) list_attribute(w, group, path, attributes.names[i]);
    forget(&attributes);
    return list_members(w, group, path, depth);
}

int zoo_h5_list_body(const zoo_h5_task *task, zoo_h5_pipe *pipe) {
    walk w = {.task = task, .pipe = pipe};
    hid_t file = zoo_h5_open_memory(task->bytes, task->length);
    hid_t root = file < 0 ? -1 : H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) {
        put8(&w, 'X');
        put_text(&w, file < 0 ? "it is not an HDF5 file, or it is cut short" : "it has no root group");
        return 1;
    }
    if (!list_group(&w, root, "", 0)) return 1;
    put8(&w, 'E');
    return 0;
}
