/* The part of NVML's binary interface that callers of this library rely on (x86-64, layouts as in nvml.h 13). */
#ifndef NVML_ABI_H
#define NVML_ABI_H

#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_TIMEOUT = 10,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_OPERATING_SYSTEM = 17,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_MEMORY = 20,
    NVML_ERROR_NO_DATA = 21,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct nvmlEventSet_st *nvmlEventSet_t;
typedef struct nvmlGpuInstance_st *nvmlGpuInstance_t;
typedef struct nvmlComputeInstance_st *nvmlComputeInstance_t;
typedef struct nvmlGpmSample_st *nvmlGpmSample_t;

typedef enum {
    NVML_VALUE_TYPE_UNSIGNED_INT = 1,
    NVML_VALUE_TYPE_UNSIGNED_LONG_LONG = 3,
} nvmlValueType_t;

typedef union {
    double dVal;
    int32_t siVal;
    uint32_t uiVal;
    uint64_t ulVal;
    uint64_t ullVal;
    int64_t sllVal;
} nvmlValue_t;

enum {
    NVML_TOTAL_POWER_SAMPLES = 0,
    NVML_GPU_UTILIZATION_SAMPLES = 1,
    NVML_MEMORY_UTILIZATION_SAMPLES = 2,
};
enum { NVML_TOPOLOGY_INTERNAL = 0, NVML_TOPOLOGY_NODE = 40 };
#define NVML_INSTANCE_NONE 0xFFFFFFFFu

typedef struct {
    uint32_t gpu, memory;
} nvmlUtilization_t;

typedef struct {
    uint64_t total, free, used;
} nvmlMemory_t;

typedef struct {
    uint32_t version;
    uint64_t total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
    char busIdLegacy[16];
    uint32_t domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

typedef struct {
    uint32_t pid;
    uint64_t usedGpuMemory;
    uint32_t gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

typedef struct {
    uint32_t pid;
    uint64_t timeStamp;
    uint32_t smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;

typedef struct {
    uint64_t timeStamp;
    uint32_t pid, smUtil, memUtil, encUtil, decUtil, jpgUtil, ofaUtil;
} nvmlProcessUtilizationInfo_v1_t;

typedef struct {
    uint32_t version, processSamplesCount;
    uint64_t lastSeenTimeStamp;
    nvmlProcessUtilizationInfo_v1_t *procUtilArray;
} nvmlProcessesUtilizationInfo_v1_t;

typedef struct {
    uint64_t timeStamp;
    nvmlValue_t sampleValue;
} nvmlSample_t;

typedef struct {
    uint32_t fieldId, scopeId;
    int64_t timestamp, latencyUsec;
    uint32_t valueType;
    int32_t nvmlReturn;
    nvmlValue_t value;
} nvmlFieldValue_t;

typedef struct {
    uint32_t version, sensorType;
    int32_t temperature;
} nvmlTemperature_v1_t;

typedef struct {
    nvmlDevice_t device;
    uint64_t eventType, eventData;
    uint32_t gpuInstanceId, computeInstanceId;
} nvmlEventData_t;

typedef struct {
    uint32_t multiprocessorCount, sharedCopyEngineCount, sharedDecoderCount, sharedEncoderCount, sharedJpegCount,
        sharedOfaCount, gpuInstanceSliceCount, computeInstanceSliceCount;
    uint64_t memorySizeMB;
} nvmlDeviceAttributes_t;

typedef struct {
    uint32_t start, size;
} nvmlGpuInstancePlacement_t;

typedef struct {
    nvmlDevice_t device;
    uint32_t id, profileId;
    nvmlGpuInstancePlacement_t placement;
} nvmlGpuInstanceInfo_t;

typedef struct {
    nvmlDevice_t device;
    nvmlGpuInstance_t gpuInstance;
    uint32_t id, profileId;
    nvmlGpuInstancePlacement_t placement;
} nvmlComputeInstanceInfo_t;

typedef struct {
    uint32_t id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount, copyEngineCount, decoderCount,
        encoderCount, jpegCount, ofaCount;
    uint64_t memorySizeMB;
} nvmlGpuInstanceProfileInfo_t;

/* Version 3 has the same layout, with capabilities in the place of isP2pSupported. */
typedef struct {
    uint32_t version, id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount, copyEngineCount,
        decoderCount, encoderCount, jpegCount, ofaCount;
    uint64_t memorySizeMB;
    char name[96];
} nvmlGpuInstanceProfileInfo_v2_t;

typedef struct {
    uint32_t gpuUtilization, memoryUtilization;
    uint64_t maxMemoryUsage, time, startTime;
    uint32_t isRunning, reserved[5];
} nvmlAccountingStats_t;

typedef struct {
    uint32_t pid, isRunning, gpuUtilization, memoryUtilization;
    uint64_t maxMemoryUsage;
    uint32_t sampleCount;
    uint64_t sumGpuUtil, sumFbUtil, time, startTime;
} nvmlAccountingStats_v2_t;

typedef struct {
    uint32_t version, isSupportedDevice;
} nvmlGpmSupport_t;

typedef struct {
    uint32_t metricId;
    int32_t nvmlReturn;
    double value;
    const char *shortName, *longName, *unit;
} nvmlGpmMetric_t;

/* How long the array is differs between versions of the header, so only numMetrics entries are touched. */
typedef struct {
    uint32_t version, numMetrics;
    nvmlGpmSample_t sample1, sample2;
    nvmlGpmMetric_t metrics[];
} nvmlGpmMetricsGet_t;

_Static_assert(sizeof(nvmlValue_t) == 8, "Value");
_Static_assert(sizeof(nvmlUtilization_t) == 8, "Utilization");
_Static_assert(sizeof(nvmlMemory_t) == 24, "Memory");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "Memory_v2");
_Static_assert(sizeof(nvmlPciInfo_t) == 68, "PciInfo");
_Static_assert(sizeof(nvmlProcessInfo_t) == 24, "ProcessInfo");
_Static_assert(sizeof(nvmlProcessUtilizationSample_t) == 32, "ProcessUtilizationSample");
_Static_assert(sizeof(nvmlProcessUtilizationInfo_v1_t) == 40, "ProcessUtilizationInfo");
_Static_assert(sizeof(nvmlProcessesUtilizationInfo_v1_t) == 24, "ProcessesUtilizationInfo");
_Static_assert(sizeof(nvmlSample_t) == 16, "Sample");
_Static_assert(sizeof(nvmlFieldValue_t) == 40, "FieldValue");
_Static_assert(sizeof(nvmlTemperature_v1_t) == 12, "Temperature");
_Static_assert(sizeof(nvmlEventData_t) == 32, "EventData");

_Static_assert(sizeof(nvmlDeviceAttributes_t) == 40, "DeviceAttributes");
_Static_assert(sizeof(nvmlGpuInstanceInfo_t) == 24, "GpuInstanceInfo");
_Static_assert(sizeof(nvmlComputeInstanceInfo_t) == 32, "ComputeInstanceInfo");
_Static_assert(sizeof(nvmlGpuInstanceProfileInfo_t) == 48, "GpuInstanceProfileInfo");
_Static_assert(sizeof(nvmlGpuInstanceProfileInfo_v2_t) == 152, "GpuInstanceProfileInfo_v2");
_Static_assert(sizeof(nvmlAccountingStats_t) == 56, "AccountingStats");
_Static_assert(sizeof(nvmlAccountingStats_v2_t) == 64, "AccountingStats_v2");
_Static_assert(sizeof(nvmlGpmMetric_t) == 40, "GpmMetric");
_Static_assert(sizeof(nvmlGpmMetricsGet_t) == 24, "GpmMetricsGet");

#define NVML_VERSION(type, number) ((uint32_t)sizeof(type) | ((uint32_t)(number) << 24))

#endif
