// The bodies of all kernels for one instruction set, and its table.

#include "../kernel_table.h"
#include "../simd.h"

#define X(result, name, parameters, arguments) \
    __attribute__((visibility("hidden"))) result NAME(name) parameters;
#include "../kernel_list.h"
#undef X

#include "../bodies/functions.h"

#include "../bodies/convolution.h"
#include "../bodies/convolution_gradient.h"
#include "../bodies/pooling.h"
#include "../bodies/layouts.h"
#include "../bodies/channels.h"
#include "../bodies/elementwise.h"
#include "../bodies/losses.h"
#include "../bodies/rows.h"
#include "../bodies/product.h"
#include "../bodies/vectors.h"
#include "../bodies/merge.h"

#define ZOO_TEXT(x) #x
#define ZOO_TEXT_EXPANDED(x) ZOO_TEXT(x)
const zoo_kernel_table NAME(zoo_kernels) = {
    ZOO_TEXT_EXPANDED(ZOO_VARIANT),
#define X(result, name, parameters, arguments) NAME(name),
#include "../kernel_list.h"
#undef X
};
