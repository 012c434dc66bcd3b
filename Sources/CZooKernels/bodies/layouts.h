// Between rows of samples and lanes: transposes of blocks of 16 x 16, held in vectors.

/// Transposes 16 rows of 16 floats by four rounds of interleaving halves.
INLINE void transpose_block(lanes r[16]) {
    lanes t[16];
#pragma clang loop unroll(full)
    for (int round = 0; round < 4; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; i++) {
            t[2 * i] = __builtin_shufflevector(r[i], r[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            t[2 * i + 1] = __builtin_shufflevector(r[i], r[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                                   15, 31);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) r[i] = t[i];
    }
}

/// y [columns][rows] from `rows`, `columns` <= 16 of x.
INLINE void transpose_part(size_t rows, size_t columns, const float *const *x, float *y, size_t y_stride) {
    float full[16][16];
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) full[c][r] = x[r][c];
    for (size_t c = 0; c < columns; c++) memcpy(y + c * y_stride, full[c], rows * sizeof(float));
}

void NAME(zoo_lanes_from_rows)(const float *data, const int64_t *rows, size_t samples, size_t features,
                               float *target) {
    for (size_t s = 0; s < samples; s += 16, target += features * 16) {
        size_t count = smaller(16, samples - s);
        const float *from[16];
        for (size_t i = 0; i < count; i++)
            from[i] = data + (rows != NULL ? (size_t)rows[s + i] : s + i) * features;
        size_t f = 0;
        if (count == 16) {
            for (; f + 16 <= features; f += 16) {
                lanes block[16];
                for (int i = 0; i < 16; i++) block[i] = load(from[i] + f);
                transpose_block(block);
                for (int i = 0; i < 16; i++) store(target + (f + (size_t)i) * 16, block[i]);
            }
        }
        for (; f < features; f++) {
            float part[16] = {0};
            for (size_t i = 0; i < count; i++) part[i] = from[i][f];
            store(target + f * 16, load(part));
        }
    }
}

void NAME(zoo_lanes_from_bytes)(const uint8_t *data, const int64_t *rows, size_t samples, size_t channels,
                                size_t pixels, const float *scale, const float *shift, float *target) {
    const size_t features = channels * pixels;
    for (size_t s = 0; s < samples; s += 16) {
        size_t count = smaller(16, samples - s);
        const uint8_t *from[16];
        for (size_t i = 0; i < count; i++)
            from[i] = data + (rows != NULL ? (size_t)rows[s + i] : s + i) * features;
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++, target += 16) {
                float part[16] = {0};
                for (size_t i = 0; i < count; i++)
                    part[i] = (float)from[i][c * pixels + p] * scale[c] + shift[c];
                store(target, load(part));
            }
    }
}

void NAME(zoo_rows_from_lanes)(const float *source, size_t samples, size_t features, float *rows) {
    for (size_t s = 0; s < samples; s += 16, source += features * 16) {
        size_t count = smaller(16, samples - s), f = 0;
        float *to = rows + s * features;
        for (; f + 16 <= features; f += 16) {
            lanes block[16];
            for (int i = 0; i < 16; i++) block[i] = load(source + (f + (size_t)i) * 16);
            transpose_block(block);
            for (size_t i = 0; i < count; i++) store(to + i * features + f, block[i]);
        }
        for (; f < features; f++)
            for (size_t i = 0; i < count; i++) to[i * features + f] = source[f * 16 + i];
    }
}

void NAME(zoo_transpose)(size_t rows, size_t columns, const float *x, size_t x_stride, float *y, size_t y_stride) {
    for (size_t r = 0; r < rows; r += 16)
        for (size_t c = 0; c < columns; c += 16) {
            if (rows - r >= 16 && columns - c >= 16) {
                lanes block[16];
                for (size_t i = 0; i < 16; i++) block[i] = load(x + (r + i) * x_stride + c);
                transpose_block(block);
                for (size_t i = 0; i < 16; i++) store(y + (c + i) * y_stride + r, block[i]);
                continue;
            }
            const float *from[16];
            size_t count = smaller(16, rows - r);
            for (size_t i = 0; i < count; i++) from[i] = x + (r + i) * x_stride + c;
            transpose_part(count, smaller(16, columns - c), from, y + c * y_stride + r, y_stride);
        }
}
