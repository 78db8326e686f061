// SPDX-License-Identifier: Apache-2.0
// Whatever makes the CacheMap of an operation another one is a field of its recipe, and whatever does not is none: each part of exec, file
// and source ops is changed, one at a time.
#include "libsolver/ops/recipe_fields.h"

#include <gtest/gtest.h>

#include <functional>

#include "libsolver/llb.h"
#include "libsolver/ops/cache_maps.h"
#include "tests/libsolver_wire/support.h"

namespace cairn::solver {
namespace {

Vertex vertex_of(wire::Op op, std::size_t inputs) {
  Vertex vertex;
  vertex.op = std::move(op);
  if (!vertex.op.platform) vertex.op.platform = wire::Platform{.architecture = "amd64", .os = "linux", .variant = {}, .os_version = {}, .os_features = {}, .unknown = {}};
  vertex.inputs.resize(inputs);
  return vertex;
}

wire::Mount mount(const char* dest, std::int64_t input, wire::MountType type = wire::MountType::bind) {
  wire::Mount made;
  made.input = input;
  made.dest = dest;
  made.output = wire::no_output;
  made.type = type;
  return made;
}

struct Named {
  std::string key;  // its digest, and what is selected of its inputs
  std::vector<cache::RecipeField> fields;
};
Named named(const wire::Op& op, std::size_t inputs) {
  const Vertex vertex = vertex_of(op, inputs);
  const auto maps = pure_cache_maps(vertex, "session");
  CHECK(maps.has_value(), "{}", maps.error().message);
  Named result{maps->back().digest.str(), recipe_fields(vertex, *maps)};
  for (const CacheMapDep& dep : maps->back().deps) result.key += dep.selector ? " " + dep.selector->str() : " -";
  return result;
}

void expect_field(const char* what, const wire::Op& before, const wire::Op& after, std::size_t inputs, bool counts) {
  SCOPED_TRACE(what);
  const Named old = named(before, inputs), now = named(after, inputs);
  ASSERT_EQ(old.key != now.key, counts) << "the test is wrong about the key";
  EXPECT_EQ(old.fields != now.fields, counts);
}

TEST(RecipeFields, OfAnExecAreWhatItsKeyIsMadeOf) {
  wire::ExecOp exec;
  exec.meta.emplace();
  exec.meta->args = {"sh", "-c", "make"};
  exec.meta->env = {"A=1", "B=2"};
  exec.meta->cwd = "/";
  exec.meta->proxy_env.emplace().http_proxy = "http://a";
  exec.meta->extra_hosts = {{"db", "10.0.0.1", {}}};
  exec.meta->ulimits = {{"nofile", 1, 2, {}}};
  exec.meta->valid_exit_codes = {0};
  exec.secret_env = {{"id", "TOKEN", false, {}}};
  exec.cdi_devices = {{"gpu", false, {}}};
  exec.mounts.resize(1);
  exec.mounts[0].dest = "/";
  exec.mounts.push_back(mount("/src", 1));
  exec.mounts.back().selector = "/a";
  exec.mounts.back().readonly = true;
  exec.mounts.push_back(mount("/c", wire::no_input, wire::MountType::cache));
  exec.mounts.back().cache.emplace().id = "/c";
  exec.mounts.push_back(mount("/t", wire::no_input, wire::MountType::tmpfs));
  exec.mounts.back().tmpfs.emplace().size = 5;
  exec.mounts.push_back(mount("/s", wire::no_input, wire::MountType::secret));
  exec.mounts.back().secret = wire::SecretOpt{"id", 1, 2, 0400, false, {}};
  exec.mounts.push_back(mount("/h", wire::no_input, wire::MountType::ssh));
  exec.mounts.back().ssh = wire::SshOpt{"id", 1, 2, 0600, false, {}};
  wire::Op op;
  op.op = exec;
  const auto change = [&](const char* what, const std::function<void(wire::ExecOp&)>& mutate, bool counts = true) {
    wire::Op changed = op;
    mutate(std::get<wire::ExecOp>(changed.op));
    expect_field(what, op, changed, 2, counts);
  };
  change("argument", [](auto& e) { e.meta->args[2] = "make all"; });
  change("argument more", [](auto& e) { e.meta->args.push_back(""); });
  change("arguments in another order", [](auto& e) { std::swap(e.meta->args[0], e.meta->args[1]); });
  change("env", [](auto& e) { e.meta->env[0] = "A=2"; });
  change("env without a value", [](auto& e) { e.meta->env.push_back("C"); });
  change("env in another order", [](auto& e) { std::swap(e.meta->env[0], e.meta->env[1]); });
  change("cwd", [](auto& e) { e.meta->cwd = "/x"; });
  change("user", [](auto& e) { e.meta->user = "u"; });
  change("hostname", [](auto& e) { e.meta->hostname = "h"; });
  change("proxy", [](auto& e) { e.meta->proxy_env->http_proxy = "http://b"; }, false);
  change("host", [](auto& e) { e.meta->extra_hosts[0].host = "db2"; });
  change("address of a host", [](auto& e) { e.meta->extra_hosts[0].ip = "10.0.0.2"; }, false);
  change("limit", [](auto& e) { e.meta->ulimits[0].hard = 3; });
  change("cgroup", [](auto& e) { e.meta->cgroup_parent = "c"; });
  change("exit codes", [](auto& e) { e.meta->valid_exit_codes = {0, 3}; });
  change("mount stubs", [](auto& e) { e.meta->remove_mount_stubs_recursive = true; });
  change("network", [](auto& e) { e.network = wire::NetMode::host; });
  change("security", [](auto& e) { e.security = wire::SecurityMode::insecure; });
  change("unknown security", [](auto& e) { e.security = static_cast<wire::SecurityMode>(7); });
  change("unknown network", [](auto& e) { e.network = static_cast<wire::NetMode>(7); });
  change("secret in the environment", [](auto& e) { e.secret_env[0].id = "other"; });
  change("its variable", [](auto& e) { e.secret_env[0].name = "OTHER"; });
  change("it may be missing", [](auto& e) { e.secret_env[0].optional = true; });
  change("device", [](auto& e) { e.cdi_devices[0].name = "fpga"; });
  change("device may be missing", [](auto& e) { e.cdi_devices[0].optional = true; });
  change("mount more", [](auto& e) { e.mounts.push_back(mount("/z", 1)); });
  change("mount gone", [](auto& e) { e.mounts.pop_back(); });
  change("mount elsewhere", [](auto& e) { e.mounts[1].dest = "/dst"; });
  change("mount of another input", [](auto& e) { e.mounts[1].input = 0; });
  change("selector", [](auto& e) { e.mounts[1].selector = "/b"; });
  change("selector said otherwise", [](auto& e) { e.mounts[1].selector = "a"; }, false);
  change("output", [](auto& e) { e.mounts[1].output = 1; e.mounts[1].readonly = true; });
  change("writable", [](auto& e) { e.mounts[1].readonly = false; });
  change("content cache", [](auto& e) { e.mounts[1].content_cache = wire::ContentCache::off; });
  change("cache by another name", [](auto& e) { e.mounts[2].cache->id = "chosen"; });
  change("cache that is locked", [](auto& e) { e.mounts[2].cache->sharing = wire::CacheSharing::locked; });
  change("size of a tmpfs", [](auto& e) { e.mounts[3].tmpfs->size = 6; });
  change("secret", [](auto& e) { e.mounts[4].secret->id = "other"; });
  change("mode of a secret", [](auto& e) { e.mounts[4].secret->mode = 0440; });
  change("owner of a secret", [](auto& e) { e.mounts[4].secret->gid = 3; });
  change("secret may be missing", [](auto& e) { e.mounts[4].secret->optional = true; });
  change("agent", [](auto& e) { e.mounts[5].ssh->id = "other"; });
  change("result id", [](auto& e) { e.mounts[1].result_id = "r"; });
  for (const auto& [what, set] : std::initializer_list<std::pair<const char*, std::function<void(wire::Platform&)>>>{
           {"os", [](auto& p) { p.os = "windows"; }}, {"architecture", [](auto& p) { p.architecture = "arm64"; }}, {"variant", [](auto& p) { p.variant = "v8"; }},
           {"os version", [](auto& p) { p.os_version = "1"; }}, {"os features", [](auto& p) { p.os_features = {"f"}; }}}) {
    wire::Op changed = op;
    changed.platform = *vertex_of(op, 2).op.platform;
    set(*changed.platform);
    expect_field(what, op, changed, 2, true);
  }
}

TEST(RecipeFields, OfAFileOpAreWhatItsKeyIsMadeOf) {
  const auto file = [](const std::function<void(std::vector<wire::FileAction>&)>& change) {
    std::vector<wire::FileAction> actions(5);
    wire::FileActionCopy copy;
    copy.src = "/a/b";
    copy.dest = "/d";
    copy.mode = -1;
    copy.timestamp = -1;
    actions[0] = {0, 1, wire::no_output, copy, {}};
    actions[1] = {5, wire::no_input, wire::no_output, wire::FileActionMkFile{"/f", 0644, {.value = "data"}, {}, -1, {}}, {}};
    actions[2] = {6, wire::no_input, wire::no_output, wire::FileActionMkDir{"/m", 0755, false, {}, -1, {}}, {}};
    actions[3] = {7, wire::no_input, wire::no_output, wire::FileActionRm{"/r", false, false, {}}, {}};
    actions[4] = {8, wire::no_input, 0, wire::FileActionSymlink{"/old", "/new", {}, -1, {}}, {}};
    change(actions);
    wire::Op op;
    wire::FileOp made;
    made.actions = std::move(actions);
    op.op = std::move(made);
    return op;
  };
  const wire::Op op = file([](auto&) {});
  const wire::ChownOpt owner{wire::UserOpt{std::uint32_t{7}, {}}, {}, {}};
  const auto change = [&](const char* what, const std::function<void(std::vector<wire::FileAction>&)>& mutate) { expect_field(what, op, file(mutate), 2, true); };
  const auto copy = [&](const char* what, const std::function<void(wire::FileActionCopy&)>& mutate) {
    change(what, [&](auto& actions) { mutate(std::get<wire::FileActionCopy>(actions[0].action)); });
  };
  copy("copy from", [](auto& c) { c.src = "/a/c"; });
  copy("copy from, another directory", [](auto& c) { c.src = "/x/b"; });
  copy("copy to", [](auto& c) { c.dest = "/e"; });
  copy("copy owner", [&](auto& c) { c.owner = owner; });
  copy("copy mode", [](auto& c) { c.mode = 0600; });
  copy("copy mode in words", [](auto& c) { c.mode_str = "u=r"; });
  copy("copy follows", [](auto& c) { c.follow_symlink = true; });
  copy("copy contents", [](auto& c) { c.dir_copy_contents = true; });
  copy("copy unpacks", [](auto& c) { c.attempt_unpack = true; });
  copy("copy makes its path", [](auto& c) { c.create_dest_path = true; });
  copy("copy wildcard", [](auto& c) { c.allow_wildcard = true; });
  copy("copy empty wildcard", [](auto& c) { c.allow_empty_wildcard = true; });
  copy("copy time", [](auto& c) { c.timestamp = 3; });
  copy("copy include", [](auto& c) { c.include_patterns = {"*.c"}; });
  copy("copy exclude", [](auto& c) { c.exclude_patterns = {"*.c"}; });
  copy("copy replaces", [](auto& c) { c.always_replace_existing = true; });
  copy("copy requires", [](auto& c) { c.required_paths = {"x"}; });
  change("mkfile path", [](auto& a) { std::get<wire::FileActionMkFile>(a[1].action).path = "/g"; });
  change("mkfile data", [](auto& a) { std::get<wire::FileActionMkFile>(a[1].action).data.value = "atad"; });
  change("mkfile mode", [](auto& a) { std::get<wire::FileActionMkFile>(a[1].action).mode = 0600; });
  change("mkfile owner", [&](auto& a) { std::get<wire::FileActionMkFile>(a[1].action).owner = owner; });
  change("mkfile time", [](auto& a) { std::get<wire::FileActionMkFile>(a[1].action).timestamp = 1; });
  change("mkdir path", [](auto& a) { std::get<wire::FileActionMkDir>(a[2].action).path = "/n"; });
  change("mkdir parents", [](auto& a) { std::get<wire::FileActionMkDir>(a[2].action).make_parents = true; });
  change("mkdir mode", [](auto& a) { std::get<wire::FileActionMkDir>(a[2].action).mode = 0700; });
  change("rm path", [](auto& a) { std::get<wire::FileActionRm>(a[3].action).path = "/q"; });
  change("rm missing", [](auto& a) { std::get<wire::FileActionRm>(a[3].action).allow_not_found = true; });
  change("rm wildcard", [](auto& a) { std::get<wire::FileActionRm>(a[3].action).allow_wildcard = true; });
  change("symlink to", [](auto& a) { std::get<wire::FileActionSymlink>(a[4].action).oldpath = "/o"; });
  change("symlink path", [](auto& a) { std::get<wire::FileActionSymlink>(a[4].action).newpath = "/p"; });
  change("symlink owner", [&](auto& a) { std::get<wire::FileActionSymlink>(a[4].action).owner = owner; });
  change("another order of inputs", [](auto& a) { a[1].input = 0; });
  change("an action more", [](auto& a) { a.push_back({9, wire::no_input, 0, wire::FileActionRm{"/z", false, false, {}}, {}}); });
}

TEST(RecipeFields, OfASourceHoldNoCredentialsAndNoSession) {
  wire::SourceOp source;
  source.identifier = "https://me:hunter2@host/x.tar";
  source.attrs = {{"http.checksum", "sha256:" + std::string(64, 'a')}};
  wire::Op op;
  op.op = source;
  const auto fields = named(op, 0).fields;
  ASSERT_GE(fields.size(), 3u);
  EXPECT_EQ(fields[1], (cache::RecipeField{"source", "https://…@host/x.tar"}));
  for (const cache::RecipeField& field : fields) EXPECT_EQ(field.value.find("hunter2"), std::string::npos) << field.name;

  wire::SourceOp local;
  local.identifier = "local://context";
  local.attrs = {{"local.session", "one"}, {"local.unique", "1"}, {"local.includepattern", "[\"a\"]"}};
  wire::Op first, second;
  first.op = local;
  local.attrs["local.session"] = "two";
  local.attrs["local.unique"] = "2";
  second.op = local;
  EXPECT_EQ(named(first, 0).fields, named(second, 0).fields);
  local.attrs["local.includepattern"] = "[\"b\"]";
  second.op = local;
  EXPECT_NE(named(first, 0).fields, named(second, 0).fields);
}

}  // namespace
}  // namespace cairn::solver
