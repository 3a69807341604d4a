#include "engine/record.h"

#include <algorithm>

namespace wengert {

Value record_result(const Operation& operation, const Array& result,
                    const std::vector<Value>& inputs,
                    const std::shared_ptr<Attributes>& attributes) {
  int level = 0;
  for (const Value& input : inputs) level = std::max(level, level_of(input.get()));
  if (level == 0) {
    Value value = make_array(result);
    record(operation, value, inputs, attributes);
    return value;
  }
  std::vector<Value> primals;
  std::vector<Value> tangents;
  for (const Value& input : inputs) {
    primals.push_back(primal_at(input.get(), level));
    tangents.push_back(tangent_at(input.get(), level));
    if (!tangents.back()) tangents.back() = zeros_like(primals.back());
  }
  const Value primal = record_result(operation, result, primals, attributes);
  const Value tangent = operation.is_linear
                            ? apply(operation, tangents, attributes)
                            : operation.jvp(primals, tangents, primal, attributes.get());
  return make_dual(primal, tangent, level);
}

}  // namespace wengert
