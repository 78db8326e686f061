// SPDX-License-Identifier: Apache-2.0
// The digests of knowledge: what a tree holds, and the keys under which results are found again.
#pragma once

#include "libbase/digest.h"
#include "libsnapshot/digests.h"

namespace cairn {

using TreeDigest = base::Digest<struct TreeMeaning>;  // contents of a tree or of a selection of it (spec/storage 3)
using KeyDigest = base::Digest<struct KeyMeaning>;    // the id of a cache key in the key store

}  // namespace cairn
