/* Which devices there are, and what never changes of them. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "handles.h"
#include "view.h"

static nvmlReturn_t count_of(uint32_t *count) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    for (unsigned i = 0; i < header->gpu_count; i++)
        *count += !failures_gone(header, i);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(uint32_t *count) {
    GATE(NULL);
    return count_of(count);
}
EXPORT nvmlReturn_t nvmlDeviceGetCount(uint32_t *count) {
    GATE(NULL);
    return count_of(count);
}

/* A GPU that is gone has no number; those behind it move up. */
static nvmlReturn_t by_index(const char *call, uint32_t index, nvmlDevice_t *device) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < header->gpu_count; i++) {
        if (failures_gone(header, i) || index--)
            continue;
        *device = view_handle(i);
        return failures_gate(call, *device);
    }
    return NVML_ERROR_INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(uint32_t index, nvmlDevice_t *device) {
    GATE(NULL);
    return by_index(__func__, index, device);
}
EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex(uint32_t index, nvmlDevice_t *device) {
    GATE(NULL);
    return by_index(__func__, index, device);
}

/* The MIG device with a UUID, on a GPU that is there. */
static nvmlReturn_t mig_by_uuid(const struct sim_header *header, const char *uuid, nvmlDevice_t *device) {
    for (unsigned i = 0; i < header->gpu_count; i++) {
        struct snapshot now;
        if (failures_gone(header, i) || snapshot_take(view_handle(i), &now) != NVML_SUCCESS)
            continue;
        for (unsigned slot = 0; slot < SIM_MOST_INSTANCES; slot++) {
            const struct sim_compute_instance *one = &now.gpu.compute_instances[slot];
            if (!one->number || strcmp(one->uuid, uuid))
                continue;
            *device = handle_for(mig_handles, i, slot, one->number);
            snapshot_free(&now);
            return NVML_SUCCESS;
        }
        snapshot_free(&now);
    }
    return NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    GATE(NULL);
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!uuid || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < header->gpu_count; i++)
        if (!strcmp(view_gpu(header, i)->uuid, uuid) && !failures_gone(header, i)) {
            *device = view_handle(i);
            return failures_gate(__func__, *device);
        }
    nvmlReturn_t result = mig_by_uuid(header, uuid, device);
    return result == NVML_SUCCESS ? failures_gate(__func__, *device) : result;
}

static void bus_id(const struct sim_gpu *gpu, char *to, size_t length, const char *domain) {
    snprintf(to, length, "%s:%02X:00.0", domain, gpu->pci_bus & 0xFF);
}

static nvmlReturn_t by_bus_id(const char *call, const char *id, nvmlDevice_t *device) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!id || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < header->gpu_count; i++) {
        char longer[32], shorter[16];
        bus_id(view_gpu(header, i), longer, sizeof longer, "00000000");
        bus_id(view_gpu(header, i), shorter, sizeof shorter, "0000");
        if ((!strcasecmp(id, longer) || !strcasecmp(id, shorter)) && !failures_gone(header, i)) {
            *device = view_handle(i);
            return failures_gate(call, *device);
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *id, nvmlDevice_t *device) {
    GATE(NULL);
    return by_bus_id(__func__, id, device);
}
EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *id, nvmlDevice_t *device) {
    GATE(NULL);
    return by_bus_id(__func__, id, device);
}

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, uint32_t length) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = snapshot_any(device, &now, &index, &slot);
    if (result != NVML_SUCCESS)
        return result;
    result = copy_text(uuid, length, slot == NO_SLOT ? now.gpu.uuid : now.gpu.compute_instances[slot].uuid);
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, uint32_t length) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = snapshot_any(device, &now, &index, &slot);
    if (result != NVML_SUCCESS)
        return result;
    char text[sizeof now.gpu.name + sizeof now.gpu.compute_instances->name + 8];
    if (slot == NO_SLOT)
        snprintf(text, sizeof text, "%s", now.gpu.name);
    else
        snprintf(text, sizeof text, "%s MIG %s", now.gpu.name, now.gpu.compute_instances[slot].name);
    snapshot_free(&now);
    return copy_text(name, length, text);
}

EXPORT nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, uint32_t *index) {
    GATE(device);
    const struct sim_header *header = view_header();
    const struct sim_gpu *gpu;
    unsigned place;
    nvmlReturn_t result = index ? view_device(device, &gpu, &place) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS || !header)
        return result;
    *index = 0;
    for (unsigned i = 0; i < place; i++)
        *index += !failures_gone(header, i);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, uint32_t *minor) {
    GATE(device);
    const struct sim_gpu *gpu;
    nvmlReturn_t result = minor ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *minor = gpu->minor;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, uint32_t *architecture) {
    GATE(device);
    const struct sim_gpu *gpu;
    nvmlReturn_t result = architecture ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *architecture = gpu->architecture;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
    GATE(device);
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

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    GATE(device);
    return pci_info(device, pci);
}
EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    GATE(device);
    return pci_info(device, pci);
}
