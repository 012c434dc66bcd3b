#include "internal.h"

#include <setjmp.h>
#include <stdio.h>
// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>
#include <string.h>

/// Scans of a progressive picture; cameras and encoders write about ten, hostile files thousands of slow ones.
enum { scan_limit = 200 };

typedef struct {
    struct jpeg_error_mgr manager;
    jmp_buf back;
    zoo_image_info *info;
} failure;

typedef struct {
    struct jpeg_progress_mgr manager;
} watcher;

static void refuse(j_common_ptr jpeg) {
    failure *out = (failure *)jpeg->err;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    zoo_image_say(out->info, text);
    longjmp(out->back, 1);
}

/// Damage that the library would paper over with grey is an error here.
static void warn(j_common_ptr jpeg, int level) {
    if (level < 0) refuse(jpeg);
}

static void ignore(j_common_ptr jpeg) { (void)jpeg; }

static void watch(j_common_ptr jpeg) {
    if (!jpeg->is_decompressor) return;
    if (((j_decompress_ptr)jpeg)->input_scan_number > scan_limit) {
        zoo_image_say(((failure *)jpeg->err)->info, "more than 200 scans");
        longjmp(((failure *)jpeg->err)->back, 1);
    }
}

bool zoo_jpeg_read(const uint8_t *bytes, size_t count, zoo_image_info *info, uint8_t *pixels, size_t capacity) {
    struct jpeg_decompress_struct jpeg;
    memset(&jpeg, 0, sizeof jpeg);
    failure out;
    watcher progress;
    memset(&progress, 0, sizeof progress);
    jpeg.err = jpeg_std_error(&out.manager);
    out.manager.error_exit = refuse;
    out.manager.emit_message = warn;
    out.manager.output_message = ignore;
    out.info = info;
    if (setjmp(out.back)) {
        jpeg_destroy_decompress(&jpeg);
        return false;
    }
    jpeg_create_decompress(&jpeg);
    progress.manager.progress_monitor = watch;
    jpeg.progress = &progress.manager;
    jpeg.mem->max_memory_to_use = 512l << 20;
    jpeg_mem_src(&jpeg, bytes, (unsigned long)count);
    jpeg_read_header(&jpeg, TRUE);
    const bool grey = jpeg.jpeg_color_space == JCS_GRAYSCALE;
    if (!grey && jpeg.jpeg_color_space != JCS_YCbCr && jpeg.jpeg_color_space != JCS_RGB) {
        zoo_image_say(info, "colours other than grey or red, green, blue are not read");
        longjmp(out.back, 1);
    }
    const int channels = grey ? 1 : 3;
    if (!zoo_image_accept(info, jpeg.image_width, jpeg.image_height, channels, pixels, capacity)) {
        zoo_image_say(info, "another size than before");
        longjmp(out.back, 1);
    }
    if (pixels) {
        jpeg.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_start_decompress(&jpeg);
        const size_t row = (size_t)jpeg.image_width * (size_t)channels;
        while (jpeg.output_scanline < jpeg.output_height) {
            JSAMPROW line = pixels + (size_t)jpeg.output_scanline * row;
            jpeg_read_scanlines(&jpeg, &line, 1);
        }
        jpeg_finish_decompress(&jpeg);
    }
    jpeg_destroy_decompress(&jpeg);
    return true;
}

int zoo_image_jpeg_version(void) { return JPEG_LIB_VERSION; }
