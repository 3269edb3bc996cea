/* The library itself: start and end, errors, and what the system says of itself. */
#include <stdint.h>

#include "view.h"

/* What fails is known only when the mapping is open. */
static nvmlReturn_t begin(const char *call) {
    nvmlReturn_t result = view_open();
    if (result != NVML_SUCCESS)
        return result;
    failures_initialized(view_header());
    result = failures_gate(call, NULL);
    if (result != NVML_SUCCESS)
        view_close();
    return result;
}

EXPORT nvmlReturn_t nvmlInitWithFlags(uint32_t flags) {
    (void)flags;
    return begin(__func__);
}
EXPORT nvmlReturn_t nvmlInit_v2(void) { return begin(__func__); }
EXPORT nvmlReturn_t nvmlInit(void) { return begin(__func__); }
EXPORT nvmlReturn_t nvmlShutdown(void) {
    GATE(NULL);
    return view_close();
}

EXPORT const char *nvmlErrorString(int code) {
    static const char *const texts[] = {
        "Success",
        "Uninitialized",
        "Invalid Argument",
        "Not Supported",
        "Insufficient Permissions",
        "Already Initialized",
        "Not Found",
        "Insufficient Size",
        "Insufficient External Power",
        "Driver Not Loaded",
        "Timeout",
        "Interrupt Request Issue",
        "NVML Shared Library Not Found",
        "Function Not Found",
        "Corrupted infoROM",
        "GPU is lost",
        "GPU requires reset",
        "GPU access blocked by the operating system",
        "Driver/library version mismatch",
        "Insufficient Resources",
        "Insufficient Memory",
        "No data",
    };
    if (code >= 0 && code < (int)(sizeof texts / sizeof *texts))
        return texts[code];
    return code == NVML_ERROR_ARGUMENT_VERSION_MISMATCH ? "Argument Version Mismatch" : "Unknown Error";
}

static nvmlReturn_t driver_version(char *to, unsigned length) {
    const struct sim_header *header = view_header();
    return header ? copy_text(to, length, header->driver_version) : NVML_ERROR_UNINITIALIZED;
}

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
    GATE(NULL);
    return driver_version(version, length);
}

/* NVML numbers itself as CUDA's major version and the driver's. */
EXPORT nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length) {
    GATE(NULL);
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    unsigned major = header->cuda_version / 1000;
    if (!version)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (length < 4)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    version[0] = (char)('0' + major / 10 % 10);
    version[1] = (char)('0' + major % 10);
    version[2] = '.';
    return driver_version(version + 3, length - 3);
}

static nvmlReturn_t cuda_version(int *version) {
    const struct sim_header *header = view_header();
    if (!header)
        return NVML_ERROR_UNINITIALIZED;
    if (!version)
        return NVML_ERROR_INVALID_ARGUMENT;
    *version = (int)header->cuda_version;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
    GATE(NULL);
    return cuda_version(version);
}
EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    GATE(NULL);
    return cuda_version(version);
}
