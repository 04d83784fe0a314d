/* The rules: what the vehicle must do, given commands, heartbeats, speed and time.
 *
 * No bytes, no I/O, no allocation, integers only. Times are milliseconds of a 32-bit tick that may
 * wrap: ages are differences, and what has expired stays expired until something fresh arrives.
 */
#ifndef BP_SAFETY_H
#define BP_SAFETY_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

struct bp_command {
    uint8_t action;
    bool release;
    uint16_t ceiling_cmps;
    uint16_t deceleration_cmps2;
    uint16_t valid_for_ms;
};

struct bp_heartbeat {
    uint16_t loop_sequence;
    bool healthy;
};

struct bp_vehicle {
    uint16_t speed_cmps;
    bool speed_valid;
    bool operator_request;
};

struct bp_demand {
    uint8_t action;
    uint16_t ceiling_cmps;
    uint16_t deceleration_cmps2;
};

struct bp_safety {
    struct bp_demand commanded;
    struct bp_demand latch; /* BP_NONE, or the stop that only a release ends */
    uint32_t command_ms;
    uint32_t heartbeat_ms;
    uint32_t slow_since_ms;
    uint16_t command_valid_for_ms;
    uint16_t loop_sequence;
    uint8_t healthy_heartbeats;
    bool loop_sequence_known;
    bool command_live;
    bool heartbeat_live;
    bool heartbeat_healthy;
    bool slow; /* a timer has expired and its SLOW_DOWN is not yet cleared */
};

/* Boots safe: COMFORT_STOP, latched. */
void bp_safety_boot(struct bp_safety *safety);

/* A new session: heartbeats before it prove nothing about this host. */
void bp_safety_new_session(struct bp_safety *safety);

/* Ends what has outlived its time. Call before anything fresh is fed. */
void bp_safety_expire(struct bp_safety *safety, uint32_t now_ms);

/* Takes a command that the contract allows (ranges already checked). */
enum bp_result bp_safety_command(struct bp_safety *safety, uint32_t now_ms,
                                 const struct bp_vehicle *vehicle,
                                 const struct bp_command *command);

void bp_safety_heartbeat(struct bp_safety *safety, uint32_t now_ms,
                         const struct bp_heartbeat *heartbeat);

/* Runs timers and own faults, and returns what to apply: the most severe of all demands. */
struct bp_demand bp_safety_settle(struct bp_safety *safety, uint32_t now_ms,
                                  const struct bp_vehicle *vehicle);

bool bp_safety_standstill(const struct bp_vehicle *vehicle);

#endif
