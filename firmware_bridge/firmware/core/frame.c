#include "frame.h"

#include <string.h>

uint32_t bp_crc32(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffffu;

    /* Bit by bit: sixteen bytes a frame do not pay for a table of a kilobyte. */
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

size_t bp_frame_write(const struct bp_frame *frame, uint8_t wire[BP_WIRE_MAX])
{
    uint8_t raw[BP_RAW_MAX];
    size_t size = BP_HEADER_SIZE + frame->length;

    raw[0] = frame->id;
    raw[1] = frame->length;
    raw[2] = (uint8_t)(frame->counter & 0xffu);
    raw[3] = (uint8_t)(frame->counter >> 8);
    memcpy(&raw[BP_HEADER_SIZE], frame->payload, frame->length);
    uint32_t crc = bp_crc32(raw, size);
    for (unsigned shift = 0; shift < 32u; shift += 8u) {
        raw[size++] = (uint8_t)(crc >> shift);
    }

    /* A frame is shorter than 254 bytes, so no COBS block is ever full. */
    size_t code_at = 0;
    size_t used = 1;
    for (size_t i = 0; i < size; i++) {
        if (raw[i] == 0u) {
            wire[code_at] = (uint8_t)(used - code_at);
            code_at = used++;
        } else {
            wire[used++] = raw[i];
        }
    }
    wire[code_at] = (uint8_t)(used - code_at);
    wire[used++] = 0u;
    return used;
}

/* Returns the unstuffed size, or 0 where a block points past the end. */
static size_t unstuff(const uint8_t *stuffed, size_t size, uint8_t raw[BP_STUFFED_MAX])
{
    size_t used = 0;
    size_t at = 0;

    while (at < size) {
        size_t end = at + stuffed[at];
        if (end > size) {
            return 0;
        }
        for (at++; at < end; at++) {
            raw[used++] = stuffed[at];
        }
        if (at < size) {
            raw[used++] = 0u;
        }
    }
    return used;
}

static bool parse(const uint8_t *stuffed, size_t stuffed_size, struct bp_frame *frame)
{
    uint8_t raw[BP_STUFFED_MAX] = {0};
    size_t size = unstuff(stuffed, stuffed_size, raw);

    /* No more than BP_RAW_MAX bytes come out of BP_STUFFED_MAX, so this bounds the payload, too. */
    if (size != BP_HEADER_SIZE + raw[1] + BP_CRC_SIZE) {
        return false;
    }
    size_t body = size - BP_CRC_SIZE;
    uint32_t crc = bp_crc32(raw, body);
    for (unsigned i = 0; i < BP_CRC_SIZE; i++) {
        if (raw[body + i] != (uint8_t)(crc >> (8u * i))) {
            return false;
        }
    }
    frame->id = raw[0];
    frame->length = raw[1];
    frame->counter = (uint16_t)(raw[2] | ((uint16_t)raw[3] << 8));
    memcpy(frame->payload, &raw[BP_HEADER_SIZE], frame->length);
    return true;
}

enum bp_deframed bp_deframer_push(struct bp_deframer *deframer, uint8_t byte,
                                  struct bp_frame *frame)
{
    if (byte != 0u) {
        if (deframer->used < sizeof(deframer->buffer)) {
            deframer->buffer[deframer->used++] = byte;
        } else {
            deframer->overflowed = true;
        }
        return BP_FRAME_PENDING;
    }

    size_t size = deframer->used;
    bool overflowed = deframer->overflowed;
    deframer->used = 0;
    deframer->overflowed = false;
    if (size == 0u) {
        return BP_FRAME_PENDING; /* Delimiters in a row are allowed: a sender may flush with one. */
    }
    if (overflowed || !parse(deframer->buffer, size, frame)) {
        return BP_FRAME_DAMAGED;
    }
    return BP_FRAME_WHOLE;
}
