#include "memory/planned_devices.h"

#include "llama_api/parameters.h"

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace slmprof {
namespace {

constexpr size_t k_alignment_bytes = 128;
// Kernels read rows of quantized weights in steps of so many values, also beyond the end of the last one.
constexpr int64_t k_row_values = 512;
// Products of at least so many tokens go to the GPU also where the weights lie in the host's memory.
constexpr int64_t k_offloaded_tokens = 32;
constexpr int     k_n_devices        = 16;

struct PlannedDevice {
    std::string              name, buffer_name;
    ggml_backend_device      device{};
    ggml_backend_buffer_type memory{}, host{};
};

PlannedDevice * of(ggml_backend_dev_t device) { return static_cast<PlannedDevice *>(device->context); }

// --- how large a tensor is there

size_t padded(size_t size) { return (size + k_alignment_bytes - 1) / k_alignment_bytes * k_alignment_bytes; }

// Flash attention computes with 16 bits on tensor cores: caches of other types are converted before, into memory behind
// the result. A single token's kernel reads most types as they are.
size_t flash_attention_bytes(const ggml_tensor * op) {
    const ggml_tensor * queries   = op->src[0];
    const bool          is_single = queries->ne[1] == 1 && queries->ne[0] <= 256 && queries->ne[0] % 64 == 0;
    size_t              size      = ggml_nbytes(op);
    std::pair<const void *, size_t> converted{};
    for (const ggml_tensor * cache : { op->src[1], op->src[2] }) {
        const bool is_read_as_it_is = cache->type == GGML_TYPE_F16 || (is_single && cache->type != GGML_TYPE_F32);
        // Where keys and values are one tensor, they are converted once.
        const std::pair<const void *, size_t> place(cache->view_src != nullptr ? cache->view_src : cache, cache->view_offs);
        if (!is_read_as_it_is && place != converted) {
            size = padded(size) + static_cast<size_t>(ggml_nelements(cache)) * sizeof(ggml_fp16_t);
            converted = place;
        }
    }
    return size;
}

size_t alloc_size(ggml_backend_buffer_type_t, const ggml_tensor * tensor) {
    if (tensor->op == GGML_OP_FLASH_ATTN_EXT) {
        return flash_attention_bytes(tensor);
    }
    const int64_t rest = tensor->ne[0] % k_row_values;
    const bool is_padded = ggml_is_quantized(tensor->type) && rest != 0;
    return ggml_nbytes(tensor) + (is_padded ? ggml_row_size(tensor->type, k_row_values - rest) : 0);
}

// --- who computes what

bool has_flash_attention(const ggml_tensor * op) {
    const ggml_tensor * queries = op->src[0];
    const ggml_tensor * keys    = op->src[1];
    const ggml_tensor * values  = op->src[2];
    for (const ggml_tensor * cache : { keys, values }) {
        const std::initializer_list<ggml_type> types = { GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q4_0,
                                                         GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0 };
        if (std::find(types.begin(), types.end(), cache->type) == types.end()) {
            return false;
        }
    }
    const int64_t n_queries_a_key = queries->ne[2] / keys->ne[2];
    switch (keys->ne[0]) {
        case 40: case 64: case 72: case 80: case 96: case 112: case 128: case 256:
            return values->ne[0] == keys->ne[0];
        case 192: return values->ne[0] == 128 && n_queries_a_key % 8 == 0;
        case 320: return values->ne[0] == 256 && n_queries_a_key % 32 == 0;
        case 512: return values->ne[0] == 512 && n_queries_a_key >= 2;
        case 576: return values->ne[0] == 512 && n_queries_a_key >= 2;
        default:  return false;
    }
}

// What ggml-cuda leaves to the CPU, as far as it is known here; everything else is taken to run on the GPU.
bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_FLASH_ATTN_EXT: return has_flash_attention(op);
        case GGML_OP_MUL_MAT:
        case GGML_OP_MUL_MAT_ID:
            for (int i = 0; i < 2; i++) {
                if (op->src[i]->nb[0] != ggml_element_size(op->src[i])) {
                    return false;
                }
            }
            return op->src[0]->type != GGML_TYPE_TQ1_0 && op->src[0]->type != GGML_TYPE_TQ2_0;
        case GGML_OP_MAP_CUSTOM1:
        case GGML_OP_MAP_CUSTOM2:
        case GGML_OP_MAP_CUSTOM3:
        case GGML_OP_CUSTOM: return false;
        default:             return true;
    }
}

bool supports_buffer_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) { return type == &of(device)->memory; }

bool offloads(ggml_backend_dev_t, const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_GET_ROWS: return false;
        case GGML_OP_MUL_MAT:  return op->ne[1] >= k_offloaded_tokens;
        case GGML_OP_MUL_MAT_ID:
        case GGML_OP_ROPE:
        case GGML_OP_ROPE_BACK: return op->ne[2] >= k_offloaded_tokens;
        default:                return ggml_nrows(op) >= k_offloaded_tokens;
    }
}

// --- buffers, backends and devices as ggml sees them

const char * memory_name(ggml_backend_buffer_type_t type) { return static_cast<PlannedDevice *>(type->context)->buffer_name.c_str(); }

const char * host_name(ggml_backend_buffer_type_t) { return "CUDA_Host"; }

size_t memory_alignment(ggml_backend_buffer_type_t) { return k_alignment_bytes; }

ggml_backend_buffer_t refuse_buffer(ggml_backend_buffer_type_t, size_t) { return nullptr; }

size_t host_alignment(ggml_backend_buffer_type_t) { return ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type()); }

bool is_host(ggml_backend_buffer_type_t) { return true; }

// A planned context makes its output buffer for real.
ggml_backend_buffer_t host_buffer(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (buffer != nullptr) {
        buffer->buft = type;
    }
    return buffer;
}

const char * backend_name(ggml_backend_t backend) { return of(backend->device)->name.c_str(); }

void free_backend(ggml_backend_t backend) { delete backend; }

ggml_status refuse_graph(ggml_backend_t, ggml_cgraph *) { return GGML_STATUS_FAILED; }

ggml_backend_t make_backend(ggml_backend_dev_t device, const char *) {
    static ggml_guid guid = { 0x73, 0x6c, 0x6d, 0x70, 0x72, 0x6f, 0x66, 0x2d, 0x70, 0x6c, 0x61, 0x6e, 0x6e, 0x65, 0x64, 0x00 };
    auto backend = std::make_unique<ggml_backend>();
    backend->guid                = &guid;
    backend->iface.get_name      = backend_name;
    backend->iface.free          = free_backend;
    backend->iface.graph_compute = refuse_graph;
    backend->device              = device;
    return backend.release();
}

const char * device_name(ggml_backend_dev_t device) { return of(device)->name.c_str(); }

const char * device_description(ggml_backend_dev_t) { return "a GPU that plans alone know"; }

void device_memory(ggml_backend_dev_t, size_t * free_bytes, size_t * total_bytes) { *free_bytes = *total_bytes = 0; }

enum ggml_backend_dev_type device_type(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; }

void device_props(ggml_backend_dev_t device, ggml_backend_dev_props * props) {
    *props             = {};
    props->name        = device_name(device);
    props->description = device_description(device);
    props->type        = GGML_BACKEND_DEVICE_TYPE_GPU;
    // With these llama.cpp keeps several copies of a graph's inputs where several GPUs share a model.
    props->caps.async        = true;
    props->caps.events       = true;
    props->caps.host_buffer  = true;
    llama_api::set_mmap_support(props->caps);
}

ggml_backend_buffer_type_t device_buffer_type(ggml_backend_dev_t device) { return &of(device)->memory; }

// There is one for all GPUs, and it belongs to the first.
ggml_backend_buffer_type_t device_host_type(ggml_backend_dev_t device);

const char * registry_name(ggml_backend_reg_t) { return "planned"; }

size_t no_devices(ggml_backend_reg_t) { return 0; }

ggml_backend_dev_t no_device(ggml_backend_reg_t, size_t) { return nullptr; }

void * no_address(ggml_backend_reg_t, const char *) { return nullptr; }

// llama.cpp asks a device's registry for further functions. It is not among ggml's own, which would offer the device
// to whoever names none.
ggml_backend_reg_t registry() {
    static ggml_backend_reg made{ GGML_BACKEND_API_VERSION, { registry_name, no_devices, no_device, no_address }, nullptr };
    return &made;
}

std::unique_ptr<PlannedDevice> make_device(int number) {
    auto made         = std::make_unique<PlannedDevice>();
    made->buffer_name = "CUDA" + std::to_string(number);
    made->name        = k_planned_prefix + made->buffer_name;

    ggml_backend_device & device = made->device;
    device.iface.get_name             = device_name;
    device.iface.get_description      = device_description;
    device.iface.get_memory           = device_memory;
    device.iface.get_type             = device_type;
    device.iface.get_props            = device_props;
    device.iface.init_backend         = make_backend;
    device.iface.get_buffer_type      = device_buffer_type;
    device.iface.get_host_buffer_type = device_host_type;
    device.iface.supports_op          = supports_op;
    device.iface.supports_buft        = supports_buffer_type;
    device.iface.offload_op           = offloads;
    device.reg                        = registry();
    device.context                    = made.get();

    made->memory.iface.get_name       = memory_name;
    made->memory.iface.alloc_buffer   = refuse_buffer;
    made->memory.iface.get_alignment  = memory_alignment;
    made->memory.iface.get_alloc_size = alloc_size;
    made->memory.device               = &device;
    made->memory.context              = made.get();

    made->host.iface.get_name      = host_name;
    made->host.iface.alloc_buffer  = host_buffer;
    made->host.iface.get_alignment = host_alignment;
    made->host.iface.is_host       = is_host;
    made->host.device              = &device;
    made->host.context             = made.get();
    return made;
}

// Those that have been asked for, for as long as the process lives: ggml keeps pointers to them.
class Devices {
  public:
    PlannedDevice & find(int number) {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::unique_ptr<PlannedDevice> &  found = devices_[number];
        if (!found) {
            found = make_device(number);
        }
        return *found;
    }

  private:
    std::mutex                                    mutex_;
    std::map<int, std::unique_ptr<PlannedDevice>> devices_;
};

Devices & devices() {
    static Devices made;
    return made;
}

ggml_backend_buffer_type_t device_host_type(ggml_backend_dev_t) { return &devices().find(0).host; }

}  // namespace

bool is_planned(const std::string & name) { return name.compare(0, std::string(k_planned_prefix).size(), k_planned_prefix) == 0; }

ggml_backend_dev_t planned_device(const std::string & name) {
    for (int number = 0; number < k_n_devices; number++) {
        if (name == k_planned_prefix + ("CUDA" + std::to_string(number))) {
            return &devices().find(number).device;
        }
    }
    throw std::invalid_argument("no planned device '" + name + "'; there are planned:cuda and planned:cuda:1 to planned:cuda:" +
                                std::to_string(k_n_devices - 1));
}

}  // namespace slmprof
