#include "engine/apply.h"

#include <cfenv>
#include <cmath>

#include "engine/broadcast.h"

namespace wengert {
namespace {

bool is_dual(const Operand& x) { return x.node && x.node->has(kDual); }

DType dtype_of_node(const Node* node) {
  return node->is_inline() ? DType::kFloat64 : node->as_array()->array.dtype;
}

bool is_weak(const Operand& x) { return !x.node || x.node->has(kWeak); }

Operand::Kind weak_kind(const Operand& x) {
  if (!x.node) return x.kind;
  const DType dtype = dtype_of_node(x.node);
  if (dtype == DType::kBool) return Operand::kBool;
  return is_floating(dtype) ? Operand::kFloat : Operand::kInt;
}

bool is_scalar_like(const Operand& x) {
  return !x.node || x.node->is_inline() || x.node->as_array()->array.ndim() == 0;
}

// The number behind a scalar operand.
double number_of(const Operand& x) {
  if (!x.node) return x.number;
  if (x.node->is_inline()) return x.node->value;
  const Array& array = x.node->as_array()->array;
  return visit_dtype(array.dtype,
                     [&]<class T>() { return static_cast<double>(*array.as<T>()); });
}

[[noreturn]] void unsupported(const Operation& operation, DType dtype) {
  std::string text = operation.name + ": not defined for dtype " + name_of(dtype);
  if (dtype == DType::kBool) text += "; convert with astype(int) or use logical operations";
  throw TypeError(text);
}

// ---- errors switched on by errstate -------------------------------------------------------

void raise_if(const Operation& operation, int raised, double x, double y) {
  const std::uint8_t mode = thread_state.error_mode;
  const char* what = nullptr;
  if ((raised & FE_DIVBYZERO) && (mode & kRaiseDivide)) what = "divide by zero";
  else if ((raised & FE_OVERFLOW) && (mode & kRaiseOverflow)) what = "overflow";
  else if ((raised & FE_INVALID) && (mode & kRaiseInvalid)) what = "invalid value";
  if (!what) return;
  std::string text = operation.name + ": " + what + " for input " + std::to_string(x);
  if (operation.arity == 2) text += " and " + std::to_string(y);
  throw FloatingPointError(text);
}

// Evaluates once more, number by number, and looks at the processor's flags.
void check_numbers(const Operation& operation, double x, double y) {
  std::feclearexcept(FE_ALL_EXCEPT);
  volatile double a = x;
  volatile double b = y;
  volatile double result = operation.arity == 1 ? operation.scalar1(a) : operation.scalar2(a, b);
  (void)result;
  raise_if(operation, std::fetestexcept(FE_ALL_EXCEPT), x, y);
}

void check_errors(const Operation& operation, int count, const LoopInput* in, const Dims& shape,
                  DType dtype) {
  if (!is_floating(dtype) || (!operation.scalar1 && !operation.scalar2)) return;
  Array numbers[2];
  for (int i = 0; i < count; ++i) {
    numbers[i] = empty(DType::kFloat64, shape);
    const Loop copy_loop = [](const void* const* from, void* to, std::int64_t n) {
      std::copy_n(static_cast<const double*>(from[0]), n, static_cast<double*>(to));
    };
    run_loop(copy_loop, DType::kFloat64, 1, in + i, numbers[i]);
  }
  const std::int64_t n = shape.product();
  for (std::int64_t i = 0; i < n; ++i) {
    check_numbers(operation, numbers[0].as<double>()[i],
                  count == 2 ? numbers[1].as<double>()[i] : 0.0);
  }
}

// ---- recording ------------------------------------------------------------------------------

void save(Node* node, Node* saved) {
  node->saved_versions += version_of(saved);
  hold(saved);
}

void record_elementwise(const Operation& operation, Node* node, const Operand* operands,
                        int count) {
  unsigned need = 0;
  for (int i = 0; i < count; ++i) {
    if (operands[i].node && operands[i].node->requires_grad()) need |= 1U << i;
  }
  if (!need || !thread_state.grad_enabled) return;
  if (operation.kind == OperationKind::kComparison) return;
  if (!is_floating(dtype_of_node(node))) return;
  const unsigned saves = operation.saves[need];
  node->operation = operation.id;
  node->input_count = static_cast<std::uint32_t>(count) & 0xffffff;
  unsigned flags = node->flags | kRequiresGrad | saves;
  for (int i = 0; i < count; ++i) {
    Node* input = operands[i].node;
    if (!input || (input->is_inline() && !input->requires_grad())) {
      node->inputs[i].number = number_of(operands[i]);
      flags |= static_cast<unsigned>(kNumber0) << i;
      continue;
    }
    node->inputs[i].node = input;
    ++input->references;
    if (saves & (static_cast<unsigned>(kSaved0) << i)) save(node, input);
  }
  node->flags = static_cast<std::uint16_t>(flags);
  if (saves & kSavedResult) save(node, node);
}

// ---- values ---------------------------------------------------------------------------------

Value evaluate_scalars(const Operation& operation, const Operand* operands, int count) {
  const double x = number_of(operands[0]);
  const double y = count == 2 ? number_of(operands[1]) : 0.0;
  if (thread_state.error_mode) check_numbers(operation, x, y);
  return make_scalar(count == 1 ? operation.scalar1(x) : operation.scalar2(x, y));
}

// A constant in the compute dtype, somewhere to point a loop at.
union Number {
  bool b;
  std::int32_t i32;
  std::int64_t i64;
  float f32;
  double f64;
};

LoopInput number_input(const Operand& x, DType dtype, Number* number) {
  if (x.kind != Operand::kFloat && dtype == DType::kInt64) {
    number->i64 = x.integer;
    return loop_constant(number, dtype);
  }
  number->f64 = x.number;
  return loop_constant(number, DType::kFloat64);
}

Value evaluate_arrays(const Operation& operation, const Operand* operands, int count,
                      DType compute) {
  const Loop loop = operation.loops[static_cast<std::size_t>(compute)];
  if (!loop) unsupported(operation, compute);
  Dims shape;
  Array arrays[2];
  for (int i = 0; i < count; ++i) {
    if (!operands[i].node || operands[i].node->is_inline()) continue;
    arrays[i] = operands[i].node->as_array()->array;
    const Dims before = shape;
    if (!broadcast_shapes(before, arrays[i].shape, &shape)) {
      throw std::invalid_argument(operation.name + ": shapes " + before.to_string() + " and " +
                                  arrays[i].shape.to_string() + " do not broadcast together");
    }
  }
  LoopInput in[2];
  Number numbers[2];
  for (int i = 0; i < count; ++i) {
    const Operand& x = operands[i];
    if (arrays[i].storage) {
      in[i] = loop_input(arrays[i], shape);
    } else if (x.node) {
      in[i] = loop_constant(&x.node->value, DType::kFloat64);
    } else {
      in[i] = number_input(x, compute, &numbers[i]);
    }
  }
  if (operation.check && !is_floating(compute)) {
    for (int i = 0; i < count; ++i) {
      if (arrays[i].storage) continue;
      arrays[i] = empty(DType::kInt64, Dims{});
      *arrays[i].as<std::int64_t>() = operands[i].integer;
    }
    operation.check(operation, arrays[0], arrays[1]);
  }
  if (thread_state.error_mode) check_errors(operation, count, in, shape, compute);
  const bool compares = operation.kind == OperationKind::kComparison;
  Array out = empty(compares ? DType::kBool : compute, shape);
  run_loop(loop, compute, count, in, out);
  return make_value(std::move(out));
}

Value evaluate(const Operation& operation, const Operand* operands, int count) {
  const DType compute = compute_dtype(operation, operands, count);
  bool scalars = compute == DType::kFloat64 && operation.kind != OperationKind::kComparison &&
                 operation.loops[static_cast<std::size_t>(compute)];
  for (int i = 0; i < count; ++i) scalars = scalars && is_scalar_like(operands[i]);
  Value result = scalars ? evaluate_scalars(operation, operands, count)
                         : evaluate_arrays(operation, operands, count, compute);
  record_elementwise(operation, result.get(), operands, count);
  return result;
}

// ---- tangents -------------------------------------------------------------------------------

Value as_value(const Operand& x) {
  if (x.node) return Value(x.node);
  Value constant = make_scalar(x.number);
  constant->set(kWeak);
  return constant;
}

Value plus(const Value& a, const Value& b) {
  static const Operation& add = operation("add");
  return a ? apply(add, a, b) : b;
}

Value apply_dual(const Operation& operation, const Operand* operands, int count) {
  int level = 0;
  for (int i = 0; i < count; ++i) {
    if (operands[i].node) level = std::max(level, level_of(operands[i].node));
  }
  Value primals[2];
  Operand stripped[2] = {operands[0], operands[count - 1]};
  for (int i = 0; i < count; ++i) {
    if (!operands[i].node) continue;
    primals[i] = primal_at(operands[i].node, level);
    stripped[i] = Operand(primals[i]);
  }
  Value result = count == 1 ? apply(operation, stripped[0])
                            : apply(operation, stripped[0], stripped[1]);
  Value total;
  for (int i = 0; i < count; ++i) {
    const Derivative& derivative = operation.derivatives[i];
    if (!operands[i].node || derivative.kind == DerivativeKind::kNone) continue;
    Value tangent = tangent_at(operands[i].node, level);
    if (!tangent) continue;
    if (derivative.kind == DerivativeKind::kFormula) {
      tangent = derivative.value(tangent, as_value(stripped[0]),
                                 count == 2 ? as_value(stripped[1]) : Value(), result);
    }
    total = plus(total, tangent);
  }
  if (!total || !is_floating(result.dtype())) return result;
  return make_dual(result, cast(broadcast_to(total, result.shape()), result.dtype()), level);
}

Value linear_tangent(const Operation& operation, const std::vector<Value>& primals,
                     std::vector<Value> tangents, std::shared_ptr<Attributes> attributes) {
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    if (!tangents[i]) tangents[i] = zeros_like(primals[i]);
  }
  return apply(operation, std::move(tangents), std::move(attributes));
}

Value structural_dual(const Operation& operation, const std::vector<Value>& inputs,
                      std::shared_ptr<Attributes> attributes) {
  int level = 0;
  for (const Value& x : inputs) level = std::max(level, level_of(x.get()));
  std::vector<Value> primals;
  std::vector<Value> tangents;
  for (const Value& x : inputs) {
    primals.push_back(primal_at(x.get(), level));
    tangents.push_back(tangent_at(x.get(), level));
  }
  Value result = apply(operation, primals, attributes);
  if (!operation.jvp && !operation.is_linear) {
    throw std::runtime_error(operation.name + ": has no forward-mode derivative");
  }
  Value tangent = operation.is_linear ? linear_tangent(operation, primals, tangents, attributes)
                                      : operation.jvp(primals, tangents, result, attributes.get());
  if (!tangent) return result;
  return make_dual(result, tangent, level);
}

}  // namespace

DType compute_dtype(const Operation& operation, const Operand* operands, int count) {
  DType dtype = DType::kBool;
  bool strong = false;
  Operand::Kind weak = Operand::kBool;  // the strongest kind of Python number among them
  for (int i = 0; i < count; ++i) {
    if (!is_weak(operands[i])) {
      const DType mine = dtype_of_node(operands[i].node);
      dtype = strong ? promote(dtype, mine) : mine;
      strong = true;
    } else if (weak_kind(operands[i]) < weak) {
      weak = weak_kind(operands[i]);
    }
  }
  bool any_weak = false;
  for (int i = 0; i < count; ++i) any_weak = any_weak || is_weak(operands[i]);
  if (any_weak && weak == Operand::kFloat && !is_floating(dtype)) dtype = DType::kFloat64;
  if (any_weak && weak == Operand::kInt && dtype == DType::kBool) dtype = DType::kInt64;
  if (operation.kind == OperationKind::kReal && !is_floating(dtype)) return DType::kFloat64;
  return dtype == DType::kBool && operation.counts_bools ? DType::kInt64 : dtype;
}

Value apply(const Operation& operation, const Operand& x) {
  if (is_dual(x)) return apply_dual(operation, &x, 1);
  return evaluate(operation, &x, 1);
}

Value apply(const Operation& operation, const Operand& x, const Operand& y) {
  const Operand operands[2] = {x, y};
  if (is_dual(x) || is_dual(y)) return apply_dual(operation, operands, 2);
  return evaluate(operation, operands, 2);
}

void record(const Operation& operation, const Value& result, const std::vector<Value>& inputs,
            std::shared_ptr<Attributes> attributes) {
  unsigned need = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].requires_grad()) need |= i < 2 ? 1U << i : 1U;
  }
  if (!need || !thread_state.grad_enabled || !is_floating(result.dtype())) return;
  Node* node = result.get();
  const unsigned saves = operation.saves[need];
  node->operation = operation.id;
  node->input_count = static_cast<std::uint32_t>(inputs.size()) & 0xffffff;
  node->set(kRequiresGrad | saves);
  Node** targets = nullptr;
  if (inputs.size() > 2) {
    targets = new Node*[inputs.size()];
    node->inputs[0].list = targets;
    node->set(kManyInputs);
  }
  for (std::uint32_t i = 0; i < inputs.size(); ++i) {
    Node* input = inputs[i].get();
    ++input->references;
    (targets ? targets[i] : node->inputs[i].node) = input;
    if (i < 2 && (saves & (static_cast<unsigned>(kSaved0) << i))) save(node, input);
  }
  if (saves & kSavedResult) save(node, node);
  if (attributes) {
    node->saved_versions += attributes->versions();
    extra_of(node).attributes = std::move(attributes);
  }
}

Value apply(const Operation& operation, std::vector<Value> inputs,
            std::shared_ptr<Attributes> attributes) {
  for (const Value& x : inputs) {
    if (x->has(kDual)) return structural_dual(operation, inputs, std::move(attributes));
  }
  Value result = make_value(operation.forward(inputs, attributes.get()));
  record(operation, result, inputs, std::move(attributes));
  return result;
}

std::uint32_t versions_of_saved(const Node* node) {
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < 2 && i < node->input_count; ++i) {
    const Node* input = node->has(kSaved0 << i) ? node->input(i) : nullptr;
    if (input) sum += version_of(input);
  }
  if (node->has(kSavedResult)) sum += version_of(node);
  if (node->extra && node->extra->attributes) sum += node->extra->attributes->versions();
  return sum;
}

int level_of(const Node* node) { return node->has(kDual) ? node->extra->level : 0; }

Value primal_at(Node* node, int level) {
  return level_of(node) == level ? node->extra->primal : Value(node);
}

Value tangent_at(Node* node, int level) {
  return level_of(node) == level ? node->extra->tangent : Value();
}

Value zeros_like(const Value& x) {
  return broadcast_to(cast(make_scalar(0), x.dtype()), x.shape());
}

Value make_dual(const Value& primal, const Value& tangent, int level) {
  Value dual = alias(primal);
  dual->set(kDual);
  Extra& extra = extra_of(dual.get());
  extra.primal = primal;
  extra.tangent = tangent;
  extra.level = level;
  return dual;
}

}  // namespace wengert
