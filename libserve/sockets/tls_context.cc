// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/tls_context.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace cairn::serve {

namespace ssl = boost::asio::ssl;
using base::ErrorCode;

namespace {

std::string_view text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

// A name with a zero in it would be another one for whoever reads it up to there.
void add_name(std::vector<std::string>& names, std::string_view kind, std::string_view name) {
  if (!name.empty() && name.find('\0') == std::string_view::npos) names.push_back(std::string(kind) + std::string(name));
}

}  // namespace

base::Result<std::unique_ptr<ssl::context>> make_tls_context(const TlsFiles& files) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  const auto bad = [&](const base::HostPath& file, std::string_view what) {
    return base::fail(ErrorCode::invalid_argument, "TLS: {}: {}: {}", file.str(), what, error.message());
  };
  context->use_certificate_chain_file(files.certificate.str(), error);
  if (error) return bad(files.certificate, "no certificate in PEM");
  context->use_private_key_file(files.key.str(), ssl::context::pem, error);
  if (error) return bad(files.key, "no private key in PEM of that certificate");
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Without it a session that is taken up again with a client's certificate is refused.
  constexpr unsigned char id[] = "cairn";
  SSL_CTX_set_session_id_context(native, id, sizeof id - 1);
  if (!files.client_ca) return context;
  context->load_verify_file(files.client_ca->str(), error);
  if (error) return bad(*files.client_ca, "no certificates in PEM");
  context->set_verify_mode(ssl::verify_peer, error);
  SSL_CTX_set_client_CA_list(native, SSL_load_client_CA_file(files.client_ca->c_str()));
  return context;
}

std::vector<std::string> certificate_names(SSL* ssl) {
  std::vector<std::string> names;
  const std::unique_ptr<X509, void (*)(X509*)> shown(SSL_get1_peer_certificate(ssl), X509_free);
  if (!shown || SSL_get_verify_result(ssl) != X509_V_OK) return names;
  const X509_NAME* const subject = X509_get_subject_name(shown.get());
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
    add_name(names, "CN:", text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> alternatives(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(shown.get(), NID_subject_alt_name, nullptr, nullptr)), GENERAL_NAMES_free);
  for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type == GEN_DNS) add_name(names, "DNS:", text_of(name->d.dNSName));
    if (name->type == GEN_URI) add_name(names, "URI:", text_of(name->d.uniformResourceIdentifier));
    if (name->type == GEN_EMAIL) add_name(names, "email:", text_of(name->d.rfc822Name));
  }
  return names;
}

}  // namespace cairn::serve
