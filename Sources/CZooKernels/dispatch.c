// One function of each kernel's public name, which calls that of the instruction set in use.

#include <string.h>

#include "kernel_table.h"

static bool runs(const zoo_kernel_table *table) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (table == &zoo_kernels_avx2) return avx2;
    if (table == &zoo_kernels_avx512) {
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    }
#endif
    (void)table;
    return true;
}

// Best first; "wide" is last, so it is never the best.
static const zoo_kernel_table *const tables[] = {
#if defined(__x86_64__)
    &zoo_kernels_avx512,
    &zoo_kernels_avx2,
#endif
    &zoo_kernels_baseline,
    &zoo_kernels_wide,
};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

// The best of this processor, once known, and what the calling thread asked for instead.
static const zoo_kernel_table *chosen;
static _Thread_local const zoo_kernel_table *forced;

static const zoo_kernel_table *best(void) {
    for (int i = 0; i < TABLES; i++)
        if (runs(tables[i])) return tables[i];
    return &zoo_kernels_baseline;
}

// Two threads that get here at once choose the same table, so a relaxed load and store are enough.
static inline const zoo_kernel_table *kernels(void) {
    if (__builtin_expect(forced != NULL, 0)) return forced;
    const zoo_kernel_table *table = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (__builtin_expect(table != NULL, 1)) return table;
    table = best();
    __atomic_store_n(&chosen, table, __ATOMIC_RELAXED);
    return table;
}

const char *zoo_kernel_isa(void) { return kernels()->name; }

const char *zoo_kernel_available(int32_t index) {
    for (int i = 0; i < TABLES; i++)
        if (runs(tables[i]) && index-- == 0) return tables[i]->name;
    return NULL;
}

bool zoo_kernel_select(const char *name) {
    if (name == NULL) {
        forced = NULL;
        return true;
    }
    for (int i = 0; i < TABLES; i++) {
        if (strcmp(tables[i]->name, name) != 0 || !runs(tables[i])) continue;
        forced = tables[i];
        return true;
    }
    return false;
}

#define X(result, name, parameters, arguments) \
    result name parameters { return kernels()->name arguments; }
#include "kernel_list.h"
#undef X
