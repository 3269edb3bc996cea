/* Processes: who holds memory, and who was busy by the ring's one owner per sample. */
#include <stdlib.h>

#include "view.h"

/* A partitioned GPU lists the processes of all its instances, a MIG device its own. */
static nvmlReturn_t running(nvmlDevice_t device, uint32_t *count, nvmlProcessInfo_t *list, int mps_only) {
    struct snapshot now;
    unsigned index, slot;
    nvmlReturn_t result = count ? snapshot_any(device, &now, &index, &slot) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    const struct sim_compute_instance *part = slot == NO_SLOT ? NULL : &now.gpu.compute_instances[slot];
    uint32_t room = list ? *count : 0, found = 0;
    for (uint32_t i = 0; i < now.process_count && !(mps_only && !now.gpu.mps); i++) {
        const struct sim_process *process = &now.processes[i];
        if (part && (process->gi != part->gi || process->ci != part->ci))
            continue;
        if (found < room)
            list[found] = (nvmlProcessInfo_t){.pid = process->pid,
                                              .usedGpuMemory = process->memory_used,
                                              .gpuInstanceId = process->gi,
                                              .computeInstanceId = process->ci};
        found++;
    }
    *count = found;
    snapshot_free(&now);
    return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static nvmlReturn_t none_running(nvmlDevice_t device, uint32_t *count) {
    const struct sim_gpu *gpu;
    nvmlReturn_t result = count ? view_device(device, &gpu, NULL) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_SUPPORTED) /* a MIG device has no graphics either */
        return result;
    if (count)
        *count = 0;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, uint32_t *count,
                                                            nvmlProcessInfo_t *list) {
    GATE(device);
    return running(device, count, list, 0);
}
EXPORT nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, uint32_t *count,
                                                             nvmlProcessInfo_t *list) {
    GATE(device);
    (void)list;
    return none_running(device, count);
}
/* Clients of MPS have contexts of their own, so they are in the list of all as well. */
EXPORT nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, uint32_t *count,
                                                               nvmlProcessInfo_t *list) {
    GATE(device);
    return running(device, count, list, 1);
}

/* One process's part of the ring newer than last_seen. */
struct share {
    uint32_t pid;
    uint64_t centi;
    uint64_t stamp_us;
};

/* Fills at most one share per sample; window is how many samples are newer than last_seen. */
static uint32_t shares_of(const struct snapshot *now, uint64_t last_seen, struct share *shares, uint32_t *window) {
    uint32_t found = 0;
    *window = 0;
    for (uint32_t i = 0; i < now->sample_count; i++) {
        const struct sim_sample *sample = &now->samples[i];
        if (sample->stamp_us <= last_seen || sample->mig)
            continue;
        ++*window;
        if (sample->pid == SIM_NO_PID || !sample->util_centi)
            continue;
        uint32_t at = 0;
        while (at < found && shares[at].pid != sample->pid)
            at++;
        if (at == found)
            shares[found++] = (struct share){.pid = sample->pid};
        shares[at].centi += sample->util_centi;
        shares[at].stamp_us = sample->stamp_us;
    }
    return found;
}

typedef void row_writer(void *rows, uint32_t at, const struct share *share, uint32_t sm);

static void write_sample(void *rows, uint32_t at, const struct share *share, uint32_t sm) {
    ((nvmlProcessUtilizationSample_t *)rows)[at] = (nvmlProcessUtilizationSample_t){
        .pid = share->pid, .timeStamp = share->stamp_us, .smUtil = sm, .memUtil = sm / 4};
}

static void write_info(void *rows, uint32_t at, const struct share *share, uint32_t sm) {
    ((nvmlProcessUtilizationInfo_v1_t *)rows)[at] = (nvmlProcessUtilizationInfo_v1_t){
        .pid = share->pid, .timeStamp = share->stamp_us, .smUtil = sm, .memUtil = sm / 4};
}

/* Both calls' protocol: NOT_FOUND if nobody was busy, INSUFFICIENT_SIZE with the number of rows if they do not fit. */
static nvmlReturn_t busy(nvmlDevice_t device, uint64_t last_seen, uint32_t *count, void *rows, row_writer *write) {
    struct snapshot now;
    nvmlReturn_t result = snapshot_take(device, &now);
    if (result != NVML_SUCCESS)
        return result;
    if (now.gpu.mig) { /* the kernel driver refuses it while there are instances */
        snapshot_free(&now);
        return NVML_ERROR_NOT_SUPPORTED;
    }
    struct share *shares = malloc((now.sample_count + 1) * sizeof *shares);
    if (shares) {
        uint32_t window, room = rows ? *count : 0;
        *count = shares_of(&now, last_seen, shares, &window);
        result = !*count ? NVML_ERROR_NOT_FOUND : *count > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
        for (uint32_t i = 0; result == NVML_SUCCESS && i < *count; i++)
            write(rows, i, &shares[i], percent(shares[i].centi, window));
    } else {
        result = NVML_ERROR_MEMORY;
    }
    free(shares);
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *rows,
                                                    uint32_t *count, uint64_t last_seen) {
    GATE(device);
    return count ? busy(device, last_seen, count, rows, write_sample) : NVML_ERROR_INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
                                                          nvmlProcessesUtilizationInfo_v1_t *info) {
    GATE(device);
    if (!info)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (info->version != NVML_VERSION(nvmlProcessesUtilizationInfo_v1_t, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return busy(device, info->lastSeenTimeStamp, &info->processSamplesCount, info->procUtilArray, write_info);
}
