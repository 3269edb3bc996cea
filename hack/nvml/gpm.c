/* GPM: counters of work, read twice. There is no loss between the two, and no process in them.
 *
 * A GPU instance's counters are relative to it. Under a GPU instance id that was used again the difference of two
 * samples means nothing, and looks as if it did.
 */
#include <stdlib.h>

#include "view.h"

#define GPM_VERSION 1u

struct nvmlGpmSample_st {
    int filled;
    unsigned index;
    uint32_t gi; /* or SIM_NO_INSTANCE */
    int64_t counted_ns;
    struct sim_counters counters;
};

static nvmlReturn_t supported(const struct sim_gpu *gpu) { return gpu->gpm ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED; }

EXPORT nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    if (!support)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (support->version != GPM_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t result = snapshot_any(device, &now, &index, &slot);
    if (result != NVML_SUCCESS)
        return result;
    support->isSupportedDevice = now.gpu.gpm;
    snapshot_free(&now);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) {
    GATE(NULL);
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!sample)
        return NVML_ERROR_INVALID_ARGUMENT;
    *sample = calloc(1, sizeof **sample);
    return *sample ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

EXPORT nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
    GATE(NULL);
    if (!sample)
        return NVML_ERROR_INVALID_ARGUMENT;
    free(sample);
    return NVML_SUCCESS;
}

/* Of a GPU instance, or of all of a GPU. */
static nvmlReturn_t fill(const struct snapshot *now, unsigned index, uint32_t gi, nvmlGpmSample_t sample) {
    nvmlReturn_t result = supported(&now->gpu);
    if (result != NVML_SUCCESS)
        return result;
    const struct sim_counters *counters = &now->gpu.counters;
    if (gi != SIM_NO_INSTANCE) {
        const struct sim_gpu_instance *instance = gpu_instance_of(now, gi);
        if (!instance)
            return NVML_ERROR_INVALID_ARGUMENT;
        counters = &instance->counters;
    }
    *sample = (struct nvmlGpmSample_st){
        .filled = 1, .index = index, .gi = gi, .counted_ns = now->gpu.counted_ns, .counters = *counters};
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = sample ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    uint32_t gi = slot == NO_SLOT ? SIM_NO_INSTANCE : now.gpu.compute_instances[slot].gi;
    result = fill(&now, index, gi, sample);
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, uint32_t gi, nvmlGpmSample_t sample) {
    GATE(device);
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = sample ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (slot != NO_SLOT || gi == SIM_NO_INSTANCE)
        result = NVML_ERROR_INVALID_ARGUMENT;
    else
        result = now.gpu.mig ? fill(&now, index, gi, sample) : NVML_ERROR_NOT_SUPPORTED;
    snapshot_free(&now);
    return result;
}

struct metric {
    uint32_t id;
    size_t counter;
    const char *short_name, *long_name;
};
static const struct metric metrics[] = {
    {1, offsetof(struct sim_counters, graphics_ns), "GRACT", "Graphics Engine Activity"},
    {2, offsetof(struct sim_counters, sm_ns), "SMACT", "SM Activity"},
    {5, offsetof(struct sim_counters, tensor_ns), "TENSO", "Any Tensor Pipe Activity"},
    {10, offsetof(struct sim_counters, dram_ns), "DRAMA", "DRAM Bandwidth Utilization"},
};

static void measure(nvmlGpmSample_t first, nvmlGpmSample_t second, nvmlGpmMetric_t *out) {
    out->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    out->value = 0;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        if (metrics[i].id != out->metricId)
            continue;
        const char *before = (const char *)&first->counters, *after = (const char *)&second->counters;
        int64_t length = second->counted_ns - first->counted_ns;
        int64_t work = (int64_t)(*(const uint64_t *)(const void *)(after + metrics[i].counter) -
                                 *(const uint64_t *)(const void *)(before + metrics[i].counter));
        double value = length > 0 ? 100.0 * (double)work / (double)length : 0;
        out->nvmlReturn = length > 0 ? NVML_SUCCESS : NVML_ERROR_NO_DATA;
        out->value = value < 0 ? 0 : value > 100 ? 100 : value;
        out->shortName = metrics[i].short_name;
        out->longName = metrics[i].long_name;
        out->unit = "%";
    }
}

EXPORT nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *get) {
    GATE(NULL);
    if (!view_header())
        return NVML_ERROR_UNINITIALIZED;
    if (!get)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (get->version != GPM_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlGpmSample_t first = get->sample1, second = get->sample2;
    if (!first || !second || !first->filled || !second->filled || first->index != second->index ||
        first->gi != second->gi)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (uint32_t i = 0; i < get->numMetrics; i++)
        measure(first, second, &get->metrics[i]);
    return NVML_SUCCESS;
}
