// What kernels were joined by, for a profile that is to be joined again (slmprof/analysis/graphs/kernel_join.py).

#pragma once

#include "cuda/joiner.h"

namespace slmprof {

// Must come before issues and nodes are forgotten. Keeps what the kernels' records lead to as it is now: ids are used
// again by later graphs, so what a later collection knows of one may be of another node.
void keep_inputs(const Activity & activity, const IssueLog & issues, const GraphNodes & nodes, Joined & joined);

}  // namespace slmprof
