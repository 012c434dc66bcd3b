// Functions of one variable on sixteen lanes. Polynomials are minimax fits (Lawson's algorithm) in Float64, made for
// these kernels; their errors are below 2^-25, so what is left is the rounding of a few operations.

/// 2^n by exponent bits, |n| <= 126.
INLINE lanes power_of_two(lanes_int n) { return as_float((n + 127) << 23); }

/// e^(x + rest) for |rest| <= 0.03: `rest` carries what x lost in rounding. Underflows gradually.
INLINE lanes exp_sum(lanes x, lanes rest) {
    lanes clamped = at_most(at_least(x, -105.0f), 89.0f);
    // Adding 1.5 * 2^23 rounds to an integer, which then sits in the low bits.
    lanes shifted = clamped * 1.44269504f + 12582912.0f;
    lanes_int n = as_int(shifted) - 0x4B400000;
    lanes whole = shifted - 12582912.0f;
    // ln 2 = 355/512 - 2.12e-4; the first product is exact.
    lanes r = (clamped - whole * 0.693359375f) - whole * -2.12194440e-4f + rest;
    lanes p = r * 1.379988234e-3f + 8.375838529e-3f;
    p = p * r + 4.166914737e-2f;
    p = p * r + 1.666645609e-1f;
    p = p * r + 4.999998865e-1f;
    p = p * (r * r) + r + 1.0f;
    // Two factors, because the exponents of results range from -150 to 128.
    lanes_int half = n >> 1;
    return p * power_of_two(half) * power_of_two(n - half);
}

INLINE lanes exp_lanes(lanes x) { return exp_sum(x, splat(0)); }

/// e^(-scale * x^2) with x^2 exact to twice the precision.
INLINE lanes gaussian(lanes x, float scale) {
    lanes_int bits = (as_int(x) + 0x800) & ~0xFFF;
    // Past 2^64 the square overflows; the result is zero long before.
    lanes high = at_most(as_float(bits & 0x7FFFFFFF), 0x1p40f);
    lanes bounded = at_most(magnitude(x), 0x1p40f);
    lanes low = (bounded - high) * (bounded + high);
    return exp_sum(high * high * -scale, at_most(at_least(low * -scale, -0.03f), 0.03f));
}

/// log x for x > 0; zero, negative numbers, infinity and NaN as in the standard.
INLINE lanes log_lanes(lanes x) {
    lanes_int tiny = x < 0x1p-126f;
    lanes scaled = pick(tiny, x * 0x1p23f, x);
    // Exponent counted from sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    lanes_int e = (as_int(scaled) - 0x3F3504F3) >> 23;
    lanes f = as_float(as_int(scaled) - (e << 23)) - 1.0f;
    lanes whole = __builtin_convertvector(e - (tiny & 23), lanes);
    lanes p = f * -7.634493017e-2f + 1.276157564e-1f;
    p = p * f + -1.316018306e-1f;
    p = p * f + 1.420175823e-1f;
    p = p * f + -1.662335730e-1f;
    p = p * f + 2.000122687e-1f;
    p = p * f + -2.500082104e-1f;
    p = p * f + 3.333333171e-1f;
    lanes square = f * f;
    lanes result = (p * f * square + whole * -2.12194440e-4f) - square * 0.5f + f + whole * 0.693359375f;
    result = pick(x == 0.0f, splat(-INFINITY), result);
    result = pick(x < 0.0f, splat(NAN), result);
    // Infinity and NaN stay what they are.
    return pick((as_int(x) & 0x7FFFFFFF) >= 0x7F800000, pick(x < 0.0f, splat(NAN), x), result);
}

/// e^(t^2 / 2) * Phi(-t) for t >= 0, decreasing from 1/2: a polynomial in 1 / (1 + 0.3 t).
INLINE lanes scaled_tail(lanes t) {
    lanes v = 1.0f / (t * 0.3f + 1.0f);
    lanes p = v * -2.062866033e-2f + 1.124647917e-1f;
    p = p * v + -2.282847943e-1f;
    p = p * v + 1.918833151e-1f;
    p = p * v + -7.950920024e-2f;
    p = p * v + 9.620495460e-2f;
    p = p * v + 7.837220653e-2f;
    p = p * v + 1.102393517e-1f;
    p = p * v + 1.195713168e-1f;
    p = p * v + 1.196867167e-1f;
    return p * v;
}

INLINE lanes erf_lanes(lanes x) {
    lanes t = magnitude(x), s = t * t;
    lanes p = s * 7.853906751e-5f + -8.010208512e-4f;
    p = p * s + 5.188329567e-3f;
    p = p * s + -2.685381308e-2f;
    p = p * s + 1.128358518e-1f;
    p = p * s + -3.761262583e-1f;
    p = p * s + 1.128379166e+0f;
    lanes tail = 1.0f - 2.0f * gaussian(t, 1.0f) * scaled_tail(t * 1.41421356f);
    return with_sign(pick(t < 1.0f, p * t, tail), x);
}

/// sin(x + turns * pi / 2). The argument is reduced in Float64 up to 2^21; beyond it the C library takes over.
INLINE lanes sine_lanes(lanes x, int32_t turns) {
    lanes reduced;
    lanes_int quadrant;
    for (int h = 0; h < 2; h++) {
        octet d = h == 0 ? low_half(x) : high_half(x);
        octet shifted = d * 0.63661977236758134 + 0x1.8p52;
        octet n = shifted - 0x1.8p52;
        octet r = ((d - n * 0x1.921fb54p+0) - n * 0x1.10b46118p-30) - n * 0x1.313198a2e0370p-61;
        octet_float f = __builtin_convertvector(r, octet_float);
        octet_int bits = (octet_int)shifted;
        memcpy((char *)&reduced + 32 * h, &f, 32);
        typedef int32_t octet_short __attribute__((vector_size(32)));
        octet_short q = __builtin_convertvector(bits, octet_short);
        memcpy((char *)&quadrant + 32 * h, &q, 32);
    }
    quadrant += turns;
    lanes s = reduced * reduced;
    lanes sine = ((s * 2.718046495e-6f + -1.983930442e-4f) * s + 8.333329281e-3f) * s + -1.666666664e-1f;
    sine = sine * s * reduced + reduced;
    lanes cosine = ((s * -2.720504752e-7f + 2.479945157e-5f) * s + -1.388888347e-3f) * s + 4.166666662e-2f;
    cosine = cosine * (s * s) - s * 0.5f + 1.0f;
    lanes result = pick((quadrant & 1) == 0, sine, cosine);
    result = as_float(as_int(result) ^ ((quadrant & 2) << 30));
    lanes_int large = magnitude(x) >= 0x1p21f;
    float parts[16], values[16];
    int32_t masks[16];
    store_int(masks, large);
    int32_t any = 0;
    for (int i = 0; i < 16; i++) any |= masks[i];
    if (__builtin_expect(any == 0, 1)) return result;
    store(parts, x);
    store(values, result);
    for (int i = 0; i < 16; i++) {
        if (!masks[i]) continue;
        double sine_value = sin((double)parts[i]), cosine_value = cos((double)parts[i]);
        double value = turns & 1 ? cosine_value : sine_value;
        values[i] = (float)(turns & 2 ? -value : value);
    }
    return load(values);
}

// MARK: Derivatives

/// A function and three derivatives; what isn't used is never computed.
typedef struct jet {
    lanes f0, f1, f2, f3;
} jet;

INLINE lanes of_order(jet j, const int order) {
    return order == 0 ? j.f0 : order == 1 ? j.f1 : order == 2 ? j.f2 : j.f3;
}

INLINE jet relu_jet(lanes x) {
    jet j = {pick(x < 0.0f, splat(0), x), pick(x <= 0.0f, splat(0), splat(1)), splat(0), splat(0)};
    return j;
}

INLINE jet abs_jet(lanes x) {
    jet j = {magnitude(x), pick(x > 0.0f, splat(1), pick(x < 0.0f, splat(-1), x)), splat(0), splat(0)};
    return j;
}

INLINE jet tanh_jet(lanes x) {
    lanes t = magnitude(x), e = exp_lanes(t * -2.0f), s = x * x;
    lanes p = s * -5.704987422e-3f + 2.063908765e-2f;
    p = p * s + -5.373971522e-2f;
    p = p * s + 1.333144220e-1f;
    p = p * s + -3.333328194e-1f;
    lanes value = with_sign(pick(t < 0.625f, p * s * t + t, (1.0f - e) / (1.0f + e)), x);
    lanes slope = 4.0f * e / ((1.0f + e) * (1.0f + e));
    jet j = {value, slope, -2.0f * value * slope, slope * (4.0f * value * value - 2.0f * slope)};
    return j;
}

INLINE jet sigmoid_jet(lanes x) {
    lanes e = exp_lanes(-magnitude(x)), whole = 1.0f + e;
    lanes value = pick(x < 0.0f, e, splat(1)) / whole;
    lanes slope = e / (whole * whole);
    lanes tilt = with_sign((1.0f - e) / whole, x);
    // With NaN for x, e and so all of these are NaN.
    jet j = {value, slope, -slope * tilt, slope * (1.0f - 6.0f * slope)};
    return j;
}

/// x * h(x) from the jet of h, where x is bounded so that 0 * infinity can't arise; `x` itself only where h is 1.
INLINE jet times_x(lanes x, float bound, jet h) {
    lanes c = at_most(at_least(x, -bound), bound);
    jet j = {at_least(x, -bound) * h.f0, c * h.f1 + h.f0, c * h.f2 + 2.0f * h.f1, c * h.f3 + 3.0f * h.f2};
    return j;
}

INLINE jet silu_jet(lanes x) { return times_x(x, 1000.0f, sigmoid_jet(x)); }

INLINE jet gelu_quick_jet(lanes x) {
    jet s = sigmoid_jet(x * 1.702f);
    jet h = {s.f0, s.f1 * 1.702f, s.f2 * (1.702f * 1.702f), s.f3 * (1.702f * 1.702f * 1.702f)};
    return times_x(x, 1000.0f, h);
}

INLINE jet gelu_tanh_jet(lanes x) {
    // 0.5 (1 + tanh u) = sigmoid(v), v = 2 u. Beyond 15 the sigmoid is 0 or 1 in Float32, with zero derivatives.
    const float a = 1.5957691216057308f, b = 0.07135481282f;
    lanes c = at_most(at_least(x, -15.0f), 15.0f), square = c * c;
    lanes v = c * (square * b + a), v1 = square * (3 * b) + a, v2 = c * (6 * b);
    jet s = sigmoid_jet(v);
    jet h = {s.f0, s.f1 * v1, s.f2 * v1 * v1 + s.f1 * v2, s.f3 * v1 * v1 * v1 + 3.0f * s.f2 * v1 * v2 + s.f1 * (6 * b)};
    return times_x(x, 15.0f, h);
}

INLINE jet gelu_jet(lanes x) {
    lanes t = magnitude(x), e = gaussian(t, 0.5f), tail = e * scaled_tail(t);
    lanes phi = e * 0.398942280f, value = pick(x < 0.0f, tail, 1.0f - tail);
    lanes c = at_most(at_least(x, -1000.0f), 1000.0f), s = c * c;
    jet j = {at_least(x, -1000.0f) * value, c * phi + value, phi * (2.0f - s), phi * c * (s - 4.0f)};
    return j;
}

INLINE jet exp_jet(lanes x) {
    lanes e = exp_lanes(x);
    jet j = {e, e, e, e};
    return j;
}

INLINE jet log_jet(lanes x) {
    lanes r = 1.0f / x;
    jet j = {log_lanes(x), r, -r * r, 2.0f * r * r * r};
    return j;
}

INLINE jet sqrt_jet(lanes x) {
    // The constant comes first, so that nothing overflows before the result does.
    lanes s = __builtin_elementwise_sqrt(x), r = 1.0f / x;
    jet j = {s, 0.5f / s, -0.25f * r / s, 0.375f * r / s * r};
    return j;
}

INLINE jet rsqrt_jet(lanes x) {
    lanes s = __builtin_elementwise_sqrt(x), r = 1.0f / x;
    jet j = {1.0f / s, -0.5f * r / s, 0.75f * r / s * r, -1.875f * r / s * r * r};
    return j;
}

INLINE jet erf_jet(lanes x) {
    lanes slope = gaussian(magnitude(x), 1.0f) * 1.128379167f, c = at_most(at_least(x, -1000.0f), 1000.0f);
    jet j = {erf_lanes(x), slope, -2.0f * c * slope, (4.0f * c * c - 2.0f) * slope};
    return j;
}

INLINE jet sine_jet(lanes x, int32_t turns) {
    jet j = {sine_lanes(x, turns), sine_lanes(x, turns + 1), sine_lanes(x, turns + 2), sine_lanes(x, turns + 3)};
    return j;
}

INLINE jet softplus_jet(lanes x) {
    lanes e = exp_lanes(-magnitude(x)), whole = 1.0f + e;
    // What 1 + e lost in rounding is put back to first order.
    lanes tail = log_lanes(whole) + (e - (whole - 1.0f)) / whole;
    jet s = sigmoid_jet(x), j = {at_least(x, 0.0f) + tail, s.f0, s.f1, s.f2};
    return j;
}

INLINE jet reciprocal_jet(lanes x) {
    lanes r = 1.0f / x, square = r * r;
    jet j = {r, -square, 2.0f * square * r, (-6.0f * square) * square};
    return j;
}

INLINE jet jet_of(const zoo_function function, lanes x) {
    switch (function) {
    case ZOO_FUNCTION_RELU: return relu_jet(x);
    case ZOO_FUNCTION_TANH: return tanh_jet(x);
    case ZOO_FUNCTION_SIGMOID: return sigmoid_jet(x);
    case ZOO_FUNCTION_GELU: return gelu_jet(x);
    case ZOO_FUNCTION_GELU_TANH: return gelu_tanh_jet(x);
    case ZOO_FUNCTION_GELU_QUICK: return gelu_quick_jet(x);
    case ZOO_FUNCTION_SILU: return silu_jet(x);
    case ZOO_FUNCTION_EXP: return exp_jet(x);
    case ZOO_FUNCTION_LOG: return log_jet(x);
    case ZOO_FUNCTION_SQRT: return sqrt_jet(x);
    case ZOO_FUNCTION_RSQRT: return rsqrt_jet(x);
    case ZOO_FUNCTION_ERF: return erf_jet(x);
    case ZOO_FUNCTION_SIN: return sine_jet(x, 0);
    case ZOO_FUNCTION_COS: return sine_jet(x, 1);
    case ZOO_FUNCTION_SOFTPLUS: return softplus_jet(x);
    case ZOO_FUNCTION_RECIPROCAL: return reciprocal_jet(x);
    case ZOO_FUNCTION_ABS: return abs_jet(x);
    }
    return exp_jet(x);
}
