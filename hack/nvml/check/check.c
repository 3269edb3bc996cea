/* Loads the sanitised library on a mapping of its own, reads it while a writer changes it, and refuses bad mappings. */
#define _GNU_SOURCE
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mapping.h"
#include "nvml_abi.h"

nvmlReturn_t nvmlInitWithFlags(uint32_t), nvmlShutdown(void), nvmlDeviceGetCount_v2(uint32_t *);
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(uint32_t, nvmlDevice_t *);
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *, nvmlDevice_t *), nvmlDeviceGetUUID(nvmlDevice_t, char *, uint32_t);
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t, uint32_t, uint64_t, uint32_t *, uint32_t *, nvmlSample_t *);
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t, nvmlProcessUtilizationSample_t *, uint32_t *, uint64_t);
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t, uint32_t *, nvmlProcessInfo_t *);
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t, uint64_t *);
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t, uint32_t, nvmlDevice_t *);
nvmlReturn_t nvmlDeviceGetBoardId(void), nvmlDeviceGetPowerUsage(nvmlDevice_t, uint32_t *);

enum { DEPTH = 8, CAPACITY = 4, GPUS = 2 };
struct block {
    struct sim_gpu gpu;
    struct sim_sample ring[DEPTH];
    struct sim_process processes[CAPACITY];
};
struct file {
    struct sim_header header;
    struct sim_failure failures[2];
    struct block blocks[GPUS];
};
static struct file *shared;
static atomic_int stop;

/* One PID owns a sample of 50 %; a sample's energy and stamp move together, which a torn read would show. */
static void take_sample(struct block *block) {
    uint64_t number = block->gpu.samples_taken;
    __atomic_store_n(&block->gpu.sequence, block->gpu.sequence + 1, __ATOMIC_SEQ_CST);
    block->ring[number % DEPTH] =
        (struct sim_sample){.stamp_us = 1000 * (number + 1), .util_centi = 5000, .pid = 7, .power_mw = 100};
    block->gpu.samples_taken = number + 1;
    block->gpu.energy_mj = number + 1;
    block->processes[0] = (struct sim_process){.pid = 7, .memory_used = 1 << 20};
    block->gpu.process_count = 1;
    __atomic_store_n(&block->gpu.sequence, block->gpu.sequence + 1, __ATOMIC_SEQ_CST);
}

static void *write_samples(void *unused) {
    while (!atomic_load(&stop)) {
        take_sample(&shared->blocks[0]);
        usleep(20);
    }
    return unused;
}

static void check_calls(nvmlDevice_t device) {
    uint32_t type, count = 0;
    nvmlSample_t samples[DEPTH];
    nvmlProcessUtilizationSample_t rows[DEPTH];
    nvmlProcessInfo_t list[CAPACITY];
    assert(nvmlDeviceGetSamples(device, 1, 0, &type, &count, NULL) == NVML_SUCCESS && count == DEPTH);
    assert(nvmlDeviceGetSamples(device, 1, 0, &type, &count, samples) == NVML_ERROR_NOT_FOUND);
    count = 0;
    assert(nvmlDeviceGetProcessUtilization(device, NULL, &count, 0) == NVML_ERROR_NOT_FOUND);
    assert(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, NULL) == NVML_SUCCESS && !count);
    for (int i = 0; i < 3; i++)
        take_sample(&shared->blocks[0]);
    count = 2; /* fewer than there are: the oldest ones, so that the caller can go on from the last */
    assert(nvmlDeviceGetSamples(device, 1, 0, &type, &count, samples) == NVML_SUCCESS && count == 2);
    assert(samples[0].timeStamp == 1000 && samples[1].sampleValue.uiVal == 50);
    count = DEPTH;
    assert(nvmlDeviceGetSamples(device, 1, 2000, &type, &count, samples) == NVML_SUCCESS && count == 1);
    assert(nvmlDeviceGetSamples(device, 9, 0, &type, &count, samples) == NVML_ERROR_NOT_SUPPORTED);
    count = 0;
    assert(nvmlDeviceGetProcessUtilization(device, rows, &count, 0) == NVML_ERROR_INSUFFICIENT_SIZE && count == 1);
    assert(nvmlDeviceGetProcessUtilization(device, rows, &count, 0) == NVML_SUCCESS);
    assert(rows[0].pid == 7 && rows[0].smUtil == 50 && rows[0].timeStamp == 3000);
    count = 0;
    assert(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, list) == NVML_ERROR_INSUFFICIENT_SIZE);
    assert(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, list) == NVML_SUCCESS && count == 1);
    assert(nvmlDeviceGetTotalEnergyConsumption((nvmlDevice_t)(void *)&count, NULL) == NVML_ERROR_INVALID_ARGUMENT);
    assert(nvmlDeviceGetBoardId() == NVML_ERROR_NOT_SUPPORTED);
}

/* A handle is its instance's: stale when that is gone, and another's when the value is given out again. */
static void check_instances(nvmlDevice_t device) {
    struct sim_gpu *gpu = &shared->blocks[0].gpu;
    nvmlDevice_t mig, again;
    char uuid[96];
    gpu->mig_capable = gpu->mig = 1;
    gpu->most_mig_devices = 7;
    gpu->compute_instances[2] = (struct sim_compute_instance){.number = 1, .uuid = "MIG-1"};
    assert(nvmlDeviceGetMigDeviceHandleByIndex(device, 0, &mig) == NVML_ERROR_NOT_FOUND);
    assert(nvmlDeviceGetMigDeviceHandleByIndex(device, 2, &mig) == NVML_SUCCESS);
    assert(nvmlDeviceGetMigDeviceHandleByIndex(device, 7, &again) == NVML_ERROR_INVALID_ARGUMENT);
    assert(nvmlDeviceGetUUID(mig, uuid, sizeof uuid) == NVML_SUCCESS && !strcmp(uuid, "MIG-1"));
    gpu->compute_instances[2] = (struct sim_compute_instance){.number = 2, .uuid = "MIG-2"};
    assert(nvmlDeviceGetUUID(mig, uuid, sizeof uuid) == NVML_ERROR_INVALID_ARGUMENT);
    assert(nvmlDeviceGetHandleByUUID("MIG-2", &again) == NVML_SUCCESS && again == mig);
    assert(nvmlDeviceGetUUID(mig, uuid, sizeof uuid) == NVML_SUCCESS && !strcmp(uuid, "MIG-2"));
    gpu->mig = 0;
    gpu->compute_instances[2].number = 0;
}

/* From 10 to 20 the first GPU is lost; from 30 on it is gone, and the other one moves up. */
static void check_failures(void) {
    nvmlDevice_t device;
    uint32_t milliwatts, count;
    char uuid[96];
    shared->failures[0] = (struct sim_failure){.at_ns = 10, .until_ns = 20, .kind = SIM_LOST, .gpu = 0};
    shared->failures[1] = (struct sim_failure){.at_ns = 30, .until_ns = 40, .kind = SIM_GONE, .gpu = 0};
    assert(nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    shared->header.now_ns = 10;
    assert(nvmlDeviceGetPowerUsage(device, &milliwatts) == NVML_ERROR_GPU_IS_LOST);
    shared->header.now_ns = 20;
    assert(nvmlDeviceGetPowerUsage(device, &milliwatts) == NVML_SUCCESS);
    shared->header.now_ns = 30;
    assert(nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS && count == GPUS - 1);
    assert(nvmlDeviceGetPowerUsage(device, &milliwatts) == NVML_ERROR_INVALID_ARGUMENT);
    assert(nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    assert(nvmlDeviceGetUUID(device, uuid, sizeof uuid) == NVML_SUCCESS && !strcmp(uuid, "GPU-1"));
    shared->header.now_ns = 40;
}

static unsigned check_races(nvmlDevice_t device) {
    pthread_t writer;
    unsigned reads = 0;
    pthread_create(&writer, NULL, write_samples, NULL);
    for (; reads < 20000; reads++) {
        uint32_t type, count = DEPTH;
        nvmlSample_t samples[DEPTH];
        assert(nvmlDeviceGetSamples(device, 1, 0, &type, &count, samples) == NVML_SUCCESS);
        for (uint32_t i = 1; i < count; i++)
            assert(samples[i].timeStamp == samples[i - 1].timeStamp + 1000);
    }
    atomic_store(&stop, 1);
    pthread_join(writer, NULL);
    return reads;
}

int main(void) {
    char path[] = "/tmp/nvml-check-XXXXXX", uuid[96], tiny[4];
    int file = mkstemp(path);
    uint32_t count;
    nvmlDevice_t device, same;
    assert(file >= 0 && !setenv("NVML_SIM_MAPPING", path, 1));
    assert(nvmlInitWithFlags(0) == NVML_ERROR_LIB_RM_VERSION_MISMATCH); /* an empty file */
    assert(!ftruncate(file, sizeof *shared));
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert(shared != MAP_FAILED);
    assert(nvmlInitWithFlags(0) == NVML_ERROR_LIB_RM_VERSION_MISMATCH); /* zeros */
    shared->header = (struct sim_header){
        .magic = SIM_MAGIC, .layout = SIM_LAYOUT, .header_size = offsetof(struct file, blocks), .failure_count = 2,
        .gpu_size = sizeof(struct sim_gpu), .gpu_stride = sizeof(struct block), .gpu_count = GPUS + 1,
        .ring_depth = DEPTH, .process_capacity = CAPACITY, .driver_version = "570.86.15", .cuda_version = 12080};
    assert(nvmlInitWithFlags(0) == NVML_ERROR_LIB_RM_VERSION_MISMATCH); /* a GPU past the end */
    shared->header.gpu_count = GPUS;
    strcpy(shared->blocks[1].gpu.uuid, "GPU-1");
    assert(nvmlDeviceGetCount_v2(&count) == NVML_ERROR_UNINITIALIZED);
    assert(nvmlInitWithFlags(0) == NVML_SUCCESS);
    assert(nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS && count == GPUS);
    assert(nvmlDeviceGetHandleByIndex_v2(1, &device) == NVML_SUCCESS);
    assert(nvmlDeviceGetHandleByUUID("GPU-1", &same) == NVML_SUCCESS && same == device);
    assert(nvmlDeviceGetHandleByIndex_v2(GPUS, &device) == NVML_ERROR_INVALID_ARGUMENT);
    assert(nvmlDeviceGetUUID(same, uuid, sizeof uuid) == NVML_SUCCESS && !strcmp(uuid, "GPU-1"));
    assert(nvmlDeviceGetUUID(same, tiny, sizeof tiny) == NVML_ERROR_INSUFFICIENT_SIZE);
    assert(nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    check_calls(device);
    check_instances(device);
    check_failures();
    unsigned reads = check_races(device);
    assert(nvmlShutdown() == NVML_SUCCESS && nvmlShutdown() == NVML_ERROR_UNINITIALIZED);
    assert(nvmlDeviceGetUUID(same, uuid, sizeof uuid) == NVML_ERROR_UNINITIALIZED);
    unlink(path);
    assert(!setenv("NVML_SIM_MAPPING", "/nowhere/nvml.map", 1));
    assert(nvmlInitWithFlags(0) == NVML_ERROR_DRIVER_NOT_LOADED);
    printf("ok: %u reads beside a writer\n", reads);
    return 0;
}
