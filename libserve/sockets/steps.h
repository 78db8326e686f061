// SPDX-License-Identifier: Apache-2.0
// Steps of a connection, whatever is spoken on it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>

#include "libserve/sockets/durable_waits.h"
#include "libserve/sockets/server.h"

namespace cairn::serve {

// Runs on one of the workers; the connection goes on where it was.
boost::asio::awaitable<void> on_worker(boost::asio::thread_pool& workers, std::function<void()> work);
// Goes on where it was when `begin` has called what it is given: once, at once or later, on any thread.
using BeginWaiting = std::function<void(std::function<void()> done)>;
boost::asio::awaitable<void> waited(BeginWaiting begin);
boost::asio::awaitable<base::Status> durable(DurableWaits& waits, base::lmdb::SequenceNumber number);
// Reads what still comes, for a while, after the last answer: a close while bytes are on their way would take the
// answer back from a client that has not read it yet.
boost::asio::awaitable<void> linger(Stream& stream);

}  // namespace cairn::serve
