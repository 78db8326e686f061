// SPDX-License-Identifier: Apache-2.0
// What the machine can do at best, for the figures that stand beside it: SHA-256, copying memory, making a write durable, and
// bare system calls.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "tests/support/temp_dir.h"

namespace {

constexpr std::size_t large = 64u << 20;

void sha256(benchmark::State& state) {
  const std::string bytes(large, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(cairn::base::sha256(bytes));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * large));
}
BENCHMARK(sha256)->Unit(benchmark::kMillisecond);

void copy_memory(benchmark::State& state) {
  const std::vector<char> from(large, 'x');
  std::vector<char> to(large);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), large);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * large));
}
BENCHMARK(copy_memory)->Unit(benchmark::kMillisecond);

void write_4k_durably(benchmark::State& state) {
  const cairn::test::TempDir dir;
  const cairn::base::Fd file = cairn::base::open_host(dir / "file", O_CREAT | O_WRONLY, 0644).value();
  const std::string block(4096, 'x');
  for (auto _ : state) {
    if (::pwrite(file.get(), block.data(), block.size(), 0) != 4096 || ::fdatasync(file.get()) != 0) state.SkipWithError("write");
  }
}
BENCHMARK(write_4k_durably)->Unit(benchmark::kMicrosecond)->UseRealTime();

void bare_system_call(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(::syscall(SYS_getppid));
}
BENCHMARK(bare_system_call);

void stat_of_a_file(benchmark::State& state) {
  const cairn::test::TempDir dir;
  const std::string path = dir.path().str();
  struct ::stat status {};
  for (auto _ : state) benchmark::DoNotOptimize(::stat(path.c_str(), &status));
}
BENCHMARK(stat_of_a_file);

}  // namespace

BENCHMARK_MAIN();
