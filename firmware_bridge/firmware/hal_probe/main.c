/* Drives the core and the vehicle model line by line over stdin, for tests; time is an argument.
 *
 *   boot NOW_MS BOOT_ID
 *   outputs
 *     -> ACTION LATCHED CEILING_CMPS DECELERATION_CMPS2 JERK_CMPS3 STANDSTILL FAULTS -
 *   update NOW_MS SPEED_CMPS SPEED_VALID OPERATOR TX_CAPACITY RX_HEX|-
 *     -> ACTION LATCHED CEILING_CMPS DECELERATION_CMPS2 JERK_CMPS3 STANDSTILL FAULTS TX_HEX|-
 *   deframe RX_HEX
 *     -> ID:COUNTER:PAYLOAD_HEX of each whole frame, "damaged" for each other one
 *   vehicle SPEED_CMPS CRUISE_CMPS|-1 ACTION CEILING_CMPS DECELERATION_CMPS2 JERK_CMPS3 STEP_MS STEPS
 *     -> one line of speeds in cm/s, after each step
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mcu.h"
#include "vehicle.h"

#define BYTES_MAX 65536u

static struct bp_mcu mcu;

static size_t from_hex(const char *text, uint8_t *bytes)
{
    size_t size = 0;
    unsigned value;

    while (size < BYTES_MAX && sscanf(&text[2u * size], "%2x", &value) == 1) {
        bytes[size++] = (uint8_t)value;
    }
    return size;
}

static void print_outputs(void)
{
    const struct bp_outputs *out = &mcu.outputs;

    printf("%u %d %u %u %u %d %u ", out->demand.action, out->stop_latched,
           out->demand.ceiling_cmps, out->demand.deceleration_cmps2, out->jerk_cmps3,
           out->standstill, out->faults);
}

static int deframe(const char *line)
{
    static char hex[2u * BYTES_MAX + 1u];
    static uint8_t bytes[BYTES_MAX];
    struct bp_deframer deframer = {0};
    struct bp_frame frame;

    if (sscanf(line, "deframe %131072s", hex) != 1) {
        return 1;
    }
    size_t size = from_hex(hex, bytes);
    for (size_t i = 0; i < size; i++) {
        enum bp_deframed deframed = bp_deframer_push(&deframer, bytes[i], &frame);
        if (deframed == BP_FRAME_DAMAGED) {
            printf("damaged ");
        } else if (deframed == BP_FRAME_WHOLE) {
            printf("%u:%u:", frame.id, frame.counter);
            for (unsigned at = 0; at < frame.length; at++) {
                printf("%02x", frame.payload[at]);
            }
            printf(" ");
        }
    }
    puts("");
    return 0;
}

static int update(const char *line)
{
    static char hex[2u * BYTES_MAX + 1u];
    uint32_t now_ms;
    unsigned speed, valid, operator_request;
    size_t capacity;

    if (sscanf(line, "update %" SCNu32 " %u %u %u %zu %131072s", &now_ms, &speed, &valid,
               &operator_request, &capacity, hex) != 6) {
        return 1;
    }
    /* On the heap, exactly as large as said: the sanitizer sees the first byte too many. */
    uint8_t *rx = malloc(strlen(hex) / 2u + 1u);
    uint8_t *tx = malloc(capacity + 1u);
    if (rx == NULL || tx == NULL) {
        return 1;
    }
    size_t rx_size = from_hex(hex, rx);
    struct bp_vehicle vehicle = {
        .speed_cmps = (uint16_t)speed,
        .speed_valid = valid != 0u,
        .operator_request = operator_request != 0u,
    };
    size_t tx_size = bp_mcu_update(&mcu, now_ms, &vehicle, rx, rx_size, tx, capacity);

    print_outputs();
    for (size_t i = 0; i < tx_size; i++) {
        printf("%02x", tx[i]);
    }
    puts(tx_size == 0u ? "-" : "");
    free(rx);
    free(tx);
    return 0;
}

static int drive(const char *line)
{
    struct bp_vehicle_model vehicle = {0};
    struct bp_outputs out = {0};
    unsigned speed, action, ceiling, deceleration, jerk, step_ms, steps;
    int cruise;

    if (sscanf(line, "vehicle %u %d %u %u %u %u %u %u", &speed, &cruise, &action, &ceiling,
               &deceleration, &jerk, &step_ms, &steps) != 8) {
        return 1;
    }
    bp_vehicle_set_speed(&vehicle, (uint16_t)speed);
    if (cruise >= 0) {
        bp_vehicle_cruise(&vehicle, (uint16_t)cruise);
    }
    out.demand = (struct bp_demand){(uint8_t)action, (uint16_t)ceiling, (uint16_t)deceleration};
    out.jerk_cmps3 = (uint16_t)jerk;
    for (unsigned i = 0; i < steps; i++) {
        bp_vehicle_step(&vehicle, &out, step_ms);
        printf("%u ", bp_vehicle_speed_cmps(&vehicle));
    }
    puts("");
    return 0;
}

int main(void)
{
    static char line[2u * BYTES_MAX + 128u];
    uint32_t now_ms;
    unsigned boot_id;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "boot %" SCNu32 " %u", &now_ms, &boot_id) == 2) {
            bp_mcu_boot(&mcu, now_ms, (uint8_t)boot_id);
            puts("ok");
        } else if (strcmp(line, "outputs\n") == 0) {
            print_outputs();
            puts("-");
        } else if (update(line) != 0 && deframe(line) != 0 && drive(line) != 0) {
            fprintf(stderr, "not understood: %s", line);
            return 2;
        }
        fflush(stdout);
    }
    return 0;
}
