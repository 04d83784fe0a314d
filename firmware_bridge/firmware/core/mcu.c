#include "mcu.h"

#include <string.h>

#include "brakepoint.h"

#define TICK_MASK 0xffffffu
#define AS_OF_MASK 0x3fffffu

struct bp_transmit {
    uint8_t *bytes;
    size_t capacity;
    size_t used;
};

/* Frames ahead of the last one by less than half the counter's range are new; the rest are
 * repeats (0) or replays. */
static bool is_ahead(uint16_t counter, uint16_t last)
{
    uint16_t step = (uint16_t)(counter - last);

    return step != 0u && step < 0x8000u;
}

static void send(struct bp_mcu *mcu, struct bp_transmit *tx, uint8_t id, const uint8_t *payload,
                 uint8_t length)
{
    struct bp_frame frame = {.id = id, .length = length, .counter = ++mcu->own_counter};
    uint8_t wire[BP_WIRE_MAX];

    memcpy(frame.payload, payload, length);
    size_t size = bp_frame_write(&frame, wire);
    if (size <= tx->capacity - tx->used) {
        memcpy(&tx->bytes[tx->used], wire, size);
        tx->used += size;
    }
}

static void send_hello(struct bp_mcu *mcu, struct bp_transmit *tx, uint32_t now_ms)
{
    struct brakepoint_mcu_hello_t hello = {
        .version = BP_PROTOCOL_VERSION,
        .boot_id = mcu->boot_id,
        .contract_hash = BP_CONTRACT_HASH,
        .limits_hash = BP_LIMITS_HASH,
    };
    uint8_t payload[BRAKEPOINT_MCU_HELLO_LENGTH];

    (void)brakepoint_mcu_hello_pack(payload, &hello, sizeof(payload));
    send(mcu, tx, BRAKEPOINT_MCU_HELLO_FRAME_ID, payload, sizeof(payload));
    mcu->greeting_ms = now_ms;
}

static void send_ack(struct bp_mcu *mcu, struct bp_transmit *tx, uint32_t now_ms, uint16_t counter,
                     enum bp_result result)
{
    struct brakepoint_acknowledge_t ack = {
        .command_counter = counter,
        .result = (uint8_t)result,
        .effective_action = mcu->outputs.demand.action,
        .tick_ms = bp_mcu_tick_ms(mcu, now_ms) & TICK_MASK,
    };
    uint8_t payload[BRAKEPOINT_ACKNOWLEDGE_LENGTH];

    (void)brakepoint_acknowledge_pack(payload, &ack, sizeof(payload));
    send(mcu, tx, BRAKEPOINT_ACKNOWLEDGE_FRAME_ID, payload, sizeof(payload));
}

static void send_state(struct bp_mcu *mcu, struct bp_transmit *tx, uint32_t now_ms,
                       const struct bp_vehicle *vehicle)
{
    const struct bp_outputs *out = &mcu->outputs;
    struct brakepoint_vehicle_state_t state = {
        .speed_cmps = vehicle->speed_valid ? vehicle->speed_cmps : 0u,
        .speed_valid = vehicle->speed_valid,
        .standstill = out->standstill,
        .operator_request = vehicle->operator_request,
    };
    struct brakepoint_status_t status = {
        .effective_action = out->demand.action,
        .stop_latched = out->stop_latched,
        .applied_deceleration_cmps2 = out->demand.deceleration_cmps2,
        .applied_ceiling_cmps = out->demand.ceiling_cmps,
        .fault_no_greeting = (out->faults & BP_FAULT_NO_GREETING) != 0u,
        .fault_contract_mismatch = (out->faults & BP_FAULT_CONTRACT_MISMATCH) != 0u,
        .fault_limits_mismatch = (out->faults & BP_FAULT_LIMITS_MISMATCH) != 0u,
        .fault_command_timeout = (out->faults & BP_FAULT_COMMAND_TIMEOUT) != 0u,
        .fault_heartbeat_timeout = (out->faults & BP_FAULT_HEARTBEAT_TIMEOUT) != 0u,
        .fault_perception_timeout = (out->faults & BP_FAULT_PERCEPTION_TIMEOUT) != 0u,
        .fault_heartbeat_unhealthy = (out->faults & BP_FAULT_HEARTBEAT_UNHEALTHY) != 0u,
        .fault_message_stale = (out->faults & BP_FAULT_MESSAGE_STALE) != 0u,
        .fault_frame_refused = (out->faults & BP_FAULT_FRAME_REFUSED) != 0u,
        .fault_speed_sensor = (out->faults & BP_FAULT_SPEED_SENSOR) != 0u,
        .tick_ms = bp_mcu_tick_ms(mcu, now_ms) & TICK_MASK,
    };
    uint8_t state_payload[BRAKEPOINT_VEHICLE_STATE_LENGTH];
    uint8_t status_payload[BRAKEPOINT_STATUS_LENGTH];

    (void)brakepoint_vehicle_state_pack(state_payload, &state, sizeof(state_payload));
    send(mcu, tx, BRAKEPOINT_VEHICLE_STATE_FRAME_ID, state_payload, sizeof(state_payload));
    (void)brakepoint_status_pack(status_payload, &status, sizeof(status_payload));
    send(mcu, tx, BRAKEPOINT_STATUS_FRAME_ID, status_payload, sizeof(status_payload));
    mcu->status_ms = now_ms;
    mcu->reported = true;
}

static void show(struct bp_refusal *refusal, uint32_t now_ms)
{
    *refusal = (struct bp_refusal){now_ms, true};
}

static void end_showing(struct bp_refusal *refusal, uint32_t now_ms)
{
    if (now_ms - refusal->at_ms >= BP_LIMITS.refused_shown_ms) {
        refusal->shown = false;
    }
}

/* A lower bound of a message's age: the host's tick is never ahead of this one. A tick that lies in
 * the future, or belongs to an earlier boot, gives an age of many minutes. */
static uint32_t age_of(const struct bp_mcu *mcu, uint32_t now_ms, uint32_t as_of_tick_ms)
{
    return (bp_mcu_tick_ms(mcu, now_ms) - as_of_tick_ms) & AS_OF_MASK;
}

static bool session_is_open(const struct bp_mcu *mcu)
{
    return mcu->greeted && mcu->mismatch == 0u;
}

static uint16_t current_faults(const struct bp_mcu *mcu, const struct bp_vehicle *vehicle)
{
    const struct bp_safety *safety = &mcu->safety;
    unsigned faults = mcu->mismatch;

    faults |= mcu->greeted ? 0u : BP_FAULT_NO_GREETING;
    faults |= safety->timer[BP_TIMER_COMMAND].live ? 0u : BP_FAULT_COMMAND_TIMEOUT;
    faults |= safety->timer[BP_TIMER_HEARTBEAT].live ? 0u : BP_FAULT_HEARTBEAT_TIMEOUT;
    faults |= safety->timer[BP_TIMER_PERCEPTION].live ? 0u : BP_FAULT_PERCEPTION_TIMEOUT;
    faults |= safety->heartbeat_healthy ? 0u : BP_FAULT_HEARTBEAT_UNHEALTHY;
    faults |= mcu->message.shown ? BP_FAULT_MESSAGE_STALE : 0u;
    faults |= mcu->frame.shown ? BP_FAULT_FRAME_REFUSED : 0u;
    faults |= vehicle->speed_valid ? 0u : BP_FAULT_SPEED_SENSOR;
    return (uint16_t)faults;
}

static void settle(struct bp_mcu *mcu, const struct bp_vehicle *vehicle)
{
    struct bp_outputs *out = &mcu->outputs;

    out->demand = bp_safety_settle(&mcu->safety, vehicle);
    out->jerk_cmps3 = BP_LIMITS.action[out->demand.action].jerk_cmps3;
    out->stop_latched = mcu->safety.latch.action != BP_NONE;
    out->standstill = bp_safety_standstill(vehicle);
    out->faults = current_faults(mcu, vehicle);
}

static bool is_fresh(const struct bp_mcu *mcu, const struct bp_frame *frame)
{
    return !mcu->greeted || is_ahead(frame->counter, mcu->host_counter);
}

static bool take_hello(struct bp_mcu *mcu, const struct bp_frame *frame)
{
    struct brakepoint_host_hello_t hello;

    (void)brakepoint_host_hello_unpack(&hello, frame->payload, frame->length);
    bool same_session = mcu->greeted && hello.boot_id == mcu->host_boot_id;
    if (same_session && !is_fresh(mcu, frame)) {
        return false;
    }
    mcu->mismatch = 0;
    if (hello.version != BP_PROTOCOL_VERSION || hello.contract_hash != BP_CONTRACT_HASH) {
        mcu->mismatch = BP_FAULT_CONTRACT_MISMATCH;
    }
    if (hello.limits_hash != BP_LIMITS_HASH) {
        mcu->mismatch |= BP_FAULT_LIMITS_MISMATCH;
    }
    if (!same_session) {
        bp_safety_new_session(&mcu->safety);
    }
    mcu->greeted = true;
    mcu->host_boot_id = hello.boot_id;
    mcu->host_counter = frame->counter;
    return true;
}

static bool command_is_in_contract(const struct brakepoint_safety_command_t *raw)
{
    return brakepoint_safety_command_action_is_in_range(raw->action) &&
           brakepoint_safety_command_reason_is_in_range(raw->reason) &&
           brakepoint_safety_command_speed_ceiling_cmps_is_in_range(raw->speed_ceiling_cmps) &&
           brakepoint_safety_command_deceleration_limit_cmps2_is_in_range(
               raw->deceleration_limit_cmps2) &&
           brakepoint_safety_command_valid_for_ms_is_in_range(raw->valid_for_ms);
}

static enum bp_result judge_command(struct bp_mcu *mcu, uint32_t now_ms,
                                    const struct bp_vehicle *vehicle,
                                    const struct brakepoint_safety_command_t *raw)
{
    if (!mcu->greeted) {
        return BP_REFUSED_NO_GREETING;
    }
    if (!session_is_open(mcu)) {
        return BP_REFUSED_MISMATCH;
    }
    if (!command_is_in_contract(raw)) {
        return BP_REFUSED_INVALID;
    }
    struct bp_command command = {
        .action = raw->action,
        .release = raw->release != 0u,
        .ceiling_cmps = raw->speed_ceiling_cmps,
        .deceleration_cmps2 = raw->deceleration_limit_cmps2,
        .valid_for_ms = raw->valid_for_ms,
        .age_ms = age_of(mcu, now_ms, raw->as_of_tick_ms),
    };
    enum bp_result result = bp_safety_command(&mcu->safety, now_ms, vehicle, &command);
    if (result == BP_REFUSED_STALE) {
        show(&mcu->message, now_ms);
    }
    return result;
}

static void take_command(struct bp_mcu *mcu, uint32_t now_ms, const struct bp_vehicle *vehicle,
                         const struct bp_frame *frame, struct bp_transmit *tx)
{
    struct brakepoint_safety_command_t raw;

    (void)brakepoint_safety_command_unpack(&raw, frame->payload, frame->length);
    mcu->host_counter = frame->counter;
    enum bp_result result = judge_command(mcu, now_ms, vehicle, &raw);
    settle(mcu, vehicle);
    send_ack(mcu, tx, now_ms, frame->counter, result);
}

static bool take_heartbeat(struct bp_mcu *mcu, uint32_t now_ms, const struct bp_frame *frame)
{
    struct brakepoint_heartbeat_t raw;

    (void)brakepoint_heartbeat_unpack(&raw, frame->payload, frame->length);
    if (!brakepoint_heartbeat_canary_is_in_range(raw.canary) ||
        !brakepoint_heartbeat_mode_is_in_range(raw.mode)) {
        return false;
    }
    mcu->host_counter = frame->counter;
    if (session_is_open(mcu)) {
        struct bp_heartbeat heartbeat = {
            .loop_sequence = raw.loop_sequence,
            .camera_age_ms = raw.camera_age_ms,
            .perceives = raw.perception == BRAKEPOINT_HEARTBEAT_PERCEPTION_KNOWN_CHOICE &&
                         raw.canary != BRAKEPOINT_HEARTBEAT_CANARY_FAILED_CHOICE,
            .age_ms = age_of(mcu, now_ms, raw.as_of_tick_ms),
        };
        if (!bp_safety_heartbeat(&mcu->safety, now_ms, &heartbeat)) {
            show(&mcu->message, now_ms);
        }
    }
    return true;
}

/* Returns false for a frame that must be ignored: foreign, repeated, replayed, wrong size. */
static bool take_frame(struct bp_mcu *mcu, uint32_t now_ms, const struct bp_vehicle *vehicle,
                       const struct bp_frame *frame, struct bp_transmit *tx)
{
    if (frame->id == BRAKEPOINT_HOST_HELLO_FRAME_ID &&
        frame->length == BRAKEPOINT_HOST_HELLO_LENGTH && take_hello(mcu, frame)) {
        send_hello(mcu, tx, now_ms);
        return true;
    }
    if (!is_fresh(mcu, frame)) {
        return false;
    }
    if (frame->id == BRAKEPOINT_SAFETY_COMMAND_FRAME_ID &&
        frame->length == BRAKEPOINT_SAFETY_COMMAND_LENGTH) {
        take_command(mcu, now_ms, vehicle, frame, tx);
        return true;
    }
    return frame->id == BRAKEPOINT_HEARTBEAT_FRAME_ID &&
           frame->length == BRAKEPOINT_HEARTBEAT_LENGTH && take_heartbeat(mcu, now_ms, frame);
}

uint32_t bp_mcu_tick_ms(const struct bp_mcu *mcu, uint32_t now_ms)
{
    return now_ms - mcu->boot_ms;
}

void bp_mcu_boot(struct bp_mcu *mcu, uint32_t now_ms, uint8_t boot_id)
{
    memset(mcu, 0, sizeof(*mcu));
    bp_safety_boot(&mcu->safety);
    mcu->boot_ms = now_ms;
    mcu->boot_id = boot_id;
    /* Safe before the first update, too: until then the vehicle is assumed to move. */
    settle(mcu, &(struct bp_vehicle){.speed_cmps = UINT16_MAX, .speed_valid = true});
}

size_t bp_mcu_update(struct bp_mcu *mcu, uint32_t now_ms, const struct bp_vehicle *vehicle,
                     const uint8_t *rx, size_t rx_size, uint8_t *tx_bytes, size_t tx_capacity)
{
    struct bp_transmit tx = {.bytes = tx_bytes, .capacity = tx_capacity, .used = 0};
    uint8_t action_before = mcu->outputs.demand.action;
    struct bp_frame frame;

    /* The demands up to now are applied first: a stop that is due by now keeps the braking with
     * which it began, also where a command in this same update asks for less. */
    bp_safety_run(&mcu->safety, now_ms);
    settle(mcu, vehicle);
    end_showing(&mcu->frame, now_ms);
    end_showing(&mcu->message, now_ms);
    for (size_t i = 0; i < rx_size; i++) {
        enum bp_deframed deframed = bp_deframer_push(&mcu->deframer, rx[i], &frame);
        if (deframed == BP_FRAME_DAMAGED ||
            (deframed == BP_FRAME_WHOLE && !take_frame(mcu, now_ms, vehicle, &frame, &tx))) {
            show(&mcu->frame, now_ms);
        }
    }
    settle(mcu, vehicle);

    bool greeting_due =
        !mcu->reported || now_ms - mcu->greeting_ms >= BP_LIMITS.greeting_period_ms;
    if (!mcu->greeted && greeting_due) {
        send_hello(mcu, &tx, now_ms);
    }
    if (!mcu->reported || mcu->outputs.demand.action != action_before ||
        now_ms - mcu->status_ms >= BP_LIMITS.status_period_ms) {
        send_state(mcu, &tx, now_ms, vehicle);
    }
    return tx.used;
}
