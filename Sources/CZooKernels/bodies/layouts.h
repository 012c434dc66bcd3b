// Between rows of samples and lanes, by transposes of blocks of 16 x 16.

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
                const float *block[16];
                for (int i = 0; i < 16; i++) block[i] = from[i] + f;
                transpose_block(block, target + f * 16, 16);
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
        for (; count == 16 && f + 16 <= features; f += 16) {
            const float *block[16];
            for (size_t i = 0; i < 16; i++) block[i] = source + (f + i) * 16;
            transpose_block(block, to + f, features);
        }
        for (; f < features; f++)
            for (size_t i = 0; i < count; i++) to[i * features + f] = source[f * 16 + i];
    }
}

void NAME(zoo_transpose)(size_t rows, size_t columns, const float *x, size_t x_stride, float *y, size_t y_stride) {
    for (size_t r = 0; r < rows; r += 16)
        for (size_t c = 0; c < columns; c += 16) {
            if (rows - r >= 16 && columns - c >= 16) {
                const float *block[16];
                for (size_t i = 0; i < 16; i++) block[i] = x + (r + i) * x_stride + c;
                transpose_block(block, y + c * y_stride + r, y_stride);
                continue;
            }
            const float *from[16];
            size_t count = smaller(16, rows - r);
            for (size_t i = 0; i < count; i++) from[i] = x + (r + i) * x_stride + c;
            transpose_part(count, smaller(16, columns - c), from, y + c * y_stride + r, y_stride);
        }
}
