#include "bindings/callable.h"

#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "bindings/arguments.h"
#include "bindings/convert.h"
#include "bindings/in_place.h"
#include "bindings/recorded.h"
#include "engine/evaluate.h"

namespace wengert::bindings {
namespace {

// Callable as a function and, found on the type, as a method: METHOD_DESCRIPTOR spares the bound
// method.
struct CallableObject {
  PyObject_HEAD vectorcallfunc call;
  const Operation* operation;      // elementwise, or
  const FunctionRecord* function;  // with arguments of its own
  PyObject* name;
  PyObject* doc;
  PyObject* signature;
  bool in_place;
};

PyTypeObject* callable_type = nullptr;

CallableObject* self_of(PyObject* object) { return reinterpret_cast<CallableObject*>(object); }

void refuse_keywords(const std::string& name, PyObject* keywords) {
  if (!keywords || PyTuple_GET_SIZE(keywords) == 0) return;
  throw TypeError(name + "() takes no keyword argument '" +
                  py::handle(PyTuple_GET_ITEM(keywords, 0)).cast<std::string>() + "'");
}

void expect_count(const CallableObject* self, Py_ssize_t given) {
  const int wanted = self->operation->arity;
  if (given == wanted) return;
  throw TypeError(self->operation->name + "() takes " + std::to_string(wanted) +
                  (wanted == 1 ? " argument" : " arguments") + ", got " + std::to_string(given));
}

void fill_operand(const Operation& operation, PyObject* object, Operand* operand, Value* keep) {
  if (to_operand(object, operand, keep)) return;
  if (PyList_Check(object) || PyTuple_Check(object)) {
    *keep = to_value(object);
    *operand = Operand(*keep);
    return;
  }
  throw TypeError(operation.name + ": expected a tensor, an array or a number, got a '" +
                  Py_TYPE(object)->tp_name + "'");
}

// PyTorch's add(x, y, alpha=a), which is x + a * y, and subtract; null without alpha.
PyObject* alpha_of(const Operation& op, const char* suffix, PyObject* const* args, Py_ssize_t count,
                   PyObject* keywords) {
  if (!keywords || PyTuple_GET_SIZE(keywords) == 0) return nullptr;
  const bool takes_alpha = op.name == "add" || op.name == "subtract";
  if (!takes_alpha || PyTuple_GET_SIZE(keywords) > 1 ||
      PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "alpha") != 0)
    refuse_keywords(op.name + suffix, keywords);
  return args[count];
}

void scale_by(const Operation& op, PyObject* alpha, Operand* y, Value* keep) {
  static const Operation& multiply = operation("multiply");
  Operand factor(0.0);
  Value keep_factor;
  fill_operand(op, alpha, &factor, &keep_factor);
  std::int64_t product = 0;
  if (y->node || factor.node) {
    *keep = apply(multiply, *y, factor);
    *y = Operand(*keep);
  } else if (y->kind == Operand::kFloat || factor.kind == Operand::kFloat ||
             __builtin_mul_overflow(y->integer, factor.integer, &product)) {
    *y = Operand(y->number * factor.number);
  } else {
    *y = Operand::of_integer(product);
  }
}

// The usual call: one tensor and nothing else.
PyObject* call_elementwise(PyObject* callable, PyObject* const* args, std::size_t flags,
                           PyObject* keywords);

[[gnu::noinline]] PyObject* call_unusual_unary(PyObject* callable, PyObject* const* args,
                                               std::size_t flags, PyObject* keywords) {
  if (PyVectorcall_NARGS(flags) != 1 || keywords || !is_exact_tensor(args[0])) {
    return call_elementwise(callable, args, flags, keywords);
  }
  const Operation& op = *self_of(callable)->operation;
  return guarded([&] {
    Node* node = node_of(args[0]);
    if (thread_state.modes == 0) [[likely]] {
      if (is_plain_scalar(node)) return wrap_new(apply_scalar(op, node, node->value));
      if (Value result = apply_short(op, &node, 1)) return wrap_new(std::move(result));
    }
    return wrap(apply(op, Operand(node)));
  });
}

PyObject* call_unary(PyObject* callable, PyObject* const* args, std::size_t flags,
                     PyObject* keywords) {
  if (PyVectorcall_NARGS(flags) == 1 && !keywords) [[likely]] {
    const Operation& op = *self_of(callable)->operation;
    if (PyObject* result = recorded_of_one(op, args[0], op.scalar1)) return result;
  }
  return call_unusual_unary(callable, args, flags, keywords);
}

PyObject* call_elementwise(PyObject* callable, PyObject* const* args, std::size_t flags,
                           PyObject* keywords) {
  const CallableObject* self = self_of(callable);
  const Operation& op = *self->operation;
  const Py_ssize_t count = PyVectorcall_NARGS(flags);
  return guarded([&]() -> PyObject* {
    PyObject* alpha = alpha_of(op, "", args, count, keywords);
    expect_count(self, count);
    Operand x(0.0);
    Operand y(0.0);
    Value keep_x;
    Value keep_y;
    fill_operand(op, args[0], &x, &keep_x);
    if (count == 1) return wrap(apply(op, x));
    fill_operand(op, args[1], &y, &keep_y);
    if (alpha) scale_by(op, alpha, &y, &keep_y);
    return wrap(apply(op, x, y));
  });
}

// write_directly where something waits; apart, so that the usual case does not pay for it.
[[gnu::noinline, gnu::cold]] bool write_with_deferred(const Operation& op, PyObject* const* args,
                                                      const Operand& source, PyObject* alpha) {
  static const Operation& add = operation("add");
  const Operand target(node_of(args[0]));
  if (!alpha) return evaluate_with_deferred(op, target, source, 1.0, args[1]);
  if (!PyFloat_CheckExact(alpha)) return false;
  const double factor = PyFloat_AS_DOUBLE(alpha);
  return evaluate_with_deferred(add, target, source, op.name == "add" ? factor : -factor, args[1]);
}

// What needs neither a record nor memory: an optimiser's p.add_(g, alpha=-rate), p.mul_(0.9). False
// if it has to go the general way, and nothing has happened.
bool write_directly(const Operation& op, PyObject* const* args, const Operand& source,
                    PyObject* alpha) {
  if (reinterpret_cast<TensorObject*>(args[0])->view) return false;
  if (any_deferred && write_with_deferred(op, args, source, alpha)) return true;
  const Operand target(node_of(args[0]));
  if (!alpha) return evaluate_in_place(op, target, source);
  if (!PyFloat_CheckExact(alpha)) return false;
  const double factor = PyFloat_AS_DOUBLE(alpha);
  return add_scaled_in_place(target, source, op.name == "add" ? factor : -factor);
}

PyObject* call_in_place(PyObject* callable, PyObject* const* args, std::size_t flags,
                        PyObject* keywords) {
  const CallableObject* self = self_of(callable);
  const Operation& op = *self->operation;
  return guarded([&]() -> PyObject* {
    PyObject* alpha = alpha_of(op, "_", args, PyVectorcall_NARGS(flags), keywords);
    expect_count(self, PyVectorcall_NARGS(flags));
    if (!is_tensor(args[0])) throw TypeError(op.name + "_: expected a tensor to change");
    Value result;
    Operand y(0.0);
    Value keep_y;
    if (op.arity == 1) {
      result = apply(op, Operand(node_of(args[0])));
    } else {
      fill_operand(op, args[1], &y, &keep_y);
      if (write_directly(op, args, y, alpha)) return Py_NewRef(args[0]);
      if (alpha) scale_by(op, alpha, &y, &keep_y);
      result = apply(op, Operand(node_of(args[0])), y);
    }
    if (op.kind == OperationKind::kComparison) result = with_graph_of(args[0], std::move(result));
    write_in_place(args[0], std::move(result), (op.name + "_").c_str());
    return Py_NewRef(args[0]);
  });
}

PyObject* call_function(PyObject* callable, PyObject* const* args, std::size_t flags,
                        PyObject* keywords) {
  const FunctionRecord& function = *self_of(callable)->function;
  return guarded([&]() -> PyObject* {
    Arguments arguments = parse_arguments(function, args, PyVectorcall_NARGS(flags), keywords);
    PyObject* source = PyVectorcall_NARGS(flags) > 0 && is_tensor(args[0]) ? args[0] : nullptr;
    if (source && function.is_view) {
      arguments[0].value = viewable(source);
      return wrap_view(function.call(arguments), source, arguments[0].value);
    }
    if (function.call) {
      Value result = function.call(arguments);
      return source ? wrap_view(std::move(result), source) : wrap(std::move(result));
    }
    const std::vector<Value> results = function.call_many(arguments);
    PyObject* tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(results.size())));
    for (std::size_t i = 0; i < results.size(); ++i) {
      PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i),
                       source ? wrap_view(results[i], source) : wrap(results[i]));
    }
    return tuple;
  });
}

bool is_constant(const Argument& argument) {
  return !argument.value || is_untracked(argument.value);
}

PyObject* call_function_in_place(PyObject* callable, PyObject* const* args, std::size_t flags,
                                 PyObject* keywords) {
  const FunctionRecord& function = *self_of(callable)->function;
  return guarded([&]() -> PyObject* {
    const std::string name = function.name + "_";
    if (PyVectorcall_NARGS(flags) == 0 || !is_tensor(args[0]))
      throw TypeError(name + ": expected a tensor to change");
    Arguments arguments = parse_arguments(function, args, PyVectorcall_NARGS(flags), keywords);
    // It may be of several operations, each of which saves what it reads: a copy.
    if (!std::ranges::all_of(arguments, is_constant))
      arguments[0].value = apply(operation("positive"), arguments[0].value);
    write_in_place(args[0], function.call(arguments), name.c_str());
    return Py_NewRef(args[0]);
  });
}

PyObject* bind(PyObject* callable, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) return Py_NewRef(callable);
  return PyMethod_New(callable, instance);
}

PyObject* represent(PyObject* callable) {
  return PyUnicode_FromFormat("<function wengert.%U>", self_of(callable)->name);
}

PyObject* reduce(PyObject* callable, PyObject*) { return Py_NewRef(self_of(callable)->name); }

PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CallableObject, call), READONLY, nullptr},
    {"__name__", T_OBJECT, offsetof(CallableObject, name), READONLY, nullptr},
    {"__qualname__", T_OBJECT, offsetof(CallableObject, name), READONLY, nullptr},
    {"__doc__", T_OBJECT, offsetof(CallableObject, doc), READONLY, nullptr},
    {"__text_signature__", T_OBJECT, offsetof(CallableObject, signature), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

void create_type(py::module_& module) {
  static PyType_Slot slots[] = {{Py_tp_call, slot(PyVectorcall_Call)},
                                {Py_tp_descr_get, slot(bind)},
                                {Py_tp_repr, slot(represent)},
                                {Py_tp_members, members},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {"wengert._core.Operation", sizeof(CallableObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
                                 Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             slots};
  PyObject* type = checked(PyType_FromSpec(&spec));
  callable_type = reinterpret_cast<PyTypeObject*>(type);
  module.add_object("Operation", type);
}

py::object make(const std::string& name, const std::string& doc, const std::string& signature) {
  auto* self = PyObject_New(CallableObject, callable_type);
  if (!self) throw py::error_already_set();
  self->call = nullptr;
  self->operation = nullptr;
  self->function = nullptr;
  self->in_place = false;
  self->name = py::str(name).release().ptr();
  self->doc = py::str(doc).release().ptr();
  self->signature = py::str(signature).release().ptr();
  return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(self));
}

std::string signature_of(const FunctionRecord& function) {
  std::string text = "(";
  for (const Parameter& parameter : function.parameters) {
    if (text.size() > 1) text += ", ";
    text += parameter.name;
    if (parameter.optional) text += "=" + parameter.default_text;
  }
  return text + ")";
}

void set_on_type(const std::string& name, const py::object& callable) {
  const auto type = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(tensor_type));
  if (!py::hasattr(type, name.c_str())) type.attr(name.c_str()) = callable;
}

void add_names(py::module_& module, const std::string& name,
               const std::vector<std::string>& aliases, const py::object& callable,
               bool is_method) {
  std::vector<std::string> names = aliases;
  names.push_back(name);
  for (const std::string& each : names) {
    module.attr(each.c_str()) = callable;
    module.attr("__all__").cast<py::list>().append(each);
    if (is_method) set_on_type(each, callable);
  }
}

void add_elementwise(py::module_& module, const Operation& op) {
  const bool takes_alpha = op.name == "add" || op.name == "subtract";
  const char* signature = op.arity == 1 ? "(x, /)"
                          : takes_alpha ? "(x, y, /, *, alpha=1)"
                                        : "(x, y, /)";
  py::object callable = make(op.name, op.doc, signature);
  const bool has_scalars = op.scalar1 && op.kind != OperationKind::kComparison;
  self_of(callable.ptr())->call = has_scalars ? call_unary : call_elementwise;
  self_of(callable.ptr())->operation = &op;
  add_names(module, op.name, op.aliases, callable, true);
  if (op.name.starts_with("is")) return;
  py::object in_place = make(op.name + "_", "In place: " + op.doc, signature);
  self_of(in_place.ptr())->call = call_in_place;
  self_of(in_place.ptr())->operation = &op;
  set_on_type(op.name + "_", in_place);
  for (const std::string& alias : op.aliases) set_on_type(alias + "_", in_place);
}

// Of the functions whose result has the shape of their argument.
constexpr std::string_view kInPlace[] = {"clip",      "clamp_min",   "clamp_max", "addmm",
                                         "addmv",     "addr",        "addcmul",   "addcdiv",
                                         "lerp",      "masked_fill", "scatter",   "scatter_add",
                                         "index_add", "index_copy",  "index_fill"};

void add_function_in_place(const FunctionRecord& function) {
  if (std::ranges::find(kInPlace, function.name) == std::end(kInPlace)) return;
  py::object in_place =
      make(function.name + "_", "In place: " + function.doc, signature_of(function));
  self_of(in_place.ptr())->call = call_function_in_place;
  self_of(in_place.ptr())->function = &function;
  set_on_type(function.name + "_", in_place);
  for (const std::string& alias : function.aliases) set_on_type(alias + "_", in_place);
}

}  // namespace

void add_callables(py::module_& module) {
  create_type(module);
  module.attr("__all__") = py::list();
  for (int i = 1; i < operation_count(); ++i) {
    const Operation& op = operation(static_cast<std::uint16_t>(i));
    if (op.is_public && op.kind != OperationKind::kStructural) add_elementwise(module, op);
  }
  for (const FunctionRecord& function : functions()) {
    py::object callable = make(function.name, function.doc, signature_of(function));
    self_of(callable.ptr())->call = call_function;
    self_of(callable.ptr())->function = &function;
    add_names(module, function.name, function.aliases, callable, function.is_method);
    add_function_in_place(function);
  }
}

}  // namespace wengert::bindings
