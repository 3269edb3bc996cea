/* What the board says of itself now: memory, power, energy, load, modes. */
#include "view.h"

/* The simulator knows no memory traffic. A quarter of the load keeps a reader honest that mixes up the two. */
#define MEMORY_TRAFFIC(utilization) ((utilization) / 4)

/* A MIG device has the memory of its GPU instance, which the others in it have too. */
static nvmlReturn_t memory_of(nvmlDevice_t device, nvmlMemory_t *memory) {
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = memory ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    uint64_t total = now.gpu.memory_total, used = now.gpu.memory_used;
    const struct sim_gpu_instance *home =
        slot == NO_SLOT ? NULL : gpu_instance_of(&now, now.gpu.compute_instances[slot].gi);
    if (home) {
        total = home->memory_total;
        used = home->memory_used;
    }
    *memory = (nvmlMemory_t){.total = total, .free = total - used, .used = used};
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    GATE(device);
    return memory_of(device, memory);
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    GATE(device);
    nvmlMemory_t first;
    if (!memory)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (memory->version != NVML_VERSION(nvmlMemory_v2_t, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = memory_of(device, &first);
    if (result != NVML_SUCCESS)
        return result;
    memory->total = first.total;
    memory->reserved = 0;
    memory->free = first.free;
    memory->used = first.used;
    return NVML_SUCCESS;
}

/* The newest sample's load; a sample of before the GPU was whole says nothing of it. */
static uint32_t load_of(const struct snapshot *now) {
    const struct sim_sample *newest = now->sample_count ? &now->samples[now->sample_count - 1] : NULL;
    return newest && !newest->mig ? percent(newest->util_centi, 1) : 0;
}

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = rates ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    uint32_t gpu = load_of(&now);
    if (now.gpu.mig)
        result = NVML_ERROR_NOT_SUPPORTED;
    else
        *rates = (nvmlUtilization_t){.gpu = gpu, .memory = MEMORY_TRAFFIC(gpu)};
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, uint64_t *millijoules) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = millijoules ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *millijoules = now.gpu.energy_mj;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, uint32_t *milliwatts) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = milliwatts ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *milliwatts = now.gpu.power_mw;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

static nvmlReturn_t power_limit(nvmlDevice_t device, uint32_t *milliwatts) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = milliwatts ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *milliwatts = gpu->power_limit_mw;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, uint32_t *milliwatts) {
    GATE(device);
    return power_limit(device, milliwatts);
}
EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, uint32_t *milliwatts) {
    GATE(device);
    return power_limit(device, milliwatts);
}

/* What is the same for every simulated board. */
static nvmlReturn_t always(nvmlDevice_t device, uint32_t *value, uint32_t what) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = value ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *value = what;
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, uint32_t *mode) {
    GATE(device);
    return always(device, mode, 0);
}
EXPORT nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, uint32_t *mode) {
    GATE(device);
    return always(device, mode, 1);
}
EXPORT nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, uint32_t *state) {
    GATE(device);
    return always(device, state, 0);
}
EXPORT nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, uint32_t *mode) {
    GATE(device);
    return always(device, mode, 0);
}
EXPORT nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, uint32_t *mode) {
    GATE(device);
    return always(device, mode, 0);
}

static nvmlReturn_t codec(nvmlDevice_t device, uint32_t *load, uint32_t *period_us) {
    nvmlReturn_t result = always(device, load, 0);
    return result == NVML_SUCCESS ? always(device, period_us, 167000) : result;
}
EXPORT nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, uint32_t *load, uint32_t *period_us) {
    GATE(device);
    return codec(device, load, period_us);
}
EXPORT nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, uint32_t *load, uint32_t *period_us) {
    GATE(device);
    return codec(device, load, period_us);
}

static nvmlReturn_t warmth(nvmlDevice_t device, uint32_t *celsius) {
    struct snapshot now;
    nvmlReturn_t result = celsius ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    *celsius = 35 + load_of(&now) * 30 / 100;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, uint32_t sensor, uint32_t *celsius) {
    GATE(device);
    return sensor ? NVML_ERROR_INVALID_ARGUMENT : warmth(device, celsius);
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t *temperature) {
    GATE(device);
    uint32_t celsius;
    if (!temperature || temperature->sensorType)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (temperature->version != NVML_VERSION(nvmlTemperature_v1_t, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = warmth(device, &celsius);
    if (result == NVML_SUCCESS)
        temperature->temperature = (int32_t)celsius;
    return result;
}
