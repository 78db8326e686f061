// SPDX-License-Identifier: Apache-2.0
// The law of layers: what was written of a change and applied to the old tree gives the new tree, in everything that a
// layer carries. It does not carry the root, sockets, fractions of seconds, xattrs but security.capability, the time of a
// directory that nothing else happened to, and what BuildKit's differs do not see (Change::in_layer).
#include <regex>
#include <set>

#include "libsnapshot/changes/layered_walk.h"
#include "libsnapshot/mounts/detached.h"
#include "libsnapshot/trees/copy.h"
#include "tests/libsnapshot_changes/random_ops.h"
#include "tests/libsnapshot_layers/layers.h"
#include "tests/support/temp_dir.h"

namespace cairn::snapshot {
namespace {

using Lines = std::map<std::string, std::string>;

// What the layer of these two trees does not tell.
struct Unseen {
  std::set<std::string> paths;
  bool links = false;
};

Unseen unseen_between(int lower, int upper) {
  Unseen unseen;
  must(changes_between(
      lower, upper,
      [&](const Change& change) -> base::Status {
        if (change.in_layer == InLayer::yes || change.kind == ChangeKind::remove) return {};
        unseen.paths.insert(change.path.str());
        unseen.links = unseen.links || !S_ISDIR(change.status.st_mode);
        return {};
      },
      {.replay = Replay::nothing, .contents = Contents::compare}));
  return unseen;
}

Lines carried(const Lines& all, const Unseen& unseen) {
  static const std::regex directory_time("^(mode 4.*) time [-0-9.]+"), fraction("( time -?[0-9]+)\\.[0-9]+"),
      xattrs(" (?!security\\.capability=)(user|system|trusted|security)\\.[a-z_.]*=.*?"
             "(?= (user|system|trusted|security)\\.[a-z_.]*=| size [0-9]+ \\[|$)"),
      links(" linked with .*$");
  Lines lines;
  for (const auto& [path, line] : all) {
    if (path == "." || unseen.paths.contains(path)) continue;
    std::string text = std::regex_replace(line, directory_time, "$1");
    text = std::regex_replace(text, fraction, "$1");
    text = std::regex_replace(text, xattrs, "");
    if (unseen.links) text = std::regex_replace(text, links, "");
    lines[path] = text;
  }
  return lines;
}

// Without what a layer cannot tell by its nature.
Ops told(Ops ops) {
  std::erase_if(ops, [](const Op& op) { return op.kind == OpKind::socket || op.kind == OpKind::rewrite_same_time; });
  return ops;
}

void expect_same(int lower, int upper, int applied) {
  const Unseen unseen = unseen_between(lower, upper);
  const std::string wrong = difference(carried(dump(upper), unseen), carried(dump(applied), unseen));
  RC_ASSERT(wrong == "");
}

void apply(const LayerBytes& layer, int target) {
  const auto applied = apply_layer(tree_of(target), std::make_unique<test::StringSource>(layer.bytes), {});
  if (!applied) RC_FAIL(applied.error().message);
  RC_ASSERT(applied->blob == layer.written.blob);
  RC_ASSERT(applied->diff == layer.written.diff);
  RC_ASSERT(applied->entries == layer.written.members);
}

WriteOptions some_compression() {
  WriteOptions options;
  options.compression =
      *rc::gen::element(base::Compression::none, base::Compression::gzip, base::Compression::zstd).as("compression");
  options.threads = 2;
  return options;
}

TEST(LayerRoundTrip, OfTwoDirectories) {
  check_property("a layer applied to the old tree gives the new one", 40, [] {
    const test::TempDir scratch;
    const TreeAt top(scratch.path().str());
    std::vector<base::Fd> trees;
    for (const char* name : {"lower", "upper", "target"}) {
      top.dir(name);
      trees.push_back(TreeAt(top.at(name)).open());
    }
    run(told(*random_ops(25).as("below")), TreeAt(top.at("lower")));
    for (const std::size_t copy : {1u, 2u}) must(copy_tree(trees[0].get(), trees[copy].get(), CopyData::clone));
    run(told(*random_ops(25).as("above")), TreeAt(top.at("upper")));
    const auto layer =
        write_bytes(trees[1].get(), between(trees[0].get(), trees[1].get()), some_compression());
    if (!layer) RC_FAIL(layer.error().message);
    apply(*layer, trees[2].get());
    expect_same(trees[0].get(), trees[1].get(), trees[2].get());
  });
}

// An overlay on `lower` that is changed through its mount.
class Overlay {
 public:
  Overlay(const TreeAt& top, const std::string& name, int lower) : lower_(::fcntl(lower, F_DUPFD_CLOEXEC, 0)) {
    for (const char* part : {"-fs", "-work"}) top.dir(name + part);
    upper_ = TreeAt(top.at(name + "-fs")).open();
    work_ = TreeAt(top.at(name + "-work")).open();
    auto overlay = must(OverlayBuilder::start());
    must(overlay.set_upper(upper_.get(), work_.get()));
    must(overlay.add_lower(lower_.get()));
    mount_ = must(overlay.finish());
  }
  int mounted() const { return mount_.directory.get(); }
  int upper() const { return upper_.get(); }
  // The same, no longer to be changed.
  void seal() {
    mount_ = {};
    auto overlay = must(OverlayBuilder::start());
    must(overlay.add_lower(upper_.get()));
    must(overlay.add_lower(lower_.get()));
    mount_ = must(overlay.finish());
  }

 private:
  base::Fd lower_, upper_, work_;
  DetachedMount mount_;
};

TEST(LayerRoundTrip, ThroughOverlays) {
  check_property("a layer of an overlay applied to another overlay gives the same tree", 40, [] {
    const test::TempDir scratch;
    const TreeAt top(scratch.path().str());
    top.dir("lower");
    const base::Fd lower = TreeAt(top.at("lower")).open();
    run(told(*random_ops(25).as("below")), TreeAt(top.at("lower")));
    Overlay changed(top, "changed", lower.get()), target(top, "target", lower.get());
    run(told(*random_ops(25).as("above")), TreeAt::of(changed.mounted()));
    changed.seal();
    const int layers[] = {changed.upper()};
    const auto source = [&](const ChangeVisitor& visitor) {
      return changes_in_layers(lower.get(), changed.mounted(), layers, visitor, changes_for_layer());
    };
    const auto layer = write_bytes(changed.mounted(), source, some_compression());
    if (!layer) RC_FAIL(layer.error().message);
    apply(*layer, target.mounted());
    target.seal();
    expect_same(lower.get(), changed.mounted(), target.mounted());
  });
}

// Its member says that it has no capability by naming none.
TEST(LayerRoundTrip, ADirectoryLosesACapabilityThatTheLayerDoesNotName) {
  const test::TempDir scratch;
  const TreeAt top(scratch.path().str());
  for (const char* name : {"lower", "upper", "target"}) {
    top.dir(name);
    TreeAt(top.at(name)).dir("d");
    TreeAt(top.at(name)).time_all(1'600'000'000);
  }
  for (const char* name : {"lower/d", "target/d"}) {
    top.xattr(name, "security.capability", std::string_view("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
  }
  const base::Fd lower = TreeAt(top.at("lower")).open(), upper = TreeAt(top.at("upper")).open();
  const base::Fd target = TreeAt(top.at("target")).open();
  const auto layer = must(write_bytes(upper.get(), between(lower.get(), upper.get()), plain()));
  EXPECT_EQ(layer.written.members, 1u);
  must(apply_layer(tree_of(target.get()), std::make_unique<test::StringSource>(layer.bytes), {}));
  EXPECT_EQ(difference(carried(dump(upper.get()), {}), carried(dump(target.get()), {})), "");
}

// A directory gets its time after what is put into it.
TEST(LayerRoundTrip, DirectoriesInALayerKeepTheirTimes) {
  const test::TempDir scratch;
  const TreeAt top(scratch.path().str()), upper(top.at("upper"));
  for (const char* name : {"lower", "upper", "target"}) top.dir(name);
  upper.dir("a");
  upper.dir("a/b");
  upper.file("a/b/f", "x");
  upper.file("a/g", "x");
  upper.time("a/b", 1'500'000'000);
  upper.time("a", -3, 250'000'000);
  const base::Fd lower_fd = TreeAt(top.at("lower")).open(), upper_fd = upper.open();
  const base::Fd target = TreeAt(top.at("target")).open();
  const auto layer = must(write_bytes(upper_fd.get(), between(lower_fd.get(), upper_fd.get()), plain()));
  must(apply_layer(tree_of(target.get()), std::make_unique<test::StringSource>(layer.bytes), {}));
  struct ::stat status {};
  ASSERT_EQ(::fstatat(target.get(), "a/b", &status, 0), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'500'000'000);
  ASSERT_EQ(::fstatat(target.get(), "a", &status, 0), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, -3) << "towards the past";
  EXPECT_EQ(status.st_mtim.tv_nsec, 0);
}

}  // namespace
}  // namespace cairn::snapshot
