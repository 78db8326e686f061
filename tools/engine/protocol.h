// SPDX-License-Identifier: Apache-2.0
// What owner and client say to each other on <root>/engine.sock: frames of a little-endian u32 length and a MessagePack
// map. The client sends one request ({"verb": …}) and maybe {"cancel": true}; the owner greets with {"hello": version},
// streams {"event": …} and ends with {"done": …}. Both ends are the same build; another version is refused.
// Documented in docs/formats/engine-socket.md.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "tools/engine/cache_mounts.h"
#include "tools/engine/files.h"
#include "tools/engine/order.h"
#include "tools/engine/pins.h"
#include "tools/engine/promotions.h"

namespace cairn::engine {

using Message = nlohmann::json;
constexpr int protocol_version = 19;
constexpr std::size_t frame_bytes_max = 96u << 20;  // a definition of 64 MiB and what goes with it

// One end of a connection. Sending is thread-safe; receiving is for one thread.
class Channel {
 public:
  explicit Channel(base::Fd socket) : socket_(std::move(socket)) {}

  base::Status send(const Message& message);
  // nullopt: the other end has closed. Errors: corrupt (not a frame of ours), io.
  base::Result<std::optional<Message>> receive();
  // A descriptor, behind a message that announces it; whoever receives that takes the descriptor before the next message.
  base::Status send_descriptor(int fd);
  base::Result<base::Fd> receive_descriptor();
  // How long a receive() waits from now on until it fails with unavailable; 0: for ever.
  base::Status set_patience(std::chrono::milliseconds patience);
  // Makes a receive() in another thread return nullopt.
  void shut_down();
  int fd() const { return socket_.get(); }

 private:
  base::Fd socket_;
  std::mutex send_mutex_;
};

base::Result<base::Fd> listen_unix(const base::HostPath& path);
base::Result<base::Fd> connect_unix(const base::HostPath& path);

// Conversions of what crosses. Decoders take anything and answer corrupt if it is not what they want.
Message encode(const base::Error& error);
Message encode(const SolveOrder& order);
Message encode(const DigestOrder& order);
Message encode(const SolveReport& report);
Message encode(const TreeDigest& digest);
Message encode(const DifferenceOrder& order);
Message encode(const ExportOrder& order);
Message encode(const solver::ExportReport& report);
Message encode(const Differences& differences);
Message encode(const PruneOrder& order);
Message encode(const PruneAnswer& answer);
Message encode(const cache::ScrubOptions& options);
Message encode(const cache::ScrubReport& report);
Message encode(const CacheMountOrder& order);
Message encode(const CacheMountAnswer& answer);
Message encode(const PinOrder& order);
Message encode_pin(cache::LeaseId pin);
Message encode(const PromoteOrder& order);
Message encode(const Promoted& promoted);
Message encode(const MountOrder& order);
Message encode(const FileOrder& order);
Message encode(const FilePiece& piece);
base::Error decode_error(const Message& message);
base::Result<SolveOrder> decode_order(const Message& message);
base::Result<DigestOrder> decode_digest_order(const Message& message);
base::Result<TreeDigest> decode_digest(const Message& message);
base::Result<DifferenceOrder> decode_difference_order(const Message& message);
base::Result<ExportOrder> decode_export_order(const Message& message);
base::Result<solver::ExportReport> decode_export_report(const Message& message);
base::Result<Differences> decode_differences(const Message& message);
base::Result<SolveReport> decode_solve_report(const Message& message);
base::Result<PruneOrder> decode_prune_order(const Message& message);
base::Result<PruneAnswer> decode_prune_answer(const Message& message);
base::Result<cache::ScrubOptions> decode_scrub_options(const Message& message);
base::Result<cache::ScrubReport> decode_scrub_report(const Message& message);
base::Result<CacheMountOrder> decode_cache_mount_order(const Message& message);
base::Result<CacheMountAnswer> decode_cache_mount_answer(const Message& message);
base::Result<PinOrder> decode_pin_order(const Message& message);
base::Result<cache::LeaseId> decode_pin(const Message& message);
base::Result<PromoteOrder> decode_promote_order(const Message& message);
base::Result<Promoted> decode_promoted(const Message& message);
base::Result<MountOrder> decode_mount_order(const Message& message);
base::Result<FileOrder> decode_file_order(const Message& message);
base::Result<FilePiece> decode_file_piece(const Message& message);

}  // namespace cairn::engine
