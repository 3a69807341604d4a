// Nodes that may be part of a cycle of references, which counting alone never frees.
#pragma once

#include <vector>

#include "engine/node.h"

namespace wengert {

// Note [Cycles]: a graph has no cycles, but what hangs on it can close one: a leaf whose gradient
// was recorded (leaf, gradient, its graph, leaf), a hook that holds a descendant of its tensor. Who
// attaches such a thing to a node names it a suspect; the bindings, who know what the attached
// Python objects refer to, look at the suspects now and then and free those in cycles.
void add_suspect(Node* node);
void forget_suspect(Node* node);
std::vector<Node*> suspects();

// Looks for cycles, and returns how many objects it looked at. Called by add_suspect() so seldom
// that it costs a constant time for each suspect.
void set_cycle_collector(std::size_t (*collect)());
// Says that somebody else has looked, at so many objects.
void looked(std::size_t objects);

}  // namespace wengert
