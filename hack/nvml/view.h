/* What the families share: the way from a handle to the simulator's facts. */
#ifndef SIM_VIEW_H
#define SIM_VIEW_H

#include <stddef.h>

#include "mapping.h"
#include "nvml_abi.h"

#define NO_SLOT 0xFFFFFFFFu

/* One GPU as it was at one instant. Frees with snapshot_free. */
struct snapshot {
    void *memory; /* all lists */
    struct sim_gpu gpu;
    uint32_t sample_count;
    uint32_t process_count;
    uint32_t account_count;
    struct sim_sample *samples; /* oldest first */
    struct sim_process *processes;
    struct sim_account *accounts;
};

nvmlReturn_t view_open(void);  /* counts: the first one maps */
nvmlReturn_t view_close(void); /* the last one makes every call UNINITIALIZED */

/* NULL before view_open. */
const struct sim_header *view_header(void);
int64_t view_now(const struct sim_header *header); /* of the simulation */

/* What never changes of a GPU; UNINITIALIZED, INVALID_ARGUMENT, or NOT_SUPPORTED for a MIG device. index may be NULL. */
nvmlReturn_t view_device(nvmlDevice_t device, const struct sim_gpu **gpu, unsigned *index);
nvmlDevice_t view_handle(unsigned index);
const struct sim_gpu *view_gpu(const struct sim_header *header, unsigned index);

/* Everything of a GPU, consistent. */
nvmlReturn_t snapshot_take(nvmlDevice_t device, struct snapshot *out);
/* The same for a GPU or a MIG device; slot is the MIG device's number, or NO_SLOT. */
nvmlReturn_t snapshot_any(nvmlDevice_t device, struct snapshot *out, unsigned *index, unsigned *slot);
void snapshot_free(struct snapshot *snapshot);

const struct sim_gpu_instance *gpu_instance_of(const struct snapshot *now, uint32_t gi); /* NULL: there is none */
const struct sim_profile *profile_of(const struct sim_gpu *gpu, uint32_t id);

/* How the driver fails now. Every exported call begins with this; a call that hangs does not come back from it. */
nvmlReturn_t failures_gate(const char *call, nvmlDevice_t device);
int failures_gone(const struct sim_header *header, unsigned index);
void failures_initialized(const struct sim_header *header);
#define GATE(device)                                                                                                   \
    do {                                                                                                               \
        nvmlReturn_t gate_ = failures_gate(__func__, (device));                                                        \
        if (gate_ != NVML_SUCCESS)                                                                                     \
            return gate_;                                                                                              \
    } while (0)

uint32_t percent(uint64_t centi_sum, uint64_t count); /* rounds as the scenario says */
nvmlReturn_t copy_text(char *to, unsigned length, const char *text);

#endif
