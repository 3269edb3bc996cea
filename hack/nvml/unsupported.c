/* The rest of what pynvml looks up. Arguments are not looked at, which this calling convention allows. */
#include "view.h"

#define X(name)                                                                                                        \
    EXPORT nvmlReturn_t name(void);                                                                                    \
    nvmlReturn_t name(void) {                                                                                          \
        GATE(NULL);                                                                                                    \
        return view_header() ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_UNINITIALIZED;                                    \
    }
#include "unsupported.def"
