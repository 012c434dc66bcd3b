#include "internal.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t left;
    zoo_image_info *info;
} source;

static void take(png_structp png, png_bytep target, size_t count) {
    source *from = png_get_io_ptr(png);
    if (count > from->left) png_error(png, "the file ends too early");
    memcpy(target, from->bytes, count);
    from->bytes += count;
    from->left -= count;
}

static void refuse(png_structp png, png_const_charp text) {
    source *from = png_get_error_ptr(png);
    zoo_image_say(from->info, text);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

/// Everything as 8-bit grey or 8-bit colours.
static int reduce(png_structp png, png_infop header) {
    const int type = png_get_color_type(png, header);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, header) < 8) png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_bit_depth(png, header) == 16) png_set_scale_16(png);
    png_set_strip_alpha(png);
    return type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_GRAY_ALPHA ? 1 : 3;
}

bool zoo_png_read(const uint8_t *bytes, size_t count, zoo_image_info *info, uint8_t *pixels, size_t capacity) {
    source from = {bytes, count, info};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &from, refuse, ignore);
    if (!png) return false;
    png_infop volatile header = NULL;
    if (setjmp(png_jmpbuf(png))) {
        png_infop made = header;
        png_destroy_read_struct(&png, made ? &made : NULL, NULL);
        return false;
    }
    header = png_create_info_struct(png);
    if (!header) png_error(png, "no memory");
    // The largest side; chunks beside the picture are bounded, and those that are damaged refused.
    png_set_user_limits(png, 1u << 16, 1u << 16);
    png_set_chunk_cache_max(png, 64);
    png_set_chunk_malloc_max(png, 8u << 20);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_read_fn(png, &from, take);
    png_read_info(png, header);
    const uint32_t width = png_get_image_width(png, header), height = png_get_image_height(png, header);
    const int channels = reduce(png, header);
    if (!zoo_image_accept(info, width, height, channels, pixels, capacity)) png_error(png, "another size than before");
    if (pixels) {
        const int passes = png_set_interlace_handling(png);
        png_read_update_info(png, header);
        const size_t row = (size_t)width * (size_t)channels;
        if (png_get_rowbytes(png, header) != row) png_error(png, "rows of another length than expected");
        for (int pass = 0; pass < passes; pass++)
            for (uint32_t y = 0; y < height; y++) png_read_row(png, pixels + y * row, NULL);
        png_read_end(png, NULL);
    }
    png_infop made = header;
    png_destroy_read_struct(&png, &made, NULL);
    return true;
}

const char *zoo_image_png_version(void) { return png_get_libpng_ver(NULL); }
