/* What the driver says of GPU instances and compute instances. */
#include "handles.h"
#include "view.h"

const struct sim_gpu_instance *gpu_instance_of(const struct snapshot *now, uint32_t gi) {
    for (unsigned i = 0; i < SIM_MOST_INSTANCES; i++)
        if (now->gpu.gpu_instances[i].number && now->gpu.gpu_instances[i].gi == gi)
            return &now->gpu.gpu_instances[i];
    return NULL;
}

const struct sim_profile *profile_of(const struct sim_gpu *gpu, uint32_t id) {
    for (unsigned i = 0; i < gpu->profile_count && i < SIM_MOST_PROFILES; i++)
        if (gpu->profiles[i].id == id)
            return &gpu->profiles[i];
    return NULL;
}

/* The GPU instance of a handle, with its GPU; it has to be the one for which the handle was given out. */
static nvmlReturn_t opened(nvmlGpuInstance_t handle, struct snapshot *now, unsigned *index, unsigned *slot) {
    uint32_t number;
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!handle_in(gpu_instance_handles, handle, index, slot, &number))
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = snapshot_take(view_handle(*index), now);
    if (result != NVML_SUCCESS || now->gpu.gpu_instances[*slot].number == number)
        return result;
    snapshot_free(now);
    return NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlDevice_t parent_of(nvmlGpuInstance_t handle) {
    unsigned index, slot;
    uint32_t number;
    return handle_in(gpu_instance_handles, handle, &index, &slot, &number) ? view_handle(index) : NULL;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, uint32_t id, nvmlGpuInstance_t *instance) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = instance ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    const struct sim_gpu_instance *found = gpu_instance_of(&now, id);
    if (slot != NO_SLOT)
        result = NVML_ERROR_INVALID_ARGUMENT;
    else if (!now.gpu.mig)
        result = NVML_ERROR_NOT_SUPPORTED;
    else if (!found)
        result = NVML_ERROR_NOT_FOUND;
    else
        *instance = handle_for(gpu_instance_handles, index, (unsigned)(found - now.gpu.gpu_instances), found->number);
    snapshot_free(&now);
    return result;
}

/* The caller's array has room for as many as the profile allows. */
EXPORT nvmlReturn_t nvmlDeviceGetGpuInstances(nvmlDevice_t device, uint32_t profile, nvmlGpuInstance_t *list,
                                              uint32_t *count) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot, found = 0;
    nvmlReturn_t result = list && count ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (slot != NO_SLOT || !profile_of(&now.gpu, profile))
        result = NVML_ERROR_INVALID_ARGUMENT;
    else if (!now.gpu.mig)
        result = NVML_ERROR_NOT_SUPPORTED;
    for (unsigned i = 0; result == NVML_SUCCESS && i < SIM_MOST_INSTANCES; i++) {
        const struct sim_gpu_instance *one = &now.gpu.gpu_instances[i];
        if (one->number && one->profile_id == profile)
            list[found++] = handle_for(gpu_instance_handles, index, i, one->number);
    }
    if (result == NVML_SUCCESS)
        *count = found;
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info) {
    GATE(parent_of(instance));
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = info ? opened(instance, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    const struct sim_gpu_instance *one = &now.gpu.gpu_instances[slot];
    *info = (nvmlGpuInstanceInfo_t){.device = view_handle(index),
                                    .id = one->gi,
                                    .profileId = one->profile_id,
                                    .placement = {.start = one->start, .size = one->size}};
    snapshot_free(&now);
    return NVML_SUCCESS;
}

/* A compute instance's profile is its slices; the driver numbers those of 7, 8 and 6 after those of 1 to 4. */
static uint32_t compute_profile(uint32_t slices) {
    return slices <= 4 ? slices - 1 : slices == 7 ? 4 : slices == 8 ? 5 : slices == 6 ? 6 : 7;
}

EXPORT nvmlReturn_t nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t instance, uint32_t profile,
                                                       nvmlComputeInstance_t *list, uint32_t *count) {
    GATE(parent_of(instance));
    struct snapshot now;
    unsigned index, slot, found = 0;
    nvmlReturn_t result = list && count ? opened(instance, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    for (unsigned i = 0; i < SIM_MOST_INSTANCES; i++) {
        const struct sim_compute_instance *one = &now.gpu.compute_instances[i];
        if (one->number && one->gi == now.gpu.gpu_instances[slot].gi && compute_profile(one->slices) == profile)
            list[found++] = handle_for(compute_instance_handles, index, i, one->number);
    }
    *count = found;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t instance, uint32_t id,
                                                          nvmlComputeInstance_t *compute) {
    GATE(parent_of(instance));
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = compute ? opened(instance, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    result = NVML_ERROR_NOT_FOUND;
    for (unsigned i = 0; i < SIM_MOST_INSTANCES; i++) {
        const struct sim_compute_instance *one = &now.gpu.compute_instances[i];
        if (one->number && one->gi == now.gpu.gpu_instances[slot].gi && one->ci == id) {
            *compute = handle_for(compute_instance_handles, index, i, one->number);
            result = NVML_SUCCESS;
        }
    }
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t instance, nvmlComputeInstanceInfo_t *info) {
    struct snapshot now;
    unsigned index, slot;
    uint32_t number;
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!info || !handle_in(compute_instance_handles, instance, &index, &slot, &number))
        return NVML_ERROR_INVALID_ARGUMENT;
    GATE(view_handle(index));
    nvmlReturn_t result = snapshot_take(view_handle(index), &now);
    if (result != NVML_SUCCESS)
        return result;
    const struct sim_compute_instance *one = &now.gpu.compute_instances[slot];
    const struct sim_gpu_instance *home = gpu_instance_of(&now, one->gi);
    if (one->number != number || !home)
        result = NVML_ERROR_INVALID_ARGUMENT;
    else
        *info = (nvmlComputeInstanceInfo_t){
            .device = view_handle(index),
            .gpuInstance =
                handle_for(gpu_instance_handles, index, (unsigned)(home - now.gpu.gpu_instances), home->number),
            .id = one->ci,
            .profileId = compute_profile(one->slices),
            .placement = {.start = one->start, .size = one->slices}};
    snapshot_free(&now);
    return result;
}
