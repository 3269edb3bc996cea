/* MIG: switched off everywhere, and what follows from that. */
#include "view.h"

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, uint32_t *now, uint32_t *pending) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = now && pending ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (!gpu->mig_capable)
        return NVML_ERROR_NOT_SUPPORTED;
    *now = *pending = 0;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, uint32_t *count) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = count ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *count = 0;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, uint32_t *is_mig) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = is_mig ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *is_mig = 0;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, uint32_t index, nvmlDevice_t *mig) {
    const struct sim_gpu *gpu;
    (void)index;
    nvmlReturn_t result = mig ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    return gpu->mig_capable ? NVML_ERROR_NOT_FOUND : NVML_ERROR_NOT_SUPPORTED;
}
