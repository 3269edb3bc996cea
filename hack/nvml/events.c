/* Events: sets can be made and waited for. What happens in them is that a GPU is partitioned anew; XIDs never come. */
#include <stdlib.h>
#include <time.h>

#include "view.h"

#define EVENT_XID 0x8ull
#define EVENT_MIG_CONFIG_CHANGE 0x100ull
#define STEP_NS 20000000L

struct nvmlEventSet_st {
    uint64_t types[SIM_MOST_GPUS];
    uint32_t layouts[SIM_MOST_GPUS]; /* those that were seen */
};

EXPORT nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    GATE(NULL);
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!set)
        return NVML_ERROR_INVALID_ARGUMENT;
    *set = calloc(1, sizeof **set);
    return *set ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

EXPORT nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    GATE(NULL);
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    free(set);
    return NVML_SUCCESS;
}

static uint64_t types_of(const struct sim_gpu *gpu) {
    return EVENT_XID | (gpu->mig_capable ? EVENT_MIG_CONFIG_CHANGE : 0);
}

static uint32_t layouts_of(const struct sim_gpu *gpu) { return __atomic_load_n(&gpu->layouts, __ATOMIC_RELAXED); }

EXPORT nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, uint64_t *types) {
    GATE(device);
    const struct sim_gpu *gpu;
    nvmlReturn_t result = types ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *types = types_of(gpu);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, uint64_t types, nvmlEventSet_t set) {
    GATE(device);
    const struct sim_gpu *gpu;
    unsigned index;
    nvmlReturn_t result = set ? view_device(device, &gpu, &index) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (types & ~types_of(gpu))
        return NVML_ERROR_NOT_SUPPORTED;
    set->types[index] |= types;
    set->layouts[index] = layouts_of(gpu);
    return NVML_SUCCESS;
}

/* Whether one happened since the last look. */
static int happened(const struct sim_header *header, nvmlEventSet_t set, nvmlEventData_t *data) {
    for (unsigned i = 0; i < header->gpu_count; i++) {
        uint32_t layouts = layouts_of(view_gpu(header, i));
        if (!(set->types[i] & EVENT_MIG_CONFIG_CHANGE) || set->layouts[i] == layouts)
            continue;
        set->layouts[i] = layouts;
        *data = (nvmlEventData_t){.device = view_handle(i),
                                  .eventType = EVENT_MIG_CONFIG_CHANGE,
                                  .gpuInstanceId = NVML_INSTANCE_NONE,
                                  .computeInstanceId = NVML_INSTANCE_NONE};
        return 1;
    }
    return 0;
}

static nvmlReturn_t wait_for(nvmlEventSet_t set, nvmlEventData_t *data, uint32_t milliseconds) {
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!set || !data)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int64_t left = milliseconds * 1000000LL;; left -= STEP_NS) {
        const struct sim_header *header = view_header();
        if (!header)
            return NVML_ERROR_UNINITIALIZED;
        if (happened(header, set, data))
            return NVML_SUCCESS;
        if (left <= 0)
            return NVML_ERROR_TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = left < STEP_NS ? left : STEP_NS}, NULL);
    }
}

EXPORT nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, uint32_t milliseconds) {
    GATE(NULL);
    return wait_for(set, data, milliseconds);
}
EXPORT nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, uint32_t milliseconds) {
    GATE(NULL);
    return wait_for(set, data, milliseconds);
}
