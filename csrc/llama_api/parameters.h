// Fields of llama.cpp's and ggml's parameters that its versions name differently, or of which older ones have none. Each
// is looked for in the struct itself: no version's number is asked, and a fork may have some of the new and some of the old.

#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace slmprof::llama_api {

template <typename Params, typename = void> struct HasLoadMode : std::false_type {};
template <typename Params>
struct HasLoadMode<Params, std::void_t<decltype(std::declval<Params>().load_mode)>> : std::true_type {};

// Weights are mapped from the file, or read into memory by plain reads; neither locked nor by direct I/O.
template <typename ModelParams> void set_mapping(ModelParams & params, bool is_mapped) {
    if constexpr (HasLoadMode<ModelParams>::value) {
        using Mode       = decltype(params.load_mode);
        params.load_mode = is_mapped ? Mode::LLAMA_LOAD_MODE_MMAP : Mode::LLAMA_LOAD_MODE_NONE;
    } else {
        params.use_mmap      = is_mapped;
        params.use_direct_io = false;
        params.use_mlock     = false;
    }
}

template <typename Params, typename = void> struct HasOutputsMax : std::false_type {};
template <typename Params>
struct HasOutputsMax<Params, std::void_t<decltype(std::declval<Params>().n_outputs_max)>> : std::true_type {};

// How many tokens of a ubatch give outputs; where llama.cpp has no such limit, all of them always may.
template <typename ContextParams> void set_outputs_max(ContextParams & params, uint32_t n_outputs) {
    if constexpr (HasOutputsMax<ContextParams>::value) {
        params.n_outputs_max = n_outputs;
    }
}

// That of a context that has been made: llama_cparams.
template <typename ContextParams> uint32_t outputs_max(const ContextParams & params) {
    if constexpr (HasOutputsMax<ContextParams>::value) {
        return params.n_outputs_max;
    } else {
        return params.n_batch;
    }
}

template <typename Params, typename = void> struct HasBufferLimit : std::false_type {};
template <typename Params>
struct HasBufferLimit<Params, std::void_t<decltype(std::declval<Params>().max_buf_size)>> : std::true_type {};

// How much of a tensor the quantizer holds at once; where it knows no limit, the whole of it.
template <typename QuantizeParams> void set_buffer_limit(QuantizeParams & params, size_t size_bytes) {
    if constexpr (HasBufferLimit<QuantizeParams>::value) {
        params.max_buf_size = size_bytes;
    }
}

template <typename Caps, typename = void> struct HasMmapSupport : std::false_type {};
template <typename Caps>
struct HasMmapSupport<Caps, std::void_t<decltype(std::declval<Caps>().mmap_support)>> : std::true_type {};

// A device to which weights may go from a mapped file; where ggml has no such field, every one is.
template <typename Caps> void set_mmap_support(Caps & caps) {
    if constexpr (HasMmapSupport<Caps>::value) {
        caps.mmap_support = true;
    }
}

template <typename DeviceType, typename = void> struct HasMeta : std::false_type {};
template <typename DeviceType>
struct HasMeta<DeviceType, std::void_t<decltype(DeviceType::GGML_BACKEND_DEVICE_TYPE_META)>> : std::true_type {};

// Whether a device stands for several others.
template <typename DeviceType> bool is_meta(DeviceType type) {
    if constexpr (HasMeta<DeviceType>::value) {
        return type == DeviceType::GGML_BACKEND_DEVICE_TYPE_META;
    } else {
        return false;
    }
}

}  // namespace slmprof::llama_api
