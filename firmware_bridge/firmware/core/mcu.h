/* The whole microcontroller behind one call: bytes in, rules, bytes out.
 *
 * A board supplies a clock, a byte stream, a speed, and brakes and throttle that follow the outputs;
 * nothing here depends on the board. No I/O, no allocation.
 */
#ifndef BP_MCU_H
#define BP_MCU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "safety.h"

enum bp_fault {
    BP_FAULT_NO_GREETING = 1u << 0,
    BP_FAULT_CONTRACT_MISMATCH = 1u << 1,
    BP_FAULT_LIMITS_MISMATCH = 1u << 2,
    BP_FAULT_COMMAND_TIMEOUT = 1u << 3,
    BP_FAULT_HEARTBEAT_TIMEOUT = 1u << 4,
    BP_FAULT_PERCEPTION_TIMEOUT = 1u << 5,
    BP_FAULT_HEARTBEAT_UNHEALTHY = 1u << 6,
    BP_FAULT_MESSAGE_STALE = 1u << 7,
    BP_FAULT_FRAME_REFUSED = 1u << 8,
    BP_FAULT_SPEED_SENSOR = 1u << 9,
};

/* A recent refusal, whose fault bit stays set for refused_shown_ms. */
struct bp_refusal {
    uint32_t at_ms;
    bool shown;
};

struct bp_outputs {
    struct bp_demand demand;
    uint16_t jerk_cmps3;
    uint16_t faults;
    bool stop_latched;
    bool standstill;
};

struct bp_mcu {
    struct bp_safety safety;
    struct bp_outputs outputs;
    struct bp_deframer deframer;
    uint32_t boot_ms;
    uint32_t status_ms;
    uint32_t greeting_ms;
    struct bp_refusal frame;   /* damaged, foreign, repeated or replayed */
    struct bp_refusal message; /* too old */
    uint16_t host_counter;
    uint16_t own_counter;
    uint8_t boot_id;
    uint8_t host_boot_id;
    uint8_t mismatch; /* fault bits of the last Hello */
    bool greeted;     /* a Hello of this boot was accepted, matching or not */
    bool reported;    /* status was sent since boot */
};

void bp_mcu_boot(struct bp_mcu *mcu, uint32_t now_ms, uint8_t boot_id);

/* Reads the bytes that arrived, runs the rules, and writes the bytes to send; returns how many.
 * A frame that does not fit into `tx` is not sent. What the vehicle must do is in mcu->outputs. */
size_t bp_mcu_update(struct bp_mcu *mcu, uint32_t now_ms, const struct bp_vehicle *vehicle,
                     const uint8_t *rx, size_t rx_size, uint8_t *tx, size_t tx_capacity);

/* Milliseconds since boot. */
uint32_t bp_mcu_tick_ms(const struct bp_mcu *mcu, uint32_t now_ms);

#endif
