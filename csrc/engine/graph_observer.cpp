#include "engine/graph_observer.h"

namespace slmprof {

bool ObserverSlot::on_tensor(ggml_tensor * tensor, bool asks, void * slot) {
    GraphObserver * observer = slot == nullptr ? nullptr : static_cast<ObserverSlot *>(slot)->observer;
    if (observer == nullptr) {
        return false;
    }
    if (asks) {
        return observer->wants(*tensor);
    }
    observer->see(*tensor);
    return true; // go on
}

} // namespace slmprof
