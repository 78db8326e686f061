// SPDX-License-Identifier: Apache-2.0
#include "libbase/result.h"

#include <cerrno>
#include <cstdio>
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
    case ErrorCode::io: return "input/output error";
  }
  return "unknown";
}

ErrorCode code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::not_found;
    case EEXIST: return ErrorCode::already_exists;
    case EINVAL:
    case ELOOP:
    case EXDEV:  // openat2: the path leads out of its root
    case ENAMETOOLONG: return ErrorCode::invalid_argument;
    case ENOSPC:
    case EDQUOT: return ErrorCode::no_space;
    case EBUSY:
    case ETXTBSY:
    case EAGAIN: return ErrorCode::busy;
    case ENOSYS:
    case EOPNOTSUPP: return ErrorCode::unavailable;
    case ECANCELED: return ErrorCode::cancelled;
    default: return ErrorCode::io;
  }
}

std::string errno_text(int error_number) {
  char buffer[256];
  return ::strerror_r(error_number, buffer, sizeof buffer);  // the GNU one: thread-safe, always a text
}

namespace detail {

void check_failed(const char* expression, const char* file, int line, std::string_view message) {
  std::fprintf(stderr, "cairn: broken invariant: %s (%s:%d)%s%.*s\n", expression, file, line,
               message.empty() ? "" : ": ", static_cast<int>(message.size()), message.data());
  std::abort();
}

}  // namespace detail
}  // namespace cairn::base
