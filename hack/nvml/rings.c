/* The driver's ring of samples. */
#include "view.h"

static uint32_t value_of(const struct sim_sample *sample, uint32_t type) {
    if (type == NVML_TOTAL_POWER_SAMPLES)
        return sample->power_mw;
    uint32_t utilization = percent(sample->util_centi, 1);
    return type == NVML_GPU_UTILIZATION_SAMPLES ? utilization : utilization / 4; /* as in board.c */
}

/* Without an array it says how many there can be; with one it gives those newer than last_seen, oldest first. */
EXPORT nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, uint32_t type, uint64_t last_seen,
                                         uint32_t *value_type, uint32_t *count, nvmlSample_t *samples) {
    GATE(device);
    struct snapshot now;
    const struct sim_header *header = view_header();
    if (!value_type || !count || (samples && !*count))
        return header ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_UNINITIALIZED;
    nvmlReturn_t result = snapshot_take(device, &now);
    if (result != NVML_SUCCESS)
        return result;
    int power = type == NVML_TOTAL_POWER_SAMPLES;
    if (type > NVML_MEMORY_UTILIZATION_SAMPLES || (now.gpu.mig && !power))
        result = NVML_ERROR_NOT_SUPPORTED;
    *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    if (!samples) {
        snapshot_free(&now);
        if (result == NVML_SUCCESS)
            *count = header->ring_depth;
        return result;
    }
    uint32_t filled = 0;
    for (uint32_t i = 0; result == NVML_SUCCESS && i < now.sample_count && filled < *count; i++) {
        if (now.samples[i].stamp_us <= last_seen || (now.samples[i].mig && !power))
            continue;
        samples[filled].timeStamp = now.samples[i].stamp_us;
        samples[filled].sampleValue.ullVal = 0;
        samples[filled++].sampleValue.uiVal = value_of(&now.samples[i], type);
    }
    snapshot_free(&now);
    if (result != NVML_SUCCESS)
        return result;
    *count = filled;
    return filled ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}
