#include "engine/evaluate.h"

#include <iomanip>
#include <sstream>
#include <stdexcept>

#include "engine/deferred.h"
#include "engine/float_errors.h"

namespace wengert {
namespace {

bool is_weak(const Operand& x) { return !x.node || x.node->has(kWeak); }

Operand::Kind weak_kind(const Operand& x) {
  if (!x.node) return x.kind;
  const DType dtype = dtype_of(x.node);
  if (dtype == DType::kBool) return Operand::kBool;
  return is_floating(dtype) ? Operand::kFloat : Operand::kInt;
}

bool is_scalar_like(const Operand& x) {
  return !x.node || x.node->is_inline() || x.node->as_array()->layout().ndim() == 0;
}

[[noreturn]] void unsupported(const Operation& operation, DType dtype) {
  std::string text = operation.name + ": not defined for dtype " + name_of(dtype);
  if (dtype == DType::kBool) text += "; convert with astype(int) or use logical operations";
  throw TypeError(text);
}

Value evaluate_scalars(const Operation& operation, const Operand* operands, int count) {
  const double x = number_of(operands[0]);
  const double y = count == 2 ? number_of(operands[1]) : 0.0;
  if (thread_state.modes & kRaiseAny) check_numbers(operation, x, y);
  const double result = count == 1 ? operation.scalar1(x) : operation.scalar2(x, y);
  if (operation.kind != OperationKind::kComparison) return make_scalar(result);
  Value answer = make_empty(DType::kBool, scalar_shape);
  *answer->as_array()->array().as<bool>() = result != 0;
  return answer;
}

// A loop over operands that are all even: see Note [Even operands].
struct EvenCall {
  const Array* like = nullptr;
  Loop loop = nullptr;
  EvenInput in[2];
  Number numbers[2];

  bool prepare(const Operation& operation, const Operand* operands, int count) {
    const Node* model = nullptr;
    for (int i = 0; i < count && !model; ++i) {
      if (operands[i].node && !operands[i].node->is_inline()) model = operands[i].node;
    }
    if (!model || model->has(kWeak)) return false;
    like = &model->as_array()->layout();  // the elements are asked for below
    if (!is_floating(like->dtype) || like->ndim() == 0) return false;
    loop = operation.loops[static_cast<std::size_t>(like->dtype)];
    if (!loop) return false;
    for (int i = 0; i < count; ++i) {
      if (!even_input(operands[i].node, operands[i].number, *like, &numbers[i], &in[i]))
        return false;
    }
    return true;
  }
};

// Null if an operand is not even.
Value evaluate_even(const Operation& operation, const Operand* operands, int count) {
  EvenCall call;
  if (!call.prepare(operation, operands, count)) return Value();
  const bool compares = operation.kind == OperationKind::kComparison;
  Value result = make_empty(compares ? DType::kBool : call.like->dtype, call.like->shape);
  run_even_loop(call.loop, call.like->dtype, count, call.in, result->as_array()->array());
  return result;
}

// Whether a Python integer has a value in an integer dtype.
bool fits(const Operand& x, DType dtype) {
  if (x.node || x.kind != Operand::kInt) return true;
  if (static_cast<double>(x.integer) != x.number) return false;
  return dtype != DType::kInt32 || static_cast<std::int32_t>(x.integer) == x.integer;
}

[[noreturn]] void out_of_bounds(const Operation& operation, const Operand& x, DType dtype) {
  std::ostringstream text;
  text << operation.name << ": Python integer " << std::fixed << std::setprecision(0) << x.number
       << " is out of bounds for a tensor of dtype " << name_of(dtype)
       << "; convert the tensor to int64 or float64 first";
  throw std::overflow_error(text.str());
}

LoopInput number_input(const Operation& operation, const Operand& x, DType dtype, Number* number) {
  if (!is_floating(dtype) && !fits(x, dtype)) out_of_bounds(operation, x, dtype);
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
    arrays[i] = operands[i].node->as_array()->array();
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
      in[i] = number_input(operation, x, compute, &numbers[i]);
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
  if (thread_state.modes & kRaiseAny) check_elements(operation, count, in, shape, compute);
  const bool compares = operation.kind == OperationKind::kComparison;
  Array out = empty(compares ? DType::kBool : compute, shape);
  run_loop(loop, compute, count, in, out);
  return make_value(std::move(out));
}

// Whether writing to `target` changes what is still to be read: of an operand in the same memory,
// each element must lie where its result goes.
bool would_be_overwritten(const EvenInput& input, const Array& target) {
  if (!input.constant && input.data == target.data) return false;
  const auto item = static_cast<std::int64_t>(item_size(target.dtype));
  const std::int64_t bytes = target.size() * item;
  const auto* data = static_cast<const char*>(input.data);
  return data < target.as<char>() + bytes &&
         target.as<char>() < data + (input.constant ? item : bytes);
}

// Whether an array may be written to as it is: nothing is recorded, and nobody watches.
bool is_written_unseen(const Operand& target, const Operand& other) {
  const auto is_watched = [](const Node* node) {
    return node->has(kWrapped) || (thread_state.grad_enabled && node->requires_grad());
  };
  if (thread_state.modes != 0 || thread_state.forward_log) return false;
  if (target.node->is_inline() || is_watched(target.node)) return false;
  return !other.node || !is_watched(other.node);
}

}  // namespace

DType compute_dtype(const Operation& operation, const Operand* operands, int count) {
  DType dtype = DType::kBool;
  bool strong = false;
  Operand::Kind weak = Operand::kBool;  // the strongest kind of Python number among them
  for (int i = 0; i < count; ++i) {
    if (!is_weak(operands[i])) {
      const DType mine = dtype_of(operands[i].node);
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
  if (operation.kind == OperationKind::kComparison && !is_floating(dtype)) {
    // Any integer can be compared with.
    for (int i = 0; i < count; ++i) {
      if (!fits(operands[i], dtype))
        dtype = fits(operands[i], DType::kInt64) ? DType::kInt64 : DType::kFloat64;
    }
  }
  return dtype == DType::kBool && operation.counts_bools ? DType::kInt64 : dtype;
}

double number_of(const Operand& x) {
  if (!x.node) return x.number;
  if (x.node->is_inline()) return x.node->value;
  const Array& array = x.node->as_array()->array();
  return visit_dtype(array.dtype, [&]<class T>() { return static_cast<double>(*array.as<T>()); });
}

Value evaluate(const Operation& operation, const Operand* operands, int count) {
  if (const Array* like = first_array(operands, count); like && like->size() >= deferred_from) {
    if (Value later = defer(operation, operands, count, *like)) return later;
  }
  if (!(thread_state.modes & kRaiseAny)) {
    if (Value result = evaluate_even(operation, operands, count)) return result;
  }
  const DType compute = compute_dtype(operation, operands, count);
  bool scalars = compute == DType::kFloat64;
  for (int i = 0; i < count; ++i) scalars = scalars && is_scalar_like(operands[i]);
  // Bits are not for floats: then there is no function, and the loop's absence is reported.
  scalars = scalars && (count == 1 ? operation.scalar1 != nullptr : operation.scalar2 != nullptr);
  return scalars ? evaluate_scalars(operation, operands, count)
                 : evaluate_arrays(operation, operands, count, compute);
}

bool evaluate_in_place(const Operation& operation, const Operand& target, const Operand& other) {
  if (operation.kind == OperationKind::kComparison || !is_written_unseen(target, other)) {
    return false;
  }
  const Operand operands[2] = {target, other};
  EvenCall call;
  if (!call.prepare(operation, operands, 2) || call.in[0].constant) return false;
  const Array& array = *call.like;
  if (!array.storage->writable || would_be_overwritten(call.in[1], array)) return false;
  run_even_loop(call.loop, array.dtype, 2, call.in, array);
  array.storage->bump_version();
  return true;
}

// Apart, so that the usual case does not pay for it.
[[gnu::noinline, gnu::cold]] bool evaluate_in_place_with_deferred(const Operation& operation,
                                                                  const Operand& target,
                                                                  const Operand& other,
                                                                  double factor, bool keeps) {
  if (operation.kind == OperationKind::kComparison || !other.node || other.node->is_inline()) {
    return false;
  }
  if (!is_written_unseen(target, other)) return false;
  return write_deferred(operation, target.node->as_array(), other.node->as_array(), factor, keeps);
}

bool add_scaled_in_place(const Operand& target, const Operand& other, double factor) {
  static const Operation& multiply = operation("multiply");
  if (!is_written_unseen(target, other)) return false;
  const Operand operands[2] = {other, factor};
  EvenCall call;
  if (!call.prepare(multiply, operands, 2)) return false;
  const Array& array = target.node->as_array()->array();
  bool contiguous = false;
  if (array.dtype != call.like->dtype || !has_shape_of(array, *call.like, &contiguous))
    return false;
  if (!contiguous || !array.storage->writable || would_be_overwritten(call.in[0], array))
    return false;
  add_even_loop(call.loop, array.dtype, 2, call.in, array);
  array.storage->bump_version();
  return true;
}

}  // namespace wengert
