// SPDX-License-Identifier: Apache-2.0
// What HTTP says of a file: its name and its time, read as Go's libraries read them, because they are in cache keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::solver {

// One name without slashes or control characters: the last component, without blanks around it; "download" if that is none.
std::string safe_file_name(std::string_view name);

// The name of what is downloaded: as asked for, else as Content-Disposition says, else as the URL ends. The first two may
// be "".
std::string http_file_name(std::string_view url, std::string_view asked, std::string_view content_disposition);

// The parameter "filename" of a Content-Disposition (RFC 2183, 2231, as Go's mime.ParseMediaType); nullopt: none, or the
// header cannot be read.
std::optional<std::string> disposition_file_name(std::string_view header);

// A time in one of HTTP's three forms, in seconds since 1970.
std::optional<std::int64_t> parse_http_time(std::string_view text);
std::string format_http_time(std::int64_t seconds);  // "Wed, 21 Oct 2015 07:28:00 GMT"

// An ETag without the mark of a weak one.
std::string_view strong_etag(std::string_view etag);

}  // namespace cairn::solver
