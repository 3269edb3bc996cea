/* What the families share: the way from a handle to the simulator's facts. */
#ifndef SIM_VIEW_H
#define SIM_VIEW_H

#include <stddef.h>

#include "mapping.h"
#include "nvml_abi.h"

/* One GPU as it was at one instant. Frees with snapshot_free. */
struct snapshot {
    void *memory; /* both lists */
    struct sim_gpu gpu;
    uint32_t sample_count;
    uint32_t process_count;
    struct sim_sample *samples; /* oldest first */
    struct sim_process *processes;
};

nvmlReturn_t view_open(void);  /* counts: the first one maps */
nvmlReturn_t view_close(void); /* the last one makes every call UNINITIALIZED */

/* NULL before view_open. */
const struct sim_header *view_header(void);

/* What never changes of a device; UNINITIALIZED or INVALID_ARGUMENT. index may be NULL. */
nvmlReturn_t view_device(nvmlDevice_t device, const struct sim_gpu **gpu, unsigned *index);
nvmlDevice_t view_handle(unsigned index);
const struct sim_gpu *view_gpu(const struct sim_header *header, unsigned index);

/* Everything of a device, consistent. */
nvmlReturn_t snapshot_take(nvmlDevice_t device, struct snapshot *out);
void snapshot_free(struct snapshot *snapshot);

uint32_t percent(uint64_t centi_sum, uint64_t count); /* rounds as the scenario says */
nvmlReturn_t copy_text(char *to, unsigned length, const char *text);

#endif
