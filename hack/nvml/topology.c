/* How devices are connected. A device plugin refuses every pod that asks for two GPUs unless these succeed. */
#include "view.h"

#define LINKS 18u

EXPORT nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t one, nvmlDevice_t other, uint32_t *level) {
    GATE(one);
    const struct sim_gpu *gpu;
    nvmlReturn_t result = level ? view_device(one, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        result = view_device(other, &gpu, NULL);
    if (result == NVML_SUCCESS)
        *level = one == other ? NVML_TOPOLOGY_INTERNAL : NVML_TOPOLOGY_NODE;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, uint32_t link, uint32_t *active) {
    GATE(device);
    const struct sim_gpu *gpu;
    nvmlReturn_t result = active && link < LINKS ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *active = 0;
    return result;
}
