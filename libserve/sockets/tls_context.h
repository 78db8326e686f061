// SPDX-License-Identifier: Apache-2.0
// OpenSSL as Boost.Asio has it: what a server shows of itself, and what it wants of clients.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libserve/tls.h"

namespace cairn::serve {

// Errors: invalid_argument (a file that is not there or is no PEM, a key of another certificate).
base::Result<std::unique_ptr<boost::asio::ssl::context>> make_tls_context(const TlsFiles& files);
// Of a certificate that has been verified: "CN:ci", "DNS:ci.example.com", "URI:spiffe://ci", "email:ci@example.com". None: it
// has shown none.
std::vector<std::string> certificate_names(SSL* ssl);

}  // namespace cairn::serve
