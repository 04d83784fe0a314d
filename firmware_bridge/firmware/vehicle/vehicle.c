#include "vehicle.h"

#define UM_PER_CM 10000
#define STEP_MAX_MS 100u
#define TIME_CONSTANT_MS 500        /* of closing in on a ceiling or cruise speed */
#define GENTLE_UMPS2 800000         /* 0.8 m/s2: the driver's own acceleration and braking */
#define EASING_UMPS3 3000000        /* 3 m/s3: letting go is quicker than biting */

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Acceleration that closes `gap` within the time constant, at most `limit`; both positive. */
static int32_t closing(int32_t gap_umps, int32_t limit_umps2)
{
    int64_t wanted = (int64_t)gap_umps * 1000 / TIME_CONSTANT_MS;

    return wanted < limit_umps2 ? (int32_t)wanted : limit_umps2;
}

static int32_t wanted_acceleration(const struct bp_vehicle_model *vehicle,
                                   const struct bp_demand *demand)
{
    int32_t ceiling = (int32_t)demand->ceiling_cmps * UM_PER_CM;
    int32_t braking = (int32_t)demand->deceleration_cmps2 * UM_PER_CM;
    int32_t target = smaller(vehicle->cruise_umps, ceiling);

    if (vehicle->speed_umps > ceiling) {
        /* Towards zero full braking is kept: an asymptote never comes to a standstill. */
        return ceiling == 0 ? -braking : -closing(vehicle->speed_umps - ceiling, braking);
    }
    if (!vehicle->cruising) {
        return 0;
    }
    return target >= vehicle->speed_umps ? closing(target - vehicle->speed_umps, GENTLE_UMPS2)
                                         : -closing(vehicle->speed_umps - target, GENTLE_UMPS2);
}

void bp_vehicle_set_speed(struct bp_vehicle_model *vehicle, uint16_t speed_cmps)
{
    vehicle->speed_umps = (int32_t)speed_cmps * UM_PER_CM;
    vehicle->acceleration_umps2 = 0;
    vehicle->cruising = false;
}

void bp_vehicle_cruise(struct bp_vehicle_model *vehicle, uint16_t speed_cmps)
{
    vehicle->cruise_umps = (int32_t)speed_cmps * UM_PER_CM;
    vehicle->cruising = true;
}

void bp_vehicle_step(struct bp_vehicle_model *vehicle, const struct bp_outputs *outputs,
                     uint32_t step_ms)
{
    int32_t step = (int32_t)(step_ms < STEP_MAX_MS ? step_ms : STEP_MAX_MS);
    /* The action's jerk limits how brakes bite; the throttle is let go of at once. */
    int32_t biting = vehicle->acceleration_umps2 > 0 ? EASING_UMPS3
                                                     : (int32_t)outputs->jerk_cmps3 * UM_PER_CM;

    if (outputs->demand.action >= BP_COMFORT_STOP) {
        vehicle->cruising = false;
    }
    int32_t change =
        wanted_acceleration(vehicle, &outputs->demand) - vehicle->acceleration_umps2;
    int32_t most = (change < 0 ? biting : EASING_UMPS3) / 1000 * step;
    if (change < -most) {
        change = -most;
    } else if (change > most) {
        change = most;
    }
    vehicle->acceleration_umps2 += change;
    vehicle->speed_umps += vehicle->acceleration_umps2 / 1000 * step;
    if (vehicle->speed_umps <= 0) {
        vehicle->speed_umps = 0;
        vehicle->acceleration_umps2 = 0;
    }
}

uint16_t bp_vehicle_speed_cmps(const struct bp_vehicle_model *vehicle)
{
    return (uint16_t)(vehicle->speed_umps / UM_PER_CM);
}
