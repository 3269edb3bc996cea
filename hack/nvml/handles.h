/* Handles of MIG devices and of instances, by GPU and slot: values are few and are used again. */
#ifndef HANDLES_H
#define HANDLES_H
#include <stdatomic.h>

#include "mapping.h"

struct instance_handle {
    _Atomic uint32_t number; /* of the instance for which it was given out last */
};
typedef struct instance_handle handle_table[SIM_MOST_GPUS][SIM_MOST_INSTANCES];
extern handle_table mig_handles, gpu_instance_handles, compute_instance_handles;

void *handle_for(handle_table table, unsigned index, unsigned slot, uint32_t number);
/* false: it is none of the table's */
int handle_in(handle_table table, const void *handle, unsigned *index, unsigned *slot, uint32_t *number);
#endif
