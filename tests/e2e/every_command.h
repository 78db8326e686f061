// SPDX-License-Identifier: Apache-2.0
// Every command that there is, with something to call it with. The list of commands is the program's own, so a new one that has no call
// here fails every_command_test.cc.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/e2e/world.h"

namespace cairn::test {

enum class Needs { store, nothing };
struct Call {
  Words words;
  Needs needs = Needs::store;
};

// By its name. {DIR}: an empty directory of the test; {GRAPH}: a graph; {POLICY}: a policy.
const std::map<std::string, Call>& calls();

class EveryCommand : public World {
 protected:
  void SetUp() override;
  // The store is only looked at by what is called: no solve of ours has to work in it.
  void TearDown() override {}

  Words names();  // as the program lists them
  Words words_of(const Call& call) const;
  Ended run(const std::string& root, const Call& call);  // with --no-daemon
  // A store that has seen one solve, of the graph of {GRAPH}.
  void make_store();
  // One clear error on standard error, a documented exit code, and nothing on standard output.
  void expect_one_error(const std::string& name, const Ended& ended, const std::vector<int>& codes);

  std::string graph_;
};

}  // namespace cairn::test
