#include "internal.h"

#include <string.h>

bool zoo_image_probe(const uint8_t *bytes, size_t count, zoo_image_info *info) {
    memset(info, 0, sizeof *info);
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A};
    if (count >= 8 && memcmp(bytes, png, 8) == 0) {
        info->kind = zoo_image_png;
        return zoo_png_read(bytes, count, info, NULL, 0);
    }
    if (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) {
        info->kind = zoo_image_jpeg;
        return zoo_jpeg_read(bytes, count, info, NULL, 0);
    }
    return false;
}

bool zoo_image_decode(const uint8_t *bytes, size_t count, zoo_image_info *info, uint8_t *pixels, size_t capacity) {
    info->message[0] = 0;
    if (info->kind == zoo_image_png) return zoo_png_read(bytes, count, info, pixels, capacity);
    if (info->kind == zoo_image_jpeg) return zoo_jpeg_read(bytes, count, info, pixels, capacity);
    return false;
}

bool zoo_image_accept(zoo_image_info *info, uint32_t width, uint32_t height, int channels, const uint8_t *pixels,
                      size_t capacity) {
    if (!pixels) {
        info->width = width;
        info->height = height;
        info->channels = channels;
        return true;
    }
    return info->width == width && info->height == height && info->channels == channels && width > 0 && height > 0 &&
           capacity / width / height == (size_t)channels && capacity == (size_t)width * height * (size_t)channels;
}

void zoo_image_say(zoo_image_info *info, const char *text) {
    size_t length = strlen(text);
    if (length >= sizeof info->message) length = sizeof info->message - 1;
    memcpy(info->message, text, length);
    info->message[length] = 0;
}
