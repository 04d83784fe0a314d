/* Launches the entry points of preprocess.cu on the host: every thread of the grid in turn. */
#include "cuda_host_shim.h"

#include <stddef.h>
#include <string.h>

#include "preprocess.cu"

_Thread_local struct dim3 gridDim, blockDim, blockIdx, threadIdx;

enum { LAUNCHED, NO_SUCH_ENTRY, BAD_GEOMETRY, BAD_PARAMS };

/* Limits of every GPU since SM 3.0 (CUDA C programming guide, technical specifications). */
enum { THREADS_MAX = 1024, BLOCKS_YZ_MAX = 65535 };

typedef void Entry(const Byte *picture, float *input, const PreprocessParams params);

static const struct {
    const char *name;
    Entry *entry;
} ENTRIES[] = {
    {"preprocess_bgr", preprocess_bgr},
    {"preprocess_nv12", preprocess_nv12},
    {"preprocess_yuyv", preprocess_yuyv},
};

static int is_bad(struct dim3 grid, struct dim3 block)
{
    return !grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z ||
           grid.y > BLOCKS_YZ_MAX || grid.z > BLOCKS_YZ_MAX ||
           (unsigned long long)block.x * block.y * block.z > THREADS_MAX;
}

static void run(Entry *entry, const Byte *picture, float *input, const PreprocessParams *params)
{
    struct dim3 b, t;

    for (b.z = 0; b.z < gridDim.z; b.z++)
        for (b.y = 0; b.y < gridDim.y; b.y++)
            for (b.x = 0; b.x < gridDim.x; b.x++)
                for (t.z = 0; t.z < blockDim.z; t.z++)
                    for (t.y = 0; t.y < blockDim.y; t.y++)
                        for (t.x = 0; t.x < blockDim.x; t.x++) {
                            blockIdx = b;
                            threadIdx = t;
                            entry(picture, input, *params);
                        }
}

int shim_launch(const char *name, const unsigned grid[3], const unsigned block[3],
                const void *picture, void *input, const void *params, size_t params_size);

int shim_launch(const char *name, const unsigned grid[3], const unsigned block[3],
                const void *picture, void *input, const void *params, size_t params_size)
{
    PreprocessParams held;

    gridDim = (struct dim3){grid[0], grid[1], grid[2]};
    blockDim = (struct dim3){block[0], block[1], block[2]};
    if (params_size != sizeof held)
        return BAD_PARAMS;
    if (is_bad(gridDim, blockDim))
        return BAD_GEOMETRY;
    memcpy(&held, params, sizeof held);
    for (size_t i = 0; i < sizeof ENTRIES / sizeof *ENTRIES; i++)
        if (strcmp(name, ENTRIES[i].name) == 0) {
            run(ENTRIES[i].entry, picture, input, &held);
            return LAUNCHED;
        }
    return NO_SUCH_ENTRY;
}

/* The layout of the params as this compiler has it: name, offset and size of each field. */
struct shim_field {
    const char *name;
    size_t offset;
    size_t size;
};

#define FIELD(name) {#name, offsetof(PreprocessParams, name), sizeof((PreprocessParams){0}.name)}

extern const struct shim_field shim_fields[];
extern const size_t shim_field_count, shim_params_size;

const struct shim_field shim_fields[] = {
    FIELD(row_stride),
    FIELD(chroma_stride),
    FIELD(chroma_offset),
    FIELD(step_x),
    FIELD(step_y),
    FIELD(picture_width),
    FIELD(picture_height),
    FIELD(input_width),
    FIELD(input_height),
    FIELD(left),
    FIELD(top),
    FIELD(fitted_width),
    FIELD(fitted_height),
    FIELD(rgb),
    FIELD(pad_value),
    FIELD(mean),
    FIELD(std),
};
const size_t shim_field_count = sizeof shim_fields / sizeof *shim_fields;
const size_t shim_params_size = sizeof(PreprocessParams);
