#include "engine/suspects.h"

#include <algorithm>
#include <unordered_set>

namespace wengert {
namespace {

constexpr std::size_t kFewest = 256;  // that are worth a look

std::unordered_set<Node*>& registry() {
  static auto* instance = new std::unordered_set<Node*>;  // nodes may outlive statics
  return *instance;
}

void (*collector)() = nullptr;
std::size_t threshold = kFewest;

}  // namespace

void add_suspect(Node* node) {
  Extra& extra = extra_of(node);
  if (extra.is_suspect) return;
  extra.is_suspect = true;
  registry().insert(node);
  if (registry().size() < threshold || !collector) return;
  const Value keep(node);
  collector();
  threshold = std::max(kFewest, 2 * registry().size());
}

void forget_suspect(Node* node) { registry().erase(node); }

std::vector<Node*> suspects() { return {registry().begin(), registry().end()}; }

void set_cycle_collector(void (*collect)()) { collector = collect; }

}  // namespace wengert
