// SPDX-License-Identifier: Apache-2.0
// Names and origins of errors, and the end of a process whose invariants are broken.
#include "libbase/result.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cairn::base {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::not_found: return "not found";
    case ErrorCode::already_exists: return "already exists";
    case ErrorCode::invalid_argument: return "invalid argument";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::no_space: return "no space";
    case ErrorCode::busy: return "busy";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::io: return "io";
  }
  CHECK(false, "error code {}", static_cast<int>(code));
  return {};
}

ErrorCode code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::not_found;
    case EEXIST: return ErrorCode::already_exists;
    case EINVAL:
    case ELOOP:
    case ENAMETOOLONG:
    case EXDEV: return ErrorCode::invalid_argument;  // EXDEV: a name that leads out of the root of openat2
    case ENOSPC:
    case EDQUOT: return ErrorCode::no_space;
    case EBUSY:
    case ETXTBSY:
    case EMFILE:  // the descriptors are held, by us or by others
    case ENFILE:
    case EAGAIN: return ErrorCode::busy;
    case ENOSYS:
    case EOPNOTSUPP: return ErrorCode::unavailable;
    case ECANCELED: return ErrorCode::cancelled;
    default: return ErrorCode::io;
  }
}

std::string errno_text(int error_number) {
  char buffer[256];
  return ::strerror_r(error_number, buffer, sizeof buffer);  // the GNU one: it may return a constant instead
}

namespace detail {

void check_failed(const char* expression, const char* file, int line, std::string_view message) {
  std::string text = fmt::format("cairn: {}:{}: check failed: {}", file, line, expression);
  if (!message.empty()) text += fmt::format(": {}", message);
  text += '\n';
  // Not through the log: nothing may be trusted any more, and the line must be out before the process is.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  std::abort();
}

}  // namespace detail

}  // namespace cairn::base
