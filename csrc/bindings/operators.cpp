// The operators of Tensor as C type slots. Note [Slots]: a slot that looks at two types and calls
// the engine costs about what a float's does; a bound method costs ten times as much.
#include "bindings/convert.h"
#include "bindings/in_place.h"
#include "bindings/recorded.h"
#include "engine/evaluate.h"
#include "kernels/reduce.h"

namespace wengert::bindings {
namespace {

// The operation behind a slot. Where its value on floats is an instruction of the machine, that
// stands here, too: the call through the record would cost more than all of the arithmetic.
struct Named {
  const char* name;
  bool on_floats = true;
  double (*instruction)(double, double) = nullptr;
  double (*of_one)(double) = nullptr;
};
constexpr Named kAdd{"add", true, [](double x, double y) { return x + y; }};
constexpr Named kSubtract{"subtract", true, [](double x, double y) { return x - y; }};
constexpr Named kMultiply{"multiply", true, [](double x, double y) { return x * y; }};
constexpr Named kDivide{"divide", true, [](double x, double y) { return x / y; }};
constexpr Named kFloorDivide{"floor_divide"}, kRemainder{"remainder"}, kPower{"power"},
    kAnd{"bitwise_and", false}, kOr{"bitwise_or", false}, kXor{"bitwise_xor", false},
    kPositive{"positive"}, kAbs{"abs"}, kInvert{"invert", false};
constexpr Named kNegative{"negative", true, nullptr, [](double x) { return -x; }};
constexpr Named kSquare{"square", true, nullptr, [](double x) { return x * x; }};

// Looked up when the type is made: a static in a function would be asked at each call whether it is
// there.
template <const Named& kName>
constinit const Operation* looked_up = nullptr;

template <const Named& kName>
[[gnu::always_inline]] inline const Operation& the() {
  return *looked_up<kName>;
}

template <const Named&... kNames>
void look_up() {
  ((looked_up<kNames> = &operation(kNames.name)), ...);
}

Value apply_objects(const Operation& op, PyObject* a, PyObject* b, bool* understood) {
  Operand x(0.0);
  Operand y(0.0);
  Value keep_x;
  Value keep_y;
  *understood = to_operand(a, &x, &keep_x) && to_operand(b, &y, &keep_y);
  return *understood ? apply(op, x, y) : Value();
}

PyObject* general(const Operation& op, PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    bool understood = false;
    Value result = apply_objects(op, a, b, &understood);
    if (!understood) Py_RETURN_NOTIMPLEMENTED;
    return wrap(std::move(result));
  });
}

// A plain inline tensor or a float; false for anything else.
[[gnu::always_inline]] inline bool scalar_operand(PyObject* object, Node** node, double* number) {
  if (is_exact_tensor(object)) {
    *node = node_of(object);
    *number = (*node)->value;
    return is_plain_scalar(*node);
  }
  *node = nullptr;
  if (PyFloat_CheckExact(object)) {
    *number = PyFloat_AS_DOUBLE(object);
    return true;
  }
  if (PyLong_CheckExact(object)) {
    int overflow = 0;
    *number = static_cast<double>(PyLong_AsLongAndOverflow(object, &overflow));
    return overflow == 0;
  }
  return false;
}

// Scalars of any kind, tracked or not; else arrays and what can become one.
template <const Named& kName>
[[gnu::noinline]] PyObject* binary(PyObject* a, PyObject* b) {
  const Operation& op = the<kName>();
  Node* x;
  Node* y;
  double number_x;
  double number_y;
  return guarded([&] {
    if (kName.on_floats && thread_state.modes == 0 && scalar_operand(a, &x, &number_x) &&
        scalar_operand(b, &y, &number_y)) {
      return wrap_new(apply_scalars(op, x, number_x, y, number_y));
    }
    if (thread_state.modes == 0 && is_exact_tensor(a) && is_exact_tensor(b)) {
      Node* const arrays[] = {node_of(a), node_of(b)};
      if (Value result = apply_short(op, arrays, 2)) return wrap_new(std::move(result));
    }
    return general(op, a, b);
  });
}

// Null where something is unusual.
template <const Named& kName>
[[gnu::always_inline]] inline PyObject* recorded_of_two(PyObject* a, PyObject* b) {
  if (!kName.on_floats || !only_recording()) return nullptr;
  const Operation& op = the<kName>();
  const auto value_of_two = [&](double x, double y) {
    if constexpr (kName.instruction != nullptr)
      return kName.instruction(x, y);
    else
      return op.scalar2(x, y);
  };
  const auto node = [](PyObject* x) { return reinterpret_cast<TensorObject*>(x)->node; };
  if (is_tracked_scalar(a)) {
    Node* x = node(a);
    if (is_tracked_scalar(b)) {
      Node* y = node(b);
      return recorded<2, 3>(op, {.node = x}, {.node = y},
                            [&] { return value_of_two(x->value, y->value); });
    }
    if (!PyFloat_CheckExact(b)) return nullptr;
    const double y = PyFloat_AS_DOUBLE(b);
    return recorded<2, 1>(op, {.node = x}, {.number = y},
                          [&] { return value_of_two(x->value, y); });
  }
  if (!PyFloat_CheckExact(a) || !is_tracked_scalar(b)) return nullptr;
  const double x = PyFloat_AS_DOUBLE(a);
  Node* y = node(b);
  return recorded<2, 2>(op, {.number = x}, {.node = y}, [&] { return value_of_two(x, y->value); });
}

// See Note [Scalar fast path]: whatever else is asked first, everyone pays for.
template <const Named& kName>
PyObject* binary_slot(PyObject* a, PyObject* b) {
  if (PyObject* result = recorded_of_two<kName>(a, b)) [[likely]]
    return result;
  return binary<kName>(a, b);
}

template <const Named& kName>
[[gnu::noinline]] PyObject* unary(PyObject* a) {
  const Operation& op = the<kName>();
  return guarded([&] {
    Node* node = node_of(a);
    if (kName.on_floats && is_plain_scalar(node) && thread_state.modes == 0)
      return wrap_new(apply_scalar(op, node, node->value));
    if (thread_state.modes == 0) {
      if (Value result = apply_short(op, &node, 1)) return wrap_new(std::move(result));
    }
    return wrap(apply(op, Operand(node)));
  });
}

template <const Named& kName>
PyObject* unary_slot(PyObject* a) {
  if constexpr (kName.of_one != nullptr) {
    if (PyObject* result = recorded_of_one(the<kName>(), a, kName.of_one)) [[likely]]
      return result;
  }
  return unary<kName>(a);
}

// Python's 2, as nearly all code has it: others of that value are found by is_two().
PyObject* the_two = nullptr;

bool is_two(PyObject* object) {
  if (PyLong_CheckExact(object)) return PyLong_AsLong(object) == 2 || (PyErr_Clear(), false);
  return PyFloat_CheckExact(object) && PyFloat_AS_DOUBLE(object) == 2.0;
}

// x**2 is x*x: exact, fast, and without a logarithm in its derivatives.
PyObject* power_slot(PyObject* a, PyObject* b, PyObject* modulo) {
  if (b == the_two && modulo == Py_None) {
    if (PyObject* result = recorded_of_one(the<kSquare>(), a, kSquare.of_one)) [[likely]]
      return result;
  }
  if (modulo != Py_None) {
    PyErr_SetString(PyExc_TypeError, "pow: a third argument (modulo) is not supported for tensors");
    return nullptr;
  }
  if (is_tensor(a) && is_two(b)) {
    // Asked of the node as it is: what a view is made anew with has the same dtype.
    const DType dtype = dtype_of(reinterpret_cast<TensorObject*>(a)->node);
    if (dtype != DType::kBool && (PyLong_CheckExact(b) || is_floating(dtype)))
      return unary_slot<kSquare>(a);
  }
  return binary_slot<kPower>(a, b);
}

template <const Named& kName>
PyObject* in_place_slot(PyObject* self, PyObject* other) {
  return guarded([&]() -> PyObject* {
    const Operation& op = the<kName>();
    Operand x(0.0);
    Operand y(0.0);
    Value keep_x;
    Value keep_y;
    if (!to_operand(self, &x, &keep_x) || !to_operand(other, &y, &keep_y)) {
      Py_RETURN_NOTIMPLEMENTED;
    }
    // Where a descent spends its updates: nothing is allocated and memory is gone through once.
    const bool is_view = reinterpret_cast<TensorObject*>(self)->view != nullptr;
    const bool is_done =
        !is_view && (evaluate_with_deferred(op, x, y, 1.0, other) || evaluate_in_place(op, x, y));
    if (!is_done) write_in_place(self, apply(op, x, y), kName.name);
    return Py_NewRef(self);
  });
}

PyObject* in_place_power(PyObject* self, PyObject* other, PyObject*) {
  return in_place_slot<kPower>(self, other);
}

PyObject* matmul_slot(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    Operand x(0.0);
    Operand y(0.0);
    Value keep_x;
    Value keep_y;
    if (!to_operand(a, &x, &keep_x) || !to_operand(b, &y, &keep_y) || !x.node || !y.node) {
      Py_RETURN_NOTIMPLEMENTED;
    }
    return wrap(matmul(Value(x.node), Value(y.node)));
  });
}

PyObject* in_place_matmul(PyObject* self, PyObject* other) {
  return guarded([&]() -> PyObject* {
    write_in_place(self, matmul(value_of(self), to_value(other)), "matmul");
    return Py_NewRef(self);
  });
}

PyObject* divmod_slot(PyObject* a, PyObject* b) {
  PyObject* quotient = binary_slot<kFloorDivide>(a, b);
  if (!quotient || quotient == Py_NotImplemented) return quotient;
  PyObject* rest = binary_slot<kRemainder>(a, b);
  if (!rest) {
    Py_DECREF(quotient);
    return nullptr;
  }
  PyObject* both = PyTuple_Pack(2, quotient, rest);
  Py_DECREF(quotient);
  Py_DECREF(rest);
  return both;
}

// The only element, for conversions to Python numbers.
Array only_element(PyObject* self, const char* what) {
  const Value value = value_of(self);
  if (value.size() != 1) {
    throw std::invalid_argument(std::string(what) +
                                ": only one-element tensors can be converted to Python scalars, "
                                "this one has shape " +
                                value.shape().to_string());
  }
  return value.array();
}

PyObject* to_float(PyObject* self) {
  return guarded([&]() -> PyObject* {
    const Node* node = node_of(self);
    if (node->is_inline()) return PyFloat_FromDouble(node->value);
    const auto item = py::reinterpret_steal<py::object>(item_at(only_element(self, "float")));
    return PyNumber_Float(item.ptr());
  });
}

PyObject* to_int(PyObject* self) {
  return guarded([&] {
    const auto item = py::reinterpret_steal<py::object>(item_at(only_element(self, "int")));
    return PyNumber_Long(item.ptr());
  });
}

PyObject* to_index(PyObject* self) {
  return guarded([&] {
    const Value value = value_of(self);
    if (is_floating(value.dtype()) || value.ndim() != 0) {
      throw TypeError(
          std::string("only integer tensors of a single element can be converted to an index, this "
                      "one has dtype ") +
          name_of(value.dtype()) + " and shape " + value.shape().to_string());
    }
    const auto item = py::reinterpret_steal<py::object>(item_at(value.array()));
    return PyNumber_Long(item.ptr());
  });
}

int to_bool(PyObject* self) {
  return guarded([&] {
    const Value value = value_of(self);
    if (value->is_inline()) return static_cast<int>(value->value != 0);
    if (value.size() != 1) {
      throw std::runtime_error(
          "Boolean value of Tensor with " +
          std::string(value.size() == 0 ? "no values" : "more than one value") +
          " is ambiguous: it has shape " + value.shape().to_string() + "; use any() or all()");
    }
    return PyObject_IsTrue(py::reinterpret_steal<py::object>(item_at(value.array())).ptr());
  });
}

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

PyObject* rich_compare(PyObject* a, PyObject* b, int which) {
  static const Operation* const ops[] = {&operation("less"),    &operation("less_equal"),
                                         &operation("equal"),   &operation("not_equal"),
                                         &operation("greater"), &operation("greater_equal")};
  return guarded([&]() -> PyObject* {
    bool understood = false;
    Value result = apply_objects(*ops[which], a, b, &understood);
    if (!understood) Py_RETURN_NOTIMPLEMENTED;
    return wrap(std::move(result));
  });
}

void add_operator_slots(std::vector<PyType_Slot>& slots) {
  look_up<kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kRemainder, kPower, kAnd, kOr, kXor,
          kNegative, kPositive, kAbs, kInvert, kSquare>();
  the_two = checked(PyLong_FromLong(2));
  const PyType_Slot operators[] = {
      {Py_nb_add, slot(binary_slot<kAdd>)},
      {Py_nb_subtract, slot(binary_slot<kSubtract>)},
      {Py_nb_multiply, slot(binary_slot<kMultiply>)},
      {Py_nb_true_divide, slot(binary_slot<kDivide>)},
      {Py_nb_floor_divide, slot(binary_slot<kFloorDivide>)},
      {Py_nb_remainder, slot(binary_slot<kRemainder>)},
      {Py_nb_divmod, slot(divmod_slot)},
      {Py_nb_power, slot(power_slot)},
      {Py_nb_and, slot(binary_slot<kAnd>)},
      {Py_nb_or, slot(binary_slot<kOr>)},
      {Py_nb_xor, slot(binary_slot<kXor>)},
      {Py_nb_negative, slot(unary_slot<kNegative>)},
      {Py_nb_positive, slot(unary_slot<kPositive>)},
      {Py_nb_absolute, slot(unary_slot<kAbs>)},
      {Py_nb_invert, slot(unary_slot<kInvert>)},
      {Py_nb_matrix_multiply, slot(matmul_slot)},
      {Py_nb_inplace_add, slot(in_place_slot<kAdd>)},
      {Py_nb_inplace_subtract, slot(in_place_slot<kSubtract>)},
      {Py_nb_inplace_multiply, slot(in_place_slot<kMultiply>)},
      {Py_nb_inplace_true_divide, slot(in_place_slot<kDivide>)},
      {Py_nb_inplace_floor_divide, slot(in_place_slot<kFloorDivide>)},
      {Py_nb_inplace_remainder, slot(in_place_slot<kRemainder>)},
      {Py_nb_inplace_power, slot(in_place_power)},
      {Py_nb_inplace_and, slot(in_place_slot<kAnd>)},
      {Py_nb_inplace_or, slot(in_place_slot<kOr>)},
      {Py_nb_inplace_xor, slot(in_place_slot<kXor>)},
      {Py_nb_inplace_matrix_multiply, slot(in_place_matmul)},
      {Py_nb_float, slot(to_float)},
      {Py_nb_int, slot(to_int)},
      {Py_nb_index, slot(to_index)},
      {Py_nb_bool, slot(to_bool)},
  };
  slots.insert(slots.end(), std::begin(operators), std::end(operators));
}

}  // namespace wengert::bindings
