/* The simulator's shared mapping: it writes, this library reads. hack/simnode/mapping.py holds the same layout.
 *
 * header, failure_count x sim_failure | GPU 0: struct sim_gpu, ring_depth x sim_sample, process_capacity x sim_process,
 * account_capacity x sim_account | GPU 1 ...
 *
 * What changes stands behind a sequence lock per GPU: `sequence` is odd while the simulator writes. A change of
 * this layout needs a new SIM_LAYOUT.
 */
#ifndef SIM_MAPPING_H
#define SIM_MAPPING_H

#include <stdint.h>

#define SIM_MAGIC 0x314d49534c4d564eull /* "NVMLSIM1", little-endian */
#define SIM_LAYOUT 2u
#define SIM_MOST_GPUS 64u
#define SIM_MOST_INSTANCES 8u
#define SIM_MOST_PROFILES 8u
#define SIM_NO_GPU 0xFFFFFFFFu
#define SIM_NO_INSTANCE 0xFFFFFFFFu
#define SIM_NO_PID 0xFFFFFFFFu

enum { SIM_ROUND_DOWN = 0, SIM_ROUND_NEAREST = 1 };
enum sim_failure_kind { SIM_LOST, SIM_GONE, SIM_HANG, SIM_ERROR, SIM_UNINITIALIZED, SIM_MISMATCH };

struct sim_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t header_size; /* with the failures; where GPU 0 begins */
    uint32_t gpu_size;    /* of struct sim_gpu, where its ring begins */
    uint32_t gpu_stride;  /* from one GPU to the next */
    uint32_t gpu_count;
    uint32_t ring_depth;
    uint32_t process_capacity;
    uint32_t rounding;
    uint64_t sample_period_us;
    uint32_t cuda_version; /* 12080 is 12.8 */
    uint32_t failure_count;
    char driver_version[32];
    int64_t now_ns; /* since the simulation's start; the one word of the header that changes */
    uint32_t account_capacity;
    uint32_t reserved;
    uint64_t spare[19];
};

/* The driver fails from an instant until another, both since the simulation's start. */
struct sim_failure {
    int64_t at_ns;
    int64_t until_ns;
    uint32_t kind;
    uint32_t gpu; /* or SIM_NO_GPU: all */
    uint32_t code;
    uint32_t reserved;
    char call[64]; /* a part of names of C symbols; empty: all */
};

/* Nanoseconds of work since the simulation's start, true at the GPU's counted_ns. */
struct sim_counters {
    uint64_t graphics_ns;
    uint64_t sm_ns;
    uint64_t tensor_ns;
    uint64_t dram_ns;
};

struct sim_profile {
    char name[24];
    uint32_t number; /* NVML's constant */
    uint32_t id;     /* the driver's */
    uint32_t slices;
    uint32_t size; /* memory slices */
    uint32_t multiprocessors;
    uint32_t most;
    uint32_t copy_engines;
    uint32_t decoders;
    uint32_t jpegs;
    uint32_t ofas;
    uint32_t starts; /* a bit for each place where it may begin */
    uint32_t reserved;
    uint64_t memory;
};

/* `number` tells instances apart that have the same id one after the other; 0 is an empty slot. */
struct sim_gpu_instance {
    uint32_t number;
    uint32_t gi;
    uint32_t profile_id;
    uint32_t slices;
    uint32_t start;
    uint32_t size;
    uint64_t memory_total;
    uint64_t memory_used;
    struct sim_counters counters;
};

struct sim_compute_instance {
    uint32_t number;
    uint32_t gi;
    uint32_t ci;
    uint32_t slices;
    uint32_t start; /* in its GPU instance's slices */
    uint32_t multiprocessors;
    char uuid[48];
    char name[32]; /* 1c.3g.40gb */
    struct sim_counters counters;
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
    uint32_t slices;
    uint32_t memory_slices;
    uint32_t most_mig_devices;
    uint32_t profile_count;
    uint32_t gpm;
    uint32_t mps;
    uint32_t accounting;
    uint32_t fixed_reserved;
    struct sim_profile profiles[SIM_MOST_PROFILES];
    /* behind the lock */
    uint64_t sequence;
    uint64_t samples_taken; /* ever; sample k stands in slot k % ring_depth */
    uint64_t energy_mj;
    uint64_t memory_used;
    uint32_t power_mw;
    uint32_t process_count;
    uint32_t mig;     /* it is partitioned now */
    uint32_t layouts; /* how many there have been; a change is an event */
    uint32_t account_count;
    uint32_t reserved;
    int64_t counted_ns;
    struct sim_counters counters;
    struct sim_gpu_instance gpu_instances[SIM_MOST_INSTANCES];
    struct sim_compute_instance compute_instances[SIM_MOST_INSTANCES]; /* by the number of the MIG device */
};

struct sim_sample {
    uint64_t stamp_us;  /* wall clock, at the end of the sample's period */
    uint32_t util_centi; /* hundredths of a percent, as the kernel driver keeps it */
    uint32_t pid;       /* the one owner, or SIM_NO_PID */
    uint32_t power_mw;
    uint32_t mig; /* the GPU was partitioned, so this is a sample of its power only */
};

struct sim_process {
    uint32_t pid;
    uint32_t reserved;
    uint64_t memory_used;
    uint32_t gi; /* or SIM_NO_INSTANCE */
    uint32_t ci;
};

struct sim_account {
    uint32_t pid;
    uint32_t running;
    uint32_t samples;
    uint32_t reserved;
    uint64_t sum_centi;
    uint64_t memory;
    uint64_t start_us; /* wall clock */
    uint64_t time_ms;  /* 0 while it runs */
};

_Static_assert(sizeof(struct sim_header) == 256, "header");
_Static_assert(sizeof(struct sim_failure) == 96, "failure");
_Static_assert(sizeof(struct sim_profile) == 80, "profile");
_Static_assert(sizeof(struct sim_gpu_instance) == 72, "GPU instance");
_Static_assert(sizeof(struct sim_compute_instance) == 136, "compute instance");
_Static_assert(sizeof(struct sim_sample) == 24, "sample");
_Static_assert(sizeof(struct sim_process) == 24, "process");
_Static_assert(sizeof(struct sim_account) == 48, "account");

#endif
