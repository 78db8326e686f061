// SPDX-License-Identifier: Apache-2.0
// Errors are values here: every function that can fail returns Result<T>, and TRY passes an error up.
// A broken invariant is not an error: CHECK aborts, in release builds too.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

namespace cairn::base {

// Each code exists because some caller branches on it.
enum class ErrorCode {
  not_found,
  already_exists,
  invalid_argument,  // what the caller gave cannot be right, now or later
  corrupt,           // stored or received bytes are not what their name says
  no_space,          // ENOSPC, EDQUOT
  busy,              // held by somebody else (file descriptors, too); may work later
  unavailable,       // this machine or build does not offer it
  cancelled,
  io,
};

std::string_view to_string(ErrorCode code);

// An error reads "what we were doing, to what: why"; the hint says what the reader may do about it.
struct Error {
  ErrorCode code = ErrorCode::io;
  std::string message;
  std::string hint;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...), {}});
}

// The code that an errno value stands for: ENOENT is not_found, ENOSPC and EDQUOT are no_space, and so on; else io.
ErrorCode code_of_errno(int error_number);
// "No such file or directory" and the like. Thread-safe.
std::string errno_text(int error_number);

// An error from a system call: the text of error_number is appended to the message.
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail_errno(int error_number, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(
      Error{code_of_errno(error_number),
            fmt::format(format, std::forward<Args>(args)...) + ": " + errno_text(error_number),
            {}});
}

inline Error add_context(Error error) { return error; }
inline Error add_context(Error error, std::string_view context) {
  error.message = fmt::format("{}: {}", context, error.message);
  return error;
}

namespace detail {
template <class T>
T unwrap(tl::expected<T, Error>&& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
[[noreturn]] void check_failed(const char* expression, const char* file, int line, std::string_view message);
}  // namespace detail

}  // namespace cairn::base

// `auto x = TRY(f());` or `TRY(f(), "read manifest {}", digest);`: returns the error, with the context put before it.
#define TRY(expression, ...) CAIRN_TRY_COUNTED(__COUNTER__, expression __VA_OPT__(, ) __VA_ARGS__)
// The counter gives each use a name of its own, so that one TRY can stand inside another.
#define CAIRN_TRY_COUNTED(counter, ...) CAIRN_TRY_NAMED(counter, __VA_ARGS__)
#define CAIRN_TRY_NAMED(counter, expression, ...)                                                              \
  __extension__({                                                                                              \
    auto cairn_result_##counter = (expression);                                                                \
    if (!cairn_result_##counter)                                                                               \
      return ::tl::unexpected<::cairn::base::Error>(::cairn::base::add_context(                                \
          std::move(cairn_result_##counter).error() __VA_OPT__(, ::fmt::format(__VA_ARGS__))));                \
    ::cairn::base::detail::unwrap(std::move(cairn_result_##counter));                                          \
  })

// Aborts with the place and the message if an invariant is broken: CHECK(x), CHECK(x, "why {}", y).
#define CHECK(expression, ...)                                                                                 \
  do {                                                                                                         \
    if (!(expression)) [[unlikely]]                                                                            \
      ::cairn::base::detail::check_failed(#expression, __FILE__, __LINE__,                                     \
                                          std::string() __VA_OPT__(+::fmt::format(__VA_ARGS__)));              \
  } while (false)
