/* The rules: what the vehicle must do, given commands, heartbeats, speed and time.
 *
 * No bytes, no I/O, no allocation, integers only. Times are milliseconds of a 32-bit tick that may
 * wrap: ages are differences, and an expired timer stays expired until a fresh message arrives.
 * A message's time is when the host made it, `age_ms` ago, not when it arrived.
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
    uint32_t age_ms;
};

struct bp_heartbeat {
    uint16_t loop_sequence;
    uint16_t camera_age_ms; /* at the time the heartbeat was made */
    bool perceives;         /* perception KNOWN and canary not FAILED */
    uint32_t age_ms;
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

/* Timers that must be renewed. Each that runs out begins SLOW_DOWN. */
enum bp_timer_name {
    BP_TIMER_COMMAND,    /* a fresh command */
    BP_TIMER_HEARTBEAT,  /* a turn of the decision loop */
    BP_TIMER_PERCEPTION, /* a fresh frame, vouched for by healthy heartbeats */
    BP_TIMER_COUNT,
};

struct bp_timer {
    uint32_t since_ms;
    uint16_t lifetime_ms;
    bool live;
};

struct bp_safety {
    struct bp_demand commanded;
    struct bp_demand latch; /* BP_NONE, or the stop that only a release ends */
    struct bp_timer timer[BP_TIMER_COUNT];
    uint32_t healthy_ms[BP_HEALTHY_HEARTBEATS_TO_RELEASE]; /* when made, newest first */
    uint32_t slow_since_ms;
    uint16_t loop_sequence;
    uint8_t healthy_heartbeats; /* in a row, none older than the heartbeat timeout */
    bool loop_sequence_known;
    bool heartbeat_healthy;
    bool slow; /* a timer has run out and its SLOW_DOWN is not yet cleared */
};

/* Boots safe: COMFORT_STOP, latched. */
void bp_safety_boot(struct bp_safety *safety);

/* Begins a session: heartbeats from before it no longer count. */
void bp_safety_new_session(struct bp_safety *safety);

/* Lets all timers run up to `now_ms`, in their order. Call before feeding a fresh message. */
void bp_safety_run(struct bp_safety *safety, uint32_t now_ms);

/* Takes a command that the contract allows (ranges already checked). */
enum bp_result bp_safety_command(struct bp_safety *safety, uint32_t now_ms,
                                 const struct bp_vehicle *vehicle,
                                 const struct bp_command *command);

/* Takes a heartbeat; false where it is too old to count. */
bool bp_safety_heartbeat(struct bp_safety *safety, uint32_t now_ms,
                         const struct bp_heartbeat *heartbeat);

/* Adds own faults, and returns what to apply: the most severe of all demands. */
struct bp_demand bp_safety_settle(struct bp_safety *safety, const struct bp_vehicle *vehicle);

bool bp_safety_standstill(const struct bp_vehicle *vehicle);

#endif
