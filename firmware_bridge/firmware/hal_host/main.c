/* The microcontroller as a process: a pty for the UART, the vehicle model for the vehicle.
 *
 * stdout: first the path of the pty's slave, then one line whenever the applied outputs change.
 * stdin, one instruction a line: `speed MPS` (sets it), `cruise MPS` (the driver asks), `operator
 * 0|1` (the button), `sensor 0|1` (speed sensor fails), `freeze`, `thaw`, `reboot`, `report`.
 * Ends when stdin does, so that it never outlives its parent.
 */
#define _DEFAULT_SOURCE
#define _XOPEN_SOURCE 600

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "mcu.h"
#include "vehicle.h"

#define PERIOD_MS 5
#define LINE_MAX_SIZE 64u

struct process {
    struct bp_mcu mcu;
    struct bp_vehicle_model model;
    struct bp_outputs shown;
    uint32_t stepped_ms;
    int uart;
    uint8_t boot_id;
    bool operator_request;
    bool sensor_failed;
    bool frozen;
    char line[LINE_MAX_SIZE];
    size_t line_used;
};

static uint32_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}

static int open_uart(char *path, size_t path_size)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    struct termios settings;

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 || ptsname(master) == NULL ||
        strlen(ptsname(master)) >= path_size) {
        return -1;
    }
    strcpy(path, ptsname(master));
    /* The slave stays open here: with no open slave every poll of the master reports a hang-up. */
    int slave = open(path, O_RDWR | O_NOCTTY);
    if (slave < 0 || tcgetattr(slave, &settings) != 0) {
        return -1;
    }
    cfmakeraw(&settings);
    if (tcsetattr(slave, TCSANOW, &settings) != 0 ||
        fcntl(master, F_SETFL, O_NONBLOCK) != 0) {
        return -1;
    }
    return master;
}

/* Drops the line when the reader is slow: a blocked write would stop the vehicle's brakes. */
static void say(const char *text, size_t size)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0) {
        (void)!write(STDOUT_FILENO, text, size);
    }
}

static void report(const struct process *p, uint32_t now)
{
    const struct bp_outputs *out = &p->mcu.outputs;
    char text[256];
    int size = snprintf(text, sizeof(text),
                        "tick_ms=%" PRIu32 " action=%u latched=%d ceiling_cmps=%u"
                        " deceleration_cmps2=%u speed_cmps=%u standstill=%d faults=%u\n",
                        bp_mcu_tick_ms(&p->mcu, now), out->demand.action, out->stop_latched,
                        out->demand.ceiling_cmps, out->demand.deceleration_cmps2,
                        bp_vehicle_speed_cmps(&p->model), out->standstill, out->faults);

    say(text, (size_t)size);
}

static void report_changes(struct process *p, uint32_t now)
{
    const struct bp_outputs *a = &p->mcu.outputs;
    const struct bp_outputs *b = &p->shown;

    if (a->demand.action != b->demand.action || a->stop_latched != b->stop_latched ||
        a->demand.ceiling_cmps != b->demand.ceiling_cmps ||
        a->demand.deceleration_cmps2 != b->demand.deceleration_cmps2 ||
        a->standstill != b->standstill || a->faults != b->faults) {
        report(p, now);
        p->shown = p->mcu.outputs;
    }
}

static uint16_t centi(double value)
{
    return value <= 0.0 ? 0u : value >= 100.0 ? 10000u : (uint16_t)(value * 100.0 + 0.5);
}

static void obey(struct process *p, const char *line)
{
    double number = 0.0;
    int on = 0;

    if (sscanf(line, "speed %lf", &number) == 1) {
        bp_vehicle_set_speed(&p->model, centi(number));
    } else if (sscanf(line, "cruise %lf", &number) == 1) {
        bp_vehicle_cruise(&p->model, centi(number));
    } else if (sscanf(line, "operator %d", &on) == 1) {
        p->operator_request = on != 0;
    } else if (sscanf(line, "sensor %d", &on) == 1) {
        p->sensor_failed = on == 0;
    } else if (strcmp(line, "freeze") == 0) {
        p->frozen = true;
    } else if (strcmp(line, "thaw") == 0) {
        p->frozen = false;
    } else if (strcmp(line, "reboot") == 0) {
        bp_mcu_boot(&p->mcu, now_ms(), ++p->boot_id);
    } else if (strcmp(line, "report") == 0) {
        report(p, now_ms());
    } else {
        fprintf(stderr, "not understood: %s\n", line);
    }
}

/* Returns false at the end of stdin. */
static bool read_instructions(struct process *p)
{
    char bytes[256];
    ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));

    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
        return false;
    }
    for (ssize_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            p->line[p->line_used] = '\0';
            obey(p, p->line);
            p->line_used = 0;
        } else if (p->line_used < LINE_MAX_SIZE - 1u) {
            p->line[p->line_used++] = bytes[i];
        }
    }
    return true;
}

static void turn(struct process *p)
{
    uint8_t rx[256];
    uint8_t tx[1024];
    uint32_t now = now_ms();
    ssize_t rx_size = read(p->uart, rx, sizeof(rx));
    struct bp_vehicle vehicle = {
        .speed_cmps = bp_vehicle_speed_cmps(&p->model),
        .speed_valid = !p->sensor_failed,
        .operator_request = p->operator_request,
    };
    size_t tx_size = bp_mcu_update(&p->mcu, now, &vehicle, rx, rx_size > 0 ? (size_t)rx_size : 0u,
                                   tx, sizeof(tx));

    bp_vehicle_step(&p->model, &p->mcu.outputs, now - p->stepped_ms);
    p->stepped_ms = now;
    /* With nobody reading, the pty fills up and bytes are lost, as they are on a wire. */
    (void)!write(p->uart, tx, tx_size);
    report_changes(p, now);
}

int main(void)
{
    static struct process p;
    char path[64];

    p.uart = open_uart(path, sizeof(path) - 1u);
    if (p.uart < 0) {
        perror("no pseudo terminal");
        return 1;
    }
    p.boot_id = (uint8_t)(now_ms() ^ (uint32_t)getpid());
    p.stepped_ms = now_ms();
    bp_mcu_boot(&p.mcu, now_ms(), p.boot_id);
    strcat(path, "\n");
    say(path, strlen(path));

    for (;;) {
        struct pollfd sources[] = {
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = p.frozen ? -1 : p.uart, .events = POLLIN},
        };
        if (poll(sources, 2, PERIOD_MS) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        if (sources[0].revents != 0 && !read_instructions(&p)) {
            return 0;
        }
        if (!p.frozen) {
            turn(&p);
        }
    }
}
