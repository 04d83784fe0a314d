/* Single steps of the rules on many states, for programs that explore all of them: a process that
 * reads rows of numbers and answers rows of numbers. Only core/safety.c is behind it; no bytes of the
 * link, no clock.
 *
 * A request on standard input is, in int32 of this machine: step, count, then `count` rows of a state
 * (enum bp_table_column), six numbers (enum bp_table_step) and the vehicle's speed and whether it is
 * valid. The answer on standard output is `count` rows of a state, what is applied (action, ceiling,
 * braking), and the command's result or -1.
 *
 * The timers of a state are as young as they can be: what is live was renewed at this instant, a
 * SLOW_DOWN by a timer began at it or is due to become a stop. BP_TABLE_EXPIRE makes any of them as
 * old as they can be.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "safety.h"

#define NOW_MS 1000000u

enum bp_table_column {
    COMMANDED,
    COMMANDED_CEILING,
    COMMANDED_BRAKING,
    LATCH,
    LATCH_CEILING,
    LATCH_BRAKING,
    COMMAND_LIVE,
    HEARTBEAT_LIVE,
    PERCEPTION_LIVE,
    SLOW, /* 0: no, 1: begun now, 2: due to become a stop */
    HEALTHY_HEARTBEATS,
    HEARTBEAT_HEALTHY,
    SEQUENCE_KNOWN,
    STATE_COLUMNS,
};

#define GIVEN_COLUMNS 6
#define ROW_COLUMNS (STATE_COLUMNS + GIVEN_COLUMNS + 2)
#define ANSWER_COLUMNS (STATE_COLUMNS + 4)

enum bp_table_step {
    BP_TABLE_UPDATE,    /* nothing arrives */
    BP_TABLE_EXPIRE,    /* mask of timers (8: the escalation), healthy heartbeats kept, lateness, ms */
    BP_TABLE_COMMAND,   /* action, release, ceiling, braking, valid for, age */
    BP_TABLE_HEARTBEAT, /* perceives, camera age, age, 1 where the loop sequence has moved */
    BP_TABLE_SESSION,   /* a Hello with another boot id */
    BP_TABLE_BOOT,
    BP_TABLE_LAST,      /* milliseconds, 1 where commands arrive, enum bp_table_heartbeats */
};

enum bp_table_heartbeats {
    BP_TABLE_NO_HEARTBEATS,
    BP_TABLE_BLIND,    /* the loop turns and does not perceive */
    BP_TABLE_STANDING, /* the loop stands still */
    BP_TABLE_HEALTHY,
};

static const uint16_t LIFETIME_MS[BP_TIMER_COUNT] = {
    [BP_TIMER_COMMAND] = 300u, [BP_TIMER_HEARTBEAT] = 300u, [BP_TIMER_PERCEPTION] = 1000u};

static struct bp_demand demand_of(const int32_t row[3])
{
    return (struct bp_demand){(uint8_t)row[0], (uint16_t)row[1], (uint16_t)row[2]};
}

static void put_demand(int32_t row[3], struct bp_demand demand)
{
    row[0] = demand.action;
    row[1] = demand.ceiling_cmps;
    row[2] = demand.deceleration_cmps2;
}

static struct bp_safety state_of(const int32_t *row)
{
    struct bp_safety safety;

    bp_safety_boot(&safety);
    safety.commanded = demand_of(&row[COMMANDED]);
    safety.latch = demand_of(&row[LATCH]);
    for (int name = 0; name < BP_TIMER_COUNT; name++) {
        if (row[COMMAND_LIVE + name] != 0) {
            safety.timer[name] = (struct bp_timer){NOW_MS, LIFETIME_MS[name], true};
        }
    }
    for (int i = 0; i < (int)BP_HEALTHY_HEARTBEATS_TO_RELEASE; i++) {
        safety.healthy_ms[i] = NOW_MS;
    }
    safety.slow = row[SLOW] != 0;
    safety.slow_since_ms = NOW_MS - (row[SLOW] == 2 ? BP_LIMITS.escalation_ms : 0u);
    safety.healthy_heartbeats = (uint8_t)row[HEALTHY_HEARTBEATS];
    safety.heartbeat_healthy = row[HEARTBEAT_HEALTHY] != 0;
    safety.loop_sequence_known = row[SEQUENCE_KNOWN] != 0;
    return safety;
}

static void put_state(int32_t *row, const struct bp_safety *safety, uint32_t now_ms)
{
    bool due = now_ms - safety->slow_since_ms >= BP_LIMITS.escalation_ms;

    put_demand(&row[COMMANDED], safety->commanded);
    put_demand(&row[LATCH], safety->latch);
    for (int name = 0; name < BP_TIMER_COUNT; name++) {
        row[COMMAND_LIVE + name] = safety->timer[name].live;
    }
    row[SLOW] = !safety->slow ? 0 : due ? 2 : 1;
    row[HEALTHY_HEARTBEATS] = safety->healthy_heartbeats;
    row[HEARTBEAT_HEALTHY] = safety->heartbeat_healthy;
    row[SEQUENCE_KNOWN] = safety->loop_sequence_known;
}

static void expire(struct bp_safety *safety, const int32_t *given)
{
    for (int name = 0; name < BP_TIMER_COUNT; name++) {
        if ((given[0] >> name & 1) != 0) {
            safety->timer[name].since_ms =
                NOW_MS - safety->timer[name].lifetime_ms - (uint32_t)given[2];
        }
    }
    if ((given[0] & 8) != 0) {
        safety->slow_since_ms = NOW_MS - BP_LIMITS.escalation_ms;
    }
    for (int i = given[1]; i < (int)BP_HEALTHY_HEARTBEATS_TO_RELEASE; i++) {
        safety->healthy_ms[i] = NOW_MS - BP_LIMITS.heartbeat_timeout_ms;
    }
}

static int take_command(struct bp_safety *safety, uint32_t now_ms, const struct bp_vehicle *vehicle,
                        const int32_t *given)
{
    struct bp_command command = {
        .action = (uint8_t)given[0],
        .release = given[1] != 0,
        .ceiling_cmps = (uint16_t)given[2],
        .deceleration_cmps2 = (uint16_t)given[3],
        .valid_for_ms = (uint16_t)given[4],
        .age_ms = (uint32_t)given[5],
    };

    return (int)bp_safety_command(safety, now_ms, vehicle, &command);
}

static void take_heartbeat(struct bp_safety *safety, uint32_t now_ms, const int32_t *given)
{
    struct bp_heartbeat heartbeat = {
        .loop_sequence = (uint16_t)(safety->loop_sequence + (given[3] != 0 ? 1u : 0u)),
        .camera_age_ms = (uint16_t)given[1],
        .perceives = given[0] != 0,
        .age_ms = (uint32_t)given[2],
    };

    (void)bp_safety_heartbeat(safety, now_ms, &heartbeat);
}

/* Lets time pass in updates of 10 ms; returns the time. */
static uint32_t last(struct bp_safety *safety, const struct bp_vehicle *vehicle,
                     const int32_t *given)
{
    static const int32_t nothing_asked[6] = {BP_NONE, 1, 6000, 0, 300, 0};
    const int32_t beat[6] = {given[2] != BP_TABLE_BLIND, 0, 0, given[2] != BP_TABLE_STANDING};
    uint32_t now_ms = NOW_MS;

    while (now_ms - NOW_MS < (uint32_t)given[0]) {
        now_ms += 10u;
        bp_safety_run(safety, now_ms);
        (void)bp_safety_settle(safety, vehicle);
        if (given[2] != BP_TABLE_NO_HEARTBEATS) {
            take_heartbeat(safety, now_ms, beat);
        }
        if (given[1] != 0) {
            (void)take_command(safety, now_ms, vehicle, nothing_asked);
        }
    }
    return now_ms;
}

static void take_step(enum bp_table_step step, const int32_t *row, int32_t *answer)
{
    const int32_t *given = &row[STATE_COLUMNS];
    struct bp_safety safety = state_of(row);
    struct bp_vehicle vehicle = {
        .speed_cmps = (uint16_t)given[GIVEN_COLUMNS],
        .speed_valid = given[GIVEN_COLUMNS + 1] != 0,
    };
    uint32_t now_ms = NOW_MS;
    int result = -1;

    if (step == BP_TABLE_EXPIRE) {
        expire(&safety, given);
    }
    /* As bp_mcu_update does: the demands up to now are applied before anything is taken in. */
    bp_safety_run(&safety, now_ms);
    (void)bp_safety_settle(&safety, &vehicle);
    if (step == BP_TABLE_COMMAND) {
        result = take_command(&safety, now_ms, &vehicle, given);
    } else if (step == BP_TABLE_HEARTBEAT) {
        take_heartbeat(&safety, now_ms, given);
    } else if (step == BP_TABLE_SESSION) {
        bp_safety_new_session(&safety);
    } else if (step == BP_TABLE_BOOT) {
        bp_safety_boot(&safety);
    } else if (step == BP_TABLE_LAST) {
        now_ms = last(&safety, &vehicle, given);
    }
    struct bp_demand applied = bp_safety_settle(&safety, &vehicle);
    put_state(answer, &safety, now_ms);
    put_demand(&answer[STATE_COLUMNS], applied);
    answer[STATE_COLUMNS + 3] = result;
}

int main(void)
{
    int32_t head[2];
    int32_t row[ROW_COLUMNS];
    int32_t answer[ANSWER_COLUMNS];

    while (fread(head, sizeof(int32_t), 2u, stdin) == 2u) {
        for (int32_t i = 0; i < head[1]; i++) {
            if (fread(row, sizeof(int32_t), ROW_COLUMNS, stdin) != ROW_COLUMNS) {
                return 2;
            }
            take_step((enum bp_table_step)head[0], row, answer);
            (void)fwrite(answer, sizeof(int32_t), ANSWER_COLUMNS, stdout);
        }
        (void)fflush(stdout);
    }
    return 0;
}
