#pragma once
// HDF5 files, read by the HDF5 library in a process of its own and written by it in ours.
//
// The library trusts the files it opens: hostile ones crash it or worse. So each call that reads forks a child which
// sees the bytes through memory that it inherits, may write to one pipe and do nothing else (limits on memory,
// processor time and descriptors; a system call filter on Linux), and whose answer the caller checks.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Reading

/// What became of a child.
typedef struct {
    /// The signal that ended it; 0 when it ended by itself.
    int signal;
    /// Its exit status: 0 done, 1 the library refused the file; -1 when a signal ended it.
    int status;
    /// The system's error number when no child could be started or heard; 0 otherwise.
    int system_error;
    /// It took longer than its limit and was ended.
    bool timed_out;
    /// It sent more than the caller allows and was ended.
    bool overflowed;
} zoo_h5_outcome;

/// Bounds on a child's work.
typedef struct {
    /// Seconds of processor time.
    unsigned processor_seconds;
    /// Bytes of memory beyond what it inherits.
    size_t memory_bytes;
    /// Groups and datasets listed.
    unsigned objects;
    /// Groups inside groups.
    unsigned depth;
    /// The most bytes of a listing.
    size_t listing_bytes;
    /// The most bytes of one attribute.
    size_t attribute_bytes;
} zoo_h5_limits;

/// Lists groups, datasets and the groups' attributes as records.
///
/// All integers are in the machine's byte order, a text is a 32-bit length and its bytes. A record begins with a
/// letter: `G` path; `D` path, kind (1 integer, 2 float, 3 truth values, 4 complex), sign, order (1 big-endian), 32-bit
/// size of the element, five 16-bit numbers (positions of sign, exponent, its size, significand, its size), 64-bit
/// exponent bias, rank, 64-bit extents, layout (0 compact, 1 contiguous, 2 chunked), 64-bit offset (all ones: none),
/// 64-bit storage size, number of filters; `A` path, name, kind (1 text, 2 integer, 3 float), whether it is a scalar,
/// 32-bit count, values (texts, int64, double); `S` path, reason; `X` message of a failure; `E` end.
///
/// On return `*listing` is the caller's to `free`, even after a failure. True when a child ran and ended by itself.
bool zoo_h5_list(
    const void *bytes, size_t length, zoo_h5_limits limits, uint8_t **listing, size_t *count, zoo_h5_outcome *outcome);

/// Reads a dataset's elements as they are stored (unfiltered, in the file's byte order), row-major, into `buffer`.
/// True when exactly `count` bytes came.
bool zoo_h5_read(
    const void *bytes, size_t length, zoo_h5_limits limits, const char *path, void *buffer, size_t count,
    zoo_h5_outcome *outcome);

// MARK: Writing

/// A file being written. Calls may come from any thread, one at a time.
typedef struct zoo_h5_writer zoo_h5_writer;

/// Element types that can be written.
typedef enum {
    zoo_h5_bool,
    zoo_h5_uint8,
    zoo_h5_int8,
    zoo_h5_uint16,
    zoo_h5_int16,
    zoo_h5_uint32,
    zoo_h5_int32,
    zoo_h5_uint64,
    zoo_h5_int64,
    zoo_h5_float16,
    zoo_h5_float32,
    zoo_h5_float64,
    zoo_h5_complex64,
    zoo_h5_complex128,
} zoo_h5_type;

/// Creates a file; NULL when that fails, with the library's words in `message`.
zoo_h5_writer *zoo_h5_create(const char *path, char *message, size_t message_size);

/// Adds a contiguous dataset without data, making groups on its path. Returns its number, or -1.
int zoo_h5_add_dataset(zoo_h5_writer *writer, const char *path, zoo_h5_type type, int rank, const uint64_t *extents);

/// Writes rows (indices of the first axis) of a dataset; a scalar has one row.
bool zoo_h5_write_rows(zoo_h5_writer *writer, int dataset, uint64_t first, uint64_t count, const void *data);

/// Closes a dataset that needs no more rows.
void zoo_h5_finish_dataset(zoo_h5_writer *writer, int dataset);

/// Makes a group and those above it; an existing one is fine.
bool zoo_h5_add_group(zoo_h5_writer *writer, const char *path);

/// Sets a text attribute of a group or dataset.
bool zoo_h5_set_text(zoo_h5_writer *writer, const char *path, const char *name, const char *text);

/// Sets an attribute that is a list of texts.
bool zoo_h5_set_texts(
    zoo_h5_writer *writer, const char *path, const char *name, const char *const *texts, size_t count);

/// Sets an integer attribute.
bool zoo_h5_set_integer(zoo_h5_writer *writer, const char *path, const char *name, int64_t value);

/// Sets a floating-point attribute.
bool zoo_h5_set_number(zoo_h5_writer *writer, const char *path, const char *name, double value);

/// The library's words on the last failure.
const char *zoo_h5_message(const zoo_h5_writer *writer);

/// Closes the file and frees the writer. False, with the library's words in `message`, when not all was written.
bool zoo_h5_close(zoo_h5_writer *writer, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif
