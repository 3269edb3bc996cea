/* The simulator's shared mapping: it writes, this library reads. hack/simnode/mapping.py holds the same layout.
 *
 * header | GPU 0: struct sim_gpu, ring_depth x sim_sample, process_capacity x sim_process | GPU 1 ...
 *
 * What changes stands behind a sequence lock per GPU: `sequence` is odd while the simulator writes. A change of
 * this layout needs a new SIM_LAYOUT.
 */
#ifndef SIM_MAPPING_H
#define SIM_MAPPING_H

#include <stdint.h>

#define SIM_MAGIC 0x314d49534c4d564eull /* "NVMLSIM1", little-endian */
#define SIM_LAYOUT 1u
#define SIM_MOST_GPUS 64u
#define SIM_NO_PID 0xFFFFFFFFu

enum { SIM_ROUND_DOWN = 0, SIM_ROUND_NEAREST = 1 };

struct sim_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t header_size; /* where GPU 0 begins */
    uint32_t gpu_size;    /* of struct sim_gpu, where its ring begins */
    uint32_t gpu_stride;  /* from one GPU to the next */
    uint32_t gpu_count;
    uint32_t ring_depth;
    uint32_t process_capacity;
    uint32_t rounding;
    uint64_t sample_period_us;
    uint32_t cuda_version; /* 12080 is 12.8 */
    uint32_t reserved;
    char driver_version[32];
    uint64_t spare[21];
};

struct sim_gpu {
    /* never changes */
    char uuid[48];
    char name[96];
    uint32_t minor;
    uint32_t architecture;
    uint32_t capability_major;
    uint32_t capability_minor;
    uint32_t pci_bus;
    uint32_t pci_device_id;
    uint32_t mig_capable;
    uint32_t power_limit_mw;
    uint64_t memory_total;
    /* behind the lock */
    uint64_t sequence;
    uint64_t samples_taken; /* ever; sample k stands in slot k % ring_depth */
    uint64_t energy_mj;
    uint64_t memory_used;
    uint32_t power_mw;
    uint32_t process_count;
    uint64_t spare[18];
};

struct sim_sample {
    uint64_t stamp_us;  /* wall clock, at the end of the sample's period */
    uint32_t util_centi; /* hundredths of a percent, as the kernel driver keeps it */
    uint32_t pid;       /* the one owner, or SIM_NO_PID */
    uint32_t power_mw;
    uint32_t reserved;
};

struct sim_process {
    uint32_t pid;
    uint32_t reserved;
    uint64_t memory_used;
};

_Static_assert(sizeof(struct sim_header) == 256, "header");
_Static_assert(sizeof(struct sim_gpu) == 368, "gpu");
_Static_assert(sizeof(struct sim_sample) == 24, "sample");
_Static_assert(sizeof(struct sim_process) == 16, "process");

#endif
