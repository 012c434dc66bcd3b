#pragma once
// PNG and JPEG pictures, decoded by libpng and libjpeg.
//
// Both libraries report errors by longjmp; the jumps begin and end inside these functions. Sizes come from the header
// first (`zoo_image_probe`), so that the caller decides whether to make room before anything is unpacked.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { zoo_image_none = 0, zoo_image_png = 1, zoo_image_jpeg = 2 };

typedef struct {
    /// One of the kinds above.
    int kind;
    uint32_t width;
    uint32_t height;
    /// Colours of the picture itself: 1 grey, 3 red, green, blue. Palettes count as 3, transparency is left out.
    int channels;
    /// What the library said when it refused; empty otherwise.
    char message[160];
} zoo_image_info;

/// Reads the header. False when the bytes are no picture or the library refuses them (`message`).
bool zoo_image_probe(const uint8_t *bytes, size_t count, zoo_image_info *info);

/// Decodes into rows of `width * channels` bytes, 8 bits a colour; 16 bits are reduced to 8.
///
/// `info` is what the probe found; a picture that is another by now is refused. `capacity` must be
/// `width * height * channels`.
bool zoo_image_decode(const uint8_t *bytes, size_t count, zoo_image_info *info, uint8_t *pixels, size_t capacity);

/// The versions of the libraries in use.
const char *zoo_image_png_version(void);
int zoo_image_jpeg_version(void);

#ifdef __cplusplus
}
#endif
