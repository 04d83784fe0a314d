/* A first-order vehicle model for tests without a vehicle: follows speed ceiling and braking.
 *
 * Integers only (micrometres a second fit 32 bits up to 2000 m/s). It holds its speed when nobody
 * asks for another; a stop cancels the driver's request, so that it never moves off by itself.
 */
#ifndef BP_VEHICLE_H
#define BP_VEHICLE_H

#include <stdbool.h>
#include <stdint.h>

#include "mcu.h"

struct bp_vehicle_model {
    int32_t speed_umps;
    int32_t acceleration_umps2;
    int32_t cruise_umps;
    bool cruising; /* the driver asks for cruise_umps */
};

void bp_vehicle_set_speed(struct bp_vehicle_model *vehicle, uint16_t speed_cmps);
void bp_vehicle_cruise(struct bp_vehicle_model *vehicle, uint16_t speed_cmps);
void bp_vehicle_step(struct bp_vehicle_model *vehicle, const struct bp_outputs *outputs,
                     uint32_t step_ms);
uint16_t bp_vehicle_speed_cmps(const struct bp_vehicle_model *vehicle);

#endif
