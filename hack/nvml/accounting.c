/* Accounting: disabled, as it is unless an administrator enabled it. */
#include "view.h"

EXPORT nvmlReturn_t nvmlDeviceGetAccountingMode(nvmlDevice_t device, uint32_t *mode) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = mode ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *mode = 0;
    return result;
}
