// What each layer of a model hands on to the next. No pybind11.

#pragma once

#include "engine/graph_observer.h"

#include <cstdint>
#include <map>
#include <vector>

namespace slmprof {

// Of the tokens that were run since the last call of take(), in their order.
struct LayerOutput {
    int64_t            n_embd = 0;
    std::vector<float> values; // [n_tokens, n_embd]
};

class LayerOutputs : public GraphObserver {
  public:
    bool wants(const ggml_tensor & tensor) override;
    void see(const ggml_tensor & tensor) override;

    // By the number of the layer.
    std::map<int, LayerOutput> take();

  private:
    std::map<int, LayerOutput> outputs_;
};

} // namespace slmprof
