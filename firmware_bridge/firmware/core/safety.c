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

/* Both at once: the graver action, the lower ceiling, the harder braking. A graver action's range
 * reaches at least as far as a milder one's, so the harder braking is inside it. */
static struct bp_demand both(struct bp_demand a, struct bp_demand b)
{
    return (struct bp_demand){
        .action = a.action > b.action ? a.action : b.action,
        .ceiling_cmps = at_most(a.ceiling_cmps, b.ceiling_cmps),
        .deceleration_cmps2 = at_least(a.deceleration_cmps2, b.deceleration_cmps2),
    };
}

/* A command's demand, with every number that its action uses clipped to the compiled limits. */
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
    bool uses_braking = command->action >= BP_CAP_SPEED;
    bool uses_ceiling = uses_braking && !is_stop(command->action);

    return command->valid_for_ms > BP_LIMITS.command_valid_max_ms ||
           (uses_ceiling && command->ceiling_cmps != demand->ceiling_cmps) ||
           (uses_braking && command->deceleration_cmps2 != demand->deceleration_cmps2);
}

/* Whether the host perceives: enough healthy heartbeats in a row, and a fresh frame. */
static bool is_vouched_for(const struct bp_safety *safety)
{
    return safety->healthy_heartbeats == BP_HEALTHY_HEARTBEATS_TO_RELEASE &&
           safety->timer[BP_TIMER_PERCEPTION].live;
}

static void latch_stop(struct bp_safety *safety, struct bp_demand demand)
{
    if (is_stop(demand.action)) {
        safety->latch = both(safety->latch, demand);
    }
}

static void begin_slow(struct bp_safety *safety, uint32_t now_ms, uint32_t since_ms)
{
    if (!safety->slow || now_ms - since_ms > now_ms - safety->slow_since_ms) {
        safety->slow = true;
        safety->slow_since_ms = since_ms;
    }
}

static void end_slow_if_all_is_well(struct bp_safety *safety)
{
    if (safety->timer[BP_TIMER_COMMAND].live && is_vouched_for(safety)) {
        safety->slow = false;
    }
}

bool bp_safety_standstill(const struct bp_vehicle *vehicle)
{
    return vehicle->speed_valid && vehicle->speed_cmps <= BP_LIMITS.standstill_cmps;
}

void bp_safety_boot(struct bp_safety *safety)
{
    memset(safety, 0, sizeof(*safety)); /* nothing is live, and nothing commanded permits to move */
    safety->latch = default_stop(BP_COMFORT_STOP);
}

void bp_safety_new_session(struct bp_safety *safety)
{
    safety->healthy_heartbeats = 0;
    safety->loop_sequence_known = false;
}

void bp_safety_run(struct bp_safety *safety, uint32_t now_ms)
{
    for (int name = 0; name < BP_TIMER_COUNT; name++) {
        struct bp_timer *timer = &safety->timer[name];
        if (timer->live && now_ms - timer->since_ms >= timer->lifetime_ms) {
            timer->live = false;
            begin_slow(safety, now_ms, timer->since_ms + timer->lifetime_ms);
        }
    }
    for (uint8_t i = 0; i < safety->healthy_heartbeats; i++) {
        if (now_ms - safety->healthy_ms[i] >= BP_LIMITS.heartbeat_timeout_ms) {
            safety->healthy_heartbeats = i;
        }
    }
    if (safety->slow && now_ms - safety->slow_since_ms >= BP_LIMITS.escalation_ms) {
        latch_stop(safety, default_stop(BP_COMFORT_STOP));
    }
}

enum bp_result bp_safety_command(struct bp_safety *safety, uint32_t now_ms,
                                 const struct bp_vehicle *vehicle,
                                 const struct bp_command *command)
{
    struct bp_demand demand = clipped_demand(command);
    enum bp_result result = was_clipped(command, &demand) ? BP_CLIPPED : BP_ACCEPTED;
    uint16_t lifetime_ms = at_most(command->valid_for_ms, BP_LIMITS.command_valid_max_ms);

    if (command->age_ms >= lifetime_ms) {
        latch_stop(safety, demand); /* Late, but a stop: the only thing that age does not weaken. */
        return BP_REFUSED_STALE;
    }
    if (command->release && command->action < safety->latch.action) {
        if (!bp_safety_standstill(vehicle)) {
            result = BP_RELEASE_REFUSED_MOVING;
        } else if (!is_vouched_for(safety)) {
            result = BP_RELEASE_REFUSED_UNHEALTHY;
        } else {
            safety->latch = no_demand();
        }
    }
    latch_stop(safety, demand);
    safety->commanded = demand;
    safety->timer[BP_TIMER_COMMAND] =
        (struct bp_timer){now_ms - command->age_ms, lifetime_ms, true};
    end_slow_if_all_is_well(safety);
    return result;
}

bool bp_safety_heartbeat(struct bp_safety *safety, uint32_t now_ms,
                         const struct bp_heartbeat *heartbeat)
{
    if (heartbeat->age_ms >= BP_LIMITS.heartbeat_timeout_ms) {
        return false;
    }
    if (safety->loop_sequence_known && heartbeat->loop_sequence == safety->loop_sequence) {
        return true; /* The host sends, but its decision loop stands still. */
    }
    uint32_t made_ms = now_ms - heartbeat->age_ms;
    uint32_t frame_age_ms = heartbeat->age_ms + heartbeat->camera_age_ms;

    safety->loop_sequence_known = true;
    safety->loop_sequence = heartbeat->loop_sequence;
    safety->timer[BP_TIMER_HEARTBEAT] =
        (struct bp_timer){made_ms, BP_LIMITS.heartbeat_timeout_ms, true};
    safety->heartbeat_healthy =
        heartbeat->perceives && frame_age_ms < BP_LIMITS.frame_age_max_ms;
    if (!safety->heartbeat_healthy) {
        safety->healthy_heartbeats = 0;
        return true;
    }
    for (unsigned i = BP_HEALTHY_HEARTBEATS_TO_RELEASE - 1u; i > 0u; i--) {
        safety->healthy_ms[i] = safety->healthy_ms[i - 1u];
    }
    safety->healthy_ms[0] = made_ms;
    if (safety->healthy_heartbeats < BP_HEALTHY_HEARTBEATS_TO_RELEASE) {
        safety->healthy_heartbeats++;
    }
    if (safety->healthy_heartbeats == BP_HEALTHY_HEARTBEATS_TO_RELEASE) {
        safety->timer[BP_TIMER_PERCEPTION] =
            (struct bp_timer){now_ms - frame_age_ms, BP_LIMITS.frame_age_max_ms, true};
    }
    end_slow_if_all_is_well(safety);
    return true;
}

struct bp_demand bp_safety_settle(struct bp_safety *safety, const struct bp_vehicle *vehicle)
{
    if (!vehicle->speed_valid) {
        latch_stop(safety, default_stop(BP_COMFORT_STOP));
    }

    struct bp_demand demand = both(safety->commanded, safety->latch);
    if (safety->slow) {
        demand = both(demand, (struct bp_demand){
                                  BP_SLOW_DOWN, BP_LIMITS.slow_down_ceiling_cmps,
                                  BP_LIMITS.action[BP_SLOW_DOWN].deceleration_default_cmps2});
    }
    if (is_stop(safety->latch.action)) {
        safety->latch = demand; /* A stop that has begun never lets up. */
    }
    return demand;
}
