/* How the driver fails, by the scenario's failures and the mapping's own clock, so that a reader's clock is no matter. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "handles.h"
#include "view.h"

static _Atomic int64_t initialized_ns = INT64_MIN;

static const struct sim_failure *failure_at(const struct sim_header *header, unsigned number) {
    return (const struct sim_failure *)(const void *)((const char *)header + sizeof *header) + number;
}

static int active(const struct sim_failure *failure, int64_t now) {
    return failure->at_ns <= now && now < failure->until_ns;
}

void failures_initialized(const struct sim_header *header) { atomic_store(&initialized_ns, view_now(header)); }

int failures_gone(const struct sim_header *header, unsigned index) {
    int64_t now = view_now(header);
    for (unsigned i = 0; i < header->failure_count; i++) {
        const struct sim_failure *failure = failure_at(header, i);
        if (failure->kind == SIM_GONE && (failure->gpu == index || failure->gpu == SIM_NO_GPU) && active(failure, now))
            return 1;
    }
    return 0;
}

static int concerns(const struct sim_failure *failure, const char *call, unsigned index) {
    if (failure->kind == SIM_UNINITIALIZED)
        return atomic_load(&initialized_ns) < failure->at_ns;
    if (failure->kind == SIM_LOST || failure->kind == SIM_GONE) /* of a GPU, so only calls on one */
        return index != SIM_NO_GPU && (failure->gpu == SIM_NO_GPU || failure->gpu == index);
    return (failure->gpu == SIM_NO_GPU || failure->gpu == index) && strstr(call, failure->call);
}

static nvmlReturn_t code_of(const struct sim_failure *failure) {
    switch (failure->kind) {
    case SIM_LOST:
        return NVML_ERROR_GPU_IS_LOST;
    case SIM_GONE:
        return NVML_ERROR_INVALID_ARGUMENT;
    case SIM_UNINITIALIZED:
        return NVML_ERROR_UNINITIALIZED;
    case SIM_MISMATCH:
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    default:
        return (nvmlReturn_t)failure->code;
    }
}

nvmlReturn_t failures_gate(const char *call, nvmlDevice_t device) {
    const struct sim_header *header = view_header();
    const struct sim_gpu *gpu;
    unsigned index = SIM_NO_GPU, slot;
    uint32_t number;
    if (!header)
        return NVML_SUCCESS; /* the call itself says that it is not initialised */
    if (device && view_device(device, &gpu, &index) != NVML_SUCCESS && !handle_in(mig_handles, device, &index, &slot, &number))
        index = SIM_NO_GPU;
    for (unsigned i = 0; i < header->failure_count; i++) {
        const struct sim_failure *failure = failure_at(header, i);
        if (!active(failure, view_now(header)) || !concerns(failure, call, index))
            continue;
        if (failure->kind != SIM_HANG)
            return code_of(failure);
        while (active(failure, view_now(header)))
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return NVML_SUCCESS;
}
