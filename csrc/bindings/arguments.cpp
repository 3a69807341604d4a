#include "bindings/arguments.h"

#include <array>

#include "bindings/convert.h"

namespace wengert::bindings {
namespace {

std::string type_name(PyObject* object) { return Py_TYPE(object)->tp_name; }

[[noreturn]] void unexpected(const FunctionRecord& function, const Parameter& parameter,
                             PyObject* object, const char* expected) {
  throw TypeError(function.name + ": " + parameter.name + " must be " + expected + ", got a '" +
                  type_name(object) + "'");
}

std::vector<Value> convert_sequence(const FunctionRecord& function, const Parameter& parameter,
                                    PyObject* object) {
  if (is_tensor(object) || !PySequence_Check(object) || PyUnicode_Check(object)) {
    unexpected(function, parameter, object, "a list or tuple of tensors");
  }
  std::vector<Value> values;
  for (Py_ssize_t i = 0, n = PySequence_Size(object); i < n; ++i) {
    const auto item = py::reinterpret_steal<py::object>(checked(PySequence_GetItem(object, i)));
    values.push_back(to_value(item.ptr()));
  }
  return values;
}

double to_number(const FunctionRecord& function, const Parameter& parameter, PyObject* object) {
  const double number = PyFloat_AsDouble(object);
  if (number == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    unexpected(function, parameter, object, "a number");
  }
  return number;
}

bool to_flag(const FunctionRecord& function, const Parameter& parameter, PyObject* object) {
  if (!PyBool_Check(object) && !PyLong_Check(object))
    unexpected(function, parameter, object, "True or False");
  return PyObject_IsTrue(object) != 0;
}

// Exact ints of ordinary size; whatever else may be meant, and all errors, are left to to_integer
// and to_dims.
bool plain_integer(PyObject* object, std::int64_t* integer) {
  if (!PyLong_CheckExact(object)) return false;
  int overflow = 0;
  *integer = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

bool plain_integers(PyObject* object, Dims* dims) {
  if (!PyTuple_CheckExact(object)) {
    *dims = Dims(1);
    return plain_integer(object, dims->data());
  }
  *dims = Dims(static_cast<int>(PyTuple_GET_SIZE(object)));
  for (int i = 0; i < dims->size(); ++i) {
    if (!plain_integer(PyTuple_GET_ITEM(object, i), &(*dims)[i])) return false;
  }
  return true;
}

Argument convert(const FunctionRecord& function, const Parameter& parameter, PyObject* object) {
  Argument argument;
  if (object == Py_None && parameter.optional) return argument;
  argument.given = true;
  const auto what = [&] { return function.name + ": " + parameter.name; };
  switch (parameter.kind) {
    case ArgumentKind::kTensor: argument.value = to_value(object); break;
    case ArgumentKind::kOperand:
      argument.value = to_value(object);
      if (PyFloat_CheckExact(object) || PyLong_CheckExact(object) || PyBool_Check(object)) {
        argument.value->set(kWeak);
      }
      break;
    case ArgumentKind::kTensors:
      argument.values = convert_sequence(function, parameter, object);
      break;
    case ArgumentKind::kAxis:
    case ArgumentKind::kInt:
      if (!plain_integer(object, &argument.integer))
        argument.integer = to_integer(object, what().c_str());
      break;
    case ArgumentKind::kAxes:
    case ArgumentKind::kShape:
      if (!plain_integers(object, &argument.dims)) argument.dims = to_dims(object, what().c_str());
      break;
    case ArgumentKind::kBool: argument.flag = to_flag(function, parameter, object); break;
    case ArgumentKind::kFloat: argument.number = to_number(function, parameter, object); break;
    case ArgumentKind::kDType: argument.dtype = to_dtype(object); break;
  }
  return argument;
}

std::size_t find_parameter(const FunctionRecord& function, const std::string& keyword) {
  const auto& parameters = function.parameters;
  const auto position = [&](const std::string& name) {
    std::size_t i = 0;
    while (i < parameters.size() && parameters[i].name != name) ++i;
    return i;
  };
  if (const std::size_t i = position(keyword); i < parameters.size()) return i;
  for (const auto& [theirs, ours] : kParameterAliases) {
    if (keyword != theirs) continue;
    if (const std::size_t i = position(ours); i < parameters.size()) return i;
  }
  std::string known;
  for (const Parameter& parameter : parameters)
    known += (known.empty() ? "" : ", ") + parameter.name;
  throw TypeError(function.name + "() got an unexpected keyword argument '" + keyword +
                  "'; it takes " + known);
}

// reshape(x, 2, 3) means reshape(x, (2, 3)).
bool gathers_integers(const FunctionRecord& function, Py_ssize_t count) {
  const auto& parameters = function.parameters;
  return !parameters.empty() && parameters.back().kind == ArgumentKind::kShape &&
         count > static_cast<Py_ssize_t>(parameters.size());
}

}  // namespace

Arguments parse_arguments(const FunctionRecord& function, PyObject* const* args, Py_ssize_t count,
                          PyObject* keywords) {
  const auto& parameters = function.parameters;
  const std::size_t limit = parameters.size();
  constexpr std::size_t kMaxParameters = 16;
  if (limit > kMaxParameters) throw std::logic_error(function.name + ": too many parameters");
  std::array<PyObject*, kMaxParameters> given{};
  py::object gathered;
  if (gathers_integers(function, count)) {
    const auto first = static_cast<Py_ssize_t>(limit) - 1;
    gathered = py::reinterpret_steal<py::object>(checked(PyTuple_New(count - first)));
    for (Py_ssize_t i = first; i < count; ++i)
      PyTuple_SET_ITEM(gathered.ptr(), i - first, Py_NewRef(args[i]));
    std::copy(args, args + first, given.begin());
    given[limit - 1] = gathered.ptr();
  } else {
    if (count > static_cast<Py_ssize_t>(limit)) {
      throw TypeError(function.name + "() takes at most " + std::to_string(limit) +
                      " arguments, got " + std::to_string(count));
    }
    std::copy(args, args + count, given.begin());
  }
  const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t i = 0; i < named; ++i) {
    const auto keyword = py::handle(PyTuple_GET_ITEM(keywords, i)).cast<std::string>();
    PyObject*& place = given[find_parameter(function, keyword)];
    if (place)
      throw TypeError(function.name + "() got multiple values for argument '" + keyword + "'");
    place = args[count + i];
  }
  Arguments arguments;
  arguments.reserve(limit);
  for (std::size_t i = 0; i < limit; ++i) {
    if (given[i]) {
      arguments.push_back(convert(function, parameters[i], given[i]));
    } else if (parameters[i].optional) {
      arguments.push_back(parameters[i].default_value);
    } else {
      throw TypeError(function.name + "() missing required argument '" + parameters[i].name + "'");
    }
  }
  return arguments;
}

}  // namespace wengert::bindings
