// SPDX-License-Identifier: Apache-2.0
// Every call with 0, 1, 2, … descriptors left, until it works: until then it fails with an error that says so, and what
// it failed to do can be done afterwards. A new tree that cannot even be erased again for want of descriptors is erased by
// the next open.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/faults/fault_fixture.h"

namespace cairn::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr int descriptors_max = 256;
constexpr int enough = 64;

// While it lives the process can open `left` more descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(int left) {
    CHECK(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    struct ::rlimit few = before_;
    few.rlim_cur = descriptors_max;
    CHECK(::setrlimit(RLIMIT_NOFILE, &few) == 0, "lower the limit: {}", ::strerror(errno));
    for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0; fd = ::dup(fd)) taken_.push_back(base::Fd(fd));
    CHECK(errno == EMFILE && static_cast<int>(taken_.size()) >= left, "take all descriptors: {}", ::strerror(errno));
    for (int i = 0; i < left; ++i) taken_.pop_back();
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  struct ::rlimit before_ {};
  std::vector<base::Fd> taken_;
};

class NoDescriptors : public testing::TestWithParam<Step> {};

TEST_P(NoDescriptors, FailTheCallAndNothingElse) {
  FaultyStore faulty;
  int left = 0;
  for (; left < enough; ++left) {
    base::Status outcome;
    {
      const FewDescriptors few(left);
      outcome = GetParam().run(faulty);
    }
    if (outcome) break;
    EXPECT_EQ(outcome.error().code, base::ErrorCode::busy) << outcome.error().message;
    EXPECT_THAT(outcome.error().message, HasSubstr("Too many open files"));
  }
  EXPECT_LT(left, enough) << "it never worked";
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Steps, NoDescriptors, testing::ValuesIn(all_steps()),
                         [](const auto& about) { return about.param.test_name(); });

}  // namespace
}  // namespace cairn::test
