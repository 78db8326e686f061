// SPDX-License-Identifier: Apache-2.0
// What every Executor must do (libsolver/executor.h), with real containers. Instantiate ExecutorSuite with the ways to
// open one.
#pragma once

#include "tests/conformance/executor_suite_ends.h"
#include "tests/conformance/executor_suite_hostile.h"
#include "tests/conformance/executor_suite_mounts.h"
#include "tests/conformance/executor_suite_powers.h"
#include "tests/conformance/executor_suite_process.h"
