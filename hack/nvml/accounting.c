/* Accounting: off unless the administrator enabled it, and not there on a partitioned GPU. */
#include "view.h"

#define BUFFER_SIZE 4000u /* as on real boards: what the driver has room for */

EXPORT nvmlReturn_t nvmlDeviceGetAccountingMode(nvmlDevice_t device, uint32_t *mode) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = mode ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (now.gpu.mig)
        result = NVML_ERROR_NOT_SUPPORTED;
    else
        *mode = now.gpu.accounting;
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetAccountingBufferSize(nvmlDevice_t device, uint32_t *size) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = size ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    if (now.gpu.mig || !now.gpu.accounting)
        result = NVML_ERROR_NOT_SUPPORTED;
    else
        *size = BUFFER_SIZE;
    snapshot_free(&now);
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, uint32_t *count, uint32_t *pids) {
    GATE(device);
    struct snapshot now;
    nvmlReturn_t result = count ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    uint32_t room = pids ? *count : 0;
    if (now.gpu.mig || !now.gpu.accounting)
        result = NVML_ERROR_NOT_SUPPORTED;
    else if ((*count = now.account_count) > room)
        result = NVML_ERROR_INSUFFICIENT_SIZE;
    for (uint32_t i = 0; result == NVML_SUCCESS && i < now.account_count; i++)
        pids[i] = now.accounts[i].pid;
    snapshot_free(&now);
    return result;
}

static nvmlReturn_t account_of(nvmlDevice_t device, uint32_t pid, struct sim_account *account) {
    struct snapshot now;
    nvmlReturn_t result = snapshot_take(device, &now);
    if (result != NVML_SUCCESS)
        return result;
    result = now.gpu.mig || !now.gpu.accounting ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_NOT_FOUND;
    for (uint32_t i = 0; result == NVML_ERROR_NOT_FOUND && i < now.account_count; i++)
        if (now.accounts[i].pid == pid) {
            *account = now.accounts[i];
            result = NVML_SUCCESS;
        }
    snapshot_free(&now);
    return result;
}

static uint32_t load_of(const struct sim_account *account) {
    return account->samples ? (uint32_t)(account->sum_centi / 100 / account->samples) : 0;
}

EXPORT nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, uint32_t pid, nvmlAccountingStats_t *stats) {
    GATE(device);
    struct sim_account account;
    nvmlReturn_t result = stats ? account_of(device, pid, &account) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *stats = (nvmlAccountingStats_t){.gpuUtilization = load_of(&account),
                                         .memoryUtilization = load_of(&account) / 4, /* as in board.c */
                                         .maxMemoryUsage = account.memory,
                                         .time = account.time_ms,
                                         .startTime = account.start_us,
                                         .isRunning = account.running};
    return result;
}

EXPORT nvmlReturn_t nvmlDeviceGetAccountingStats_v2(nvmlDevice_t device, nvmlAccountingStats_v2_t *stats) {
    GATE(device);
    struct sim_account account;
    nvmlReturn_t result = stats ? account_of(device, stats->pid, &account) : NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *stats = (nvmlAccountingStats_v2_t){.pid = stats->pid,
                                            .isRunning = account.running,
                                            .gpuUtilization = load_of(&account),
                                            .memoryUtilization = load_of(&account) / 4,
                                            .maxMemoryUsage = account.memory,
                                            .sampleCount = account.samples,
                                            .sumGpuUtil = account.sum_centi,
                                            .sumFbUtil = account.sum_centi / 4,
                                            .time = account.time_ms,
                                            .startTime = account.start_us};
    return result;
}
