// SPDX-License-Identifier: Apache-2.0
// What the machine can do at best, for the figures that stand beside it: SHA-256, copying memory, making a write durable, and
// bare system calls.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
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

void make_and_remove_a_file(benchmark::State& state) {
  const cairn::test::TempDir dir;
  const std::string path = (dir / "file").str();
  for (auto _ : state) {
    const int file = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (file < 0 || ::close(file) != 0 || ::unlink(path.c_str()) != 0) state.SkipWithError("make and remove");
  }
}
BENCHMARK(make_and_remove_a_file)->Unit(benchmark::kMicrosecond);

void rename_a_directory(benchmark::State& state) {
  const cairn::test::TempDir dir;
  const std::string one = (dir / "one").str(), other = (dir / "other").str();
  if (::mkdir(one.c_str(), 0755) != 0) state.SkipWithError("mkdir");
  for (auto _ : state)
    if (::rename(one.c_str(), other.c_str()) != 0 || ::rename(other.c_str(), one.c_str()) != 0) state.SkipWithError("rename");
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(rename_a_directory)->Unit(benchmark::kMicrosecond);

// What no store can do without: open a file, map it, take a lock on it, and read a page.
void open_map_and_lock(benchmark::State& state) {
  const cairn::test::TempDir dir;
  const std::string path = (dir / "file").str();
  const std::string page(4096, 'x');
  {
    const cairn::base::Fd file = cairn::base::open_host(dir / "file", O_CREAT | O_WRONLY, 0644).value();
    if (::pwrite(file.get(), page.data(), page.size(), 0) != 4096) state.SkipWithError("write");
  }
  for (auto _ : state) {
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    void* const map = ::mmap(nullptr, page.size(), PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || map == MAP_FAILED || ::flock(file, LOCK_EX | LOCK_NB) != 0) state.SkipWithError("open, map and lock");
    benchmark::DoNotOptimize(*static_cast<const volatile char*>(map));
    ::munmap(map, page.size());
    ::close(file);
  }
}
BENCHMARK(open_map_and_lock)->Unit(benchmark::kMicrosecond);

// A process that ends at once, waited for.
void start_a_process(benchmark::State& state) {
  const char* const words[] = {"/bin/true", nullptr};
  for (auto _ : state) {
    pid_t child = -1;
    int status = 0;
    if (::posix_spawn(&child, words[0], nullptr, nullptr, const_cast<char* const*>(words), nullptr) != 0 || ::waitpid(child, &status, 0) != child)
      state.SkipWithError("start a process");
  }
}
BENCHMARK(start_a_process)->Unit(benchmark::kMicrosecond)->UseRealTime();

// What a message between two threads costs, there and back.
void wake_another_thread_and_back(benchmark::State& state) {
  int to[2], from[2];
  if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) return state.SkipWithError("pipe");
  std::thread other([&] {
    char byte = 0;
    while (::read(to[0], &byte, 1) == 1 && ::write(from[1], &byte, 1) == 1) continue;
  });
  char byte = 'x';
  for (auto _ : state)
    if (::write(to[1], &byte, 1) != 1 || ::read(from[0], &byte, 1) != 1) state.SkipWithError("wake");
  ::close(to[1]);
  other.join();
  for (const int each : {to[0], from[0], from[1]}) ::close(each);
}
BENCHMARK(wake_another_thread_and_back)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
