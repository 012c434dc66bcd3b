// Softmax and losses over classes in the lanes layout.

INLINE lanes class_max(size_t classes, const float *x) {
    lanes most = load(x);
    for (size_t c = 1; c < classes; c++) {
        lanes value = load(x + c * 16);
        most = pick(value > most, value, most);
    }
    return most;
}

/// y = e^(x - most), returns the sum over classes.
INLINE lanes class_exp(size_t classes, const float *x, lanes most, float *y) {
    lanes sum = splat(0);
    for (size_t c = 0; c < classes; c++) {
        lanes e = exp_lanes(load(x + c * 16) - most);
        sum += e;
        if (y != NULL) store(y + c * 16, e);
    }
    return sum;
}

void NAME(zoo_softmax_lanes)(size_t groups, size_t classes, const float *x, float *y) {
    for (size_t g = 0; g < groups; g++, x += classes * 16, y += classes * 16) {
        lanes share = 1.0f / class_exp(classes, x, class_max(classes, x), y);
        for (size_t c = 0; c < classes; c++) store(y + c * 16, load(y + c * 16) * share);
    }
}

void NAME(zoo_log_softmax_lanes)(size_t groups, size_t classes, const float *x, float *y) {
    for (size_t g = 0; g < groups; g++, x += classes * 16, y += classes * 16) {
        lanes most = class_max(classes, x), rest = log_lanes(class_exp(classes, x, most, NULL));
        for (size_t c = 0; c < classes; c++) store(y + c * 16, (load(x + c * 16) - most) - rest);
    }
}

void NAME(zoo_softmax_lanes_gradient)(size_t groups, size_t classes, const float *p, const float *g, float *out,
                                      int32_t flags) {
    for (size_t i = 0; i < groups; i++, p += classes * 16, g += classes * 16, out += classes * 16) {
        lanes inner = splat(0);
        for (size_t c = 0; c < classes; c++) inner += load(p + c * 16) * load(g + c * 16);
        for (size_t c = 0; c < classes; c++) {
            lanes value = load(p + c * 16) * (load(g + c * 16) - inner);
            if (flags & ZOO_ADD) value += load(out + c * 16);
            store(out + c * 16, value);
        }
    }
}

/// x[label] of every lane.
INLINE lanes at_labels(const float *x, const int32_t *labels) {
    float part[16];
    for (int i = 0; i < 16; i++) part[i] = x[(size_t)labels[i] * 16 + (size_t)i];
    return load(part);
}

void NAME(zoo_cross_entropy_lanes)(size_t groups, size_t classes, const float *x, const int32_t *labels,
                                   float smoothing, const float *lane_weights, float *losses, float *gradient) {
    const float even = smoothing / (float)classes, sharp = 1.0f - smoothing;
    for (size_t g = 0; g < groups; g++, x += classes * 16) {
        const lanes most = class_max(classes, x), chosen = at_labels(x, labels + g * 16);
        lanes spread = splat(0);
        if (losses != NULL && smoothing != 0)
            for (size_t c = 0; c < classes; c++) spread += most - load(x + c * 16);
        const lanes sum = class_exp(classes, x, most, gradient);
        if (losses != NULL) {
            // (max - x) and log(sum) are added at the end, so that a small loss keeps its digits.
            lanes loss = smoothing != 0 ? (most - chosen) * sharp + spread * even : most - chosen;
            store(losses + g * 16, loss + log_lanes(sum));
        }
        if (gradient == NULL) continue;
        const lanes weight = lane_weights != NULL ? load(lane_weights + g * 16) : splat(1), share = weight / sum;
        const lanes_int label = load_int(labels + g * 16);
        for (size_t c = 0; c < classes; c++) {
            lanes value = load(gradient + c * 16) * share - weight * even;
            store(gradient + c * 16, pick(label == (int32_t)c, value - weight * sharp, value));
        }
        gradient += classes * 16;
    }
}

void NAME(zoo_cross_entropy_targets_lanes)(size_t groups, size_t classes, const float *x, const float *targets,
                                           const float *lane_weights, float *losses, float *gradient) {
    for (size_t g = 0; g < groups; g++, x += classes * 16, targets += classes * 16) {
        const lanes most = class_max(classes, x);
        lanes total = splat(0), spread = splat(0);
        for (size_t c = 0; c < classes; c++) {
            lanes target = load(targets + c * 16);
            total += target;
            spread += target * (most - load(x + c * 16));
        }
        const lanes sum = class_exp(classes, x, most, gradient);
        if (losses != NULL) store(losses + g * 16, spread + total * log_lanes(sum));
        if (gradient == NULL) continue;
        const lanes weight = lane_weights != NULL ? load(lane_weights + g * 16) : splat(1);
        const lanes share = weight * total / sum;
        for (size_t c = 0; c < classes; c++)
            store(gradient + c * 16, load(gradient + c * 16) * share - weight * load(targets + c * 16));
        gradient += classes * 16;
    }
}

INLINE lanes_int argmax_group(size_t classes, const float *x) {
    lanes best = load(x);
    lanes_int index = splat_int(0);
    for (size_t c = 1; c < classes; c++) {
        lanes value = load(x + c * 16);
        lanes_int better = (value > best) | ((value != value) & (best == best));
        best = pick(better, value, best);
        index = pick_int(better, splat_int((int32_t)c), index);
    }
    return index;
}

void NAME(zoo_argmax_lanes)(size_t groups, size_t classes, const float *x, int32_t *indices) {
    for (size_t g = 0; g < groups; g++) store_int(indices + g * 16, argmax_group(classes, x + g * classes * 16));
}

size_t NAME(zoo_correct_lanes)(size_t groups, size_t classes, const float *x, const int32_t *labels,
                               const float *lane_weights) {
    size_t correct = 0;
    for (size_t g = 0; g < groups; g++) {
        lanes_int hit = argmax_group(classes, x + g * classes * 16) == load_int(labels + g * 16);
        if (lane_weights != NULL) hit &= load(lane_weights + g * 16) != 0.0f;
        int32_t hits[16];
        store_int(hits, hit);
        for (int i = 0; i < 16; i++) correct += hits[i] != 0;
    }
    return correct;
}
