// What of a model llama.cpp's versions tell in different ways: see parameters.h.

#pragma once

#include "llama-model.h"

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

namespace slmprof::llama_api {

template <typename Hparams, typename = void> struct CountsLayers : std::false_type {};
template <typename Hparams>
struct CountsLayers<Hparams, std::void_t<decltype(std::declval<const Hparams &>().n_layer())>> : std::true_type {};

// Layers that a token goes through: a function where a model may have others as well.
template <typename Hparams> uint32_t n_layers(const Hparams & hparams) {
    if constexpr (CountsLayers<Hparams>::value) {
        return hparams.n_layer();
    } else {
        return hparams.n_layer;
    }
}

template <typename Model, typename = void> struct HasFileType : std::false_type {};
template <typename Model>
struct HasFileType<Model, std::void_t<decltype(llama_ftype_name(llama_model_ftype(std::declval<const Model *>())))>>
    : std::true_type {};

// The name of a model's file type, such as "Q4_K - Medium".
template <typename Model> std::string file_type(const Model & model) {
    if constexpr (HasFileType<Model>::value) {
        return llama_ftype_name(llama_model_ftype(&model));
    } else {
        // It ends the model's description, after two other names.
        const std::string text  = model.desc();
        const size_t      begin = model.arch_name().size() + model.type_name().size() + 2;
        return text.size() > begin ? text.substr(begin) : "";
    }
}

}  // namespace slmprof::llama_api
