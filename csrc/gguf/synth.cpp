#include "gguf/synth.h"

#include "gguf/atomic_file.h"
#include "ggml.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace slmprof {
namespace {

constexpr size_t k_chunk_bytes = size_t(4) << 20; // written at a time, and what a thread takes at a time

uint64_t hash_name(const std::string & name) {
    uint64_t hash = 0xcbf29ce484222325ull; // FNV-1a
    for (const char c : name) {
        hash = (hash ^ uint8_t(c)) * 0x100000001b3ull;
    }
    return hash;
}

// A piece of one tensor: what one thread fills and writes in one go.
struct Chunk {
    const RandomPool * pool;
    uint64_t           stream_seed, offset_bytes;
    size_t             size_bytes;
};

} // namespace

void write_random_gguf(const std::string & path, const Metadata & metadata, const std::vector<RandomTensor> & tensors,
                       uint64_t seed, int n_threads, const PollFunction & poll) {
    std::vector<TensorSpec> specs(tensors.size());
    std::transform(tensors.begin(), tensors.end(), specs.begin(), [](const RandomTensor & tensor) { return tensor.spec; });
    const GgufHeader header(metadata, specs);

    std::map<std::pair<ggml_type, TensorFill>, std::unique_ptr<RandomPool>> pools;
    std::vector<Chunk> chunks;
    for (size_t i = 0; i < tensors.size(); ++i) {
        const auto & [spec, fill] = tensors[i];
        auto & pool = pools[{ spec.type, fill }];
        if (!pool) {
            pool = std::make_unique<RandomPool>(spec.type, fill, seed);
            poll();
        }
        const uint64_t tensor_seed = mix_seeds(seed, hash_name(spec.name));
        const auto & [begin_bytes, size_bytes] = header.tensors[i];
        const size_t step_bytes = std::max<size_t>(1, k_chunk_bytes / pool->unit_bytes()) * pool->unit_bytes();
        for (size_t done = 0; done < size_bytes; done += step_bytes) {
            chunks.push_back({ pool.get(), mix_seeds(tensor_seed, done / step_bytes), begin_bytes + done,
                               std::min(step_bytes, size_bytes - done) });
        }
    }

    AtomicFile file(path);
    file.resize(header.file_bytes);
    file.write_at(header.bytes.data(), header.bytes.size(), 0);

    std::atomic<size_t> next{ 0 };
    std::atomic<bool>   stop{ false };
    std::exception_ptr  error;
    std::mutex          error_mutex;
    const auto work = [&](const PollFunction * poll_here) {
        try {
            std::vector<uint8_t> buffer;
            for (size_t i = next.fetch_add(1); i < chunks.size() && !stop; i = next.fetch_add(1)) {
                buffer.resize(std::max(buffer.size(), chunks[i].size_bytes));
                chunks[i].pool->fill(buffer.data(), chunks[i].size_bytes, chunks[i].stream_seed);
                file.write_at(buffer.data(), chunks[i].size_bytes, chunks[i].offset_bytes);
                if (poll_here != nullptr) {
                    (*poll_here)();
                }
            }
        } catch (...) {
            stop = true;
            const std::lock_guard<std::mutex> lock(error_mutex);
            if (!error) {
                error = std::current_exception();
            }
        }
    };

    if (n_threads <= 0) {
        n_threads = int(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
    }
    std::vector<std::thread> workers;
    for (int i = 1; i < n_threads; ++i) {
        try {
            workers.emplace_back(work, static_cast<const PollFunction *>(nullptr));
        } catch (const std::system_error &) {
            break; // fewer threads do the same work
        }
    }
    work(&poll);
    for (std::thread & worker : workers) {
        worker.join();
    }
    if (error) {
        std::rethrow_exception(error);
    }
    file.commit();
}

} // namespace slmprof
