/* Preprocess on the GPU: a camera picture in, the network input (1, 3, H, W) float32 out.
 *
 * One thread writes one pixel of the input, in all three planes: it fits the picture (letterbox or
 * stretch), interpolates, orders the channels and normalises, as edge/perception/preprocess.py
 * does on the CPU. The picture is packed BGR, NV12 or YUYV; colour is converted before
 * interpolation, so that the result is that of cv2.cvtColor followed by preprocess.
 *
 * The arithmetic is OpenCV's to the bit: modules/imgproc/src/resize.cpp (INTER_LINEAR on 8 bits,
 * weights of 11 bits; where both sides are halved OpenCV takes the mean of 2 x 2, which is the
 * same) and color_yuv.simd.hpp (BT.601, limited range, 20 bits). Floating-point operations are
 * written as intrinsics that round to nearest, so that no compiler contracts a product and a sum
 * into one rounding.
 *
 * Compiled on the device by NVRTC. The tests compile the same text as C11 through a header that
 * defines what CUDA adds (tests/edge/samples/cuda_host_shim): it may use no other C++.
 */

#ifdef __cplusplus
#define ENTRY extern "C" __global__
#else
#define ENTRY __global__
#endif

#define INLINE static __device__ __forceinline__

typedef unsigned char Byte;

/* Everything but the two addresses. preprocess_kernel.py packs the same struct. */
typedef struct {
    long long row_stride;    /* bytes from one row to the next, of luma in NV12 */
    long long chroma_stride; /* NV12: the same for the rows of U and V pairs */
    long long chroma_offset; /* NV12: bytes from the picture's start to its first pair */
    double step_x;           /* picture pixels for each fitted pixel */
    double step_y;
    int picture_width;
    int picture_height;
    int input_width;
    int input_height;
    int left; /* where the fitted picture lies in the input */
    int top;
    int fitted_width;
    int fitted_height;
    int rgb;       /* not 0: the planes are red, green, blue; 0: blue, green, red */
    int pad_value; /* 0..255 */
    float mean[3]; /* for each plane, in that order */
    float std[3];
} PreprocessParams;

typedef enum { FORMAT_BGR, FORMAT_NV12, FORMAT_YUYV } Format;

typedef struct {
    int bgr[3]; /* 0..255 */
} Pixel;

/* Two neighbours in the picture and their weights in 1/2048. */
typedef struct {
    int first;
    int second;
    int first_weight;
    int second_weight;
} Taps;

INLINE int clamped(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* BT.601 with luma 16..235 and chroma 16..240, as cv2.COLOR_YUV2BGR_NV12 and _YUYV convert. */
INLINE Pixel from_yuv(int y, int u, int v)
{
    int luma = (y < 16 ? 0 : y - 16) * 1220542;
    int half = 1 << 19;
    Pixel pixel;

    u -= 128;
    v -= 128;
    pixel.bgr[0] = clamped((luma + 2116026 * u + half) >> 20, 0, 255);
    pixel.bgr[1] = clamped((luma - 852492 * v - 409993 * u + half) >> 20, 0, 255);
    pixel.bgr[2] = clamped((luma + 1673527 * v + half) >> 20, 0, 255);
    return pixel;
}

INLINE Pixel pixel_at(Format format, const Byte *picture, const PreprocessParams *p, int x, int y)
{
    const Byte *row = picture + y * p->row_stride;

    if (format == FORMAT_NV12) {
        const Byte *pair = picture + p->chroma_offset + (y / 2) * p->chroma_stride + (x / 2) * 2;
        return from_yuv(row[x], pair[0], pair[1]);
    }
    if (format == FORMAT_YUYV) {
        const Byte *pair = row + (x / 2) * 4;
        return from_yuv(pair[(x & 1) * 2], pair[1], pair[3]);
    }
    Pixel pixel;
    pixel.bgr[0] = row[3 * x];
    pixel.bgr[1] = row[3 * x + 1];
    pixel.bgr[2] = row[3 * x + 2];
    return pixel;
}

INLINE Taps taps_at(int fitted, double step)
{
    float at = __double2float_rn(__dsub_rn(__dmul_rn(__dadd_rn((double)fitted, 0.5), step), 0.5));
    int whole = __float2int_rd(at);
    float part = __fsub_rn(at, (float)whole);
    Taps taps;

    taps.first = whole;
    taps.second = whole + 1;
    taps.first_weight = __float2int_rn(__fmul_rn(__fsub_rn(1.0f, part), 2048.0f));
    taps.second_weight = __float2int_rn(__fmul_rn(part, 2048.0f));
    return taps;
}

/* At the left and right border, the border's pixel has the whole weight. */
INLINE Taps columns_at(int fitted, double step, int size)
{
    Taps taps = taps_at(fitted, step);

    if (taps.first < 0 || taps.first >= size - 1) {
        taps.first = taps.second = taps.first < 0 ? 0 : size - 1;
        taps.first_weight = 2048;
        taps.second_weight = 0;
    }
    return taps;
}

/* At the upper and lower border, the border's row is taken twice, with both weights. */
INLINE Taps rows_at(int fitted, double step, int size)
{
    Taps taps = taps_at(fitted, step);

    taps.first = clamped(taps.first, 0, size - 1);
    taps.second = clamped(taps.second, 0, size - 1);
    return taps;
}

INLINE Pixel interpolated_at(Format format, const Byte *picture, const PreprocessParams *p, int x,
                             int y)
{
    Taps column = columns_at(x, p->step_x, p->picture_width);
    Taps row = rows_at(y, p->step_y, p->picture_height);
    Pixel upper_left = pixel_at(format, picture, p, column.first, row.first);
    Pixel upper_right = pixel_at(format, picture, p, column.second, row.first);
    Pixel lower_left = pixel_at(format, picture, p, column.first, row.second);
    Pixel lower_right = pixel_at(format, picture, p, column.second, row.second);
    Pixel found;

    for (int c = 0; c < 3; c++) {
        int upper = upper_left.bgr[c] * column.first_weight +
                    upper_right.bgr[c] * column.second_weight;
        int lower = lower_left.bgr[c] * column.first_weight +
                    lower_right.bgr[c] * column.second_weight;
        found.bgr[c] = (((row.first_weight * (upper >> 4)) >> 16) +
                        ((row.second_weight * (lower >> 4)) >> 16) + 2) >> 2;
    }
    return found;
}

INLINE void preprocess(Format format, const Byte *picture, float *input, const PreprocessParams *p)
{
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int y = (int)(blockIdx.y * blockDim.y + threadIdx.y);

    if (x >= p->input_width || y >= p->input_height) {
        return;
    }
    int fitted_x = x - p->left;
    int fitted_y = y - p->top;
    Pixel pixel;
    if (fitted_x >= 0 && fitted_x < p->fitted_width && fitted_y >= 0 &&
        fitted_y < p->fitted_height) {
        pixel = interpolated_at(format, picture, p, fitted_x, fitted_y);
    } else {
        pixel.bgr[0] = pixel.bgr[1] = pixel.bgr[2] = p->pad_value;
    }
    long long plane = (long long)p->input_width * p->input_height;
    float *at = input + (long long)y * p->input_width + x;
    for (int c = 0; c < 3; c++) {
        /* Both operands have fixed indices: a computed one would move the pixel to memory. */
        float value = (float)(p->rgb ? pixel.bgr[2 - c] : pixel.bgr[c]);
        at[c * plane] = __fdiv_rn(__fsub_rn(value, p->mean[c]), p->std[c]);
    }
}

ENTRY void preprocess_bgr(const Byte *picture, float *input, const PreprocessParams params)
{
    preprocess(FORMAT_BGR, picture, input, &params);
}

ENTRY void preprocess_nv12(const Byte *picture, float *input, const PreprocessParams params)
{
    preprocess(FORMAT_NV12, picture, input, &params);
}

ENTRY void preprocess_yuyv(const Byte *picture, float *input, const PreprocessParams params)
{
    preprocess(FORMAT_YUYV, picture, input, &params);
}
