#pragma once
#include "include/CZooImage.h"

/// Without pixels only the header is read.
bool zoo_png_read(const uint8_t *bytes, size_t count, zoo_image_info *info, uint8_t *pixels, size_t capacity);
bool zoo_jpeg_read(const uint8_t *bytes, size_t count, zoo_image_info *info, uint8_t *pixels, size_t capacity);

/// Notes the size when probing; when decoding, whether it is what was probed and what there is room for.
bool zoo_image_accept(zoo_image_info *info, uint32_t width, uint32_t height, int channels, const uint8_t *pixels,
                      size_t capacity);
void zoo_image_say(zoo_image_info *info, const char *text);
