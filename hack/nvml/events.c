/* Events: sets can be made and waited for. Nothing ever happens in them yet. */
#include <stdlib.h>
#include <time.h>

#include "view.h"

#define EVENT_XID 0x8ull

struct nvmlEventSet_st {
    uint64_t types;
};

EXPORT nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!set)
        return NVML_ERROR_INVALID_ARGUMENT;
    *set = calloc(1, sizeof **set);
    return *set ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

EXPORT nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    free(set);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, uint64_t *types) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = types ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *types = EVENT_XID;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, uint64_t types, nvmlEventSet_t set) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = set ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (types & ~EVENT_XID)
        return NVML_ERROR_NOT_SUPPORTED;
    set->types |= types;
    return NVML_SUCCESS;
}

static nvmlReturn_t wait_for(nvmlEventSet_t set, uint32_t milliseconds) {
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!set)
        return NVML_ERROR_INVALID_ARGUMENT;
    struct timespec left = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
    nanosleep(&left, NULL);
    return NVML_ERROR_TIMEOUT;
}

EXPORT nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, uint32_t milliseconds) {
    return data ? wait_for(set, milliseconds) : NVML_ERROR_INVALID_ARGUMENT;
}
EXPORT nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, uint32_t milliseconds) {
    return nvmlEventSetWait_v2(set, data, milliseconds);
}
