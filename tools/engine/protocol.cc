// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/protocol.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

// A socket's path may be longer than sun_path holds, so the directory is opened and the socket reached through it.
struct Address {
  base::Fd dir;
  sockaddr_un address{};
};

Result<Address> address_of(const base::HostPath& path) {
  const std::string& text = path.str();
  const std::size_t slash = text.rfind('/');
  Address result;
  result.dir = TRY(base::open_host_dir(TRY(base::HostPath::parse(slash == 0 ? "/" : text.substr(0, slash)))));
  result.address.sun_family = AF_UNIX;
  const std::string short_path = fmt::format("/proc/self/fd/{}/{}", result.dir.get(), text.substr(slash + 1));
  if (short_path.size() >= sizeof result.address.sun_path) {
    return fail(ErrorCode::invalid_argument, "socket name too long: {}", text);
  }
  std::memcpy(result.address.sun_path, short_path.c_str(), short_path.size() + 1);
  return result;
}

Result<base::Fd> make_socket() {
  base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return base::fail_errno(errno, "make a socket");
  return socket;
}

Status send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return base::fail_errno(errno, "send to the other process");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

// The count read: less than asked only at the end of the stream.
Result<std::size_t> receive_all(int fd, char* out, std::size_t size) {
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::recv(fd, out + got, size - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ECONNRESET) return got;
    if (n < 0 && errno == EAGAIN) return fail(ErrorCode::unavailable, "the other process does not answer");
    if (n < 0) return base::fail_errno(errno, "receive from the other process");
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

// One byte goes with a descriptor, because a stream carries none without.
struct DescriptorMessage {
  DescriptorMessage() {
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = space.data();
    header.msg_controllen = space.size();
  }
  DescriptorMessage(const DescriptorMessage&) = delete;
  DescriptorMessage& operator=(const DescriptorMessage&) = delete;

  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr header{};
};

}  // namespace

Result<base::Fd> listen_unix(const base::HostPath& path) {
  const Address address = TRY(address_of(path), "listen on {}", path.str());
  base::Fd socket = TRY(make_socket());
  ::unlink(path.c_str());  // of a dead owner: whoever calls this holds the store's lock
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), sizeof address.address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(socket.get(), 64) != 0) {
    return base::fail_errno(errno, "listen on {}", path.str());
  }
  return socket;
}

Result<base::Fd> connect_unix(const base::HostPath& path) {
  const Address address = TRY(address_of(path), "connect to {}", path.str());
  base::Fd socket = TRY(make_socket());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), sizeof address.address) != 0) {
    return base::fail_errno(errno, "connect to {}", path.str());
  }
  return socket;
}

Status Channel::send(const Message& message) {
  const std::vector<std::uint8_t> body = Message::to_msgpack(message);
  if (body.size() > frame_bytes_max) return fail(ErrorCode::invalid_argument, "message of {} bytes", body.size());
  const auto size = static_cast<std::uint32_t>(body.size());
  std::string frame(sizeof size + body.size(), '\0');
  for (std::size_t i = 0; i < sizeof size; ++i) frame[i] = static_cast<char>(size >> (8 * i));
  std::memcpy(frame.data() + sizeof size, body.data(), body.size());
  std::lock_guard lock(send_mutex_);
  return send_all(socket_.get(), frame);
}

Result<std::optional<Message>> Channel::receive() {
  std::array<char, 4> head{};
  const std::size_t got = TRY(receive_all(socket_.get(), head.data(), head.size()));
  if (got == 0) return std::optional<Message>();
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < head.size(); ++i) size |= static_cast<std::uint32_t>(static_cast<unsigned char>(head[i])) << (8 * i);
  if (got < head.size() || size > frame_bytes_max) return fail(ErrorCode::corrupt, "not a frame of this protocol");
  std::string body(size, '\0');
  if (TRY(receive_all(socket_.get(), body.data(), size)) < size) return std::optional<Message>();
  Message message = Message::from_msgpack(body, true, false);
  if (message.is_discarded() || !message.is_object()) return fail(ErrorCode::corrupt, "not a message of this protocol");
  return std::optional<Message>(std::move(message));
}

Status Channel::send_descriptor(int fd) {
  DescriptorMessage message;
  cmsghdr* const control = CMSG_FIRSTHDR(&message.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
  std::lock_guard lock(send_mutex_);
  ssize_t sent;
  do sent = ::sendmsg(socket_.get(), &message.header, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent != 1) return base::fail_errno(errno, "send a descriptor to the other process");
  return {};
}

Result<base::Fd> Channel::receive_descriptor() {
  DescriptorMessage message;
  ssize_t got;
  do got = ::recvmsg(socket_.get(), &message.header, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return base::fail_errno(errno, "receive a descriptor from the other process");
  const cmsghdr* const control = CMSG_FIRSTHDR(&message.header);
  if (got != 1 || control == nullptr || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS ||
      control->cmsg_len != CMSG_LEN(sizeof(int))) {
    return fail(ErrorCode::corrupt, "the other process sent no descriptor");
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
  return base::Fd(fd);
}

Status Channel::set_patience(std::chrono::milliseconds patience) {
  const auto count = patience.count();
  const timeval time{.tv_sec = count / 1000, .tv_usec = (count % 1000) * 1000};
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0) return base::fail_errno(errno, "set the patience of a socket");
  return {};
}

void Channel::shut_down() { ::shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace cairn::engine
