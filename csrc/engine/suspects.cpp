#include "engine/suspects.h"

#include <algorithm>
#include <unordered_set>

namespace wengert {
namespace {

constexpr std::size_t kFewest = 256;       // new suspects that are worth a look
constexpr std::size_t kLooksForEach = 64;  // that a new one may cost

std::unordered_set<Node*>& registry() {
  static auto* instance = new std::unordered_set<Node*>;  // nodes may outlive statics
  return *instance;
}

std::size_t (*collector)() = nullptr;
std::size_t added = 0;      // since the last look
std::size_t looked_at = 0;  // by that one

}  // namespace

void add_suspect(Node* node) {
  Extra& extra = extra_of(node);
  if (extra.is_suspect) return;
  extra.is_suspect = true;
  registry().insert(node);
  const std::size_t enough = std::max({kFewest, registry().size() / 2, looked_at / kLooksForEach});
  if (++added < enough || !collector) return;
  added = 0;
  const Value keep(node);
  looked_at = collector();
}

void forget_suspect(Node* node) {
  registry().erase(node);
  if (registry().empty()) looked_at = 0;
}

std::vector<Node*> suspects() { return {registry().begin(), registry().end()}; }

void looked(std::size_t objects) {
  added = 0;
  looked_at = objects;
}

void set_cycle_collector(std::size_t (*collect)()) { collector = collect; }

}  // namespace wengert
