// Who looks at the tensors of a graph while it is computed: llama.cpp's eval callback.

#pragma once

struct ggml_tensor;

namespace slmprof {

class GraphObserver {
  public:
    virtual ~GraphObserver() = default;

    // Whether the values of this tensor are asked for. The graph is computed in pieces that end with such tensors.
    virtual bool wants(const ggml_tensor & tensor) = 0;

    // Its values are there, and those of its sources still are.
    virtual void see(const ggml_tensor & tensor) = 0;
};

// Where a context looks for its observer: none while there is nothing to observe.
struct ObserverSlot {
    GraphObserver * observer = nullptr;

    // An eval callback whose data is a slot. What an observer throws goes through llama.cpp.
    static bool on_tensor(ggml_tensor * tensor, bool asks, void * slot);
};

} // namespace slmprof
