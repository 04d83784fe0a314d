/* A libcuda.so.1 that answers questions about GPUs, from facts fixed when it is compiled.
   For code that asks the driver by ctypes. It allocates nothing and runs nothing. */
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *name;
    int sm, integrated, multiprocessors;
    size_t memory_bytes;
} gpu;

/* GPUS: initializers of gpu; GPU_COUNT; DRIVER_VERSION, by -D. */
static const gpu gpus[GPU_COUNT + 1] = {GPUS};
static int started;

enum { INVALID_VALUE = 1, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_FOUND = 500 };

static int checked(int device) {
    if (!started)
        return NOT_INITIALIZED;
    return device < 0 || device >= GPU_COUNT ? INVALID_DEVICE : 0;
}

int cuInit(unsigned flags) {
    if (flags)
        return INVALID_VALUE;
    started = GPU_COUNT > 0;
    return started ? 0 : NO_DEVICE;
}

/* NVRTC loads the driver where there is one and asks it for tables of its own; there are none. */
int cuGetExportTable(const void **table, const void *identity) {
    (void)identity;
    *table = NULL;
    return NOT_FOUND;
}

int cuDriverGetVersion(int *version) {
    *version = DRIVER_VERSION;
    return 0;
}

int cuDeviceGetCount(int *count) {
    *count = GPU_COUNT;
    return started ? 0 : NOT_INITIALIZED;
}

int cuDeviceGet(int *device, int ordinal) {
    int code = checked(ordinal);
    if (!code)
        *device = ordinal;
    return code;
}

int cuDeviceGetName(char *name, int length, int device) {
    int code = checked(device);
    if (!code && length > 0) {
        strncpy(name, gpus[device].name, (size_t)length - 1);
        name[length - 1] = 0;
    }
    return code;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    int code = checked(device);
    if (!code)
        *bytes = gpus[device].memory_bytes;
    return code;
}

int cuDeviceTotalMem(unsigned *bytes, int device) {
    size_t whole = 0;
    int code = cuDeviceTotalMem_v2(&whole, device);
    *bytes = (unsigned)whole; /* the first version of the call had 32 bits */
    return code;
}

/* The context is a number: nothing runs here. */
int cuDevicePrimaryCtxRetain(void **context, int device) {
    int code = checked(device);
    if (!code)
        *context = (void *)(size_t)(device + 1);
    return code;
}

int cuCtxSetCurrent(void *context) {
    return context ? 0 : INVALID_VALUE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int code = checked(device);
    if (code)
        return code;
    switch (attribute) {
    case 16: *value = gpus[device].multiprocessors; return 0;
    case 18: *value = gpus[device].integrated; return 0;
    case 19: case 41: *value = 1; return 0;
    case 75: *value = gpus[device].sm / 10; return 0;
    case 76: *value = gpus[device].sm % 10; return 0;
    default: return INVALID_VALUE;
    }
}
