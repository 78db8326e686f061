// SPDX-License-Identifier: Apache-2.0
// GetTree: a directory and all below it, page by page.
#pragma once

#include "libserve/grpc/context.h"

namespace cairn::serve {

// The stream of a call, which deletes itself at its end. Each
// directory once, breadth first, those that are not there left out; a page has as many as were asked for and no more
// than a message takes. A token says how many pages' directories a client has; the walk passes over them.
grpc::ServerWriteReactor<reapi::GetTreeResponse>* walk_tree(const Admission& admitted,
                                                            const reapi::GetTreeRequest& request);

}  // namespace cairn::serve
