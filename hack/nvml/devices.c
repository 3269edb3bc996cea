/* Which devices there are, and what never changes of them. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "view.h"

static nvmlReturn_t count_of(uint32_t *count) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = header->gpu_count;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(uint32_t *count) { return count_of(count); }
EXPORT nvmlReturn_t nvmlDeviceGetCount(uint32_t *count) { return count_of(count); }

static nvmlReturn_t by_index(uint32_t index, nvmlDevice_t *device) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!device || index >= header->gpu_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = view_handle(index);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(uint32_t index, nvmlDevice_t *device) {
    return by_index(index, device);
}
EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex(uint32_t index, nvmlDevice_t *device) {
    return by_index(index, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!uuid || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < header->gpu_count; i++)
        if (!strcmp(view_gpu(header, i)->uuid, uuid)) {
            *device = view_handle(i);
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

static void bus_id(const struct sim_gpu *gpu, char *to, size_t length, const char *domain) {
    snprintf(to, length, "%s:%02X:00.0", domain, gpu->pci_bus & 0xFF);
}

static nvmlReturn_t by_bus_id(const char *id, nvmlDevice_t *device) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!id || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < header->gpu_count; i++) {
        char longer[32], shorter[16];
        bus_id(view_gpu(header, i), longer, sizeof longer, "00000000");
        bus_id(view_gpu(header, i), shorter, sizeof shorter, "0000");
        if (!strcasecmp(id, longer) || !strcasecmp(id, shorter)) {
            *device = view_handle(i);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *id, nvmlDevice_t *device) {
    return by_bus_id(id, device);
}
EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *id, nvmlDevice_t *device) {
    return by_bus_id(id, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, uint32_t length) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = view_device(device, &gpu, NULL);
    return result == NVML_SUCCESS ? copy_text(uuid, length, gpu->uuid) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, uint32_t length) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = view_device(device, &gpu, NULL);
    return result == NVML_SUCCESS ? copy_text(name, length, gpu->name) : result;
}

EXPORT nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, uint32_t *index) {
    const struct sim_gpu *gpu;
    return index ? view_device(device, &gpu, index) : NVML_ERROR_INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, uint32_t *minor) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = minor ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *minor = gpu->minor;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, uint32_t *architecture) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = architecture ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *architecture = gpu->architecture;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = major && minor ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS) {
        *major = (int)gpu->capability_major;
        *minor = (int)gpu->capability_minor;
    }
    return result;
}

static nvmlReturn_t pci_info(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = pci ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *pci = (nvmlPciInfo_t){.bus = gpu->pci_bus, .pciDeviceId = gpu->pci_device_id};
    bus_id(gpu, pci->busId, sizeof pci->busId, "00000000");
    bus_id(gpu, pci->busIdLegacy, sizeof pci->busIdLegacy, "0000");
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) { return pci_info(device, pci); }
EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci) { return pci_info(device, pci); }
