#include "cuda/device_observer.h"

#include <stdexcept>

namespace slmprof {

std::atomic<DeviceObserver *> DeviceObserver::active_{ nullptr };

void DeviceObserver::observe() {
    DeviceObserver * before = nullptr;
    if (!active_.compare_exchange_strong(before, this) && before != this) {
        throw std::logic_error("devices are observed already in this process");
    }
}

void DeviceObserver::ignore() {
    DeviceObserver * self = this;
    active_.compare_exchange_strong(self, nullptr);
}

}  // namespace slmprof
