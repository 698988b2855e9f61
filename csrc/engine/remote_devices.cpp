#include "engine/remote_devices.h"

#include "record/device_lanes.h"

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace slmprof {
namespace {

constexpr int k_connect_ms = 5000;
constexpr int k_answer_ms  = 10000;

// Why no connection to an address can be made; empty where one can.
std::string try_to_connect(const addrinfo & address) {
    const int end = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
    if (end < 0) {
        return std::strerror(errno);
    }
    int error = connect(end, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        pollfd    waiting{ end, POLLOUT, 0 };
        socklen_t size = sizeof(error);
        if (poll(&waiting, 1, k_connect_ms) != 1) {
            error = ETIMEDOUT;
        } else if (getsockopt(end, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
    }
    close(end);
    return error == 0 ? "" : std::strerror(error);
}

// Where HOST:PORT is, or why nobody can be reached there.
struct Reached {
    std::string address, cause;
};

Reached reach(const std::string & endpoint) {
    const size_t colon = endpoint.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == endpoint.size()) {
        return { "", "it is not HOST:PORT" };
    }
    addrinfo hints{};
    hints.ai_family   = AF_INET;  // as ggml's own
    hints.ai_socktype = SOCK_STREAM;
    addrinfo * found = nullptr;
    const int  error = getaddrinfo(endpoint.substr(0, colon).c_str(), endpoint.substr(colon + 1).c_str(), &hints, &found);
    if (error != 0) {
        return { "", gai_strerror(error) };
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo *)> owner(found, freeaddrinfo);
    char host[NI_MAXHOST] = "";
    getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
    return { host + endpoint.substr(colon), try_to_connect(*found) };
}

struct Answer {
    std::mutex              mutex;
    std::condition_variable came;
    ggml_backend_reg_t      server   = nullptr;
    bool                    is_there = false;
};

using AddServer = ggml_backend_reg_t (*)(const char *);

AddServer find_add_server() {
    ggml_backend_reg_t rpc   = ggml_backend_reg_by_name("RPC");
    void *             found = rpc != nullptr ? ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server") : nullptr;
    if (found == nullptr) {
        throw std::invalid_argument("this build has no RPC; build it with -C cmake.define.GGML_RPC=ON");
    }
    return reinterpret_cast<AddServer>(found);
}

// ggml waits for an answer for ever: of a server that serves another process, or of what is no such server.
ggml_backend_reg_t shake_hands(AddServer add_server, const std::string & endpoint) {
    const auto answer = std::make_shared<Answer>();
    std::thread([=] {
        ggml_backend_reg_t                server = add_server(endpoint.c_str());
        const std::lock_guard<std::mutex> lock(answer->mutex);
        answer->server   = server;
        answer->is_there = true;
        answer->came.notify_one();
    }).detach();
    std::unique_lock<std::mutex> lock(answer->mutex);
    if (!answer->came.wait_for(lock, std::chrono::milliseconds(k_answer_ms), [&] { return answer->is_there; })) {
        throw std::invalid_argument("what listens at " + endpoint + " does not answer as an RPC server within " +
                                    std::to_string(k_answer_ms / 1000) +
                                    " s: is it one, and does it serve no other process at the moment?");
    }
    return answer->server;
}

}  // namespace

std::vector<ggml_backend_dev_t> connect_remote(const std::string & endpoint) {
    const AddServer                                               add_server = find_add_server();
    static std::mutex                                             mutex;
    static std::map<std::string, std::vector<ggml_backend_dev_t>> known;
    static std::map<std::string, std::string>                     names;  // by address
    const std::lock_guard<std::mutex>                             lock(mutex);
    const Reached                                                 reached = reach(endpoint);
    if (!reached.cause.empty()) {
        throw std::invalid_argument("no RPC server answers at " + endpoint + " (" + reached.cause +
                                    "); start llama.cpp's ggml-rpc-server there");
    }
    // It would serve one of the two connections, and the other would wait for ever.
    const std::string & name = names.try_emplace(reached.address, endpoint).first->second;
    if (name != endpoint) {
        throw std::invalid_argument(endpoint + " is the RPC server " + name + " once more; name it once");
    }
    if (const auto found = known.find(endpoint); found != known.end()) {
        return found->second;
    }
    ggml_backend_reg_t server = shake_hands(add_server, endpoint);
    if (server == nullptr || ggml_backend_reg_dev_count(server) == 0) {
        throw std::invalid_argument("the RPC server at " + endpoint + " has no devices");
    }
    ggml_backend_register(server);
    std::vector<ggml_backend_dev_t> devices;
    for (size_t i = 0; i < ggml_backend_reg_dev_count(server); i++) {
        devices.push_back(ggml_backend_reg_dev_get(server, i));
    }
    return known[endpoint] = devices;
}

bool is_reachable(ggml_backend_dev_t device) {
    // A remote device is described by where it is.
    return !is_of_backend(device, "RPC") || reach(ggml_backend_dev_description(device)).cause.empty();
}

}  // namespace slmprof
