/* Opens the simulator's mapping read-only and copies consistent snapshots out of it. */
#define _GNU_SOURCE
#include "handles.h"
#include "view.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct nvmlDevice_st {
    char unused;
};
static struct nvmlDevice_st handles[SIM_MOST_GPUS];

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static unsigned open_count;
static _Atomic(const struct sim_header *) current; /* what calls see */
static const struct sim_header *mapped;            /* stays mapped when closed */
static dev_t mapped_device;
static ino_t mapped_inode;

static int mapping_path(char *path, size_t length) {
    const char *set = getenv("NVML_SIM_MAPPING");
    if (set && *set)
        return snprintf(path, length, "%s", set) < (int)length;
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)&mapping_path, &info) || !info.dli_fname)
        return 0;
    const char *slash = strrchr(info.dli_fname, '/');
    int folder = slash ? (int)(slash - info.dli_fname + 1) : 0;
    return snprintf(path, length, "%.*snvml.map", folder, info.dli_fname) < (int)length;
}

/* A mapping whose figures do not fit its length is refused, so that no later read leaves it. */
static int fits(const struct sim_header *h, uint64_t size) {
    if (h->magic != SIM_MAGIC || h->layout != SIM_LAYOUT)
        return 0;
    uint64_t failures = (uint64_t)h->failure_count * sizeof(struct sim_failure);
    if (h->header_size < sizeof *h + failures || h->header_size % 8 || h->gpu_size != sizeof(struct sim_gpu))
        return 0;
    if (h->gpu_stride % 8 || h->gpu_count > SIM_MOST_GPUS || !h->ring_depth)
        return 0;
    uint64_t block = h->gpu_size + (uint64_t)h->ring_depth * sizeof(struct sim_sample) +
                     (uint64_t)h->process_capacity * sizeof(struct sim_process) +
                     (uint64_t)h->account_capacity * sizeof(struct sim_account);
    return block <= h->gpu_stride && h->header_size + (uint64_t)h->gpu_count * h->gpu_stride <= size;
}

static nvmlReturn_t map_file(void) {
    char path[4096];
    struct stat facts;
    if (!mapping_path(path, sizeof path))
        return NVML_ERROR_DRIVER_NOT_LOADED;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (fstat(file, &facts)) {
        close(file);
        return NVML_ERROR_OPERATING_SYSTEM;
    }
    if (mapped && facts.st_dev == mapped_device && facts.st_ino == mapped_inode) {
        close(file);
        return NVML_SUCCESS;
    }
    if (facts.st_size < (off_t)sizeof(struct sim_header)) {
        close(file);
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    }
    void *at = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (at == MAP_FAILED)
        return NVML_ERROR_OPERATING_SYSTEM;
    if (!fits(at, (uint64_t)facts.st_size)) {
        munmap(at, (size_t)facts.st_size);
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    }
    /* An earlier mapping is never unmapped: another thread may still read it. That costs a few KiB per new driver. */
    mapped = at;
    mapped_device = facts.st_dev;
    mapped_inode = facts.st_ino;
    return NVML_SUCCESS;
}

nvmlReturn_t view_open(void) {
    pthread_mutex_lock(&opening);
    nvmlReturn_t result = open_count ? NVML_SUCCESS : map_file();
    if (result == NVML_SUCCESS) {
        open_count++;
        atomic_store(&current, mapped);
    }
    pthread_mutex_unlock(&opening);
    return result;
}

nvmlReturn_t view_close(void) {
    pthread_mutex_lock(&opening);
    nvmlReturn_t result = open_count ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
    if (open_count && --open_count == 0)
        atomic_store(&current, NULL);
    pthread_mutex_unlock(&opening);
    return result;
}

const struct sim_header *view_header(void) { return atomic_load(&current); }

int64_t view_now(const struct sim_header *header) { return __atomic_load_n(&header->now_ns, __ATOMIC_RELAXED); }

const struct sim_gpu *view_gpu(const struct sim_header *header, unsigned index) {
    return (const void *)((const char *)header + header->header_size + (size_t)index * header->gpu_stride);
}

nvmlDevice_t view_handle(unsigned index) { return &handles[index]; }

nvmlReturn_t view_device(nvmlDevice_t device, const struct sim_gpu **gpu, unsigned *index) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    for (unsigned i = 0; i < header->gpu_count; i++) {
        if (device != &handles[i])
            continue;
        *gpu = view_gpu(header, i);
        if (index)
            *index = i;
        return NVML_SUCCESS;
    }
    unsigned parent, slot;
    uint32_t number;
    if (!handle_in(mig_handles, device, &parent, &slot, &number) || parent >= header->gpu_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    const struct sim_compute_instance *instance = &view_gpu(header, parent)->compute_instances[slot];
    int same = __atomic_load_n(&instance->number, __ATOMIC_RELAXED) == number;
    return same ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

/* Copies the block once; false if the simulator wrote meanwhile. */
static int copied(const struct sim_gpu *gpu, char *to, size_t size) {
    uint64_t before = __atomic_load_n(&gpu->sequence, __ATOMIC_ACQUIRE);
    if (before & 1)
        return 0;
    memcpy(to, gpu, size);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&gpu->sequence, __ATOMIC_RELAXED) == before;
}

nvmlReturn_t snapshot_take(nvmlDevice_t device, struct snapshot *out) {
    const struct sim_gpu *gpu;
    unsigned index;
    const struct sim_header *header = view_header();
    nvmlReturn_t result = view_device(device, &gpu, &index);
    if (result != NVML_SUCCESS)
        return result;
    if (!header || index >= header->gpu_count) /* closed or opened anew meanwhile */
        return NVML_ERROR_UNINITIALIZED;
    gpu = view_gpu(header, index);
    uint32_t depth = header->ring_depth;
    size_t ring = depth * sizeof(struct sim_sample);
    size_t processes_size = header->process_capacity * sizeof(struct sim_process);
    size_t size = sizeof *gpu + ring + processes_size + header->account_capacity * sizeof(struct sim_account);
    char *block = malloc(size + ring);
    if (!block)
        return NVML_ERROR_MEMORY;
    /* A write takes microseconds; a second of retries means that the simulator died inside one. */
    for (int tries = 0; !copied(gpu, block, size); tries++) {
        if (tries == 10000) {
            free(block);
            return NVML_ERROR_UNKNOWN;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    memcpy(&out->gpu, block, sizeof out->gpu);
    uint64_t taken = out->gpu.samples_taken;
    const struct sim_sample *slots = (const void *)(block + sizeof *gpu);
    out->memory = block;
    out->samples = (void *)(block + size);
    out->sample_count = taken < depth ? (uint32_t)taken : depth;
    for (uint32_t i = 0; i < out->sample_count; i++)
        out->samples[i] = slots[(taken - out->sample_count + i) % depth];
    uint32_t processes = out->gpu.process_count;
    out->processes = (void *)(block + sizeof *gpu + ring);
    out->process_count = processes < header->process_capacity ? processes : header->process_capacity;
    uint32_t accounts = out->gpu.account_count;
    out->accounts = (void *)(block + sizeof *gpu + ring + processes_size);
    out->account_count = accounts < header->account_capacity ? accounts : header->account_capacity;
    return NVML_SUCCESS;
}

nvmlReturn_t snapshot_any(nvmlDevice_t device, struct snapshot *out, unsigned *index, unsigned *slot) {
    const struct sim_gpu *gpu;
    uint32_t number;
    *slot = NO_SLOT;
    nvmlReturn_t result = view_device(device, &gpu, index);
    if (result != NVML_ERROR_NOT_SUPPORTED)
        return result == NVML_SUCCESS ? snapshot_take(device, out) : result;
    if (!handle_in(mig_handles, device, index, slot, &number))
        return NVML_ERROR_INVALID_ARGUMENT;
    result = snapshot_take(view_handle(*index), out);
    if (result != NVML_SUCCESS || out->gpu.compute_instances[*slot].number == number)
        return result;
    snapshot_free(out);
    return NVML_ERROR_INVALID_ARGUMENT;
}

void snapshot_free(struct snapshot *snapshot) { free(snapshot->memory); }

uint32_t percent(uint64_t centi_sum, uint64_t count) {
    const struct sim_header *header = view_header();
    uint64_t unit = 100 * count;
    return (uint32_t)((centi_sum + (header && header->rounding == SIM_ROUND_NEAREST ? unit / 2 : 0)) / unit);
}

nvmlReturn_t copy_text(char *to, unsigned length, const char *text) {
    size_t size = strlen(text) + 1;
    if (!to)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (size > length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(to, text, size);
    return NVML_SUCCESS;
}
