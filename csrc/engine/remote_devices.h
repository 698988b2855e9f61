// Devices of other processes, by ggml's RPC backend.

#pragma once

#include "ggml-backend.h"

#include <string>
#include <vector>

namespace slmprof {

// What the name of a remote device begins with: rpc:HOST:PORT.
constexpr const char * k_remote_prefix = "rpc:";

// The devices of the server at HOST:PORT, which ggml knows from then on. Throws std::invalid_argument where the build
// has no RPC, or nobody answers there: ggml would end the process.
std::vector<ggml_backend_dev_t> connect_remote(const std::string & endpoint);

// Whether a device can be asked for anything: ggml ends the process where the server of a remote one is gone.
bool is_reachable(ggml_backend_dev_t device);

}  // namespace slmprof
