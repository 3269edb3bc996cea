/* MIG devices: the mode, the devices by number, and what can be asked of one. */
#include <string.h>

#include "handles.h"
#include "view.h"

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, uint32_t *current, uint32_t *pending) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = current && pending ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (now.gpu.mig_capable)
        *current = *pending = now.gpu.mig;
    else
        result = NVML_ERROR_NOT_SUPPORTED;
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, uint32_t *count) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = count ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *count = now.gpu.mig ? now.gpu.most_mig_devices : 0;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, uint32_t *is_mig) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = is_mig ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *is_mig = slot != NO_SLOT;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

/* Numbers have holes: one that is free is NOT_FOUND, and others may follow it. */
EXPORT nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, uint32_t number, nvmlDevice_t *mig) {
    GATE(device);
    struct snapshot now;
    const struct sim_gpu *gpu;
    unsigned index;
    nvmlReturn_t result = mig ? view_device(device, &gpu, &index) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        result = snapshot_take(device, &now);
    if (result != NVML_SUCCESS)
        return result;
    if (!now.gpu.mig_capable)
        result = NVML_ERROR_NOT_SUPPORTED;
    else if (now.gpu.mig && number >= now.gpu.most_mig_devices)
        result = NVML_ERROR_INVALID_ARGUMENT;
    else if (!now.gpu.mig || !now.gpu.compute_instances[number].number)
        result = NVML_ERROR_NOT_FOUND;
    else
        *mig = handle_for(mig_handles, index, number, now.gpu.compute_instances[number].number);
    snapshot_free(&now);
    return result;
}

/* A MIG device's own facts; INVALID_ARGUMENT for a whole GPU, as these calls are for MIG devices only. */
static nvmlReturn_t opened(nvmlDevice_t device, struct snapshot *now, unsigned *index, unsigned *slot) {
    nvmlReturn_t result = snapshot_any(device, now, index, slot);
    if (result == NVML_SUCCESS && *slot == NO_SLOT) {
        snapshot_free(now);
        result = NVML_ERROR_NOT_SUPPORTED;
    }
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device, nvmlDevice_t *parent) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = parent ? opened(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *parent = view_handle(index);
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, uint32_t *id) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = id ? opened(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *id = now.gpu.compute_instances[slot].gi;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, uint32_t *id) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = id ? opened(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *id = now.gpu.compute_instances[slot].ci;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

/* Compute instances share what their GPU instance has, its memory too: its size is said of each of them. */
EXPORT nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = attributes ? opened(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    const struct sim_compute_instance *part = &now.gpu.compute_instances[slot];
    const struct sim_gpu_instance *home = gpu_instance_of(&now, part->gi);
    const struct sim_profile *profile = home ? profile_of(&now.gpu, home->profile_id) : NULL;
    *attributes = (nvmlDeviceAttributes_t){
        .multiprocessorCount = part->multiprocessors,
        .sharedCopyEngineCount = profile ? profile->copy_engines : 1,
        .sharedDecoderCount = profile ? profile->decoders : 0,
        .sharedJpegCount = profile ? profile->jpegs : 0,
        .sharedOfaCount = profile ? profile->ofas : 0,
        .gpuInstanceSliceCount = home ? home->slices : part->slices,
        .computeInstanceSliceCount = part->slices,
        .memorySizeMB = home ? home->memory_total >> 20 : 0,
    };
    snapshot_free(&now);
    return NVML_SUCCESS;
}
