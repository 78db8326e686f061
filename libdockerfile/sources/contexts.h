// SPDX-License-Identifier: Apache-2.0
// Where files come from: the directory of the Dockerfile, the main context, and the named ones (spec/solver 9.2).
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libdockerfile/convert/image_config.h"
#include "libsolver/llb.h"

namespace cairn::dockerfile {

using solver::llb::Pending;
using solver::llb::State;

// A directory that the client sends; which paths of it are wanted is known at the end only.
struct LateLocal {
  Pending tree;
  std::string name, session_id, shared_key_hint, shown_as;
  std::vector<std::string> excludes;
  // Says what is wanted: paths below "/"; with "/" among them, everything.
  void settle(const std::set<std::string>& paths);
};

struct NamedContext {
  State state;
  std::optional<ImageConfig> image;
  std::optional<LateLocal> local;  // state is its tree
};

class Contexts {
 public:
  Contexts(const Options& options, Facts& facts) : options_(options), facts_(facts) {}

  // What is wrong with the address of the context. Call it before the rest.
  base::Status open();
  // Reads the Dockerfile; not_found if there is none.
  base::Result<std::string> read_dockerfile();
  // Bytes of the definition that leads to it.
  const std::string& dockerfile_definition() const { return dockerfile_definition_; }
  const std::string& filename() const { return filename_; }
  base::Result<std::vector<std::string>> read_ignore_file();

  // A context of this name, for images of this platform; nullopt: none was given. Its image is asked for here.
  base::Result<std::optional<NamedContext>> find(const std::string& name, const Platform& platform);
  bool has(const std::string& name, const Platform& platform) const { return find_key(name, platform).has_value(); }

  // The main context. Not settled for one that is no directory of the client.
  LateLocal make_main(std::vector<std::string> excludes) const;

 private:
  struct Key {
    std::string shown, specifier;
  };
  std::optional<Key> find_key(const std::string& name, const Platform& platform) const;
  base::Result<NamedContext> find_image(const Key& key, std::string_view reference, const Platform& platform);
  base::Result<NamedContext> find_oci_layout(const Key& key, const std::string& name, std::string_view reference,
                                             const Platform& platform);
  base::Result<NamedContext> find_local(const Key& key, const std::string& name);
  base::Status open_http();
  base::Status open_address();
  base::Result<std::string> definition_of(const State& state) const;
  std::string session_of(const std::string& local) const;
  State local_file(const std::string& local, std::vector<std::string> paths, const std::string& hint,
                   const std::string& shown, const std::string& session) const;

  const Options& options_;
  Facts& facts_;
  std::string filename_, dockerfile_definition_;
  std::optional<State> remote_;             // the context, if it is no directory of the client
  std::optional<State> dockerfile_source_;  // likewise, before a part of it became the context
};

}  // namespace cairn::dockerfile
