// Loops over plain vectors.

/// y = g * f(x), sixteen at a time; the tail goes through a padded copy, so every element is computed the same way.
/// Functions and order are constants after inlining. `bias` is repeated for every row of `width`.
INLINE lanes apply_step(const zoo_function function, const int order, lanes x, const float *g, bool has_g) {
    if (function == ZOO_FUNCTION_RELU && order == 1 && has_g) return pick(x <= 0.0f, splat(0), load(g));
    lanes value = of_order(jet_of(function, x), order);
    return has_g ? value * load(g) : value;
}

INLINE void apply_loop(const zoo_function function, const int order, size_t count, const float *x, const float *bias,
                       const float *g, float *y, bool add) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        lanes in = load(x + i);
        if (bias != NULL) in += load(bias + i);
        lanes value = apply_step(function, order, in, g + i, g != NULL);
        if (add) value += load(y + i);
        store(y + i, value);
    }
    if (i == count) return;
    size_t rest = count - i;
    lanes in = load_part(x + i, rest, 1.0f);
    if (bias != NULL) in += load_part(bias + i, rest, 0.0f);
    float part[16];
    if (g != NULL) store(part, load_part(g + i, rest, 0.0f));
    lanes value = apply_step(function, order, in, part, g != NULL);
    if (add) value += load_part(y + i, rest, 0.0f);
    store_part(y + i, value, rest);
}

typedef void apply_function(size_t count, const float *x, const float *bias, const float *g, float *y, bool add);

#define APPLY(name, function, order)                                                                                  \
    static __attribute__((noinline)) void apply_##name##_##order(size_t count, const float *x, const float *bias,     \
                                                                 const float *g, float *y, bool add) {                \
        apply_loop(function, order, count, x, bias, g, y, add);                                                       \
    }
#define APPLY_ORDERS(name, function) \
    APPLY(name, function, 0) APPLY(name, function, 1) APPLY(name, function, 2) APPLY(name, function, 3)
APPLY_ORDERS(relu, ZOO_FUNCTION_RELU)
APPLY_ORDERS(tanh, ZOO_FUNCTION_TANH)
APPLY_ORDERS(sigmoid, ZOO_FUNCTION_SIGMOID)
APPLY_ORDERS(gelu, ZOO_FUNCTION_GELU)
APPLY_ORDERS(gelu_tanh, ZOO_FUNCTION_GELU_TANH)
APPLY_ORDERS(gelu_quick, ZOO_FUNCTION_GELU_QUICK)
APPLY_ORDERS(silu, ZOO_FUNCTION_SILU)
APPLY(exp, ZOO_FUNCTION_EXP, 0)
APPLY_ORDERS(log, ZOO_FUNCTION_LOG)
APPLY_ORDERS(sqrt, ZOO_FUNCTION_SQRT)
APPLY_ORDERS(rsqrt, ZOO_FUNCTION_RSQRT)
APPLY_ORDERS(erf, ZOO_FUNCTION_ERF)
APPLY_ORDERS(sin, ZOO_FUNCTION_SIN)
APPLY_ORDERS(cos, ZOO_FUNCTION_COS)
APPLY_ORDERS(softplus, ZOO_FUNCTION_SOFTPLUS)
APPLY_ORDERS(reciprocal, ZOO_FUNCTION_RECIPROCAL)
APPLY_ORDERS(abs, ZOO_FUNCTION_ABS)

#define APPLY_ROW(name) {apply_##name##_0, apply_##name##_1, apply_##name##_2, apply_##name##_3}
/// In the order of zoo_function.
static apply_function *const apply_functions[][4] = {
    APPLY_ROW(relu), APPLY_ROW(tanh), APPLY_ROW(sigmoid), APPLY_ROW(gelu), APPLY_ROW(gelu_tanh),
    APPLY_ROW(gelu_quick), APPLY_ROW(silu), {apply_exp_0, apply_exp_0, apply_exp_0, apply_exp_0}, APPLY_ROW(log),
    APPLY_ROW(sqrt), APPLY_ROW(rsqrt), APPLY_ROW(erf), APPLY_ROW(sin), APPLY_ROW(cos), APPLY_ROW(softplus),
    APPLY_ROW(reciprocal), APPLY_ROW(abs),
};

void NAME(zoo_apply)(zoo_function function, int32_t order, size_t count, const float *x, const float *g, float *y,
                     int32_t flags) {
    apply_functions[function][order](count, x, NULL, g, y, (flags & ZOO_ADD) != 0);
}

void NAME(zoo_bias_apply_rows)(zoo_function function, int32_t order, size_t rows, size_t width, const float *x,
                               const float *bias, const float *g, float *y, int32_t flags) {
    apply_function *apply = apply_functions[function][order];
    if (bias == NULL) return apply(rows * width, x, NULL, g, y, (flags & ZOO_ADD) != 0);
    for (size_t r = 0; r < rows; r++)
        apply(width, x + r * width, bias, g == NULL ? NULL : g + r * width, y + r * width, (flags & ZOO_ADD) != 0);
}

// In-place use means equal pointers, so no element is read after a different one was written.
#define EACH _Pragma("clang loop vectorize(assume_safety) interleave(enable)") for (size_t i = 0; i < count; i++)

void NAME(zoo_axpby)(size_t count, float a, const float *x, float b, float *y) {
    EACH y[i] = a * x[i] + b * y[i];
}

void NAME(zoo_add)(size_t count, const float *x, const float *y, float *z) { EACH z[i] = x[i] + y[i]; }

void NAME(zoo_subtract)(size_t count, const float *x, const float *y, float *z) { EACH z[i] = x[i] - y[i]; }

void NAME(zoo_multiply)(size_t count, const float *x, const float *y, float *z, int32_t flags) {
    if (flags & ZOO_ADD) {
        EACH z[i] += x[i] * y[i];
    } else {
        EACH z[i] = x[i] * y[i];
    }
}

void NAME(zoo_divide)(size_t count, const float *x, const float *y, float *z) { EACH z[i] = x[i] / y[i]; }
#undef EACH

double NAME(zoo_inner)(size_t count, const float *x, const float *y, const float *weights) {
    octet low = {}, high = {};
    for (size_t i = 0; i < count; i += 16) {
        size_t rest = count - i;
        bool part = rest < 16;
        lanes a = part ? load_part(x + i, rest, 0) : load(x + i);
        octet p = low_half(a), q = high_half(a);
        if (y != NULL) {
            lanes b = part ? load_part(y + i, rest, 0) : load(y + i);
            p *= low_half(b), q *= high_half(b);
        }
        if (weights != NULL) {
            lanes w = part ? load_part(weights + i, rest, 0) : load(weights + i);
            p *= low_half(w), q *= high_half(w);
        }
        low += p, high += q;
    }
    return octet_sum(low + high);
}
