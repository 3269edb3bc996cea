/* Handles of MIG devices and of instances.
 *
 * One that was given out for an instance that is no more is refused, until the same value is given out for another
 * instance: whoever keeps handles over a reconfiguration reads a stranger.
 */
#include "handles.h"

handle_table mig_handles, gpu_instance_handles, compute_instance_handles;

void *handle_for(handle_table table, unsigned index, unsigned slot, uint32_t number) {
    atomic_store(&table[index][slot].number, number);
    return &table[index][slot];
}

int handle_in(handle_table table, const void *handle, unsigned *index, unsigned *slot, uint32_t *number) {
    uintptr_t at = (uintptr_t)handle, first = (uintptr_t)table, size = sizeof(struct instance_handle);
    if (at < first || at >= first + SIM_MOST_GPUS * SIM_MOST_INSTANCES * size || (at - first) % size)
        return 0;
    *index = (unsigned)((at - first) / size / SIM_MOST_INSTANCES);
    *slot = (unsigned)((at - first) / size % SIM_MOST_INSTANCES);
    *number = atomic_load(&table[*index][*slot].number);
    return *number != 0;
}
