// SPDX-License-Identifier: Apache-2.0
// The tests, or with an argument the program that the crash tests start: crash points are armed from the environment
// when a process starts.
#include <gmock/gmock.h>

#include <string_view>

#include "tests/libbase_lmdb/crash_program.h"

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "crash-program") return cairn::test::crash_program(argv[2], argv[3]);
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
