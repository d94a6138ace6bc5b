/* A stand-in for libcuda.so.1, NVIDIA's driver, for machines that have none. It tells of cards, and nothing can be done
   with them. FAKE_CUDA_VERSION (12040), FAKE_CUDA_CARDS ("Tesla T4=7.5,NVIDIA H100=9.0") and FAKE_CUDA_INIT (an error
   of cuInit) say what it answers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_FOUND = 500 };

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

/* The card number i: its name into `name`, its capability into the numbers; returns whether there is one. */
static int card(int i, char *name, int *major, int *minor) {
    const char *text = setting("FAKE_CUDA_CARDS", "Tesla T4=7.5");
    for (; *text; text += strcspn(text, ","), text += *text == ',')
        if (i-- == 0)
            return sscanf(text, "%63[^=]=%d.%d", name, major, minor) == 3;
    return 0;
}

CUresult cuDriverGetVersion(int *version) {
    *version = atoi(setting("FAKE_CUDA_VERSION", "12040"));
    return 0;
}

CUresult cuInit(unsigned flags) {
    char name[64];
    int error = atoi(setting("FAKE_CUDA_INIT", "0")), major, minor;
    return error ? error : card(0, name, &major, &minor) ? 0 : NO_DEVICE;
}

CUresult cuDeviceGetCount(int *count) {
    char name[64];
    int major, minor;
    for (*count = 0; card(*count, name, &major, &minor); ++*count) {}
    return 0;
}

CUresult cuDeviceGet(int *device, int i) {
    int count;
    cuDeviceGetCount(&count);
    *device = i;
    return i < count ? 0 : INVALID_DEVICE;
}

CUresult cuDeviceGetName(char *name, int length, int device) {
    char found[64];
    int major, minor;
    if (!card(device, found, &major, &minor))
        return INVALID_DEVICE;
    snprintf(name, length, "%s", found);
    return 0;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    char name[64];
    int major, minor;
    if (!card(device, name, &major, &minor))
        return INVALID_DEVICE;
    *value = attribute == 75 ? major : attribute == 76 ? minor : 1;
    return 0;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = error == NO_DEVICE ? "no CUDA-capable device is detected" : error == 999 ? "unknown error" : "an error";
    return 0;
}

/* CUDA's runtime takes the driver's functions from these two. The tables are NVIDIA's secret, and without them the
   runtime refuses to work: error 500, after the checks of version and cards. */
CUresult cuGetProcAddress(const char *symbol, void **function, int version, unsigned long flags) {
    *function = dlsym(RTLD_DEFAULT, symbol);
    return *function ? 0 : NOT_FOUND;
}

CUresult cuGetExportTable(const void **table, const void *id) { return NOT_FOUND; }

/* What libmxnet.so must find to be loaded, and never reaches. */
#define NEVER(name) CUresult name(void) { return NOT_FOUND; }
NEVER(cuDevicePrimaryCtxRetain)
NEVER(cuGraphKernelNodeGetParams)
NEVER(cuGraphNodeGetType)
NEVER(cuLaunchKernel)
NEVER(cuModuleGetFunction)
NEVER(cuModuleLoadData)
NEVER(cuModuleLoadDataEx)
NEVER(cuModuleUnload)
