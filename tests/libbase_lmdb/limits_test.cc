// SPDX-License-Identifier: Apache-2.0
// Too little address space, and a disk that is full: each in a process of its own, which may limit itself.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <fstream>

#include "libbase/fs/fd.h"
#include "libbase/lmdb/group_writer.h"
#include "tests/libbase_lmdb/child.h"
#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Status;
using lmdb::ReadTxn;
using lmdb::WriteTxn;

// In a child an unmet expectation is a message and a failed exit.
#define MUST(expression)                                                      \
  do {                                                                        \
    if (!(expression)) {                                                      \
      ::fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #expression); \
      return false;                                                           \
    }                                                                         \
  } while (false)

bool limit_address_space(std::uint64_t more_bytes) {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t bytes = pages * 4096 + more_bytes;
  const struct ::rlimit limit{bytes, bytes};
  return ::setrlimit(RLIMIT_AS, &limit) == 0;
}

class LmdbLimits : public ::testing::Test {
 protected:
  // A file system of 4 MiB that nobody else sees and that is gone with the process.
  bool mount_small() {
    MUST(::unshare(CLONE_NEWNS) == 0);
    MUST(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    MUST(::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, "size=4m") == 0);
    return true;
  }
  bool fill_disk_beside_env();
  bool fill_disk_beside_writer();

  TempDir dir_;
};

TEST_F(LmdbLimits, MapIsHalvedUntilItFits) {
  Child child([&](const Child::Line&) {
    MUST(limit_address_space(1u << 30));
    auto env = open_env(dir_ / "meta");
    MUST(env.has_value());
    MUST((*env)->map_bytes() < (1u << 30));
    MUST((*env)->map_bytes() >= (1u << 28));
    MUST(put_word(**env, "a", "value"));
    MUST(word(**env, "a") == "value");
    return true;
  });
  EXPECT_TRUE(child.succeeds());
}

TEST_F(LmdbLimits, MapThatCannotGrowIsNoSpaceAndNothingIsLost) {
  Child child([&](const Child::Line&) {
    lmdb::Env::Options options;
    options.map_bytes = 64u << 20;
    auto env = open_env(dir_ / "meta", options).value();
    MUST(put_word(*env, "a", "value"));
    MUST(put_word(*env, "ballast", std::string(60u << 20, 'x')));  // so that what does not fit is small: a put copies it
    const std::string large(8u << 20, 'x');
    MUST(limit_address_space(48u << 20));  // growing needs 64 MiB more
    const Status status = env->update([&](WriteTxn& txn) { return txn.put_raw(words, "large", large); });
    MUST(code_of(status) == ErrorCode::no_space);
    MUST(env->map_bytes() == (64u << 20));
    MUST(word(*env, "a") == "value");
    MUST(env->view([](ReadTxn& txn) { return txn.count(words); }).value() == 2);
    MUST(put_word(*env, "b", "value"));
    return true;
  });
  EXPECT_TRUE(child.succeeds());
}

bool LmdbLimits::fill_disk_beside_env() {
  MUST(mount_small());
  auto env = open_env(dir_ / "meta").value();
  MUST(put_word(*env, "a", "value"));
  base::Fd ballast = base::open_host(dir_ / "ballast", O_WRONLY | O_CREAT, 0600).value();
  MUST(::fallocate(ballast.get(), 0, 0, 2u << 20) == 0);
  // Large rows: LMDB writes their pages in one call, of which a full disk takes the first part only.
  int stored = 0;
  Status status;
  for (; status && stored < 100; ++stored)
    status = put_word(*env, "large " + std::to_string(stored), std::string(100'000, 'x'));
  MUST(code_of(status) == ErrorCode::no_space);
  --stored;
  MUST(stored > 5);
  MUST(word(*env, "a") == "value");
  MUST(env->view([](ReadTxn& txn) { return txn.count(words); }).value() == static_cast<std::uint64_t>(stored) + 1);
  MUST(::unlink((dir_ / "ballast").c_str()) == 0);
  ballast.reset();
  MUST(put_word(*env, "after", std::string(100'000, 'x')));
  MUST(word(*env, "after").size() == 100'000);
  return true;
}

TEST_F(LmdbLimits, FullDiskIsNoSpaceAndPasses) {
  Child child([&](const Child::Line&) { return fill_disk_beside_env(); });
  EXPECT_TRUE(child.succeeds());
}

bool LmdbLimits::fill_disk_beside_writer() {
  MUST(mount_small());
  auto env = open_env(dir_ / "meta").value();
  lmdb::GroupWriter writer(*env, nullptr, {});
  base::Fd ballast = base::open_host(dir_ / "ballast", O_WRONLY | O_CREAT, 0600).value();
  MUST(::fallocate(ballast.get(), 0, 0, 3u << 20) == 0);
  const auto enqueue_large = [&](int i) {
    lmdb::GroupWriter::Entry entry;
    entry.change = [i](WriteTxn& txn) { return txn.put(words, std::to_string(i), std::string(900'000, 'x')); };
    return writer.enqueue(std::move(entry)).value();
  };
  MUST(code_of(writer.wait_durable(enqueue_large(0))) == std::nullopt);
  const lmdb::SequenceNumber failed = enqueue_large(1);
  MUST(code_of(writer.wait_durable(failed)) == ErrorCode::no_space);
  MUST(::unlink((dir_ / "ballast").c_str()) == 0);
  ballast.reset();
  MUST(code_of(writer.wait_durable(enqueue_large(2))) == std::nullopt);  // the writer has not failed
  MUST(code_of(writer.wait_durable(failed)) == ErrorCode::no_space);
  MUST(word(*env, "1") == "-");
  MUST(word(*env, "2").size() == 900'000);
  MUST(writer.counts().changes == 2 && writer.counts().failed_changes == 1);
  return true;
}

TEST_F(LmdbLimits, FullDiskFailsAGroupAndNotTheWriter) {
  Child child([&](const Child::Line&) { return fill_disk_beside_writer(); });
  EXPECT_TRUE(child.succeeds());
}

}  // namespace
}  // namespace cairn::test
