#include "engine/operation.h"

#include <deque>
#include <unordered_map>

namespace wengert {

const Operation* operation_table[kMaxOperations];
ScalarSteps scalar_steps[2][kMaxOperations];

namespace {

struct Table {
  std::deque<Operation> records;
  std::unordered_map<std::string, Operation*> by_name;

  Table() {
    Operation leaf;
    leaf.name = "leaf";
    leaf.kind = OperationKind::kLeaf;
    leaf.is_public = false;
    records.push_back(leaf);
    operation_table[0] = &records.back();
  }
};

Table& table() {
  static auto* instance = new Table;
  return *instance;
}

// What a node begins with, by which inputs (bit 0, bit 1) require grad.
void fill_tags(Operation& record) {
  for (unsigned need = 0; need < 4; ++need) {
    unsigned reads =
        need && record.kind == OperationKind::kStructural ? record.structural_reads : 0;
    for (unsigned i = 0; i < 2; ++i) {
      if (need >> i & 1) reads |= record.derivatives[i].reads;
    }
    unsigned flags = 0;
    if (reads & kFirst) flags |= kSaved0;
    if (reads & kSecond) flags |= kSaved1;
    if (reads & kResult) flags |= kSavedResult;
    record.saves[need] = static_cast<std::uint16_t>(flags);
    flags |= kInline | kRequiresGrad;
    if (!(need & 1)) flags |= kNumber0;
    if (!(need & 2) && record.arity == 2) flags |= kNumber1;
    record.scalar_tags[need] = {record.id, static_cast<std::uint16_t>(flags)};
  }
}

}  // namespace

Operation& add_operation(Operation record) {
  auto& [records, by_name] = table();
  if (records.size() >= kMaxOperations) throw std::logic_error("too many operations");
  if (by_name.count(record.name))
    throw std::logic_error("operation registered twice: " + record.name);
  record.id = static_cast<std::uint16_t>(records.size());
  fill_tags(record);
  records.push_back(std::move(record));
  Operation& added = records.back();
  by_name[added.name] = &added;
  operation_table[added.id] = &added;
  for (int counted : {0, 1}) scalar_steps[counted][added.id] = added.scalar_steps[counted];
  return added;
}

const Operation* find_operation(const std::string& name) {
  auto found = table().by_name.find(name);
  return found == table().by_name.end() ? nullptr : found->second;
}

const Operation& operation(const std::string& name) {
  const Operation* found = find_operation(name);
  if (!found) throw std::out_of_range("no operation named '" + name + "'");
  return *found;
}

int operation_count() { return static_cast<int>(table().records.size()); }

}  // namespace wengert
