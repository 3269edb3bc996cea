/* Prints sizes and offsets of the mapping as NAME VALUE lines. */
#include <stddef.h>
#include <stdio.h>

#include "mapping.h"

#define SIZE(type) printf("%s %zu\n", #type, sizeof(struct type))
#define AT(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(struct type, field))

int main(void) {
    printf("SIM_MAGIC %llu\nSIM_LAYOUT %u\nSIM_NO_PID %u\nSIM_MOST_GPUS %u\n", SIM_MAGIC, SIM_LAYOUT, SIM_NO_PID,
           SIM_MOST_GPUS);
    SIZE(sim_header);
    SIZE(sim_gpu);
    SIZE(sim_sample);
    SIZE(sim_process);
    AT(sim_header, layout);
    AT(sim_header, header_size);
    AT(sim_header, gpu_size);
    AT(sim_header, gpu_stride);
    AT(sim_header, gpu_count);
    AT(sim_header, ring_depth);
    AT(sim_header, process_capacity);
    AT(sim_header, rounding);
    AT(sim_header, sample_period_us);
    AT(sim_header, cuda_version);
    AT(sim_header, driver_version);
    AT(sim_gpu, uuid);
    AT(sim_gpu, name);
    AT(sim_gpu, minor);
    AT(sim_gpu, architecture);
    AT(sim_gpu, capability_major);
    AT(sim_gpu, capability_minor);
    AT(sim_gpu, pci_bus);
    AT(sim_gpu, pci_device_id);
    AT(sim_gpu, mig_capable);
    AT(sim_gpu, power_limit_mw);
    AT(sim_gpu, memory_total);
    AT(sim_gpu, sequence);
    AT(sim_gpu, samples_taken);
    AT(sim_gpu, energy_mj);
    AT(sim_gpu, memory_used);
    AT(sim_gpu, power_mw);
    AT(sim_gpu, process_count);
    AT(sim_sample, stamp_us);
    AT(sim_sample, util_centi);
    AT(sim_sample, pid);
    AT(sim_sample, power_mw);
    AT(sim_process, pid);
    AT(sim_process, memory_used);
    return 0;
}
