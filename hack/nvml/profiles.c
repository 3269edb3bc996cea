/* MIG profiles: what a GPU could be partitioned into, and what there is still room for. */
#include <stdio.h>

#include "view.h"

/* A profile by NVML's constant, or NOT_SUPPORTED. */
static nvmlReturn_t by_number(nvmlDevice_t device, uint32_t number, const struct sim_profile **profile) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = view_device(device, &gpu, NULL);
    if (result != NVML_SUCCESS)
        return result;
    for (unsigned i = 0; gpu->mig_capable && i < gpu->profile_count && i < SIM_MOST_PROFILES; i++)
        if (gpu->profiles[i].number == number) {
            *profile = &gpu->profiles[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_SUPPORTED;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, uint32_t profile,
                                                        nvmlGpuInstanceProfileInfo_t *info) {
    GATE(device);
    const struct sim_profile *one;
    nvmlReturn_t result = info ? by_number(device, profile, &one) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *info = (nvmlGpuInstanceProfileInfo_t){.id = one->id,
                                               .sliceCount = one->slices,
                                               .instanceCount = one->most,
                                               .multiprocessorCount = one->multiprocessors,
                                               .copyEngineCount = one->copy_engines,
                                               .decoderCount = one->decoders,
                                               .jpegCount = one->jpegs,
                                               .ofaCount = one->ofas,
                                               .memorySizeMB = one->memory >> 20};
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, uint32_t profile,
                                                         nvmlGpuInstanceProfileInfo_v2_t *info) {
    GATE(device);
    const struct sim_profile *one;
    if (!info)
        return NVML_ERROR_INVALID_ARGUMENT;
    uint32_t version = info->version;
    if (version != NVML_VERSION(nvmlGpuInstanceProfileInfo_v2_t, 2) &&
        version != NVML_VERSION(nvmlGpuInstanceProfileInfo_v2_t, 3))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = by_number(device, profile, &one);
    if (result != NVML_SUCCESS)
        return result;
    *info = (nvmlGpuInstanceProfileInfo_v2_t){.version = version,
                                              .id = one->id,
                                              .sliceCount = one->slices,
                                              .instanceCount = one->most,
                                              .multiprocessorCount = one->multiprocessors,
                                              .copyEngineCount = one->copy_engines,
                                              .decoderCount = one->decoders,
                                              .jpegCount = one->jpegs,
                                              .ofaCount = one->ofas,
                                              .memorySizeMB = one->memory >> 20};
    snprintf(info->name, sizeof info->name, "MIG %s", one->name);
    return NVML_SUCCESS;
}

/* From here on a profile goes by the driver's id, and the GPU has to be partitioned. */
static nvmlReturn_t by_id(nvmlDevice_t device, uint32_t id, struct snapshot *now, const struct sim_profile **profile) {
    nvmlReturn_t result = snapshot_take(device, now);
    if (result != NVML_SUCCESS)
        return result;
    *profile = profile_of(&now->gpu, id);
    if (now->gpu.mig && *profile)
        return NVML_SUCCESS;
    result = now->gpu.mig ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_NOT_SUPPORTED;
    snapshot_free(now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t device, uint32_t profile,
                                                                  nvmlGpuInstancePlacement_t *list, uint32_t *count) {
    GATE(device);
    struct snapshot now;
    const struct sim_profile *one;
    nvmlReturn_t result = count ? by_id(device, profile, &now, &one) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    uint32_t found = 0;
    for (uint32_t start = 0; start < 32; start++) {
        if (!(one->starts >> start & 1))
            continue;
        if (list)
            list[found] = (nvmlGpuInstancePlacement_t){.start = start, .size = one->size};
        found++;
    }
    *count = found;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, uint32_t profile, uint32_t *count) {
    GATE(device);
    struct snapshot now;
    const struct sim_profile *one;
    nvmlReturn_t result = count ? by_id(device, profile, &now, &one) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    uint64_t taken = 0;
    uint32_t slices = 0, same = 0, found = 0;
    for (unsigned i = 0; i < SIM_MOST_INSTANCES; i++) {
        const struct sim_gpu_instance *other = &now.gpu.gpu_instances[i];
        if (!other->number)
            continue;
        taken |= ((1ull << other->size) - 1) << other->start;
        slices += other->slices;
        same += other->profile_id == profile;
    }
    for (uint32_t start = 0; start < 32; start++) {
        uint64_t place = ((1ull << one->size) - 1) << start;
        if (!(one->starts >> start & 1) || taken & place || slices + one->slices > now.gpu.slices)
            continue;
        if (same + found >= one->most)
            break;
        taken |= place;
        slices += one->slices;
        found++;
    }
    *count = found;
    snapshot_free(&now);
    return NVML_SUCCESS;
}
