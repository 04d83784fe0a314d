#include "safety.h"

#include <string.h>

static uint16_t at_most(uint16_t value, uint16_t highest)
{
    return value > highest ? highest : value;
}

static uint16_t at_least(uint16_t value, uint16_t lowest)
{
    return value < lowest ? lowest : value;
}

static bool is_stop(uint8_t action)
{
    return action >= BP_COMFORT_STOP;
}

static struct bp_demand no_demand(void)
{
    return (struct bp_demand){BP_NONE, BP_LIMITS.speed_ceiling_max_cmps, 0u};
}

static struct bp_demand default_stop(uint8_t action)
{
    return (struct bp_demand){action, 0u, BP_LIMITS.action[action].deceleration_default_cmps2};
}

/* The most severe of two: the graver action with its own braking, the lower ceiling. */
static struct bp_demand graver(struct bp_demand a, struct bp_demand b)
{
    struct bp_demand result = a.action >= b.action ? a : b;

    result.ceiling_cmps = at_most(a.ceiling_cmps, b.ceiling_cmps);
    if (a.action == b.action) {
        result.deceleration_cmps2 = at_least(a.deceleration_cmps2, b.deceleration_cmps2);
    }
    return result;
}

/* What a command demands once every number that its action uses is inside the compiled limits. */
static struct bp_demand clipped_demand(const struct bp_command *command)
{
    const struct bp_action_limits *limits = &BP_LIMITS.action[command->action];
    struct bp_demand demand = no_demand();

    demand.action = command->action;
    if (command->action >= BP_CAP_SPEED) {
        demand.ceiling_cmps = is_stop(command->action)
                                  ? 0u
                                  : at_most(command->ceiling_cmps, BP_LIMITS.speed_ceiling_max_cmps);
        demand.deceleration_cmps2 =
            at_least(at_most(command->deceleration_cmps2, limits->deceleration_max_cmps2),
                     limits->deceleration_min_cmps2);
    }
    return demand;
}

static bool was_clipped(const struct bp_command *command, const struct bp_demand *demand)
{
    bool uses_ceiling = command->action >= BP_CAP_SPEED && !is_stop(command->action);
    bool uses_braking = command->action >= BP_CAP_SPEED;

    return command->valid_for_ms > BP_LIMITS.command_valid_max_ms ||
           (uses_ceiling && command->ceiling_cmps != demand->ceiling_cmps) ||
           (uses_braking && command->deceleration_cmps2 != demand->deceleration_cmps2);
}

static bool heartbeats_are_healthy(const struct bp_safety *safety)
{
    /* The count is cleared when they stop, so it also says that they are fresh. */
    return safety->healthy_heartbeats >= BP_LIMITS.healthy_heartbeats_to_release;
}

static void latch_stop(struct bp_safety *safety, struct bp_demand demand)
{
    if (is_stop(demand.action)) {
        safety->latch = graver(safety->latch, demand);
    }
}

bool bp_safety_standstill(const struct bp_vehicle *vehicle)
{
    return vehicle->speed_valid && vehicle->speed_cmps <= BP_LIMITS.standstill_cmps;
}

void bp_safety_boot(struct bp_safety *safety)
{
    memset(safety, 0, sizeof(*safety));
    safety->commanded = no_demand();
    safety->latch = default_stop(BP_COMFORT_STOP);
}

void bp_safety_new_session(struct bp_safety *safety)
{
    safety->healthy_heartbeats = 0;
    safety->loop_sequence_known = false;
}

void bp_safety_expire(struct bp_safety *safety, uint32_t now_ms)
{
    if (safety->command_live && now_ms - safety->command_ms >= safety->command_valid_for_ms) {
        safety->command_live = false;
    }
    if (safety->heartbeat_live && now_ms - safety->heartbeat_ms >= BP_LIMITS.heartbeat_timeout_ms) {
        safety->heartbeat_live = false;
        safety->healthy_heartbeats = 0;
    }
}

enum bp_result bp_safety_command(struct bp_safety *safety, uint32_t now_ms,
                                 const struct bp_vehicle *vehicle,
                                 const struct bp_command *command)
{
    struct bp_demand demand = clipped_demand(command);
    enum bp_result result = was_clipped(command, &demand) ? BP_CLIPPED : BP_ACCEPTED;

    if (command->release && command->action < safety->latch.action) {
        if (!bp_safety_standstill(vehicle)) {
            result = BP_RELEASE_REFUSED_MOVING;
        } else if (!heartbeats_are_healthy(safety)) {
            result = BP_RELEASE_REFUSED_UNHEALTHY;
        } else {
            safety->latch = no_demand();
        }
    }
    latch_stop(safety, demand);
    safety->commanded = demand;
    safety->command_live = true;
    safety->command_ms = now_ms;
    safety->command_valid_for_ms = at_most(command->valid_for_ms, BP_LIMITS.command_valid_max_ms);
    return result;
}

void bp_safety_heartbeat(struct bp_safety *safety, uint32_t now_ms,
                         const struct bp_heartbeat *heartbeat)
{
    if (safety->loop_sequence_known && heartbeat->loop_sequence == safety->loop_sequence) {
        return; /* Somebody sends, but the decision loop stands still. */
    }
    safety->loop_sequence_known = true;
    safety->loop_sequence = heartbeat->loop_sequence;
    safety->heartbeat_live = true;
    safety->heartbeat_ms = now_ms;
    safety->heartbeat_healthy = heartbeat->healthy;
    if (!heartbeat->healthy) {
        safety->healthy_heartbeats = 0;
    } else if (safety->healthy_heartbeats < BP_LIMITS.healthy_heartbeats_to_release) {
        safety->healthy_heartbeats++;
    }
}

struct bp_demand bp_safety_settle(struct bp_safety *safety, uint32_t now_ms,
                                  const struct bp_vehicle *vehicle)
{
    if (safety->slow) {
        if (safety->command_live && heartbeats_are_healthy(safety)) {
            safety->slow = false;
        } else if (now_ms - safety->slow_since_ms >= BP_LIMITS.escalation_ms) {
            latch_stop(safety, default_stop(BP_COMFORT_STOP));
        }
    } else if (!safety->command_live || !safety->heartbeat_live) {
        safety->slow = true;
        safety->slow_since_ms = now_ms;
    }
    if (!vehicle->speed_valid) {
        latch_stop(safety, default_stop(BP_COMFORT_STOP));
    }

    struct bp_demand demand = graver(safety->commanded, safety->latch);
    if (safety->slow) {
        demand = graver(demand, (struct bp_demand){
                                    BP_SLOW_DOWN, BP_LIMITS.slow_down_ceiling_cmps,
                                    BP_LIMITS.action[BP_SLOW_DOWN].deceleration_default_cmps2});
    }
    return demand;
}
