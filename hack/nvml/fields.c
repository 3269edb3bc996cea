/* Field values: the same facts by number, each with its own stamp and its own error. */
#include <time.h>

#include "view.h"

enum {
    FIELD_TOTAL_ENERGY = 83,
    FIELD_POWER_AVERAGE = 185,
    FIELD_POWER_INSTANT = 186,
};

static void read_field(const struct snapshot *now, nvmlFieldValue_t *field) {
    field->nvmlReturn = NVML_SUCCESS;
    switch (field->fieldId) {
    case FIELD_TOTAL_ENERGY:
        field->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
        field->value.ullVal = now->gpu.energy_mj;
        break;
    case FIELD_POWER_AVERAGE:
    case FIELD_POWER_INSTANT:
        field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        field->value.uiVal = now->gpu.power_mw;
        break;
    default:
        field->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    }
}

EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    GATE(device);
    struct snapshot now;
    struct timespec wall;
    nvmlReturn_t result = values && count > 0 ? snapshot_take(device, &now) : NVML_ERROR_INVALID_ARGUMENT;
    if (result != NVML_SUCCESS)
        return result;
    clock_gettime(CLOCK_REALTIME, &wall);
    for (int i = 0; i < count; i++) {
        values[i].timestamp = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000;
        values[i].latencyUsec = 1;
        values[i].value.ullVal = 0;
        read_field(&now, &values[i]);
    }
    snapshot_free(&now);
    return NVML_SUCCESS;
}
