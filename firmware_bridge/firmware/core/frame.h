/* Payload <-> COBS frame with an end-to-end envelope. No I/O, no allocation.
 *
 * On the wire: COBS(id, length, counter low, counter high, payload, CRC-32 little-endian), 0x00.
 * The CRC is zlib's, over everything before it.
 */
#ifndef BP_FRAME_H
#define BP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BP_PAYLOAD_MAX 8u
#define BP_HEADER_SIZE 4u
#define BP_CRC_SIZE 4u
#define BP_RAW_MAX (BP_HEADER_SIZE + BP_PAYLOAD_MAX + BP_CRC_SIZE)
#define BP_STUFFED_MAX (BP_RAW_MAX + 1u)
#define BP_WIRE_MAX (BP_STUFFED_MAX + 1u)

struct bp_frame {
    uint8_t id;
    uint8_t length;
    uint16_t counter;
    uint8_t payload[BP_PAYLOAD_MAX]; /* of which `length` count */
};

struct bp_deframer {
    uint8_t buffer[BP_STUFFED_MAX];
    uint8_t used;
    bool overflowed;
};

enum bp_deframed {
    BP_FRAME_PENDING,
    BP_FRAME_WHOLE,
    BP_FRAME_DAMAGED,
};

uint32_t bp_crc32(const uint8_t *data, size_t size);

/* Writes the frame and its delimiter; returns how many bytes. */
size_t bp_frame_write(const struct bp_frame *frame, uint8_t wire[BP_WIRE_MAX]);

/* Takes one byte of the stream. `frame` is written only when the answer is BP_FRAME_WHOLE. */
enum bp_deframed bp_deframer_push(struct bp_deframer *deframer, uint8_t byte,
                                  struct bp_frame *frame);

#endif
