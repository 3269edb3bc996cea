/* Prints sizes and offsets of the mapping as NAME VALUE lines. */
#include <stddef.h>
#include <stdio.h>

#include "mapping.h"

#define SIZE(type) printf("%s %zu\n", #type, sizeof(struct type))
#define AT(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(struct type, field))

int main(void) {
    printf("SIM_MAGIC %llu\nSIM_LAYOUT %u\nSIM_NO_PID %u\nSIM_MOST_GPUS %u\nSIM_MOST_INSTANCES %u\n", SIM_MAGIC,
           SIM_LAYOUT, SIM_NO_PID, SIM_MOST_GPUS, SIM_MOST_INSTANCES);
    SIZE(sim_header);
    SIZE(sim_gpu);
    SIZE(sim_sample);
    SIZE(sim_process);
    SIZE(sim_failure);
    SIZE(sim_profile);
    SIZE(sim_gpu_instance);
    SIZE(sim_compute_instance);
    SIZE(sim_account);
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
    AT(sim_header, failure_count);
    AT(sim_header, now_ns);
    AT(sim_header, account_capacity);
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
    AT(sim_gpu, slices);
    AT(sim_gpu, memory_slices);
    AT(sim_gpu, most_mig_devices);
    AT(sim_gpu, profile_count);
    AT(sim_gpu, gpm);
    AT(sim_gpu, mps);
    AT(sim_gpu, accounting);
    AT(sim_gpu, profiles);
    AT(sim_gpu, sequence);
    AT(sim_gpu, samples_taken);
    AT(sim_gpu, energy_mj);
    AT(sim_gpu, memory_used);
    AT(sim_gpu, power_mw);
    AT(sim_gpu, process_count);
    AT(sim_gpu, mig);
    AT(sim_gpu, layouts);
    AT(sim_gpu, account_count);
    AT(sim_gpu, counted_ns);
    AT(sim_gpu, counters);
    AT(sim_gpu, gpu_instances);
    AT(sim_gpu, compute_instances);
    AT(sim_sample, stamp_us);
    AT(sim_sample, util_centi);
    AT(sim_sample, pid);
    AT(sim_sample, power_mw);
    AT(sim_sample, mig);
    AT(sim_process, pid);
    AT(sim_process, memory_used);
    AT(sim_process, gi);
    AT(sim_process, ci);
    AT(sim_failure, at_ns);
    AT(sim_failure, until_ns);
    AT(sim_failure, kind);
    AT(sim_failure, gpu);
    AT(sim_failure, code);
    AT(sim_failure, call);
    AT(sim_profile, name);
    AT(sim_profile, number);
    AT(sim_profile, id);
    AT(sim_profile, slices);
    AT(sim_profile, size);
    AT(sim_profile, multiprocessors);
    AT(sim_profile, most);
    AT(sim_profile, copy_engines);
    AT(sim_profile, decoders);
    AT(sim_profile, jpegs);
    AT(sim_profile, ofas);
    AT(sim_profile, starts);
    AT(sim_profile, memory);
    AT(sim_gpu_instance, number);
    AT(sim_gpu_instance, gi);
    AT(sim_gpu_instance, profile_id);
    AT(sim_gpu_instance, slices);
    AT(sim_gpu_instance, start);
    AT(sim_gpu_instance, size);
    AT(sim_gpu_instance, memory_total);
    AT(sim_gpu_instance, memory_used);
    AT(sim_gpu_instance, counters);
    AT(sim_compute_instance, number);
    AT(sim_compute_instance, gi);
    AT(sim_compute_instance, ci);
    AT(sim_compute_instance, slices);
    AT(sim_compute_instance, start);
    AT(sim_compute_instance, multiprocessors);
    AT(sim_compute_instance, uuid);
    AT(sim_compute_instance, name);
    AT(sim_compute_instance, counters);
    AT(sim_account, pid);
    AT(sim_account, running);
    AT(sim_account, samples);
    AT(sim_account, sum_centi);
    AT(sim_account, memory);
    AT(sim_account, start_us);
    AT(sim_account, time_ms);
    return 0;
}
